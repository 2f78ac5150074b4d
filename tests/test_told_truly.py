"""What is said of code that breaks, or answers with something else, is true."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core import old_names
from helpers.checks.exercises import read_exercises
from helpers.checks.places import find_function
from helpers.checks.report import report_text
from helpers.checks.results import PASS, WRONG
from helpers.checks.runner import CheckRun
from tests.student_course import edit, make_course, make_whole_course

EXERCISES = read_exercises()
UNCLEAR = "could not be used"
ODD_ANSWERS: dict[str, Any] = {
    "a dict": {},
    "a list": [1.0],
    "three lists": [[], [], []],
    "a number": 3.0,
    "a text": "yes",
    "one number as a tensor": torch.tensor(0.5),
    "infinity": torch.full((1, 1), float("inf")),
}


@pytest.fixture(scope="module")
def solved(tmp_path_factory) -> Path:
    """The students' version with everything written."""
    return make_course(tmp_path_factory.mktemp("solved") / "course", [])


def returning(value: Any) -> Any:
    """A function that answers everything so."""

    def answer(*_: Any, **__: Any) -> Any:
        return value

    answer.__module__ = "assignment.common"
    return answer


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_odd_answer_is_told_as_what_it_is(solved: Path, answer: str):
    """Whatever a function returns, no exception of the check itself is shown."""
    with CheckRun(root=solved, quiet=True) as run:
        for number, exercise in EXERCISES.items():
            *scope, name = exercise.name.split(".")
            if name in ("__init__", "update_normalizer"):  # these return nothing
                continue
            owners: list[Any] = list(run._modules.values())
            for part in scope:
                owners = [getattr(each, part) for each in owners if hasattr(each, part)]
            with pytest.MonkeyPatch.context() as patch:
                for owner in owners:
                    if hasattr(owner, name):
                        patch.setattr(owner, name, returning(ODD_ANSWERS[answer]))
                report = run.report(number)
            text = report_text(report)
            assert report.status == WRONG, (number, text)
            assert UNCLEAR not in text, (number, text)


# Exercise, file, what stands there, what a student writes instead, what is said.
BREAKS = (
    ("1.1", "common.py", "return torch.where(union > 0, intersection / union, ",
     "return torch.where(union < -1, union, torch.inf + ", "wrong value"),
    ("2.1", "common.py", 'f"lateral{level}"', 'f"lateral.{level}"', "may have no dot"),
    ("4.3", "fcos_matching.py", "is_inside & (largest > low)",
     "is_inside & largest > low", "put each comparison in brackets"),
    ("6.3", "fcos_losses.py", "binary_cross_entropy_with_logits(\n        pred_ctr",
     "binary_cross_entropy(\n        pred_ctr", "takes probabilities"),
    ("5.1", "fcos_deltas.py", "from assignment.common import", "from common import",
     "is called assignment.common"),
    ("8.1", "common.py", "import torch\n", "import torch\nimport no_such_package\n",
     "requirements.txt lists those"),
    ("7.3", "one_stage_detector.py", "import torch\n", "import torch\n%autoreload 2\n",
     "work in notebooks only"),
    ("5.3", "fcos_deltas.py", "_targets(deltas: torch.Tensor)",
     "_targets(deltas: torch.Tensor, stride: int)", "cannot be called"),
    ("2.2", "common.py", "        merged5 = ",
     '        features["c4"] = features["c4"] * 1\n        merged5 = ', None),
    ("7.1", "one_stage_detector.py", "WithFPN(fpn_channels, backbone)",
     'WithFPN(fpn_channels, "efficientnet_lite0")', "backbone is not handed on"),
    ("4.4", "fcos_matching.py", "cost.argmin(dim=1)", "cost.argmin(dim=0)", None),
)  # fmt: skip


@pytest.mark.parametrize(
    "case", BREAKS, ids=[f"{case[0]} {case[4]}" for case in BREAKS]
)
def test_break_is_told_with_its_reason(tmp_path: Path, case, monkeypatch):
    """What Python or torch says is put into words, and nothing false is added."""
    own = [str(old_names.ROOT / folder) for folder in old_names.FOLDERS]
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in own])
    for name in ("common", "a4_helper"):  # of another test, whose notebook has them
        monkeypatch.delitem(sys.modules, name, raising=False)
    number, file, right, wrong, said = case
    root = make_course(tmp_path / "course", [])
    edit(root, file, right, wrong)
    with CheckRun(root=root, quiet=True) as run:
        text = " ".join(report_text(run.report(number)).split())
    for false in (UNCLEAR, "print its keys", "the largest box wins"):
        assert false not in text, text
    assert said is None or said in text, text


TORCHVISION = (
    ("1.1", "    area1 = ", "    import torchvision\n"
     "    return torchvision.ops.box_iou(boxes1, boxes2)\n    area1 = ", "box_iou"),
    ("8.1", "    order = scores",
     "    from torchvision.ops.boxes import nms as theirs\n"
     "    return theirs(boxes, scores, iou_threshold)\n    order = scores", "nms"),
    ("8.1", "    order = scores", "    from torchvision.ops import batched_nms\n"
     "    same = torch.zeros(len(scores))\n"
     "    return batched_nms(boxes, scores, same, iou_threshold)\n"
     "    order = scores", "nms"),
)  # fmt: skip


@pytest.mark.parametrize("case", TORCHVISION, ids=[case[3] for case in TORCHVISION])
def test_answer_of_torchvision_is_refused(tmp_path: Path, case):
    """As the grader does; afterwards it is itself again."""
    from torchvision import ops

    number, right, wrong, name = case
    before = getattr(ops, name)
    root = make_course(tmp_path / "course", [])
    edit(root, "common.py", right, wrong)
    with CheckRun(root=root, quiet=True) as run:
        text = " ".join(report_text(run.report(number)).split())
        assert run.report("2.1").status == PASS
    assert f"{name} is what you are to write here; the grader does not" in text, text
    assert getattr(ops, name) is before


def test_import_is_no_function_of_their_own(tmp_path: Path):
    """The file has that name, and yet nobody wrote it; a method of torch is alike."""
    root = make_course(tmp_path / "course", [])
    edit(root, "common.py", "def nms(", "def my_nms(")
    line = "from torchvision.ops import nms\n"
    edit(root, "common.py", "import torch\n", f"import torch\n{line}")
    assert "common.py has no nms of its own" in told(root, "8.1")
    path = root / "assignment" / "fcos_head.py"
    lines = path.read_text().splitlines()
    at = lines.index("    def forward(")
    lines[at:] = [each.removeprefix("    ") for each in lines[at:]]
    path.write_text("\n".join(lines) + "\n")
    assert "forward stands outside of its class, in line" in told(root, "3.2")


def test_text_of_the_file_says_what_python_does_not(tmp_path: Path):
    """Code behind the raise, a second function below, arguments in another order."""
    root = make_whole_course(tmp_path / "course")
    said = told(root, "4.2")
    assert "never reached" not in said and "fcos_matching.py is as it was" in said
    edit(root, "common.py", '        "Exercise 1.1 iou', '        "Exercise 1.1 iou')
    path = root / "assignment" / "fcos_matching.py"
    begin, end = find_function(path.read_text(), "fcos_distances_to_edges", path)
    lines = path.read_text().splitlines()
    lines[end:end] = ["    return locations"]
    path.write_text("\n".join(lines) + "\n")
    assert "never reached; remove the raise" in told(root, "4.2")
    lines[end:end] = ["", "", "def fcos_distances_to_edges(a, b):", "    return a + 1"]
    path.write_text("\n".join(lines) + "\n")
    said = told(root, "4.2")
    assert f"is defined in the lines {begin} and {end + 3} of fcos_matching.py" in said
    solved = make_course(tmp_path / "solved", []) / "assignment" / "fcos_deltas.py"
    (root / "assignment" / "fcos_deltas.py").write_text(solved.read_text())
    assert "3 of 3 visible checks pass" in told(root, "5.2")
    edit(
        root,
        "fcos_deltas.py",
        "deltas: torch.Tensor, locations: torch.Tensor, stride: int\n",
        "locations: torch.Tensor, deltas: torch.Tensor, stride: int\n",
    )
    assert (
        "Likely: its arguments were (deltas, locations, stride), and are (locations, "
        "deltas, stride) now; put them back" in told(root, "5.2")
    )


def told(root: Path, number: str) -> str:
    with CheckRun(root=root, quiet=True) as run:
        return " ".join(report_text(run.report(number)).split())
