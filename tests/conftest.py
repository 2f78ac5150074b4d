"""What holds for all tests."""

import signal

import torch


def pytest_configure() -> None:
    """One thread, as in grading: the tensors are small, and threads would only wait.

    Programs that a shell starts in the background ignore Ctrl-C, and so would all that
    tests start, also those that are to be ended by it.
    """
    torch.set_num_threads(1)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
