"""Training, evaluation, pages and commands know detectors by their interface only.

What a detector is called, its class, levels, strides and losses stand in course.toml.
tests/test_toy_part.py takes a detector that nobody knows all the way.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from core.course import read_registry
from helpers.models.detector import build_detector
from helpers.training.recipes import DetectorConfig

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("training", "evaluation", "models", "show", "data")
DETECTORS = read_registry(ROOT).detectors
LOSSES = {loss for detector in DETECTORS.values() for loss in detector.losses}
LEVELS = {level for detector in DETECTORS.values() for level in detector.strides}
PATHS = {detector.module for detector in DETECTORS.values()} | {
    detector.body for detector in DETECTORS.values() if detector.body
}
LEVEL = "|".join(map(re.escape, LEVELS))
KNOWN = re.compile(
    rf"\b(?:{'|'.join(map(re.escape, LOSSES | PATHS))})\b"
    # a level may be called by a common word: as a key, an attribute, what is assigned
    rf"|[\"'](?:{LEVEL})[\"']|\.(?:{LEVEL})\b|\b(?:{LEVEL}) ?=(?!=)"
)


def files() -> list[str]:
    """All files that must serve any detector."""
    helpers = ROOT / "helpers"
    found = [path for room in ROOMS for path in (helpers / room).rglob("*.py")]
    found += [*helpers.glob("*.py"), *(helpers / "show").rglob("*.html")]
    names = {path.relative_to(ROOT).as_posix() for path in found}
    return sorted(names)


@pytest.mark.parametrize("name", files())
def test_no_loss_level_or_path_of_a_detector_is_named(name: str):
    """A second detector is an entry in course.toml, not a change of these files."""
    text = (ROOT / name).read_text("utf-8")
    assert not KNOWN.findall(text), f"{name} names {KNOWN.findall(text)}"


@pytest.mark.parametrize("name", DETECTORS)
def test_detector_keeps_what_course_toml_says_of_it(name: str):
    """Its losses, in this order; detections of a batch; a body where one is named."""
    config = DetectorConfig(
        model=name,
        class_names=("a", "b", "c"),
        backbone="tiny",
        fpn_channels=8,
        stem_channels=(8,),
    )
    model: Any = build_detector(config, pretrained=False)
    images = torch.zeros(3, 3, 64, 96)
    losses = model(images, torch.full((3, 2, 5), -1.0))  # images without boxes
    assert list(losses) == list(DETECTORS[name].losses)
    model.eval()
    with torch.inference_mode():
        found = model.detect(images, 0.0, 0.5)
    assert len(found) == 3
    for boxes, classes, scores in found:
        assert boxes.shape == (len(scores), 4)
        assert classes.dtype == torch.int64 and len(classes) == len(scores)
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    if DETECTORS[name].body:
        assert list(model.get_submodule(DETECTORS[name].body).parameters())
