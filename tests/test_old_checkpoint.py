"""A checkpoint of before there were several detectors loads, detects and goes on.

tests/old_checkpoint/ was written by commit 07cafae: recipe tiny with 8 channels, two
iterations on shapes, weights then replaced by patterns, which pack well; beside it what
that version detected with it.
"""

import gzip
import json
from pathlib import Path

import pytest
import torch

from core.command import CourseError
from core.course import read_registry
from data_scripts.make_shapes import make_shapes
from helpers.models.detector import load_detector, predict
from helpers.train import train_run
from helpers.training.checkpoint import read_checkpoint
from helpers.training.recipes import detector_config_from_dict, get_recipe

STORED = Path(__file__).resolve().parent / "old_checkpoint"
CHOICES = {
    "fpn_channels": "8",
    "stem_channels": "[8]",
    "iterations": "2",
    "batch_size": "2",
    "image_size": "64",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder as that version left it."""
    packed = (STORED / "checkpoint.pt.gz").read_bytes()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(gzip.decompress(packed))
    return tmp_path / "run"


def test_old_checkpoint_detects_what_it_detected(run: Path):
    """The same boxes, classes and scores, on an image that is not square."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
    layers = ((x * 3 + y * 5) % 17 / 8, (x + y * 2) % 11 / 5, x * y % 7 / 3)
    detector = load_detector(run, "cpu")
    found = predict(detector, [torch.stack(layers).float() - 1], 0.3, 0.5)[0]
    stored = json.loads((STORED / "detections.json").read_text())
    for got, name in zip(found, ("boxes", "classes", "scores"), strict=True):
        expected = torch.tensor(stored[name], dtype=got.dtype)
        # stored with three decimals; another machine adds in another order
        torch.testing.assert_close(got[: len(expected)], expected, atol=1e-2, rtol=1e-3)


def test_old_checkpoint_goes_on(run: Path, tmp_path: Path):
    """It counts as a run of today's recipe, and of no other."""
    make_shapes(tmp_path / "data", train=6, val=2)
    recipe = get_recipe("tiny", CHOICES)
    again = train_run(recipe, tmp_path / "data", run, "cpu", resume=True)
    assert read_checkpoint(again)["iteration"] == 2
    other = get_recipe("tiny", {**CHOICES, "model": "fcos"})
    with pytest.raises(CourseError, match="recipe or classes"):
        train_run(other, tmp_path / "data", run, "cpu", resume=True)


@pytest.mark.parametrize("improved", [True, False])
def test_old_name_of_the_detector_is_understood(improved: bool):
    """`improved` became the detector's name in course.toml."""
    old = {"class_names": ["a"], "stem_channels": [8], "improved": improved}
    config = detector_config_from_dict(old)
    assert config.model == ("fcos_published" if improved else "fcos")
    assert config.model in read_registry().detectors
