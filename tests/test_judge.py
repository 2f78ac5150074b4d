"""Whatever a student's code raises ends in one of the closed list of categories."""

from pathlib import Path

import pytest
import torch

from grader.manifest import ManifestTest
from grader.outcomes import NOT_RUN, judge
from grader.sandbox.levels import probe_level
from grader.session.local_session import LocalSession
from grader.session.session import Session
from helpers.checks.expect import CATEGORIES, CheckError

# What stands in the function, and the category that it gives.
ENDINGS = {
    "raise KeyError('x')": "exception",
    "raise ValueError": "exception",
    "assert False": "exception",
    "1 / 0": "exception",
    "import no_such_module": "exception",
    "exec('def')": "exception",
    "boxes1.no_such_attribute": "exception",
    "boxes1 @ boxes1": "exception",
    "raise SystemExit(0)": "exception",
    "raise KeyboardInterrupt": "exception",
    "raise GeneratorExit": "exception",
    "raise type('Odd', (BaseException,), {})": "exception",
    "raise type('CheckError', (Exception,), {})('wrong value')": "exception",
    "iou(boxes1, boxes2)": "exception",  # RecursionError
    "raise NotImplementedError": "not implemented",
    "raise NotImplementedError('Exercise 1.1 iou')": "not implemented",
    "raise MemoryError": "out of memory",
    "raise PermissionError('no')": "not allowed",
    "import torchvision.ops as o; o.box_iou(boxes1, boxes2)": "not allowed",
    "return lambda: 1": None,  # a handle; what the test makes of it is wrong type
    "return object()": None,
}
TEST = ManifestTest(
    id="test_1_boxes.py::test_iou",
    exercise="1.1",
    points=1.0,
    title="iou",
    visible=False,
    hint="No.",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A submission whose iou ends in the way of this number."""
    lines = ["def iou(boxes1, boxes2):"]
    for number, line in enumerate(ENDINGS):
        lines.append(f"    if len(boxes1) == {number}:\n        {line}")
    path = tmp_path_factory.mktemp("submission")
    (path / "common.py").write_text("\n".join(lines) + "\n")
    return path


def endings(session) -> dict[str, str | None]:
    """What stood in the function -> category of the outcome."""
    found: dict[str, str | None] = {}
    for number, line in enumerate(ENDINGS):
        student = session.student()
        try:
            student.common.iou(torch.zeros(number, 4), torch.zeros(2, 4))
            found[line] = None
        except Exception as error:  # noqa: BLE001 - that is what is asked for
            assert isinstance(error, CheckError), line
            found[line] = judge(error, TEST, {"1.1"}).category
        session.end_test()
    return found


def test_each_exception_has_its_category_in_a_sandbox_and_without(folder: Path):
    """The maintainer's runner and the grades judge alike."""
    with LocalSession(folder) as session:
        local = endings(session)
    with Session(folder, probe_level().level) as session:
        apart = endings(session)
    assert apart == ENDINGS
    # torchvision's own operator is closed in a sandbox only
    closed = "import torchvision.ops as o; o.box_iou(boxes1, boxes2)"
    assert {**local, closed: ENDINGS[closed]} == ENDINGS
    assert {category for category in ENDINGS.values() if category} <= set(CATEGORIES)


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (KeyError("boxes"), "wrong type"),
        (TypeError("no tensor"), "wrong type"),
        (AssertionError(), "wrong value"),
        (NotImplementedError("Exercise 1.1 iou"), "not implemented"),
        (NotImplementedError("Exercise 2.1 other"), "blocked"),
        (CheckError("made up", "iou", "text"), "wrong value"),
        *((CheckError(category, "iou", "text"), category) for category in CATEGORIES),
    ],
    ids=str,
)
def test_what_a_test_itself_raises_is_judged_by_the_same_list(error, category):
    """An odd answer, such as a list for a tensor, makes the test's own code fail."""
    told = judge(error, TEST, {"1.1", "2.1"})
    assert told.category == category
    assert told.category in (*CATEGORIES, NOT_RUN)
