"""The visible checks of step 11: mistakes fail, and are called by their name."""

import shutil
from pathlib import Path

import pytest

from helpers.checks.report import report_text
from helpers.checks.results import WRONG
from helpers.checks.runner import CheckRun
from tests.student_course import edit, make_course

TARGETS, LOSSES = "published_targets.py", "published_losses.py"
DETECTOR = "fcos_published.py"
# exercise, file, right, wrong, what the message must say
MISTAKES = (
    ("11.1", TARGETS, ".abs().amax(dim=-1)", ".norm(dim=-1)", "this is a circle"),
    ("11.1", TARGETS, "offset < radius", "offset <= radius", "just the radius"),
    ("11.1", TARGETS, ".abs().amax(", ".abs().amin(", "one of x and y is enough"),
    ("11.1", TARGETS, ".abs().amax(", ".amax(", "the sign of the differences"),
    ("11.1", TARGETS, ".abs().amax(dim=-1)", ".abs().sum(dim=-1)", "are added up"),
    ("11.1", TARGETS, "(boxes[..., :2] + boxes[..., 2:4]) / 2",
     "(boxes[..., 2:4] - boxes[..., :2]) / 2", "half the size is taken"),
    ("11.1", TARGETS, "radius[:, None]", "radius[0]", "takes the radius of the first"),
    ("11.2", TARGETS, "if config.centre_radius > 0:", "if False:",
     "far from the centre are taken, too"),
    ("11.2", TARGETS, "config.centre_radius * stride",
     "config.centre_radius * torch.ones_like(stride)", "taken for pixels"),
    ("11.2", TARGETS, "config.centre_radius * stride",
     "config.centre_radius * stride[0].expand_as(stride)", "takes the radius of p3"),
    ("11.2", TARGETS, " & (boxes[..., 4] != BACKGROUND)\n", "\n",
     "rows of class -1 take part"),
    ("11.2", TARGETS, "(boxes[..., 4] != BACKGROUND)", "(boxes[..., 4] > 0)",
     "class 0 are taken for padding"),
    ("11.2", TARGETS, "ranges, config.range_ends", 'ranges, "high"',
     "range_ends is not looked at"),
    ("11.2", TARGETS, "config.range_scale, config.last_limit", "1.0, config.last_limit",
     "range_scale is not looked at"),
    ("11.2", TARGETS, "sides[..., 1], config.smallest", 'sides[..., 1], "area"',
     "`smallest` of the config"),
    ("11.2", TARGETS, "(ltrb_px.amin(dim=3) > 0)", "(ltrb_px.amin(dim=3) > -999)",
     "need not lie in the box"),
    ("11.2", TARGETS, "is_candidate &= is_in_range(", "is_in_range(",
     "ranges of the levels are not looked at"),
    ("11.2", TARGETS, "sides[..., 0] * sides[..., 1],",
     "-sides[..., 0] * sides[..., 1],", "another one than the smallest"),
    ("11.2", TARGETS, "index % rows.shape[1]", "index % (rows.shape[1] - 1)",
     "gets the last box of the image"),
    ("11.3", LOSSES, "torch.minimum(pred, true)", "torch.maximum(pred, true)",
     "the larger of two distances is taken"),
    ("11.3", LOSSES, "true_area - intersection", "true_area", "is not subtracted"),
    ("11.3", LOSSES, "return intersection, pred_area + true_area - intersection",
     "return pred_area + true_area - intersection, intersection", "are exchanged"),
    ("11.4", LOSSES, "1 - ratio if linear", "1 - ratio if True", "this is 1 - IoU"),
    ("11.4", LOSSES, "(intersection + plus) / (union + plus)\n",
     "(intersection + 1) / (union + 1)\n", "although `plus` is 0"),
    ("11.4", LOSSES, "else -ratio.log()", "else ratio.log()", "the minus is missing"),
    ("11.4", LOSSES, "1 - ratio if linear", "1 - ratio if False",
     "`linear` is not looked at"),
    ("11.4", LOSSES, "(intersection + plus) / (union + plus)\n",
     "intersection / union\n", "`plus` is not looked at"),
    ("11.4", LOSSES, "(intersection + plus) / (union + plus)\n",
     "(intersection + plus) / union\n", "to the intersection only"),
    ("11.4", LOSSES, "ratio = (intersection + plus) / (union + plus)\n",
     "ratio = ((intersection + plus) / (union + plus)).detach()\n", "are detached"),
    ("11.5", LOSSES, "(ratio - (hull - union) / (hull + eps))", "ratio",
     "is empty is missing"),
    ("11.5", LOSSES, "(hull - union) / (hull + eps)", "(hull - union) / (union + eps)",
     "by the hull is asked for"),
    ("11.5", LOSSES, "return 1 - (ratio -", "return (ratio -", "this is GIoU itself"),
    ("11.5", LOSSES, "(union + plus + eps)", "(union + plus)", "0 is divided by 0"),
    ("11.5", LOSSES, "(hull - union) / (hull + eps)",
     "((hull - union) / (hull + eps)).detach()", "only the IoU pulls"),
    ("11.6", LOSSES, "if weigh_boxes:", "if False:", "weigh_boxes is not looked at"),
    ("11.6", LOSSES, "if weigh_boxes:", "if True:", "although weigh_boxes is False"),
    ("11.6", LOSSES, "centerness.sum().clamp(min=1e-6)", "divisor",
     "not by the sum of centerness"),
    ("11.6", LOSSES, "centerness.sum().clamp(min=1e-6)", "centerness.sum()",
     "0 is divided by 0"),
    ("11.6", LOSSES, "loss_box.sum() / divisor", "loss_box.sum() / len(loss_box)",
     None),
    ("11.7", DETECTOR, "matched[..., 4] != BACKGROUND", "matched[..., 4] > 0",
     "class 0 is taken for background"),
    ("11.7", DETECTOR, 'stride if version.unit == "stride" else 1', "stride",
     "`unit` is not looked at, it is always stride"),
    ("11.7", DETECTOR, 'stride if version.loss_unit == "stride" else 1', "1",
     "compared in pixels; loss_unit is stride"),
    ("11.7", DETECTOR, 'stride if version.loss_unit == "stride" else 1', "stride",
     "`loss_unit` is not looked at, it is always stride"),
    ("11.7", DETECTOR, "stride = stride[is_foreground][:, None]",
     "stride = stride.flatten()[0]", "takes the stride of p3"),
    ("11.7", DETECTOR, "join_levels(output, locations)", "join_levels(output)",
     "joined in the order of the outputs"),
    ("11.7", DETECTOR, "self.divisor(is_foreground.sum(), len(gt_boxes))",
     "is_foreground.sum().clamp(min=1)", "not by self.divisor"),
    ("11.7", DETECTOR, "            version.weigh_boxes,\n", "            False,\n",
     "boxes are not weighed, although"),
)  # fmt: skip


@pytest.fixture(scope="module")
def solved(tmp_path_factory) -> Path:
    """A course where everything is written."""
    return make_course(tmp_path_factory.mktemp("step_11") / "course", [])


@pytest.mark.parametrize(
    "case", MISTAKES, ids=[f"{mistake[0]} {mistake[3]!r}" for mistake in MISTAKES]
)
def test_mistake_of_step_11_is_named(tmp_path: Path, solved: Path, case):
    """A known mistake fails its exercise, and the message says which one it is."""
    number, file, right, wrong, said = case
    root = shutil.copytree(solved, tmp_path / "course")
    edit(root, file, right, wrong)
    with CheckRun(root=root, quiet=True) as run:
        report = run.report(number)
    text = report_text(report)
    assert report.status == WRONG, text
    assert (said or "Again: ") in " ".join(text.split()), text
    assert "site-packages" not in text and "helpers/" not in text
