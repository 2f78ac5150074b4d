"""Parts of the solution that take the place of a student's wrong ones.

What a later exercise is judged with holds the earlier exercises that it needs, and no
line of any other: neither of the one that is judged nor of one that stands behind it.
"""

import ast
import marshal
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from core.course import PACKAGE, Registry


def given_parts(
    root: Path, registry: Registry, wrong: Collection[str], judged: str
) -> bytes:
    """For grader/worker/given.py: code of the solution, and what it replaces.

    Args:
        root: the checkout.
        registry: what course.toml says.
        wrong: exercises whose functions are replaced.
        judged: the exercise whose test runs; nothing of it is given.
    """
    solved = ({*wrong} | registry.all_needs(wrong)) - {judged}
    closed = {
        (exercise.module, exercise.function)
        for name, exercise in registry.exercises.items()
        if name not in solved
    }
    files = []
    for module in _modules_of(root, registry, solved):
        tree = ast.parse(_source(root, module))
        imported = _take_imports(tree)
        _close(tree, "", {name for where, name in closed if where == module})
        code = compile(tree, f"<the course's {module}.py>", "exec", dont_inherit=True)
        files.append({"name": module, "code": code, "imported": imported})
    names = [name for exercise in sorted(wrong) for name in registry.names_of(exercise)]
    places = [(_home(root, registry, name), name) for name in dict.fromkeys(names)]
    open_names = sorted({name.partition(".")[0] for _, name in closed})
    return marshal.dumps({"files": files, "places": places, "own": open_names})


def _modules_of(
    root: Path, registry: Registry, exercises: Collection[str]
) -> list[str]:
    """The modules of these exercises and those that they import, in their order."""
    found: set[str] = set()
    waiting = [registry.exercises[name].module for name in exercises]
    waiting += [
        _home(root, registry, name)
        for exercise in exercises
        for name in registry.names_of(exercise)
    ]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            imported = _take_imports(ast.parse(_source(root, module)))
            waiting += [other for other, _, _ in imported if other in registry.modules]
    return [module for module in registry.modules if module in found]


def _home(root: Path, registry: Registry, name: str) -> str:
    """The module that defines a name of the solution, "FCOS.forward"."""
    first = name.partition(".")[0]
    return next(
        module
        for module in registry.modules
        for node in ast.parse(_source(root, module)).body
        if getattr(node, "name", None) == first
    )


@cache
def _source(root: Path, module: str) -> str:
    return (root / PACKAGE / f"{module}.py").read_text("utf-8")


def _take_imports(tree: ast.Module) -> list[tuple[str, str, str]]:
    """Module, name and own name of each import from assignment/, which are removed."""
    found = []
    for node in [node for node in tree.body if isinstance(node, ast.ImportFrom)]:
        package, _, module = (node.module or "").partition(".")
        if package == PACKAGE and module:
            tree.body.remove(node)
            found += [
                (module, alias.name, alias.asname or alias.name) for alias in node.names
            ]
    return found


def _close(node: Any, prefix: str, closed: Collection[str]) -> None:
    """Remove the functions with these qualified names."""
    kept = []
    for part in node.body:
        name = f"{prefix}{getattr(part, 'name', '')}"
        if isinstance(part, ast.ClassDef):
            _close(part, f"{name}.", closed)
        if name not in closed:
            kept.append(part)
    node.body = kept or [ast.Pass()]
