"""What a test expects is worked out before the student's code has seen its inputs."""

import types
from pathlib import Path
from typing import Any

import torch

from core.course import read_registry
from grader.manifest import read_manifest
from grader.session.session import TestRun
from grader.suites.suite_run import Suite, with_suite
from helpers.checks.separate import Separate
from tests.in_process import InProcess

METHODS = (
    "seed",
    "make_pyramid",
    "make_detector",
    "after_call",
    "gradients",
    "train",
)
ROOT = Path(__file__).resolve().parent.parent
# They compare answers to one another, and ask again with parts of what they gave.
ASK_AGAIN = {
    "test_2_fpn.py::test_pyramid_of_a_batch_equals_its_single_images",
    "test_2_layers.py::test_fpn_layers_share_no_weights",
    "test_2_merging.py::test_merge_levels_subtracts_nothing",
    "test_3_layers.py::test_head_stems_have_weights_of_their_own",
    "test_7_targets.py::test_make_targets_of_a_batch_equals_its_single_images",
    "checks/test_3_head.py::test_head_forward_of_all_levels",
    "checks/test_7_targets.py::test_make_targets_of_each_image_alone",
}
# They run other tests once more; and "slow" ones take the time.
LEFT_OUT = ("_on_a_gpu", "_on_the_device_asked_for", "slow")


class Spoiling:
    """The solution; whatever a test gave to a call is spoilt when the call is over.

    A tensor that is given again arrives as it was at first.
    """

    def __init__(self, target: Any, kept: dict[int, tuple[Any, Any]]):
        self._target = target
        self._kept = kept  # id of a tensor of the test -> it, and what it held at first

    def _held(self, value: Any) -> Any:
        is_code = callable(value) or isinstance(value, Separate)
        return Spoiling(value, self._kept) if is_code else value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        answer = self._target(*self._inside(args), **self._inside(kwargs))
        for tensor, _ in self._kept.values():
            with torch.no_grad():
                tensor.fill_(1 if tensor.dtype is torch.bool else 99)
        return self._held(answer)

    def __getattr__(self, name: str) -> Any:
        return self._held(getattr(self._target, name))

    def __getitem__(self, key: Any) -> Any:
        return self._held(self._target[key])

    def __len__(self) -> int:
        return len(self._target)

    def __iter__(self) -> Any:
        return map(self._held, self._target)

    def _inside(self, value: Any) -> Any:
        if isinstance(value, Spoiling):
            return value._target
        if isinstance(value, dict):
            return {name: self._inside(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self._inside(item) for item in value])
        if isinstance(value, torch.Tensor):
            if id(value) not in self._kept:
                self._kept[id(value)] = value, value.detach().clone()
            return self._kept[id(value)][1]
        return value


class SpoilingSource(InProcess):
    """Gives the solution, and mends after each test what was spoilt."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def student(self, exercise: str = "") -> Any:
        """The solution behind Spoiling."""
        student = super().student()
        self.kept = {}
        spoiling: Any = types.SimpleNamespace(device=student.device)
        for part in (*METHODS, *read_registry().visible):
            setattr(spoiling, part, Spoiling(getattr(student, part), self.kept))
        return spoiling

    def end_test(self) -> TestRun:
        """The constants of a file of tests are those of its other tests, too."""
        for tensor, first in self.kept.values():
            with torch.no_grad():
                tensor.copy_(first)
        return super().end_test()


def test_what_is_expected_was_worked_out_before_the_call():
    """The solution passes though all that a test gave is spoilt after each call."""

    def run(suite: Suite) -> dict[str, str | None]:
        names = {
            name
            for name in suite.ids
            if name not in ASK_AGAIN and not any(part in name for part in LEFT_OUT)
        }
        told = suite.run(names, SpoilingSource(ROOT / "assignment"))
        return {outcome.id: outcome.category for outcome in told}

    found = with_suite(ROOT, read_manifest(ROOT), run)
    assert len(found) > 200
    assert {name: category for name, category in found.items() if category} == {}
