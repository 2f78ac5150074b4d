"""Do the entries of course.toml fit each other?"""

import re
from typing import Any

from core.command import CourseError
from core.course_entries import ID, PACKAGE, Exercise, Registry

NAME = re.compile(r"[A-Za-z_]\w*")
FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
TARGET = re.compile(r"(assignment|helpers)(\.\w+)+:\w+")


def check_registry(registry: Registry, where: str) -> None:
    """See that entries fit each other; what one names must be there.

    Args:
        registry: all entries.
        where: what a message calls the file.

    Raises:
        CourseError: they do not; one sentence.
    """
    for name in registry.default_parts:
        _expect(name, registry.parts, f"{where}: default_parts", "part")
    if not registry.default_parts or not registry.exercises:
        raise CourseError(f"{where}: has no default_parts or no exercise; add them")
    for part, entry in [
        *((step.part, f"step {step.number}") for step in registry.steps.values()),
        *(
            (module.part, f"module {module.name}")
            for module in registry.modules.values()
        ),
        *(
            (detector.part, f"detector {detector.name}")
            for detector in registry.detectors.values()
        ),
    ]:
        _expect(part, registry.parts, f"{where}: {entry}", "part")
    for module in registry.modules:
        if not NAME.fullmatch(module):
            raise CourseError(
                f"{where}: module {module}: cannot be imported by this name"
            )
    for detector in registry.detectors.values():
        place = f"{where}: detector {detector.name}"
        if not TARGET.fullmatch(detector.target):
            raise CourseError(
                f'{place}: target must be like "assignment.one_stage_detector:FCOS"'
            )
        folder, _, module = detector.module.partition(".")
        if folder == PACKAGE:
            _expect(module, registry.modules, place, "module")
    for exercise in registry.exercises.values():
        _check_exercise(exercise, registry, f"{where}: exercise {exercise.id}")
    named = (*registry.dropped, *registry.points, *registry.stands_for)
    for name in (*named, *registry.written_in, *registry.written_in.values()):
        place = f"{where}: drop, points, stands_for or written_in"
        _expect(name, registry.exercises, place, "exercise")
    _check_no_circle(
        {part.name: part.needs for part in registry.parts.values()}, where, "part"
    )
    _check_no_circle(
        {exercise.id: exercise.needs for exercise in registry.exercises.values()},
        where,
        "exercise",
    )
    for exercise in registry.exercises.values():
        own = registry.part_of(exercise.id)
        for need in exercise.needs:
            other = registry.part_of(need)
            if other not in registry.needed_parts([own]):
                raise CourseError(
                    f"{where}: exercise {exercise.id} needs {need} of part {other}; "
                    f"add {other!r} to the needs of part {own}"
                )


def _check_exercise(exercise: Exercise, registry: Registry, place: str) -> None:
    if not re.fullmatch(ID, exercise.id):
        raise CourseError(f'{place}: an id is a step, a dot and a number, like "10.1"')
    if exercise.step not in registry.steps:
        raise CourseError(
            f"{place}: there is no step {exercise.step}; add its [[step]]"
        )
    if not FUNCTION.fullmatch(exercise.function):
        raise CourseError(f"{place}: {exercise.function!r} is no name of a function")
    _expect(exercise.module, registry.modules, place, "module")
    if exercise.file != f"{exercise.module}.py":
        raise CourseError(f"{place}: file must end with .py, like {exercise.module}.py")


def _expect(name: str, known: dict[Any, Any], place: str, kind: str) -> None:
    """Raise a CourseError unless this part, module or exercise is there."""
    if name not in known:
        raise CourseError(
            f"{place}: there is no {kind} {name!r}; there are "
            f"{', '.join(map(str, known)) or 'none'}"
        )


def _check_no_circle(needs: dict[str, tuple[str, ...]], where: str, kind: str) -> None:
    """Raise a CourseError if one needs what is not there, or in the end itself."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " needs ".join([*path[path.index(name) :], name])
            raise CourseError(f"{where}: {kind} {circle}; one of them must not")
        if name not in done:
            for other in needs[name]:
                _expect(other, needs, f"{where}: {kind} {name} needs", kind)
                visit(other, (*path, name))
            done.add(name)

    for name in needs:
        visit(name, ())
