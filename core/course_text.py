"""Write a course.toml: of some parts only, or of ours and an instructor's together."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from typing import Any

from core.course_entries import PACKAGE, Registry

HEAD = "# Written by a command of the course, of its own course.toml.\n"


def registry_of(
    registry: Registry, parts: Iterable[str], modules: Collection[str]
) -> Registry:
    """What is left of a course when some parts are handed out.

    Args:
        registry: the whole course.
        parts: whose exercises are asked for.
        modules: names of the modules that are handed out, solved ones too.
    """
    own = registry.check_parts(parts)
    asked = registry.asked(own)
    kept = {name: each for name, each in registry.modules.items() if name in modules}
    # One of the helpers stays, though its file may not: whoever asks for it is told so.
    detectors = {
        each.name: each
        for each in registry.detectors.values()
        if each.module.partition(".")[2] in kept or not each.module.startswith(PACKAGE)
    }
    used = {each.part for each in kept.values()}
    used |= {each.part for each in detectors.values()}
    names = [name for name in registry.parts if name in own or name in used]
    return Registry(
        parts={
            name: replace(
                registry.parts[name],
                needs=tuple(n for n in registry.parts[name].needs if n in names),
            )
            for name in names
        },
        steps={n: each for n, each in registry.steps.items() if each.part in own},
        modules=kept,
        detectors=detectors,
        exercises={
            number: replace(each, needs=tuple(n for n in each.needs if n in asked))
            for number, each in asked.items()
        },
        default_parts=own,
    )


def course_text(registry: Registry) -> str:
    """The file course.toml that reads as this registry."""
    lines = [HEAD, f"default_parts = {_value(registry.default_parts)}"]
    if registry.dropped:
        lines.append(f"drop = {_value(registry.dropped)}")
    if registry.points:
        lines.append(f"points = {_value(registry.points)}")
    kinds: dict[str, Iterable[Any]] = {
        "part": registry.parts.values(),
        "module": registry.modules.values(),
        "detector": registry.detectors.values(),
        "step": registry.steps.values(),
        "exercise": registry.exercises.values(),
    }
    for kind, entries in kinds.items():
        for entry in entries:
            lines.append(f"\n[[{kind}]]")
            lines += [
                f"{name} = {_value(value)}"
                for name, value in asdict(entry).items()
                if value is not False and value not in ((), "")
            ]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {_value(each)}" for key, each in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # The strings of JSON are strings of TOML, but for characters that it may keep.
    return json.dumps(value, ensure_ascii=False)
