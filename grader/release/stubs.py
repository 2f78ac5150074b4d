"""Cut the solutions out of a Python file, and check that nothing else was lost."""

import ast
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from core.command import CourseError
from core.course import FILE, Exercise, mentioned
from grader.release.markers import SOLUTION, Region, find_regions

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
DefinitionNode = FunctionNode | ast.ClassDef


@dataclass(frozen=True)
class SecretLine:
    """A line that no student may see, and where it stands."""

    text: str
    where: str


@dataclass(frozen=True)
class Stub:
    """A file for students, and what was taken out of it.

    Attributes:
        text: the file.
        exercises: those that are open in it.
        secrets: the lines of their solutions.
    """

    text: str
    exercises: tuple[Exercise, ...]
    secrets: tuple[SecretLine, ...]


def parse(source: str, where: str) -> ast.Module:
    """The tree of a source.

    Raises:
        CourseError: it does not compile.
    """
    try:
        compile(source, where, "exec", dont_inherit=True)
        return ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise CourseError(
            f"{where}:{line}: does not compile ({getattr(error, 'msg', error)}); "
            "repair the source or move its solution markers"
        ) from error


def definitions(tree: ast.Module) -> dict[str, DefinitionNode]:
    """Qualified name -> every class, and every function outside of functions."""
    found: dict[str, DefinitionNode] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, DefinitionNode):
                found[prefix + node.name] = node
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")

    visit(tree.body, "")
    return found


def stub_functions(stub: Stub) -> dict[str, str]:
    """Number of the exercise -> its function as students get it, decorators included.

    With it `python -m helpers.check reset 3.2` puts the start of an exercise back.
    """
    lines = stub.text.splitlines()
    nodes = definitions(ast.parse(stub.text))
    found = {}
    for exercise in stub.exercises:
        node = nodes[exercise.function]
        first = min(
            [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]
        )
        found[exercise.id] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


def cut_solutions(
    source: str, where: str, exercises: Iterable[Exercise], solved: Collection[str] = ()
) -> Stub:
    """The student's version of a file of assignment/.

    Args:
        source: text with solution regions.
        where: the file, for messages.
        exercises: all that course.toml has in this file.
        solved: ids of those whose solutions stay; only their markers go.

    Raises:
        CourseError: markers and exercises do not fit together, or more would be lost
            than solutions.
    """
    lines = source.splitlines()
    regions = find_regions(lines, where)
    tree = parse(source, where)
    owners = {
        name: node
        for name, node in definitions(tree).items()
        if isinstance(node, FunctionNode)
    }
    known = {exercise.function: exercise for exercise in exercises}
    found, secrets, cut = [], [], list(lines)
    for region in reversed(regions):  # from the end: the line numbers stay true
        exercise = _exercise_of(region, owners, known, where)
        found.append(exercise)
        if exercise.id in solved:
            cut[region.begin - 1 : region.end] = lines[region.begin : region.end - 1]
            continue
        begin = lines[region.begin - 1]
        indent = begin[: len(begin) - len(begin.lstrip())]
        cut[region.begin - 1 : region.end] = _stub_lines(exercise, indent)
        secrets += [
            SecretLine(lines[number - 1].strip(), f"{where}:{number}")
            for number in range(region.begin + 1, region.end)
        ]
    _check_all_have_regions(owners, known, found, where)
    text = "\n".join(cut) + "\n"
    _check_nothing_lost(tree, parse(text, f"{where} (the student's version)"), where)
    opened = tuple(
        exercise for exercise in reversed(found) if exercise.id not in solved
    )
    return Stub(text, opened, tuple(secrets))


def _exercise_of(
    region: Region,
    owners: dict[str, FunctionNode],
    known: dict[str, Exercise],
    where: str,
) -> Exercise:
    place = f"{where}:{region.begin}"
    if region.kind != SOLUTION:
        raise CourseError(
            f"{place}: a hidden test does not belong here; move it to grader_tests/"
        )
    for name, node in owners.items():
        # The END is a comment, so the function may end a line before it.
        if node.lineno < region.begin <= (node.end_lineno or 0):
            if name not in known:
                raise CourseError(
                    f"{place}: {name} has a solution, but {FILE} has no exercise of "
                    "this function in this file; add its [[exercise]]"
                )
            heading = known[name].heading
            if not (ast.get_docstring(node) or "").startswith(heading):
                raise CourseError(
                    f"{place}: {name} has a solution, but its docstring does not begin "
                    f"with {heading!r}, as {FILE} says; write that line"
                )
            return known[name]
    raise CourseError(
        f"{place}: this solution stands outside of every function; move its markers"
    )


def _stub_lines(exercise: Exercise, indent: str) -> list[str]:
    """Two strings, so that no line becomes longer than the title."""
    first = f"{exercise.label}: see notebook {exercise.step}, "
    return [
        f"{indent}raise NotImplementedError(",
        f"{indent}    {json.dumps(first, ensure_ascii=False)}",
        f"{indent}    {json.dumps(exercise.title, ensure_ascii=False)}",
        f"{indent})",
    ]


def _check_all_have_regions(
    owners: dict[str, FunctionNode],
    known: dict[str, Exercise],
    found: list[Exercise],
    where: str,
) -> None:
    for exercise in known.values():
        if exercise.function not in owners:
            raise CourseError(
                f"{where}: there is no function {exercise.function}, which is exercise "
                f"{exercise.id} in {FILE}; write it, or change the entry"
            )
    for name, node in owners.items():
        place = f"{where}:{node.lineno}"
        if name not in known and mentioned(ast.get_docstring(node) or ""):
            raise CourseError(
                f"{place}: {name} is no exercise in {FILE}, but its docstring says so; "
                "add its [[exercise]]"
            )
        if name in known and found.count(known[name]) != 1:
            raise CourseError(
                f"{place}: {name} is an exercise with "
                f"{found.count(known[name])} solution regions instead of 1; mark its "
                "whole body with '### BEGIN SOLUTION' and '### END SOLUTION'"
            )


def _check_nothing_lost(source: ast.Module, stub: ast.Module, where: str) -> None:
    """Each def and class is still there, with its signature and its docstring."""
    kept = definitions(stub)
    for name, node in definitions(source).items():
        place = f"{where}:{node.lineno}"
        if name not in kept:
            raise CourseError(
                f"{place}: {name} would be lost; move the solution markers around it"
            )
        if ast.get_docstring(node) != ast.get_docstring(kept[name]):
            raise CourseError(
                f"{place}: the docstring of {name} would be lost; put "
                "'### BEGIN SOLUTION' behind it"
            )
        if _head(node) != _head(kept[name]):
            raise CourseError(
                f"{place}: the signature of {name} would change; move the markers"
            )


def _head(node: DefinitionNode) -> list[str]:
    parts: list[ast.AST | None] = [*node.decorator_list]
    if isinstance(node, ast.ClassDef):
        parts += [*node.bases, *node.keywords]
    else:
        parts += [node.args, node.returns]
    return [ast.dump(part) if part else "" for part in parts] + [type(node).__name__]
