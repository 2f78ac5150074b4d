"""A course as students have it, some exercises solved; for tests of their command."""

import ast
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from core.course import FILE, read_registry
from grader.release.build import STUBS
from grader.release.markers import MARKERS
from grader.release.stubs import cut_solutions, definitions, stub_functions

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "assignment").glob("*.py"))
EXERCISES = read_registry(ROOT).exercises.values()


def all_stubs() -> dict[str, tuple[str, str, str]]:
    """Number -> (file, name, stub) of every exercise."""
    found = {}
    for path in FILES:
        own = [exercise for exercise in EXERCISES if exercise.file == path.name]
        stub = cut_solutions(path.read_text(), path.name, own)
        texts = stub_functions(stub)
        for exercise in stub.exercises:
            found[exercise.id] = (path.name, exercise.function, texts[exercise.id])
    return found


def make_course(folder: Path, opened: Iterable[str] | None = None) -> Path:
    """assignment/ and course.toml in `folder`.

    Args:
        folder: where to; it need not exist.
        opened: numbers of the exercises that are stubs, the others are solved; by
            default all are stubs.
    """
    (folder / "assignment").mkdir(parents=True)
    shutil.copy(ROOT / FILE, folder)
    stubs = all_stubs()
    wanted = set(stubs) if opened is None else set(opened)
    for path in FILES:
        source = path.read_text()
        for number, (file, name, stub) in stubs.items():
            if file == path.name and number in wanted:
                source = source.replace(function_text(source, name), stub)
        lines = source.splitlines(keepends=True)
        given = [line for line in lines if line.strip() not in MARKERS]
        (folder / "assignment" / path.name).write_text("".join(given))
    return folder


def make_whole_course(folder: Path) -> Path:
    """The same with helpers/, and the stubs that `reset` puts back."""
    make_course(folder)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("core", "helpers", "data_scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    texts = {number: stub for number, (_, _, stub) in all_stubs().items()}
    for path in FILES:
        texts[path.name] = (folder / "assignment" / path.name).read_text()
    (folder / STUBS).write_text(json.dumps(texts))
    return folder


def function_text(source: str, name: str) -> str:
    """The lines of a function without the comment that ends its region."""
    node = definitions(ast.parse(source))[name]
    return "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])


def edit(root: Path, file: str, old: str, new: str) -> None:
    """Replace a text, which must be there, in a file of assignment/."""
    path = root / "assignment" / file
    source = path.read_text()
    assert old in source, f"{old!r} is not in {file}"
    path.write_text(source.replace(old, new, 1))
