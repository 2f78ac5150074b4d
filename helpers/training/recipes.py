"""Training recipes: every choice of a run in one frozen place, each can be switched."""

import dataclasses
import difflib
import json
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field

from core.command import CourseError
from core.course import read_registry
from core.fcos_config import PRESETS, FCOSConfig
from core.field_types import Switch, Text, read_choice, real, whole
from helpers.data.augment import AugmentConfig

NO_CHOICES = {"name", "detector", "class_names", "fcos"}
# What the numbers of an FCOSConfig may be.
LIMITS: dict[str, Any] = {
    "location_offset": Annotated[float, real(0, 1)],
    "norm_groups": Annotated[int, whole(0)],
    "level_scales": Switch,
    "centre_radius": Annotated[float, real(0)],
    "range_scale": Annotated[float, real(0.01)],
    "last_limit": Annotated[float, real(1)],
    "box_weight": Annotated[float, real(0)],
    "iou_plus": Annotated[float, real(0)],
    "giou_eps": Annotated[float, real(0)],
    "weigh_boxes": Switch,
    "first_divisor": Annotated[float, real(1)],
    "multi_label": Switch,
    "top_k": Annotated[int, whole(0)],
    "max_detections": Annotated[int, whole(0)],
    "keep_ties": Switch,
}
Channels = Annotated[
    tuple[Annotated[int, whole(1)], ...],
    Field(description="a list of whole numbers above 0, such as [64,64]"),
]
RateSteps = Annotated[
    tuple[Annotated[float, real(0, 1)], ...],
    Field(description="a list of shares between 0 and 1, such as [0.6,0.9]"),
]


@dataclass(frozen=True)
class DetectorConfig:
    """What must be known to build a detector again from its checkpoint.

    Attributes:
        model: name of the detector in course.toml.
        score_threshold, nms_threshold: used when none are given; those of `fcos` are
            not.
        fcos: the version of FCOS, for a detector that takes one.
    """

    model: str = "fcos"
    class_names: tuple[str, ...] = ()
    backbone: Text = "regnet_x_400mf"
    fpn_channels: Annotated[int, whole(1)] = 128
    stem_channels: Channels = (128, 128)
    # at least one location of the coarsest level
    image_size: Annotated[int, whole(32)] = 224
    score_threshold: Annotated[float, real(0, 1)] = 0.4
    nms_threshold: Annotated[float, real(0, 1)] = 0.6
    fcos: FCOSConfig | None = None


@dataclass(frozen=True)
class Recipe:
    """How a detector is trained.

    Attributes:
        learning_rate: of FPN and head.
        backbone_rate: learning rate of the backbone as a factor of learning_rate.
        schedule: "steps" (times 0.1 at each of rate_steps) or "cosine".
        rate_steps: shares of the run after which the learning rate drops.
        warmup: iterations in which the learning rate rises from 0.
        freeze: blocks of the backbone that stay as they are: "none", "norm" (batch norm
            uses its stored statistics), "early" (that, and no gradient before c3) or
            "c3" (that, and none for what makes c3).
        clip_norm: largest norm of the gradient; 0 is off.
        average: decay of the running average of the weights; 0 is off.
        keep_in_memory: decode each image once.
    """

    name: str
    detector: DetectorConfig
    iterations: Annotated[int, whole(1)]
    batch_size: Annotated[int, whole(1)] = 16
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, real(0)] = 8e-3
    backbone_rate: Annotated[float, real(0)] = 1.0
    weight_decay: Annotated[float, real(0)] = 1e-4
    schedule: Literal["steps", "cosine"] = "steps"
    rate_steps: RateSteps = (0.6, 0.9)
    warmup: Annotated[int, whole(0)] = 0
    freeze: Literal["none", "norm", "early", "c3"] = "none"
    clip_norm: Annotated[float, real(0)] = 0.0
    average: Annotated[float, real(0, 1)] = 0.0
    shuffle: Switch = False
    augment: AugmentConfig | None = None
    keep_in_memory: Switch = False


COURSE = PRESETS["course"]
# The same with group norm, and larger objects on coarser levels: the limits between
# levels were made for images of 800 pixels.
OF_PHOTOGRAPHS = replace(COURSE, norm_groups=8, range_scale=0.7)

# From random start on the shapes data, for `make demo`.
TINY = Recipe(
    name="tiny",
    detector=DetectorConfig(
        model="fcos_published",
        backbone="tiny",
        fpn_channels=64,
        stem_channels=(64, 64),
        image_size=128,
        score_threshold=0.05,
        fcos=COURSE,
    ),
    iterations=1800,
    batch_size=8,
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=1e-2,
    schedule="cosine",
    warmup=100,
    clip_norm=10.0,
    average=0.995,
    shuffle=True,
    augment=AugmentConfig(scale=(0.8, 1.25), aspect=1.0, colour=0.0),
    keep_in_memory=True,
)

# As many photographs as the recipe of the original assignment, with what the field has
# learned since.
IMPROVED = Recipe(
    name="improved",
    detector=DetectorConfig(
        model="fcos_published",
        fpn_channels=64,
        stem_channels=(64, 64),
        score_threshold=0.05,
        nms_threshold=0.5,
        fcos=OF_PHOTOGRAPHS,
    ),
    iterations=9000,
    optimizer="adamw",
    learning_rate=2e-3,
    backbone_rate=0.05,
    weight_decay=5e-2,
    schedule="cosine",
    warmup=300,
    freeze="early",
    clip_norm=10.0,
    average=0.999,
    shuffle=True,
    augment=AugmentConfig(scale=(0.5, 2.0), aspect=1.3),
    keep_in_memory=True,
)

RECIPES = {
    "tiny": TINY,
    # FCOS as published, as students write it in part two: what trains best here.
    "course": replace(TINY, name="course", iterations=2200),
    # The same as tiny for the detector of part one.
    "plain": replace(
        TINY,
        name="plain",
        detector=replace(TINY.detector, model="fcos", fcos=None),
    ),
    # Photographs on a processor: most of the quality from a tenth of the images.
    "cpu": replace(
        IMPROVED,
        name="cpu",
        detector=replace(IMPROVED.detector, backbone="efficientnet_lite0"),
        iterations=2000,
        batch_size=8,
        weight_decay=1e-2,
        warmup=100,
        freeze="c3",
        average=0.995,
        # Six times through the images: too few for them to be learned by heart.
        augment=AugmentConfig(scale=(1.0, 1.0), aspect=1.0, colour=0.0),
    ),
    # The recipe of the assignment that this course grew from.
    "a4": Recipe(name="a4", detector=DetectorConfig(), iterations=9000),
    "improved": IMPROVED,
    # FCOS as its authors trained it on COCO; days on eight GPUs. Their images are not
    # square: 800 pixels on the shorter side, up to 1,333 on the longer one.
    "paper": Recipe(
        name="paper",
        detector=DetectorConfig(
            model="fcos_published",
            backbone="resnet50",
            fpn_channels=256,
            stem_channels=(256,) * 4,
            image_size=800,
            score_threshold=0.05,
            nms_threshold=0.6,
            fcos=PRESETS["authors_improved"],
        ),
        iterations=90_000,
        learning_rate=0.01,
        rate_steps=(60 / 90, 80 / 90),
        warmup=500,
        freeze="early",
        shuffle=True,
        augment=AugmentConfig(scale=(1.0, 1.0), aspect=1.0, colour=0.0),
    ),
    # A homework on VOC 2007, trainval to test: half an hour on a GPU. Its images have
    # shorter sides from 256 to 320 pixels and are not cut to squares.
    "cs771": Recipe(
        name="cs771",
        detector=DetectorConfig(
            model="fcos_published",
            backbone="resnet18",
            fpn_channels=256,
            stem_channels=(256,) * 3,
            image_size=320,
            score_threshold=0.1,
            nms_threshold=0.6,
            fcos=PRESETS["cs771"],
        ),
        iterations=12_520,
        batch_size=4,
        learning_rate=5e-3,
        schedule="cosine",
        warmup=1252,
        freeze="norm",
        shuffle=True,
        augment=AugmentConfig(scale=(0.8, 1.0), aspect=1.0, colour=0.0),
    ),
}


def get_recipe(name: str, overrides: dict[str, str] | None = None) -> Recipe:
    """A recipe by name, with single choices changed.

    Args:
        name: key of RECIPES.
        overrides: field -> value as text, with fields of Recipe ("iterations"), of its
            detector ("giou") or of its augmentation ("flip"); "augment" may be "none".

    Raises:
        CourseError: unknown recipe or field, or a value of the wrong kind.
    """
    if name not in RECIPES:
        raise CourseError(
            f"there is no recipe {name!r}; choose one of {', '.join(RECIPES)}"
        )
    recipe = RECIPES[name]
    for key, text in todays_choices(overrides or {}).items():
        recipe = override(recipe, key, text)
    check_group_norm(recipe.detector)
    return recipe


def is_same_recipe(stored: dict | None, recipe: Recipe) -> bool:
    """Whether a stored recipe, perhaps with older names of choices, is this one."""
    try:
        detector = detector_config_from_dict((stored or {})["detector"])
    except (TypeError, KeyError):
        return False
    # Runs from before there was this choice do not say it.
    older = {"rate_steps": Recipe.rate_steps}
    today = {**older, **(stored or {}), "detector": dataclasses.asdict(detector)}
    return today == recipe_to_dict(recipe)


def recipe_to_dict(recipe: Recipe) -> dict:
    """Plain dicts, lists and numbers, as checkpoints and reports store them."""
    return dataclasses.asdict(recipe)


def detector_config_from_dict(values: dict) -> DetectorConfig:
    """The inverse of dataclasses.asdict for a DetectorConfig.

    Checkpoints from before there were several detectors say `improved`, not `model`;
    those from before FCOS was written as published have six switches, not `fcos`.

    Raises:
        TypeError: a field is unknown.
    """
    changed = dict(values)
    if "improved" in changed:
        changed["model"] = "improved_fcos" if changed.pop("improved") else "fcos"
    old = {name: changed.pop(name) for name in OLD_SWITCHES if name in changed}
    if changed.get("model") == "improved_fcos":
        changed["model"] = "fcos_published"
        changed["fcos"] = dataclasses.asdict(COURSE) | old_version(old)
    for key in ("class_names", "stem_channels"):
        changed[key] = tuple(changed[key])
    if changed.get("fcos") is not None:
        changed["fcos"] = FCOSConfig(**changed["fcos"])
    return DetectorConfig(**changed)


OLD_SWITCHES = {
    "head_norm": "none",
    "exp_deltas": False,
    "giou": False,
    "centre_radius": 0.0,
    "size_range_scale": 1.0,
    "multi_label": False,
}


def old_version(switches: dict[str, Any]) -> dict[str, Any]:
    """What FCOSConfig says for the switches that there were before it.

    The levels' scales are there without exp, too: they stayed at 1.
    """
    switches = OLD_SWITCHES | switches
    without_exp = "relu" if switches["giou"] else "raw"
    return {
        "norm_groups": 8 if switches["head_norm"] == "group" else 0,
        "box_output": "exp" if switches["exp_deltas"] else without_exp,
        "box_loss": "giou" if switches["giou"] else "l1",
        "weigh_boxes": switches["giou"],
        "divide_by": "foreground" if switches["giou"] else "per_image",
        "centre_radius": switches["centre_radius"],
        "range_scale": switches["size_range_scale"],
        "multi_label": switches["multi_label"],
        "top_k": 1000 if switches["multi_label"] else 0,
        "max_detections": 100 if switches["multi_label"] else 0,
    }


def todays_choices(overrides: dict[str, str]) -> dict[str, str]:
    """The choices with today's names, so that commands of stored runs go on working.

    Of the old switches those are translated that are other words today; they were
    true, or "group", in all recipes that had them.
    """
    given = dict(overrides)
    old = {
        key: read_choice(key, kind, given.pop(key))
        for key, kind in OLD_KINDS.items()
        if key in given
    }
    switches = {"exp_deltas": True, "giou": True} | old
    new = old_version(switches)
    changes = [name for key in old for name in CHANGED_BY[key]]
    return {name: _as_text(new[name]) for name in changes} | given


OLD_KINDS: dict[str, Any] = {
    "head_norm": Literal["none", "group"],
    "exp_deltas": Switch,
    "giou": Switch,
    "size_range_scale": LIMITS["range_scale"],
}
CHANGED_BY = {
    "head_norm": ("norm_groups",),
    "exp_deltas": ("box_output",),
    "giou": ("box_output", "box_loss", "weigh_boxes", "divide_by"),
    "size_range_scale": ("range_scale",),
}


def _as_text(value: Any) -> str:
    """A value as --set takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def override(recipe: Recipe, key: str, text: str) -> Recipe:
    """The recipe with this field of it, its detector or its augmentation changed.

    Raises:
        CourseError: there is no such field, or the value is of the wrong kind.
    """
    choices = _choices(recipe)
    if key not in choices:
        known = sorted(choices)
        close = difflib.get_close_matches(key, known, n=3) or known
        raise CourseError(
            f"recipe {recipe.name} has no choice named {key!r}; take {', '.join(close)}"
        )
    part = choices[key]
    value = read_choice(key, _kind(part, key), text)
    if key == "augment":
        return replace(recipe, augment=None)
    changed = replace(part, **{key: value})
    if part is recipe.detector:
        return replace(recipe, detector=changed)
    if part is recipe.detector.fcos:
        return replace(recipe, detector=replace(recipe.detector, fcos=changed))
    if part is recipe.augment:
        return replace(recipe, augment=changed)
    return changed


def _choices(recipe: Recipe) -> dict[str, Any]:
    """Each name that --set knows -> the part of the recipe that has it."""
    # Where two have a name, such as score_threshold, the later one counts.
    parts = (recipe.detector.fcos, recipe, recipe.detector, recipe.augment)
    found = {f.name: part for part in parts if part for f in dataclasses.fields(part)}
    return {name: part for name, part in found.items() if name not in NO_CHOICES}


def _kind(part: Any, key: str) -> Any:
    """The type of a choice."""
    if key == "model":
        return Literal[tuple(read_registry().detectors)]
    if key == "augment":
        return Literal["none"]
    if isinstance(part, FCOSConfig) and key in LIMITS:
        return LIMITS[key]
    return get_type_hints(type(part), include_extras=True)[key]


def check_group_norm(detector: DetectorConfig) -> None:
    """Group norm divides the channels into equal parts.

    Raises:
        CourseError: it cannot.
    """
    groups = detector.fcos.norm_groups if detector.fcos else 0
    if groups and any(count % groups for count in detector.stem_channels):
        raise CourseError(
            f"with norm_groups={groups} all of stem_channels must be multiples of "
            f"{groups}, not {list(detector.stem_channels)}"
        )
