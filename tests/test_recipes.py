"""Recipes and --set: every choice can be changed, and wrong values are named."""

import dataclasses
import json

import pytest

from core.command import CourseError
from helpers.training.recipes import (
    RECIPES,
    DetectorConfig,
    detector_config_from_dict,
    get_recipe,
    recipe_to_dict,
)

# A value for every choice, different from that of all recipes.
VALUES = {
    "iterations": 7,
    "batch_size": 3,
    "optimizer": "sgd",
    "learning_rate": 0.125,
    "backbone_rate": 0.5,
    "weight_decay": 0.25,
    "schedule": "steps",
    "rate_steps": [0.5, 0.7, 0.8],
    "warmup": 5,
    "freeze": "norm",
    "clip_norm": 2.5,
    "average": 0.75,
    "shuffle": False,
    "keep_in_memory": True,
    "backbone": "resnet18",
    "fpn_channels": 24,
    "stem_channels": [16, 32],
    "image_size": 96,
    "score_threshold": 0.125,
    "nms_threshold": 0.25,
    "model": "fcos",
    "num_levels": 5,
    "location_offset": 0.25,
    "spacing": "image",
    "norm_groups": 4,
    "stem_start": "small",
    "centerness_on": "class",
    "level_scales": False,
    "box_output": "raw",
    "unit": "pixel",
    "centre_radius": 2.5,
    "range_ends": "both",
    "range_scale": 0.25,
    "last_limit": 1000.0,
    "smallest": "1e8 - area",
    "box_loss": "l2",
    "box_weight": 2.5,
    "loss_unit": "pixel",
    "iou_plus": 1.0,
    "giou_eps": 1e-5,
    "weigh_boxes": False,
    "divide_by": "per_image",
    "first_divisor": 10.0,
    "threshold_on": "class",
    "multi_label": False,
    "top_k": 50,
    "top_k_of": "level",
    "max_detections": 10,
    "keep_ties": True,
    "clip_to": "pixel",
    "flip": False,
    "scale": [0.5, 4],
    "aspect": 1.25,
    "colour": 0.125,
}


def all_choices(name: str, overrides: dict[str, str] | None = None) -> dict:
    """Every value of a recipe in one flat dict."""
    flat = recipe_to_dict(get_recipe(name, overrides))
    detector, augment = flat.pop("detector"), flat.pop("augment")
    return {**detector.pop("fcos"), **flat, **detector, **augment}


def test_every_choice_is_tried_below():
    """A new field of a recipe needs a line in VALUES."""
    fixed = {"name", "class_names"}
    assert set(all_choices("cpu")) - fixed == set(VALUES)


@pytest.mark.parametrize("key", VALUES)
def test_choice_can_be_changed_alone(key):
    """--set changes this choice and no other; the recipe itself stays."""
    before = all_choices("cpu")
    value = VALUES[key]
    text = value if isinstance(value, str) else json.dumps(value)
    flat = all_choices("cpu", {key: text})
    wanted = tuple(value) if isinstance(value, list) else value
    assert flat[key] == wanted
    assert type(flat[key]) is type(before[key])
    assert {k: v for k, v in flat.items() if k != key} == {
        k: v for k, v in before.items() if k != key
    }
    assert all_choices("cpu") == before


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("iterations", "many"),
        ("iterations", "1.5"),
        ("iterations", "0"),
        ("iterations", "-3"),
        ("iterations", "true"),
        ("iterations", ""),
        ("batch_size", "0"),
        ("batch_size", "[4]"),
        ("image_size", "16"),
        ("learning_rate", "fast"),
        ("learning_rate", "nan"),
        ("learning_rate", "1e999"),
        ("learning_rate", "-0.1"),
        ("learning_rate", "true"),
        ("optimizer", "adam"),
        ("schedule", "linear"),
        ("freeze", "all"),
        ("head_norm", "batch"),
        ("norm_groups", "true"),
        ("rate_steps", "[2]"),
        ("box_output", "square"),
        ("num_levels", "4"),
        ("last_limit", "inf"),
        ("model", "yolo"),
        ("giou", "1"),
        ("giou", "yes"),
        ("average", "1.5"),
        ("score_threshold", "50"),
        ("centre_radius", "-1"),
        ("size_range_scale", "0"),
        ("stem_channels", "64"),
        ("stem_channels", "[64, -1]"),
        ("stem_channels", '["a"]'),
        ("stem_channels", "[true]"),
        ("stem_channels", "[1.5]"),
        ("stem_channels", "[12]"),  # group norm needs multiples of 8
        ("scale", "[2, 0.5]"),
        ("scale", "[1]"),
        ("scale", "[0, 1]"),
        ("aspect", "0.5"),
        ("colour", "7"),
        ("augment", "many"),
        ("learning_rate", "9" * 5000),
        ("iterations", "[" * 5000),
    ],
)
def test_wrong_value_is_named_with_its_choice(key, text):
    """One sentence that has the name of the choice."""
    with pytest.raises(CourseError, match=f"{key}.* must be .*not ") as caught:
        get_recipe("cpu", {key: text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["speed", "name", "class_names", "detector", ""])
def test_unknown_choice_is_named(key):
    """Also parts of the recipe that are no choice."""
    with pytest.raises(CourseError, match="cpu has no choice"):
        get_recipe("cpu", {key: "3"})


def test_augmentation_can_be_turned_off():
    """augment=none; after that its parts are no choices any more."""
    assert get_recipe("cpu", {"augment": "none"}).augment is None
    with pytest.raises(CourseError, match="'flip'"):
        get_recipe("cpu", {"augment": "none", "flip": "false"})


def test_unknown_recipe_lists_those_that_exist():
    """A typing mistake."""
    with pytest.raises(CourseError, match=r"'tyni'.*tiny"):
        get_recipe("tyni")


def test_recipe_a4_is_the_one_of_the_original_assignment():
    """SGD at 8e-3 with momentum, 9,000 iterations of 16, 128 channels, 224 pixels."""
    recipe = get_recipe("a4")
    assert (recipe.optimizer, recipe.learning_rate) == ("sgd", 8e-3)
    assert (recipe.iterations, recipe.batch_size, recipe.schedule) == (
        9000,
        16,
        "steps",
    )
    assert (recipe.augment, recipe.shuffle, recipe.average) == (None, False, 0)
    assert recipe.detector == DetectorConfig()
    assert recipe.detector.stem_channels == (128, 128)


@pytest.mark.parametrize("name", RECIPES)
def test_detector_config_survives_a_checkpoint(name):
    """As a dict of lists and numbers, and back."""
    config = dataclasses.replace(RECIPES[name].detector, class_names=("a", "b"))
    stored = json.loads(json.dumps(dataclasses.asdict(config)))
    assert detector_config_from_dict(stored) == config


def test_misspelt_choice_gets_the_nearest_one():
    """As far as there is one; else all choices."""
    with pytest.raises(CourseError, match=r"'learnin_rate'; take learning_rate$"):
        get_recipe("tiny", {"learnin_rate": "1"})
    with pytest.raises(CourseError, match=r"take aspect, augment, .*, weight_decay$"):
        get_recipe("tiny", {"zzz": "1"})
