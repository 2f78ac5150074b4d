"""What is in a sandbox beside Python: a list of files, and of packages.

Of this project the worker and what it stands on; of the other modules the names, so
that they can be imported and not used. Of torchvision what no exercise closes. Of the
installed packages those that students install.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from importlib.util import cache_from_source, find_spec
from pathlib import Path

from grader.release.packages import student_requirements
from grader.sandbox import closing

ROOT = Path(__file__).resolve().parents[2]
# tests/test_sandbox.py sees that these need no others.
CODE = (
    "grader/__init__.py",
    "grader/border",
    "grader/worker",
    "core/__init__.py",
    "core/command.py",
    "core/backbones",
    "core/fcos_config.py",
    "helpers/__init__.py",
    "helpers/moved/__init__.py",
    "helpers/moved/backbones.py",
    "helpers/a4/__init__.py",
    "helpers/a4/eecs598/__init__.py",
    "helpers/a4/eecs598/grad.py",
    "helpers/checks/__init__.py",
    "helpers/checks/describe.py",
    "helpers/checks/expect.py",
    "helpers/checks/full_memory.py",
    "helpers/checks/known_errors.py",
    "helpers/checks/no_gpu.py",
    "helpers/checks/patterns.py",
    "helpers/checks/pretended_gpu.py",
    "helpers/checks/separate.py",
    "helpers/checks/student.py",
)
WHOLE = tuple(name for name in CODE if not name.endswith(".py"))
# Folders of which files of students may import what is not there.
NAMED = ("helpers", "core", "data_scripts")
CLOSED = "closed"
REQUIREMENTS = "requirements.txt"
PIN = re.compile(r"^([\w.-]+)==", re.MULTILINE)
NO_CODE = (".dist-info", ".pth", ".egg-info")
# Students install it, and may import it: it measures how boxes overlap.
REFUSED = ("faster-coco-eval",)
# What the worker needs beside what students install.
WORKERS_OWN = ("msgpack",)
# It has non-maximum suppression in numpy, as an example for tests of torch itself.
EXAMPLES = "torch.testing._internal.custom_op_db"


def copy_code(target: Path) -> None:
    """Copy what the worker imports, so that nothing else of the project is near."""
    copied: list[Path] = []
    for name in CODE:
        path = ROOT / name
        copied += path.rglob("*.py") if path.is_dir() else [path]
    for path in copied:
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def absent_modules() -> list[str]:
    """Names of this project's modules that are not copied."""
    there = tuple(name.removesuffix("/__init__.py") for name in CODE)
    paths = (path for folder in NAMED for path in (ROOT / folder).rglob("*.py"))
    names = (path.relative_to(ROOT).as_posix() for path in paths)
    return sorted(
        name.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
        for name in names
        if name.removesuffix("/__init__.py") not in there
        and not any(name.startswith(f"{folder}/") for folder in WHOLE)
    )


def write_closed(closed: closing.Closed, target: Path) -> None:
    """Write the texts of torchvision's modules in which something is closed.

    Args:
        closed: what.
        target: the folder of the code in the sandbox.
    """
    folder = target / CLOSED
    folder.mkdir(parents=True)
    for module, names in closed.names.items():
        (folder / f"{module}.py").write_text(closed_text(module, names), "utf-8")
        if closing.source(module).path.name == "__init__.py":
            (folder / f"{module}.package").touch()


@cache
def closed_text(module: str, names: frozenset[str]) -> str:
    """One of them."""
    return closing.source(module).without(sorted(names))


def hidden_paths(closed: closing.Closed) -> list[Path]:
    """Installed files and folders that the sandbox must not show."""
    paths = [*_example_paths(), *not_listed(), *refused()]
    for module in closed.names:
        paths += _with_bytecode(closing.source(module).path)
    if closed.operators:
        paths += closing.libraries()
    return [path for path in paths if path.exists()]


def _with_bytecode(path: Path) -> Iterator[Path]:
    """A file, and what Python has compiled of it."""
    yield path
    yield from Path(cache_from_source(str(path))).parent.glob(f"{path.stem}.*.pyc")


def _example_paths() -> list[Path]:
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return []
    parts = EXAMPLES.split(".")[1:]
    path = Path(spec.submodule_search_locations[0]).joinpath(*parts)
    return list(_with_bytecode(path.with_suffix(".py")))


@cache
def not_listed() -> tuple[Path, ...]:
    """What is installed for instructors only, its files and folders at the top."""
    text = (ROOT / REQUIREMENTS).read_text("utf-8")
    listed = {_plain(name) for name in PIN.findall(student_requirements(text))}
    return _only_of(lambda name: name not in {*listed, *WORKERS_OWN})


@cache
def refused() -> tuple[Path, ...]:
    """The same of packages that may be imported and not used."""
    return _only_of(lambda name: name in REFUSED)


def module_names(paths: Iterable[Path]) -> list[str]:
    """What is imported by the names of these files and folders."""
    return sorted({path.name.partition(".")[0] for path in paths})


def _only_of(is_one: Callable[[str], bool]) -> tuple[Path, ...]:
    """What is at the top of these packages, and of no other."""
    found: dict[str, Path] = {}
    others = []
    for package in metadata.distributions():
        record = package.read_text("RECORD") or ""
        if not is_one(_plain(package.metadata["Name"] or "")):
            others.append(f"\n{record}")
            continue
        for line in record.splitlines():
            top = re.split("[/,]", line, maxsplit=1)[0]
            if not (top in ("..", "__pycache__") or top.endswith(NO_CODE)):
                found[top] = Path(str(package.locate_file(top)))
    return tuple(
        path
        for top, path in sorted(found.items())
        if not any(f"\n{top}{end}" in record for end in "/," for record in others)
    )


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
