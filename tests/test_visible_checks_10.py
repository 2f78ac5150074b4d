"""The visible checks of step 10: mistakes fail, and are named for what they are."""

from pathlib import Path

import pytest

from helpers.checks.report import report_text
from helpers.checks.results import WRONG
from helpers.checks.runner import CheckRun
from tests.student_course import edit, make_course

HEAD, TARGETS = "published_head.py", "published_targets.py"
KEPT = '**features, "p6": p6'
CONVOLUTION = "nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1)"
NORM = "nn.GroupNorm(norm_groups, width)"
NORMED = f"        if norm_groups:\n            layers.append({NORM})\n"
RELU = "        layers.append(nn.ReLU())\n"
# exercise, file, right, wrong, what the message must say; "" where it says no cause
MISTAKES = (
    ("10.1", HEAD, CONVOLUTION, CONVOLUTION.replace("stride=2, ", ""),
     "stride of 2 is missing"),
    ("10.1", HEAD, CONVOLUTION, CONVOLUTION.replace(", padding=1", ""),
     "padding of 1 is missing"),
    ("10.1", HEAD, CONVOLUTION, CONVOLUTION.replace("3, stride", "1, stride"),
     "are 1x1, not 3x3"),
    ("10.1", HEAD, CONVOLUTION, "nn.Conv2d(256, 256, 3, 2, 1)",
     "written into the code"),
    ("10.1", HEAD, "return nn.ModuleDict(\n        {", "return dict(\n        {",
     "in a dict"),
    ("10.1", HEAD, f"level: {CONVOLUTION}\n            for",
     f"level: one\n            for one in [{CONVOLUTION}]\n            for",
     "has two names"),
    ("10.2", HEAD, "(F.relu(p6))", "(p6)", "between p6 and p7 is missing"),
    ("10.2", HEAD, "F.relu(p6)", "F.relu_(p6)", "p6 itself went through a ReLU"),
    ("10.2", HEAD, 'layers["p7"](F.relu(p6))', 'F.relu(layers["p7"](p6))',
     "stands behind p7's convolution"),
    ("10.2", HEAD, '(F.relu(p6))', '(F.relu(features["p5"]))', "it is made from p6"),
    ("10.2", HEAD, 'layers["p7"](', 'layers["p6"](', "layer of p6 is used for p7"),
    ("10.2", HEAD, f'return {{{KEPT}, "p7": p7}}',
     "features.update(p6=p6, p7=p7)\n    return features", "return a new one"),
    ("10.2", HEAD, KEPT, '"p5": features["p5"], "p6": p6', ""),
    ("10.3", HEAD, "return nn.Sequential(*layers)", "return layers", "in a plain list"),
    ("10.3", HEAD, "channels = width\n", "pass\n", "the one before gives"),
    ("10.3", HEAD, "width, kernel_size=3, padding=1", "width, kernel_size=3",
     "padding of 1 is missing"),
    ("10.3", HEAD, NORM, "nn.BatchNorm2d(width)", "it is a batch norm"),
    ("10.3", HEAD, NORM, "nn.GroupNorm(1, width)", "one group for all channels"),
    ("10.3", HEAD, NORM, "nn.GroupNorm(width // norm_groups, width)",
     "not how many channels each has"),
    ("10.3", HEAD, NORM, "nn.GroupNorm(norm_groups, width, affine=False)",
     "no weights to learn"),
    ("10.3", HEAD, NORMED + RELU, RELU + NORMED, "the ReLU comes before the norm"),
    ("10.3", HEAD, "if norm_groups:", "if True:", "divided by zero"),
    ("10.3", HEAD, "layers.append(nn.ReLU())", "pass", "the ReLU is missing"),
    ("10.4", HEAD, "std=0.01", "std=0.1", "not the variance"),
    ("10.4", HEAD, 'nonlinearity="relu"', 'mode="fan_out", nonlinearity="relu"',
     "fan_out was taken"),
    ("10.4", HEAD, "nn.init.normal_(layer.weight, mean=0.0, std=0.01)",
     "nn.init.zeros_(layer.weight)", "one and the same number"),
    ("10.4", HEAD, 'nonlinearity="relu"', 'nonlinearity="linear"', "the 2 is missing"),
    ("10.4", HEAD, "kaiming_normal_", "kaiming_uniform_", "drawn evenly"),
    ("10.4", HEAD, 'if how == "he"', 'if how == "He"', "`how` calls small"),
    ("10.4", HEAD, "nn.init.zeros_(layer.bias)", "pass", "it was not set"),
    ("10.4", HEAD, "isinstance(layer, nn.Conv2d)", "isinstance(layer, nn.GroupNorm)",
     "as they were before"),
    ("10.5", HEAD, ") * scale\n", ")\n", "the scale is not used"),
    ("10.5", HEAD, "scaled.clamp(max=MAX_EXPONENT).exp()", "scaled.exp()",
     "no limit of 1,000"),
    ("10.5", HEAD, "scaled.clamp(max=MAX_EXPONENT).exp()",
     "scaled.clamp(max=1000).exp()", "no limit of 1,000"),
    ("10.5", HEAD, ") * scale\n", ") * float(scale)\n", "as a plain number"),
    ("10.5", HEAD, "raw.to(torch.promote_types(raw.dtype, torch.float32)) * scale",
     "raw * scale", "float16 and must be float32"),
    ("10.5", HEAD, "return scaled.clamp(max=MAX_EXPONENT).exp()",
     "return (raw * scale).clamp(max=MAX_EXPONENT).exp().to(scaled.dtype)",
     "taken in 16 bits"),
    ("10.5", HEAD, "torch.promote_types(raw.dtype, torch.float32)", "torch.float32",
     "float32 and must be float64"),
    ("10.5", HEAD, "scaled.relu()", "scaled.abs()", "the minus is dropped"),
    ("10.6", HEAD, 'centerness_on == "class"', 'centerness_on == "none"',
     "from the box stem"),
    ("10.6", HEAD, "self.scales[level] if self.config.level_scales else 1.0", "1.0",
     "scale is not used"),
    ("10.6", HEAD, "self.scales[level] if", 'self.scales["p3"] if',
     "scale of another level"),
    ("10.6", HEAD, "scale, self.config.box_output)", 'scale, "raw")', "as for raw"),
    ("10.6", HEAD, "self.pred_cls(class_features).flatten(2).mT",
     "self.pred_cls(class_features).reshape(len(features), -1, "
     "self.pred_cls.out_channels)", "without permute"),
    ("10.7", TARGETS, "0.0 if stride == finest else ", "", "does not begin at 0"),
    ("10.7", TARGETS, "8.0 * stride * scale,", "8.0 * stride,",
     "the upper limits are not"),
    ("10.7", TARGETS, "last_limit if stride", "last_limit * scale if stride",
     "multiplied by the scale, too"),
    ("10.7", TARGETS, "last_limit if stride", "math.inf if stride",
     "last_limit is not used"),
    ("10.7", TARGETS, "min(strides.values()), max(strides.values())",
     "list(strides.values())[0], list(strides.values())[-1]", "the first entry is"),
)  # fmt: skip


@pytest.mark.parametrize(
    "case", MISTAKES, ids=[f"{mistake[0]} {mistake[3]}"[:60] for mistake in MISTAKES]
)
def test_mistake_is_named(tmp_path: Path, case: tuple[str, str, str, str, str]):
    """A known mistake fails its exercise, and the message says which one it is."""
    number, file, right, wrong, said = case
    root = make_course(tmp_path / "course", [])
    edit(root, file, right, wrong)
    with CheckRun(root=root, quiet=True) as run:
        report = run.report(number)
    text = " ".join(report_text(report).split())
    assert report.status == WRONG, text
    assert said in text, text
    assert ("Likely:" in text) == bool(said), text
