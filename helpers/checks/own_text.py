"""What the text of a student's file says, without running it."""

import ast
import contextlib
import json
from pathlib import Path

from helpers.checks.exercises import Exercise
from helpers.checks.reset import STUBS

Function = ast.FunctionDef | ast.AsyncFunctionDef


def changed_arguments(exercise: Exercise, root: Path, *, is_wrong: bool) -> str:
    """Whether the arguments of a function are others than when it was handed out.

    Args:
        exercise: whose function.
        root: the folder of the course; where it holds no stubs, nobody knows.
        is_wrong: whether a call failed because of them. Else only another order is
            told: other names alone do no harm.

    Returns:
        The sentence, or nothing.
    """
    mine = _definitions(_text(exercise, root), exercise.name)[-1:]
    stub = None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        stubs = json.loads((root / STUBS).read_text("utf-8"))
        stub = _definitions(stubs[exercise.file], exercise.name)[-1]
    if not mine or stub is None:
        return ""
    now, before = _arguments(mine[0]), _arguments(stub)
    is_other_order = now != before and sorted(now) == sorted(before)
    if not (is_other_order or (is_wrong and now != before)):
        return ""
    return (
        f"its arguments were ({', '.join(before)}), and are ({', '.join(now)}) now; "
        "put them back"
    )


def is_untouched(exercise: Exercise, root: Path) -> bool:
    """Whether the file of an exercise is as it was handed out, as far as is known."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        stubs = json.loads((root / STUBS).read_text("utf-8"))
        return bool(stubs[exercise.file] == _text(exercise, root))
    return False


def remarks(exercise: Exercise, root: Path) -> list[str]:
    """A second function of that name, or one that stands outside of its class."""
    text = _text(exercise, root)
    places = [found.lineno for found in _definitions(text, exercise.name)]
    *scope, name = exercise.name.split(".")
    said = []
    if len(places) > 1:
        lines = f"{', '.join(map(str, places[:-1]))} and {places[-1]}"
        said.append(
            f"{exercise.name} is defined in the lines {lines} of {exercise.file}; "
            "Python takes the last one."
        )
    outside = _definitions(text, name) if scope and not places else []
    said += [
        f"{name} stands outside of its class, in line {found.lineno} of "
        f"{exercise.file}; indent it."
        for found in outside[-1:]
    ]
    return said


def unreached(exercise: Exercise, root: Path) -> str:
    """Where code stands behind the line that says "not written yet"."""
    for found in _definitions(_text(exercise, root), exercise.name)[-1:]:
        for place, statement in enumerate(found.body[:-1]):
            if _is_stub(statement):
                first = found.body[place + 1].lineno
                return (
                    f"Line {statement.lineno} still raises NotImplementedError, so the "
                    f"code from line {first} on is never reached; remove the raise."
                )
    return ""


def _is_stub(statement: ast.stmt) -> bool:
    raised = statement.exc if isinstance(statement, ast.Raise) else None
    made = raised.func if isinstance(raised, ast.Call) else raised
    return isinstance(made, ast.Name) and made.id == "NotImplementedError"


def _text(exercise: Exercise, root: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (root / "assignment" / exercise.file).read_text("utf-8")
    return ""


def _definitions(text: str, name: str) -> list[Function]:
    """The functions of a name, "iou" or "FCOS.inference", the first line first."""
    try:
        bodies = [ast.parse(text).body]
    except (SyntaxError, ValueError):
        return []
    *scope, last = name.split(".")
    for part in scope:
        bodies = [
            node.body
            for body in bodies
            for node in body
            if isinstance(node, ast.ClassDef) and node.name == part
        ]
    return [
        node
        for body in bodies
        for node in body
        if isinstance(node, Function) and node.name == last
    ]


def _arguments(function: Function) -> list[str]:
    given = function.args
    every = (*given.posonlyargs, *given.args, *given.kwonlyargs)
    return [argument.arg for argument in every if argument.arg != "self"]
