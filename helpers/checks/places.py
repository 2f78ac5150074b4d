"""Where functions stand in a student's file, even in one that Python cannot read."""

import ast
import re
from pathlib import Path

from core.command import CourseError

Place = tuple[int, int]  # first and last line, counted from 1
LINE_END = re.compile(r"\r\n|\r|\n")


def split_lines(text: str) -> list[str]:
    r"""The lines as Python counts them; a page break, say, ends none.

    Example:
        >>> split_lines("a\x0c\r\nb\n") == ["a\x0c", "b"]
        True
    """
    lines = LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def find_function(text: str, name: str, path: Path) -> Place:
    """First and last line of a function, counted from 1; decorators included.

    Works, from the indentation alone, where the file cannot be read by Python.

    Args:
        text: of the file.
        name: "iou" or "FCOS.inference".
        path: of the file, for the message.

    Raises:
        CourseError: it is not there.
    """
    found = look_for(text, name)
    if found is None:
        raise CourseError(
            f"{path}: has no {name} any more; python -m helpers.check reset "
            f"{name.split('.')[-1]} puts its start back"
        )
    return found


def look_for(text: str, name: str) -> Place | None:
    """First and last line of a function or class, or None where it is not."""
    try:
        return _find_parsed(ast.parse(text).body, name.split("."))
    except (SyntaxError, ValueError):
        return _find_by_indentation(split_lines(text), name.split("."))


def names_before(text: str, name: str) -> list[str]:
    """What is defined before a function in its class or file, the nearest first.

    Args:
        text: of a file that Python can read, with the function in it.
        name: "iou" or "FCOS.inference".
    """
    *scope, last = name.split(".")
    body = ast.parse(text).body
    for part in scope:
        (found,) = [
            node
            for node in body
            if isinstance(node, ast.ClassDef) and node.name == part
        ]
        body = found.body
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in body if isinstance(node, kinds)]
    return [".".join([*scope, each]) for each in names[names.index(last) - 1 :: -1]]


def _find_parsed(body: list[ast.stmt], parts: list[str]) -> Place | None:
    for node in reversed(body):  # of two with one name the last counts
        if isinstance(node, ast.ClassDef) and len(parts) > 1 and node.name == parts[0]:
            return _find_parsed(node.body, parts[1:])
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and parts == [node.name]:
            first = min(
                [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]
            )
            return first, node.end_lineno or node.lineno
    return None


def _find_by_indentation(lines: list[str], parts: list[str]) -> Place | None:
    begin, indent = 0, ""
    for depth, part in enumerate(parts):
        word = "(def|class)" if depth == len(parts) - 1 else "class"
        start = re.compile(rf"(\s*){word} {re.escape(part)}\b")
        place = next(
            (index for index in range(begin, len(lines)) if start.match(lines[index])),
            None,
        )
        if place is None:
            return None
        begin = place + 1
        indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
    # The next line that is not deeper, and no end of the signature.
    other = re.compile(rf"(?!{indent}\s)\s*[\w@#]")
    end = next(
        (index for index in range(begin, len(lines)) if other.match(lines[index])), None
    )
    last = len(lines) if end is None else end
    while last > begin and not lines[last - 1].strip():
        last -= 1
    return begin, last
