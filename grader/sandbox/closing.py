"""torchvision without what an exercise asks to write: texts, and names of operators.

A name in `closed` of course.toml is one of torchvision.ops, `nms`, or leads to a module
or to something in one, `models.detection.rpn`, `models.detection._utils.Matcher`. Where
it stood the new text has something of the same name that says it is closed; what it
alone is made of goes, too. Nothing of torchvision is imported here.
"""

import ast
import importlib.util
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.command import CourseError
from core.course import FILE

PACKAGE = "torchvision"
# What closed functions are made of and what answers no exercise.
OPEN_NAMES = (
    "box_area",
    "box_convert",
    "clip_boxes_to_image",
    "remove_small_boxes",
    "masks_to_boxes",
    "_upcast",
    "_loss_inter_union",  # but where an exercise closes it by its name
)
OPERATOR = re.compile(r"\btorch\.ops\.torchvision\.(\w+)")
FUNCTION = '''def {name}(*args, **kwargs):
    """Closed: an exercise asks to write this."""
    from grader.worker.vision import NotAllowedError

    raise NotAllowedError("{path} is what an exercise asks for")
'''
CLASS = '''class {name}({bases}):
    """Closed: an exercise asks to write this."""

    def __init__(self, *args, **kwargs):
        from grader.worker.vision import NotAllowedError

        raise NotAllowedError("{path} is what an exercise asks for")
'''
Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Closed:
    """What is closed.

    Attributes:
        names: module -> what is closed in it.
        operators: those of the library that comes with torchvision.
    """

    names: dict[str, frozenset[str]]
    operators: frozenset[str]


class Source:
    """A module of torchvision, read and not run.

    Attributes:
        lines: of its text.
        definitions: its functions and classes.
    """

    def __init__(self, module: str, path: Path):
        self.module = module
        self.path = path
        self.text = path.read_text("utf-8")
        self.lines = self.text.splitlines(keepends=True)
        self.definitions = {
            node.name: node
            for node in ast.parse(self.text).body
            if isinstance(node, Definition)
        }

    def text_of(self, name: str) -> str:
        """A definition, with its decorators."""
        first, last = self._place(name)
        return "".join(self.lines[first:last])

    def without(self, names: Collection[str]) -> str:
        """The text in which these say that they are closed."""
        lines = list(self.lines)
        for name in names:
            first, last = self._place(name)
            lines[first:last] = [self._closed(name), *[""] * (last - first - 1)]
        return "".join(lines)

    def called_by(self, name: str) -> Iterator[str]:
        """Its own definitions that this one calls."""
        for node in ast.walk(self.definitions[name]):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in self.definitions:
                yield called.id

    def _place(self, name: str) -> tuple[int, int]:
        node = self.definitions[name]
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        return first - 1, node.end_lineno or node.lineno

    def _closed(self, name: str) -> str:
        node = self.definitions[name]
        package, _, rest = self.module.partition(".")
        is_public = rest.startswith("ops.") and not name.startswith("_")
        path = f"{package}.ops.{name}" if is_public else f"{self.module}.{name}"
        if isinstance(node, ast.FunctionDef):
            return FUNCTION.format(name=name, path=path)
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return CLASS.format(name=name, path=path, bases=bases)


@cache
def folder() -> Path:
    """Where torchvision is installed.

    Raises:
        CourseError: nowhere.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise CourseError(f"{PACKAGE} is not installed; install the requirements")
    return Path(spec.submodule_search_locations[0])


@cache
def source(module: str) -> Source:
    """A module, "torchvision.ops.boxes"."""
    path = folder().joinpath(*module.split(".")[1:])
    package = path / "__init__.py"
    return Source(module, package if package.is_file() else path.with_suffix(".py"))


def close(names: Collection[str], allowed: Collection[str] = ()) -> Closed:
    """What has to go for these names.

    Args:
        names: of course.toml.
        allowed: functions of torchvision.ops that stay all the same.

    Raises:
        CourseError: torchvision has no such thing.
    """
    found: dict[str, set[str]] = {}
    for name in names:
        module, inner = _find(name)
        whole = source(module).definitions
        waiting = {inner} if inner else {*whole}
        waiting -= {*allowed}
        chosen = found.setdefault(module, set())
        while waiting:
            each = waiting.pop()
            if each not in chosen:
                chosen.add(each)
                called = {*source(module).called_by(each)}
                waiting |= called - {*OPEN_NAMES, *allowed}
    texts = (source(module).text_of(each) for module in found for each in found[module])
    used = {name for text in texts for name in OPERATOR.findall(text)}
    # Of each there may be one for quantized numbers, and one for gradients.
    used |= {f"q{name}" for name in used} | {f"_{name}_backward" for name in used}
    return Closed(
        {module: frozenset(chosen) for module, chosen in found.items() if chosen},
        frozenset(used & {*operators()}),
    )


@cache
def operators() -> tuple[str, ...]:
    """Names of all operators that torchvision's Python code asks its library for."""
    texts = [path.read_text("utf-8") for path in sorted(folder().glob("ops/*.py"))]
    texts += [path.read_text("utf-8") for path in sorted(folder().glob("_*.py"))]
    found = {name for text in texts for name in OPERATOR.findall(text)}
    found |= {f"q{name}" for name in ("nms", "roi_align")}
    return tuple(sorted(found))


def libraries() -> list[Path]:
    """The files that hold the operators."""
    return sorted(
        path for path in folder().glob("_C*") if path.suffix in (".so", ".pyd")
    )


def public_names(closed: Collection[str]) -> list[str]:
    """What a command may call the closed functions."""
    found = close(closed).names
    return sorted(
        name
        for module in found
        for name in found[module]
        if not name.startswith("_") and module.startswith(f"{PACKAGE}.ops.")
    )


def _find(name: str) -> tuple[str, str]:
    """The module, and the name in it; "" for the whole module."""
    parts = name.removeprefix(f"{PACKAGE}.").split(".")
    if len(parts) == 1:
        parts = ["ops", *parts]
    for end in range(len(parts), 0, -1):
        path = folder().joinpath(*parts[:end])
        is_file = path.with_suffix(".py").is_file()
        if is_file or (path / "__init__.py").is_file():
            module = ".".join([PACKAGE, *parts[:end]])
            if end == len(parts) and is_file:
                return module, ""
            if end == len(parts) - 1:
                found = _defined(module, parts[-1])
                if found:
                    return found, parts[-1]
            break
    raise CourseError(
        f"{FILE}: closed: {PACKAGE} has no {name!r}; name one of its ops, or a module "
        "or what it defines, like models.detection._utils.Matcher"
    )


def _defined(module: str, name: str) -> str:
    """The module that defines a name of this one; "" if there is none."""
    here = source(module)
    if name in here.definitions:
        return module
    package = module if here.path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.parse(here.text).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            names = {alias.asname or alias.name for alias in node.names}
            if names & {name, "*"}:
                found = _defined(f"{package}.{node.module}", name)
                if found:
                    return found
    return ""
