"""Which files students get when some parts of the course are handed out."""

import ast
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.course import FILE, PACKAGE, Registry
from core.course_text import course_text, registry_of

MARKED = re.compile(r"@exercise\([\"']([\d.]+)[\"']\)")
CHECKS = re.compile(r"helpers/checks/test_\w+\.py")
HINTS = re.compile(r"helpers/checks/hints\w*\.toml")
MAP, README = "notebooks/README.md", "README.md"
# The table in the map; its first two lines, then the rows.
TABLE = re.compile(r"^\| step \|.*\n\|[-| ]+\|\n(?:\|.*\n?)*", re.MULTILINE)
IMPORTS_BEFORE = ("helpers/", "core/", "data_scripts/")


@dataclass(frozen=True)
class Chosen:
    """What of a course is handed out.

    Attributes:
        registry: of the students' version, its course.toml.
        files: path -> content, course.toml and the map included, nothing cut yet.
        solved: ids of the exercises whose solutions are in these files.
    """

    registry: Registry
    files: dict[str, bytes]
    solved: tuple[str, ...]


def choose_files(
    files: Mapping[str, bytes], registry: Registry, parts: Iterable[str] = ()
) -> Chosen:
    """Leave out what belongs to other parts, unless something that stays imports it.

    Args:
        files: of the whole course, as they stand in the source.
        registry: of the whole course.
        parts: those that are handed out; the default ones if none.
    """
    own = registry.check_parts(parts)
    modules = _needed_modules(files, registry, own)
    small = registry_of(registry, own, modules)
    kept = {
        path: content
        for path, content in files.items()
        if _is_kept(path, content, registry, small)
    }
    kept[FILE] = course_text(small).encode()
    if MAP in kept:
        kept[MAP] = TABLE.sub(
            lambda _: map_table(small), kept[MAP].decode("utf-8")
        ).encode()
    for path in (README, MAP):
        if path in kept and small.exercises:
            text = kept[path].decode("utf-8")
            kept[path] = begin_where_it_does(text, registry, small).encode()
    solved = [
        number
        for number, exercise in registry.exercises.items()
        if exercise.module in modules and number not in small.exercises
    ]
    return Chosen(small, kept, tuple(solved))


def begin_where_it_does(text: str, whole: Registry, small: Registry) -> str:
    """The same text with the first notebook and exercise of what is handed out.

    Args:
        text: names those of the whole course, as a reader's first.
        whole: the whole course.
        small: what is handed out; at least one exercise.
    """
    first, own = (registry.steps[min(registry.steps)] for registry in (whole, small))
    text = text.replace(
        f"[{first.number} {first.title}]", f"[{own.number} {own.title}]"
    )
    text = text.replace(first.notebook, own.notebook)
    number, own_number = next(iter(whole.exercises)), next(iter(small.exercises))
    before = r"((?:helpers\.check|hint|reset) |(?:check|hint|reset)\(\")"
    return re.sub(rf"{before}{re.escape(number)}\b", rf"\g<1>{own_number}", text)


def _needed_modules(
    files: Mapping[str, bytes], registry: Registry, parts: Iterable[str]
) -> set[str]:
    """Modules of these parts, and what they and the given code import of the others."""
    asked = {exercise.module for exercise in registry.asked(parts).values()}
    wanted = registry.needed_parts(parts)  # all detectors of what these stand on
    own = {module.name for module in registry.modules.values() if module.part in wanted}
    found: set[str] = set()
    waiting = list(asked | own)
    for path, content in files.items():
        if path.startswith(IMPORTS_BEFORE) and path.endswith(".py"):
            waiting += _imported(content, registry)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imported(files.get(f"{PACKAGE}/{name}.py", b""), registry)
    return found


def _imported(source: bytes, registry: Registry) -> set[str]:
    """Modules of assignment/ that a file imports, `assignment.common` or `common`."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()  # which whoever cuts the file says in a sentence
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    short = {name.removeprefix(f"{PACKAGE}.") for name in names}
    return short & set(registry.modules)


def _is_kept(path: str, content: bytes, registry: Registry, small: Registry) -> bool:
    name = path.rpartition("/")[2]
    if path.startswith(f"{PACKAGE}/") and name.removesuffix(".py") in registry.modules:
        return name.removesuffix(".py") in small.modules
    if path.startswith("notebooks/") and name.endswith(".ipynb"):
        others = {step.notebook for step in registry.steps.values()}
        return name not in others or name in {
            step.notebook for step in small.steps.values()
        }
    if CHECKS.fullmatch(path):
        marked = set(MARKED.findall(content.decode("utf-8", "replace")))
        return not marked or bool(marked & set(small.exercises))
    if HINTS.fullmatch(path):
        try:
            tables = set(tomllib.loads(content.decode("utf-8")))
        except ValueError:
            return True  # which the proof says in a sentence
        return not tables or bool(tables & set(small.exercises))
    return True


def map_table(registry: Registry) -> str:
    """The table of steps and exercises in notebooks/README.md."""
    lines = ["| step | exercise | you write | in |", "|---|---|---|---|"]
    for number, step in registry.steps.items():
        first = f"[{number} {step.title}]({step.notebook})"
        own = [
            exercise
            for exercise in registry.exercises.values()
            if exercise.step == number
        ]
        for exercise in own:
            place = f"`{exercise.function}` | `{exercise.file}`"
            lines.append(f"| {first} | {exercise.id} | {place} |")
            first = ""
        if not own and number:
            lines.append(f"| {first} | | {step.writes} | |")
    return "\n".join(line.replace("|  |", "| |") for line in lines) + "\n"
