"""What is in a sandbox beside Python: a list of files, and of packages.

Of this project the worker and what it stands on; of the other modules the names, so that
they can be imported and not used. Of torchvision what no exercise closes. Of the
installed packages those that students install.
"""

import re
import shutil
from collections.abc import Iterator
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
    "helpers/checks/no_gpu.py",
    "helpers/checks/separate.py",
    "helpers/checks/student.py",
)
# Folders of which files of students may import what is not there.
NAMED = ("helpers", "core", "data_scripts")
ABSENT, CLOSED = "absent.txt", "closed"
REQUIREMENTS = "requirements.txt"
PIN = re.compile(r"^([\w.-]+)==", re.MULTILINE)
NO_CODE = (".dist-info", ".pth", ".egg-info")
# What the worker needs beside what students install.
WORKERS_OWN = ("msgpack",)
# It has non-maximum suppression in numpy, as an example for tests of torch itself.
EXAMPLES = "torch.testing._internal.custom_op_db"


def copy_code(target: Path) -> None:
    """Copy what the worker imports, so that nothing else of the project is near."""
    copied = []
    for name in CODE:
        path = ROOT / name
        copied += path.rglob("*.py") if path.is_dir() else [path]
    for path in copied:
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    known = {_module(path) for path in copied}
    others = {
        _module(path) for folder in NAMED for path in (ROOT / folder).rglob("*.py")
    }
    (target / ABSENT).write_text("\n".join(sorted(others - known)))


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
    paths = [*_example_paths(), *_other_packages()]
    for module in closed.names:
        paths += _with_bytecode(closing.source(module).path)
    if closed.operators:
        paths += closing.libraries()
    return [path for path in paths if path.exists()]


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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
def _other_packages() -> tuple[Path, ...]:
    """What is installed for instructors only: their tools know box overlap, too."""
    text = (ROOT / REQUIREMENTS).read_text("utf-8")
    listed = {_plain(name) for name in PIN.findall(student_requirements(text))}
    listed |= {_plain(name) for name in WORKERS_OWN}
    if not listed & {_plain(name) for name in PIN.findall(text)} - {*WORKERS_OWN}:
        return ()
    hidden: dict[str, Path] = {}
    others = []
    for package in metadata.distributions():
        record = package.read_text("RECORD") or ""
        if _plain(package.metadata["Name"] or "") in listed:
            others.append(f"\n{record}")
            continue
        for line in record.splitlines():
            top = re.split("[/,]", line, maxsplit=1)[0]
            if not (top in ("..", "__pycache__") or top.endswith(NO_CODE)):
                hidden[top] = Path(str(package.locate_file(top)))
    return tuple(
        path
        for top, path in sorted(hidden.items())
        if not any(f"\n{top}{end}" in record for end in "/," for record in others)
    )


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
