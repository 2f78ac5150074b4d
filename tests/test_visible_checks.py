"""The visible checks: right code passes, stubs and mistakes fail and are named."""

import json
import re
from pathlib import Path

import pytest

from core.course import read_registry
from grader.manifest import read_manifest
from helpers.checks.exercises import MARK, read_exercises
from helpers.checks.hints import read_hints
from helpers.checks.report import report_text
from helpers.checks.results import BLOCKED, OPEN, PASS, WRONG
from helpers.checks.runner import CheckRun, check_title, read_checks
from tests.student_course import ROOT, edit, make_course

NUMBERS = tuple(read_exercises())


@pytest.fixture(scope="module")
def solved():
    """All checks, run on the reference."""
    with CheckRun(quiet=True) as run:
        return {number: run.report(number) for number in NUMBERS}


@pytest.mark.parametrize("number", NUMBERS)
def test_reference_passes(solved, number: str):
    """Right code passes every check, and is told what is still unseen."""
    report = solved[number]
    assert report.status == PASS, report_text(report)
    assert 2 <= len(report.results) <= 5
    assert "; hidden tests also try " in " ".join(report_text(report).split())


@pytest.mark.parametrize("number", NUMBERS)
def test_each_check_fails_on_its_own_stub(tmp_path: Path, number: str):
    """Where only this exercise is open, all of its checks say its number."""
    root = make_course(tmp_path / "course", [number])
    with CheckRun(root=root, quiet=True) as run:
        report = run.report(number)
        assert report.status == OPEN
        assert ": not written yet\n" in report_text(report)
        for check in read_checks()[number]:
            with pytest.raises(NotImplementedError, match=rf"^Exercise {number} "):
                check(run.student)


def test_blocked_exercise_names_the_first_one(tmp_path: Path):
    """What needs an open exercise is blocked, and does not count as wrong."""
    with CheckRun(root=make_course(tmp_path / "course"), quiet=True) as run:
        statuses = {number: run.report(number).status for number in NUMBERS}
        text = report_text(run.report("7.2"))
    assert set(statuses.values()) == {OPEN, BLOCKED}
    assert text.startswith("FCOS.make_targets (7.2): blocked by 7.1: write that first")


# exercise, file, right, wrong, what the message must say
MISTAKES = (
    ("1.1", "common.py", ".clamp(min=0)  # (M, N, 2)", "", "may become negative"),
    ("1.1", "common.py", " - intersection\n", "\n", "is not subtracted"),
    ("1.1", "common.py", "return torch.where(union", "torch.where(union", "a return"),
    ("2.1", "common.py", "layers = nn.ModuleDict()", "layers = {}", "a plain dict"),
    ("2.2", "common.py", "size=3, padding=1", "size=3", "has no padding"),
    ("2.2", "common.py", 'size=features["c3"].shape[-2:]', "scale_factor=2",
     "factor of 2"),
    ("2.2", "common.py", 'self.fpn_params["output4"](merged4)', "merged4",
     "a convolution is never applied"),
    ("2.2", "common.py", "(merged4, size", "(merged5, size", "past c4"),
    ("3.1", "fcos_head.py", "-math.log", "math.log", "the minus is missing"),
    ("3.1", "fcos_head.py", "(*stem_box)", "(*stem_cls)", "one stem was put into both"),
    ("3.1", "fcos_head.py", "std=0.01", "std=0.1", "not the variance"),
    ("3.2", "fcos_head.py", "(class_features).flatten(2).mT",
     "(class_features).reshape(len(features), -1, self.pred_cls.out_channels)",
     "without permute"),
    ("3.2", "fcos_head.py", "pred_ctr(box_", "pred_ctr(class_", "on the wrong stem"),
    ("4.1", "common.py", "(grid_x, grid_y)", "(grid_y, grid_x)", "x and y are swapped"),
    ("4.1", "common.py", 'indexing="ij"', 'indexing="xy"', "column by column"),
    ("4.1", "common.py", "shape[2], shape[3]", "shape[2], shape[2]", "H is used for"),
    ("4.2", "fcos_matching.py", "locations[:, None, :] - boxes_xyxy[None, :, :2]",
     "boxes_xyxy[None, :, :2] - locations[:, None, :]", "left and top have the wrong"),
    ("4.3", "fcos_matching.py", "(largest <= high)", "(largest < high)", "no level"),
    ("4.3", "fcos_matching.py", "amin(dim=2) > 0", "amin(dim=2) >= 0", "on an edge"),
    ("4.4", "fcos_matching.py", "torch.where(has_candidate, smallest, BACKGROUND)",
     "smallest", "0 instead of -1"),
    ("4.5", "fcos_matching.py", "[:, 4] != BACKGROUND", "[:, 4] > 0", "class 0"),
    ("4.5", "fcos_matching.py", "amax(dim=2)", "amin(dim=2)", "First look at 4.3"),
    ("5.1", "fcos_deltas.py", " / stride", "", "not divided by the stride"),
    ("5.1", "fcos_deltas.py", "locations - gt_boxes[:, :2]",
     "gt_boxes[:, :2] - locations", "left and top have the wrong sign"),
    ("5.2", "fcos_deltas.py", "deltas.clamp(min=0)", "deltas", "not set to 0"),
    ("5.3", "fcos_deltas.py", "[:, [0, 2]], deltas[:, [1, 3]]",
     "[:, [0, 1]], deltas[:, [2, 3]]", "the pairs are (l, t)"),
    ("6.1", "fcos_losses.py", "== class_ids)",
     "== class_ids.masked_fill(class_ids == 0, -9))", "class 0 is taken for"),
    ("6.2", "fcos_losses.py", "0.25 * difference", "difference", "0.25 is missing"),
    ("6.3", "fcos_losses.py", "centerness < 0", "centerness <= 0", "a target of 0"),
    ("7.1", "one_stage_detector.py", 'register_buffer("_normalizer", ',
     'register_parameter("_normalizer", nn.Parameter(', None),
    ("7.2", "one_stage_detector.py", "matched[level], strides[level]",
     "matched[level], 8", "takes the stride of p3"),
    ("7.3", "one_stage_detector.py", "num_foreground / num_images", "num_foreground",
     "not divided by the number of images"),
    ("7.4", "one_stage_detector.py", "_normalizer * len(gt_boxes)", "_normalizer",
     "not divided by the number of images"),
    ("7.4", "one_stage_detector.py", ".to(deltas.dtype)", ".detach()", "detached"),
    ("8.1", "common.py", "overlap <= iou_threshold", "overlap < iou_threshold",
     "must stay"),
    ("8.1", "common.py", "scores.argsort(descending=True, stable=True)",
     "torch.arange(len(scores))", "in the order of the input"),
    ("8.2", "one_stage_detector.py", "max=width", "max=height", "exchanged"),
    ("8.2", "one_stage_detector.py", "centerness).sqrt()", "centerness)",
     "square root"),
    ("8.2", "one_stage_detector.py", "[level][0].sigmoid()  # (N, K)",
     "[level][0].sigmoid_()  # (N, K)", "changed in place"),
)  # fmt: skip


@pytest.mark.parametrize(
    "case", MISTAKES, ids=[f"{mistake[0]} {mistake[3]}" for mistake in MISTAKES]
)
def test_mistake_is_named(tmp_path: Path, case):
    """A known mistake fails its exercise, and the message says which one it is."""
    number, file, right, wrong, said = case
    root = make_course(tmp_path / "course", [])
    if said is None:  # this one needs a second bracket
        right += "torch.tensor(NORMALIZER_START)"
        wrong += "torch.tensor(NORMALIZER_START))"
        said = "it is an nn.Parameter"
    edit(root, file, right, wrong)
    with CheckRun(root=root, quiet=True) as run:
        report = run.report(number)
    text = report_text(report)
    assert report.status == WRONG, text
    assert said in " ".join(text.split()), text
    assert "site-packages" not in text and "helpers/" not in text


def test_message_has_the_order_of_the_style_guide(tmp_path: Path):
    """What, where with its inputs, expected and got, cause, where to read, again."""
    root = make_course(tmp_path / "course", [])
    edit(root, "fcos_deltas.py", " / stride", "")
    with CheckRun(root=root, quiet=True) as run:
        lines = report_text(run.report("5.1")).splitlines()
    assert lines[:5] == [
        "fcos_get_deltas_from_locations (5.1): wrong value at location 0",
        "  location 30 40   box 10 15 100 115   stride 8",
        "  expected l,t,r,b = 2.5 3.125 8.75 9.375     got 20 25 70 75     "
        "(largest difference 65.6)",
        "  Likely: not divided by the stride.   Read: notebook 5, "
        '"Four distances are a box".',
        "  Again: python -m helpers.check 5.1   Hint: python -m helpers.check hint 5.1",
    ]


def test_manifest_lists_the_visible_checks():
    """The grader's list and the checks are the same, each with its exercise."""
    listed = {
        test.id: (test.exercise, test.title, True)
        for test in read_manifest(ROOT)
        if test.visible
    }
    found = {
        f"checks/{check.__module__.split('.')[-1]}.py::{check.__name__}": (
            getattr(check, MARK),
            check_title(check).rstrip("."),
            True,
        )
        for checks in read_checks().values()
        for check in checks
    }
    assert listed == found


def test_every_exercise_has_three_hints():
    """A nudge, a plan, nearly code; and they name exercises that exist."""
    hints = read_hints()
    assert set(hints) == set(NUMBERS)
    for number, hint in hints.items():
        assert len(set(hint.levels)) == 3 and all(hint.levels), number
        assert hint.unseen and not hint.unseen.endswith(".")


@pytest.mark.parametrize("number", NUMBERS)
def test_message_sends_to_a_heading_that_exists(number: str):
    """Read: notebook 5, "And back again" stands in notebook 5."""
    registry = read_registry(ROOT)
    step = registry.steps[registry.exercises[number].step]
    path = ROOT / "notebooks" / step.notebook
    lines = [
        line
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "markdown"
        for line in "".join(cell["source"]).splitlines()
    ]
    # "## 2 · And back again" is the heading "And back again".
    headings = {
        re.sub(r"^#+ (\d · )?", "", line) for line in lines if line.startswith("#")
    }
    assert read_hints()[number].read in headings
