"""Whatever a student's code raises ends in one of the closed list of categories."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.course import read_registry
from grader.border.wire_types import WireError
from grader.manifest import ManifestTest
from grader.outcomes import NOT_RUN, judge
from grader.results.policy import tell
from grader.sandbox.levels import Level, probe_level
from grader.sandbox.slots import may_become_others
from grader.session.local_session import LocalSession
from grader.session.replies import (
    CATEGORIES_FROM_THERE,
    SubmittedNames,
    student_error,
    submitted_names,
)
from grader.session.session import Session
from grader.worker.landlock import landlock_version
from grader.worker.lockdown import has_seccomp
from helpers.checks.expect import CATEGORIES, CheckError, expect_runs
from helpers.checks.explain import explain_exception
from helpers.checks.no_gpu import NO_GPU, lacks_gpu

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


CLAIM = {
    "category": "exception",
    "type": "KeyError",
    "text": "",
    "file": "common.py",
    "line": 2,
    "traceback": "",
}
TWO_LINES = SubmittedNames({"common.py": 2}, frozenset({"torch"}))


def test_a_place_is_believed_only_where_there_is_one():
    """The file is one of the submission's, and the line is in it."""
    told = student_error("iou", CLAIM, TWO_LINES)
    assert told.message == "KeyError at line 2 of common.py"
    for file, line in (
        ("common.py", 3),
        ("common.py", 0),
        ("common.py", -1),
        ("common.py", True),
        ("common.py", 99_999),
        ("torch", 1),
        ("other.py", 1),
        (["common.py"], 1),
    ):
        claimed = CLAIM | {"file": file, "line": line}
        assert student_error("iou", claimed, TWO_LINES).message == "KeyError", file


@pytest.mark.parametrize("category", sorted({*CATEGORIES, NOT_RUN, "passed"}))
def test_a_sandbox_may_claim_few_categories(category):
    """That an earlier exercise is to blame, or that time is up, this side finds out."""
    claimed = CLAIM | {"category": category}
    if category in CATEGORIES_FROM_THERE:
        assert student_error("iou", claimed, TWO_LINES).category == category
    else:
        with pytest.raises(WireError):
            student_error("iou", claimed, TWO_LINES)


def test_lines_are_counted_as_python_counts_them(tmp_path):
    """A last line without an end, other ends of lines, and what is no file."""
    for name, text in {
        "a.py": b"1\n2\n",
        "b.py": b"1\r\n2\r3\n4",
        "c.py": b"",
    }.items():
        (tmp_path / name).write_bytes(text)
    (tmp_path / "d.py").mkdir()
    (tmp_path / "e.py").symlink_to("a.py")
    assert submitted_names(tmp_path).lines == {"a.py": 3, "b.py": 4, "c.py": 1}


@pytest.mark.parametrize(
    ("exercise", "blamed", "is_blocked"),
    [
        ("4.5", "4.2", True),
        ("4.5", "1.1", False),  # comes earlier, and is not needed
        ("4.2", "4.5", False),  # comes later
        ("6.2", "6.2", False),
        ("8.2", "8.1", True),
        ("8.2", "1.1", True),  # which 8.1 needs
        ("8.2", "4.1", True),  # of the detector around it
        ("3.1", "3.2", False),
        ("8.2", "77.1", False),
    ],
)
def test_only_what_an_exercise_stands_on_is_blamed(exercise, blamed, is_blocked):
    """Whatever number a student's code writes into an exception."""
    error = CheckError(
        "not implemented", "f", f"Exercise {blamed} is not implemented at line 1"
    )
    may_block = read_registry().may_block(exercise)
    told = judge(error, replace(TEST, exercise=exercise), may_block)
    assert told.blocked_by == (blamed if is_blocked else "")
    assert (told.category == "blocked") is is_blocked


# Ways to ask for a GPU; each stands in line 2 of a file.
GPU_ASKED = (
    "torch.zeros(1).cuda()",
    "torch.zeros(1, device='cuda')",
    "torch.nn.Linear(1, 1).to(torch.device('cuda:0'))",
    "torch.Generator('cuda')",
    "torch.zeros(1, device='mps')",
)
OWN_USER = may_become_others() and landlock_version() > 0 and has_seccomp()
LEVELS = [
    probe_level().level,
    Level.NONE,
    *([Level.OWN_USER] if OWN_USER else []),
]
needs_no_gpu = pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(),
    reason="there is a GPU",
)


def gpu_outcomes(session) -> list:
    """How each way ends."""
    found = []
    for number in range(len(GPU_ASKED)):
        student = session.student()
        function = getattr(student.common, f"ask_{number}")
        with (
            pytest.raises(CheckError) as error,
            expect_runs("iou", "widths that are equal", lambda: None),
        ):
            function(torch.zeros(1))
        found.append(judge(error.value, TEST, {"1.1"}))
        session.end_test()
    return found


@needs_no_gpu
@pytest.mark.parametrize("level", ["no sandbox", *dict.fromkeys(LEVELS)])
def test_a_gpu_that_is_not_there_is_called_that(tmp_path: Path, level):
    """At every level, with the line, and never as another mistake."""
    lines = ["import torch"]
    for number, ask in enumerate(GPU_ASKED):
        lines.append(f"def ask_{number}(x): return {ask}")
    (tmp_path / "common.py").write_text("\n".join(lines) + "\n")
    open_session = (
        LocalSession(tmp_path) if level == "no sandbox" else Session(tmp_path, level)
    )
    with open_session as session:
        outcomes = gpu_outcomes(session)
    for number, outcome in enumerate(outcomes):
        assert (outcome.category, outcome.cause) == ("exception", NO_GPU)
        told = tell(TEST, outcome).sentence
        assert told.endswith(f" at line {number + 2} of common.py: {NO_GPU}."), told


@needs_no_gpu
def test_a_check_in_the_notebook_names_the_missing_gpu(tmp_path: Path):
    """Where the student's own process ran the code, too."""
    file = tmp_path / "assignment" / "common.py"
    code = compile("torch.zeros(1).cuda()", str(file), "exec")
    with pytest.raises(CheckError) as error, expect_runs("iou", "equal widths", int):
        exec(code)
    assert error.value.cause == NO_GPU
    raised = error.value.__cause__
    assert raised is not None and NO_GPU in explain_exception(raised, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "Torch not compiled with CUDA enabled",
        "No CUDA GPUs are available",
        "Could not run 'aten::empty_strided' with arguments from the 'CUDA' backend.",
    ],
)
def test_what_torch_says_without_a_gpu_is_known(text: str):
    """Built without CUDA, or with it on a machine that hides its GPU."""
    assert lacks_gpu(text)
    assert not lacks_gpu(
        "Expected all tensors to be on the same device, cuda:0 and cpu"
    )
