"""What holds for all tests."""

import signal

import pytest
import torch

# Files that take long, the longest first. Whoever of several workers is free takes the
# next file, so what takes long must not be begun when the others are at their end.
LONG_FIRST = (
    "test_attacks.py",
    "test_mistakes.py",
    "test_constant_answers.py",
    "test_causes.py",
    "test_overwriting.py",
    "test_old_course.py",
    "test_pretended_gpu.py",
    "test_hidden_suites.py",
    "test_toy_part.py",
    "test_large_answers.py",
    "test_nbgrader.py",
    "test_notebook_start.py",
    "test_attacks_own_user.py",
    "test_a4_names.py",
    "test_session.py",
    "test_train_command.py",
    "test_loading.py",
    "test_doctor.py",
    "test_legitimate_solutions.py",
    "test_legitimate_losses.py",
    "test_earlier.py",
    "test_worker_start.py",
    "test_own_user.py",
    "test_expected_first.py",
    "test_grade_refused.py",
)


def pytest_configure() -> None:
    """One thread, as in grading: the tensors are small, and threads would only wait.

    Programs that a shell starts in the background ignore Ctrl-C, and so would all that
    tests start, also those that are to be ended by it.
    """
    torch.set_num_threads(1)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, the others in their own order."""
    place = {name: number for number, name in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
