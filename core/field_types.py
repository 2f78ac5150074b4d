"""What the fields of recipes and of TOML tables may hold, as types for pydantic.

As in `iterations: Annotated[int, whole(1)] = 9000`. Every type says in words what it
may be; a Literal does so by itself.
"""

from dataclasses import fields
from functools import cache
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError

from core.command import CourseError

Switch = Annotated[bool, Field(strict=True, description="true or false")]
AnyText = Annotated[str, Field(strict=True, description="a text")]
Text = Annotated[
    str, Field(strict=True, pattern=r"\S", description="a text that is not empty")
]


def whole(low: int, high: int | None = None) -> Any:
    """The bounds of an int."""
    said = f"of at least {low}" if high is None else f"from {low} to {high}"
    return Field(strict=True, ge=low, le=high, description=f"a whole number {said}")


def real(low: float, high: float | None = None) -> Any:
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
        allowed = schema.get("description") or " or ".join(map(str, get_args(kind)))
        raise CourseError(
            f"the choice {name} must be {allowed}, not {text!r}"
        ) from None


@cache  # one takes a millisecond to make, and a course has many entries
def _adapter(made: Any) -> TypeAdapter[Any]:
    return TypeAdapter(made)


def read_table(table: dict[str, Any], made: Any, place: str) -> Any:
    """An entry of a TOML file as its dataclass; lists become tuples.

    Args:
        table: as tomllib reads it.
        made: the dataclass.
        place: what a message begins with.

    Raises:
        CourseError: a field is unknown, missing, or not of its type; one sentence.
    """
    names = [field.name for field in fields(made)]
    for name in table:
        if name not in names:
            raise CourseError(
                f"{place}: {name!r} is unknown; it has {', '.join(names)}"
            )
    adapter = _adapter(made)
    try:
        return adapter.validate_python(table)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        said = f"{name!r} is missing; add it"
        if wrong["type"] != "missing":
            said = f"{name} must be {_words(adapter.json_schema()['properties'][name])}"
        raise CourseError(f"{place}: {said}") from None


def check_value(value: Any, kind: Any, place: str) -> None:
    """Raise a CourseError unless a value of a TOML file is of this type."""
    adapter = TypeAdapter(kind)
    try:
        adapter.validate_python(value)
    except ValidationError:
        raise CourseError(f"{place} must be {_words(adapter.json_schema())}") from None


def _words(schema: dict[str, Any]) -> str:
    """A type as a message calls it."""
    if "description" in schema:
        return schema["description"]
    if schema["type"] == "array":
        return f"a list, each {_words(schema['items'])}"
    return f"a table, each value {_words(schema['additionalProperties'])}"
