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
    kept = {
        name: module for name, module in registry.modules.items() if name in modules
    }
    # One of the helpers stays, though its file may not: whoever asks for it is told so.
    detectors = {
        detector.name: detector
        for detector in registry.detectors.values()
        if detector.module.partition(".")[2] in kept
        or not detector.module.startswith(PACKAGE)
    }
    used = {module.part for module in kept.values()}
    used |= {detector.part for detector in detectors.values()}
    names = [name for name in registry.parts if name in own or name in used]
    return Registry(
        parts={
            name: replace(
                registry.parts[name],
                needs=tuple(
                    need for need in registry.parts[name].needs if need in names
                ),
            )
            for name in names
        },
        steps={
            number: step for number, step in registry.steps.items() if step.part in own
        },
        modules=kept,
        detectors=detectors,
        exercises={
            number: replace(
                exercise, needs=tuple(need for need in exercise.needs if need in asked)
            )
            for number, exercise in asked.items()
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
    for name in ("name", "note"):
        if getattr(registry, name):
            lines.append(f"{name} = {_value(getattr(registry, name))}")
    if registry.leave_out:
        lines.append(f"leave_out = {_value(registry.leave_out)}")
    if registry.stands_for:
        lines.append(f"stands_for = {_value(registry.stands_for)}")
    if registry.written_in:
        lines.append(f"written_in = {_value(registry.written_in)}")
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
        pairs = (f"{json.dumps(key)} = {_value(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # The strings of JSON are strings of TOML, but for characters that it may keep.
    return json.dumps(value, ensure_ascii=False)
