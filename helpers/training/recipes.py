"""Training recipes: every choice of a run in one frozen place, each can be switched."""

import dataclasses
import difflib
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field

from core.command import CourseError
from core.course import read_registry
from core.field_types import Switch, Text, read_choice, real, whole
from helpers.data.augment import AugmentConfig

GROUPS = 8  # of group norm; it needs channels in multiples of this
NO_CHOICES = {"name", "detector", "class_names"}
Channels = Annotated[
    tuple[Annotated[int, whole(1)], ...],
    Field(description="a list of whole numbers above 0, such as [64,64]"),
]


@dataclass(frozen=True)
class DetectorConfig:
    """What must be known to build a detector again from its checkpoint.

    Attributes:
        model: name of the detector in course.toml; the fields from head_norm on count
            for "improved_fcos" only.
        head_norm: "group" or "none", normalisation in the head's stems.
        exp_deltas: predict exp(scale * x) instead of x (FCOS, 2019, section 3.2).
        giou: generalised IoU loss instead of L1 on the deltas, which must not be
            negative then: without exp_deltas they go through a ReLU.
        centre_radius: only locations within this many strides of a box's centre are
            foreground; 0 takes the whole box.
        size_range_scale: factor on the levels' ranges of max(l, t, r, b), which were
            made for images of 800 pixels; 0.7 sends larger objects to coarser levels.
        multi_label: any number of classes may be detected at one location.
        score_threshold, nms_threshold: used when none are given.
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
    head_norm: Literal["none", "group"] = "none"
    exp_deltas: Switch = False
    giou: Switch = False
    centre_radius: Annotated[float, real(0)] = 0.0
    size_range_scale: Annotated[float, real(0.01)] = 1.0
    multi_label: Switch = False


@dataclass(frozen=True)
class Recipe:
    """How a detector is trained.

    Attributes:
        learning_rate: of FPN and head.
        backbone_rate: learning rate of the backbone as a factor of learning_rate.
        schedule: "steps" (times 0.1 at 60 % and at 90 %) or "cosine".
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
    warmup: Annotated[int, whole(0)] = 0
    freeze: Literal["none", "norm", "early", "c3"] = "none"
    clip_norm: Annotated[float, real(0)] = 0.0
    average: Annotated[float, real(0, 1)] = 0.0
    shuffle: Switch = False
    augment: AugmentConfig | None = None
    keep_in_memory: Switch = False


MODERN = DetectorConfig(
    model="improved_fcos",
    score_threshold=0.05,
    exp_deltas=True,
    giou=True,
    centre_radius=1.5,
    size_range_scale=0.7,
    multi_label=True,
)

# From random start on the shapes data, for `make demo`.
TINY = Recipe(
    name="tiny",
    detector=replace(
        MODERN,
        backbone="tiny",
        fpn_channels=64,
        stem_channels=(64, 64),
        image_size=128,
        size_range_scale=1.0,
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

RECIPES = {
    "tiny": TINY,
    # The same for the detector of the notebooks, as students write it.
    "plain": replace(
        TINY,
        name="plain",
        detector=replace(
            TINY.detector,
            model="fcos",
            exp_deltas=False,
            giou=False,
            centre_radius=0.0,
            multi_label=False,
        ),
    ),
    # Photographs on a processor: most of the quality from a tenth of the images.
    "cpu": Recipe(
        name="cpu",
        detector=replace(
            MODERN,
            backbone="efficientnet_lite0",
            fpn_channels=64,
            stem_channels=(64, 64),
            nms_threshold=0.5,
            head_norm="group",
        ),
        iterations=840,
        optimizer="adamw",
        learning_rate=2e-3,
        backbone_rate=0.05,
        weight_decay=1e-2,
        schedule="cosine",
        warmup=50,
        freeze="c3",
        clip_norm=10.0,
        average=0.99,
        shuffle=True,
        # Five times through the images: too few for them to be learned by heart.
        augment=AugmentConfig(scale=(1.0, 1.0), aspect=1.0, colour=0.0),
        keep_in_memory=True,
    ),
    # The recipe of the assignment that this course grew from.
    "a4": Recipe(name="a4", detector=DetectorConfig(), iterations=9000),
    # The same number of images, with what the field has learned since.
    "improved": Recipe(
        name="improved",
        detector=replace(
            MODERN,
            fpn_channels=64,
            stem_channels=(64, 64),
            nms_threshold=0.5,
            head_norm="group",
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
    for key, text in (overrides or {}).items():
        recipe = override(recipe, key, text)
    check_group_norm(recipe.detector.head_norm, recipe.detector.stem_channels)
    return recipe


def is_same_recipe(stored: dict | None, recipe: Recipe) -> bool:
    """Whether a stored recipe, perhaps with older names of choices, is this one."""
    try:
        detector = detector_config_from_dict((stored or {})["detector"])
    except (TypeError, KeyError):
        return False
    today = {**(stored or {}), "detector": dataclasses.asdict(detector)}
    return today == recipe_to_dict(recipe)


def recipe_to_dict(recipe: Recipe) -> dict:
    """Plain dicts, lists and numbers, as checkpoints and reports store them."""
    return dataclasses.asdict(recipe)


def detector_config_from_dict(values: dict) -> DetectorConfig:
    """The inverse of dataclasses.asdict for a DetectorConfig.

    Checkpoints from before there were several detectors say `improved`, not `model`.

    Raises:
        TypeError: a field is unknown.
    """
    changed = dict(values)
    if "improved" in changed:
        changed["model"] = "improved_fcos" if changed.pop("improved") else "fcos"
    for key in ("class_names", "stem_channels"):
        changed[key] = tuple(changed[key])
    return DetectorConfig(**changed)


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
    if part is recipe.augment:
        return replace(recipe, augment=changed)
    return changed


def _choices(recipe: Recipe) -> dict[str, Any]:
    """Each name that --set knows -> the part of the recipe that has it."""
    parts = [part for part in (recipe, recipe.detector, recipe.augment) if part]
    found = {f.name: part for part in parts for f in dataclasses.fields(part)}
    return {name: part for name, part in found.items() if name not in NO_CHOICES}


def _kind(part: Any, key: str) -> Any:
    """The type of a choice."""
    if key == "model":
        return Literal[tuple(read_registry().detectors)]
    if key == "augment":
        return Literal["none"]
    return get_type_hints(type(part), include_extras=True)[key]


def check_group_norm(head_norm: str, stem_channels: tuple[int, ...]) -> None:
    """Group norm divides the channels into GROUPS equal parts.

    Raises:
        CourseError: it cannot.
    """
    if head_norm == "group" and any(count % GROUPS for count in stem_channels):
        raise CourseError(
            f"with head_norm=group all of stem_channels must be multiples of {GROUPS}, "
            f"not {list(stem_channels)}"
        )
