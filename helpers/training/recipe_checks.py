"""Which values the choices of a recipe may have; see helpers/training/recipes.py."""

import math

from core.command import CourseError
from core.course import read_registry

GROUPS = 8  # of group norm; it needs channels in multiples of this
NO_LIMIT = math.inf
WORDS = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("steps", "cosine"),
    "freeze": ("none", "norm", "early", "c3"),
    "head_norm": ("none", "group"),
}
# Lowest and highest value, both allowed.
LIMITS = {
    "iterations": (1, NO_LIMIT),
    "batch_size": (1, NO_LIMIT),
    "image_size": (32, NO_LIMIT),  # one location of the coarsest level
    "fpn_channels": (1, NO_LIMIT),
    "learning_rate": (0, NO_LIMIT),
    "backbone_rate": (0, NO_LIMIT),
    "weight_decay": (0, NO_LIMIT),
    "warmup": (0, NO_LIMIT),
    "clip_norm": (0, NO_LIMIT),
    "average": (0, 1),
    "centre_radius": (0, NO_LIMIT),
    "size_range_scale": (0.01, NO_LIMIT),
    "score_threshold": (0, 1),
    "nms_threshold": (0, 1),
    "aspect": (1, NO_LIMIT),
    "colour": (0, 1),
}


def check_choice(key: str, value: object) -> None:
    """Nothing for a good value.

    Raises:
        CourseError: names the choice, its value and what it may be.
    """
    words = tuple(read_registry().detectors) if key == "model" else WORDS.get(key, ())
    if words and value not in words:
        allowed = " or ".join(words)
    elif key in LIMITS and not _is_within(value, *LIMITS[key]):
        low, high = LIMITS[key]
        allowed = f"a number of at least {low}"
        if high != NO_LIMIT:
            allowed = f"a number between {low} and {high}"
    elif key == "stem_channels" and not _are_positive(value, int):
        allowed = "a list of whole numbers above 0, such as [64,64]"
    elif key == "scale" and not _is_scale(value):
        allowed = "two numbers above 0, the lower one first, such as [0.7,1.5]"
    else:
        return
    raise CourseError(f"the choice {key} must be {allowed}, not {value!r}")


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


def _is_within(value: object, low: float, high: float) -> bool:
    # json reads 1e999 as infinity
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return is_number and low <= value <= high  # type: ignore[operator]


def _are_positive(values: object, *kinds: type) -> bool:
    return isinstance(values, tuple) and all(
        type(value) in kinds and 0 < value < NO_LIMIT for value in values
    )


def _is_scale(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and _are_positive(values, int, float)
        and len(values) == 2
        and values[0] <= values[1]
    )
