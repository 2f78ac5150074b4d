"""A real checkpoint of a tiny detector with weights that plain arithmetic made."""

import dataclasses
from pathlib import Path

from helpers.models.detector import build_detector
from helpers.training.checkpoint import save_checkpoint
from helpers.training.recipes import DetectorConfig
from tests.plain_numbers import fill_parameters

CONFIG = DetectorConfig(
    class_names=("cat", "dog", "owl"),  # those of tests.small_trees
    backbone="tiny",
    fpn_channels=8,
    stem_channels=(8,),
    image_size=64,
    score_threshold=0.05,
    nms_threshold=0.5,
)


def write_checkpoint(path: Path, class_names: tuple[str, ...] = CONFIG.class_names):
    """Save a detector that finds something, and nothing sensible, everywhere."""
    config = dataclasses.replace(CONFIG, class_names=class_names)
    model = build_detector(config, pretrained=False)
    fill_parameters(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"config": dataclasses.asdict(config), "model": model.state_dict()}
    save_checkpoint(path, {**state, "iteration": 3})
