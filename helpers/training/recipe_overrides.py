"""One choice of a recipe changed: the text of `--set KEY=VALUE`, checked."""

import dataclasses
import difflib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.command import CourseError
from helpers.training.recipe_checks import check_choice

if TYPE_CHECKING:
    from helpers.training.recipes import Recipe


def override(recipe: "Recipe", key: str, text: str) -> "Recipe":
    """The recipe with this field of it, its detector or its augmentation changed.

    Raises:
        CourseError: there is no such field, or the value is of the wrong kind.
    """
    if key == "augment" and text == "none":
        return replace(recipe, augment=None)
    if key in _fields(recipe, but=("name", "detector", "augment")):
        return replace(recipe, **_parse_like(recipe, key, text))
    if key in _fields(recipe.detector, but=("class_names",)):
        changed = replace(recipe.detector, **_parse_like(recipe.detector, key, text))
        return replace(recipe, detector=changed)
    if recipe.augment is not None and key in _fields(recipe.augment):
        stronger = replace(recipe.augment, **_parse_like(recipe.augment, key, text))
        return replace(recipe, augment=stronger)
    known = sorted(recipe_choices(recipe))
    close = difflib.get_close_matches(key, known, n=3) or known
    raise CourseError(
        f"recipe {recipe.name} has no choice named {key!r}; take {', '.join(close)}"
    )


def recipe_choices(recipe: "Recipe") -> set[str]:
    """The names that --set knows."""
    parts = _fields(recipe, but=("name", "detector")) | _fields(
        recipe.detector, but=("class_names",)
    )
    return parts | (_fields(recipe.augment) if recipe.augment else set())


def _fields(part: Any, but: tuple[str, ...] = ()) -> set[str]:
    return {entry.name for entry in dataclasses.fields(part)} - set(but)


def _parse_like(part: Any, key: str, text: str) -> dict[str, Any]:
    """{key: value}, with the text as a value of the type that the field has now."""
    value = _value_like(getattr(part, key), key, text)
    check_choice(key, value)
    return {key: value}


def _value_like(current: object, key: str, text: str) -> object:
    if isinstance(current, str):
        return text
    try:
        value = json.loads(text.lower())
    except ValueError:
        value = None
    if isinstance(current, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(current, float) and type(value) is int:
        return float(value)
    if type(value) is not type(current):
        raise CourseError(
            f"the choice {key} takes a value like {json.dumps(current)}, not {text!r}"
        )
    return value
