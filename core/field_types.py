"""What the fields of recipes may hold, as types that pydantic checks.

As in `iterations: Annotated[int, whole(1)] = 9000`. Every type says in words what it
may be; a Literal does so by itself.
"""

from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError

from core.command import CourseError

Switch = Annotated[bool, Field(strict=True, description="true or false")]
Text = Annotated[
    str, Field(strict=True, pattern=r"\S", description="a text that is not empty")
]


def whole(low: int) -> Any:
    """The bound of an int."""
    return Field(strict=True, ge=low, description=f"a whole number of at least {low}")


def number(low: float, high: float | None = None) -> Any:
    """The bounds of a float, which must be finite."""
    said = f"of at least {low}" if high is None else f"between {low} and {high}"
    return Field(
        strict=True,
        ge=low,
        le=high,
        allow_inf_nan=False,
        description=f"a number {said}",
    )


def read_choice(name: str, kind: Any, text: str) -> Any:
    """The value that a user's text stands for: a word as it is, all else as JSON.

    Args:
        name: what a message calls the choice.
        kind: the type of the value.
        text: such as "sgd", "0.1", "true", "[64, 64]"; "True" is as good.

    Raises:
        CourseError: names the choice, its value and what it may be.
    """
    adapter = TypeAdapter(kind)
    schema = adapter.json_schema()
    try:
        if schema["type"] == "string":
            return adapter.validate_python(text)
        return adapter.validate_json(text.lower(), strict=True)
    except ValidationError:
        allowed = schema.get("description") or " or ".join(get_args(kind))
        raise CourseError(
            f"the choice {name} must be {allowed}, not {text!r}"
        ) from None
