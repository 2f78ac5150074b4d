"""What a release must not show of the hidden tests: their names, and their bodies."""

import ast
from collections.abc import Collection, Iterator, Mapping

from grader.release.leak_check import HiddenBody, is_long
from grader.release.plain_text import compact
from grader.release.stubs import FunctionNode, SecretLine, parse

TESTS = "grader_tests"
CHECKS = "helpers/checks"
SHORTEST_BODY = 60  # characters without blanks; less is no test


def first_lines(sources: Mapping[str, str]) -> list[SecretLine]:
    """The first line of every hidden test; a pasted test brings it along.

    Args:
        sources: path -> text of the files in TESTS.
    """
    return [
        SecretLine(line.strip(), f"{name}:{number}")
        for name, source in sources.items()
        for number, line in enumerate(source.splitlines(), start=1)
        if line.strip().startswith("def test_")
    ]


def hidden_bodies(
    sources: Mapping[str, str], visible: Collection[str]
) -> list[HiddenBody]:
    """The body of each function, which betrays a test whose name was changed.

    Args:
        sources: path -> text of the files in TESTS.
        visible: compacted lines that students have anyway.

    Raises:
        CourseError: a file does not compile.
    """
    found = []
    for name, source in sources.items():
        for number, _, lines in _functions(source, name):
            own = frozenset(compact(line) for line in lines if is_long(line))
            own -= frozenset(visible)
            if sum(map(len, own)) >= SHORTEST_BODY:
                found.append(HiddenBody(f"{name}:{number}", own))
    return found


def visible_lines(ids: Collection[str], sources: Mapping[str, str]) -> set[str]:
    """The lines of the visible checks, compacted.

    Args:
        ids: of the visible tests, "checks/test_1_boxes.py::test_iou_by_hand"; a test
            that is not among them is none that students are meant to have.
        sources: path -> text of the files in CHECKS.
    """
    found = set()
    for name, source in sources.items():
        file = f"checks/{name.rpartition('/')[2]}"
        for _, function, lines in _functions(source, name):
            if f"{file}::{function}" in ids:
                found |= {compact(line) for line in lines}
    return found


def _functions(source: str, name: str) -> Iterator[tuple[int, str, list[str]]]:
    """Line, name and the lines of the body of each function, wherever it stands."""
    lines = source.splitlines()
    for node in ast.walk(parse(source, name)):
        if isinstance(node, FunctionNode):
            yield (
                node.lineno,
                node.name,
                lines[node.body[0].lineno - 1 : node.end_lineno],
            )
