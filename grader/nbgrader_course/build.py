"""Build the folder in which the nbgrader commands work: source/, settings, config."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.command import CourseError
from core.course import read_registry
from core.files import is_free, new_folder, write_atomically, write_json
from grader.course_folder import copy_course, course_with
from grader.files import read_json
from grader.manifest import choose_exercises, points_by_exercise, read_manifest
from grader.nbgrader_course.cells import (
    move_map_links,
    move_readme_links,
    prepare_notebook,
)
from grader.nbgrader_course.place import EARLIER, move_away
from grader.release import release_files
from grader.release.build import Release, make_release
from grader.release.given_exercises import fit_notebook
from grader.submissions.names import shown
from helpers.drive.copies import is_same

SETTINGS = "course.json"
CONFIG = "nbgrader_config.py"
COPIES = "courses"  # with what an instructor has added, by assignment
FOLDER = "notebooks/"
MAP = "notebooks/README.md"
README = "README.md"
PRIVATE = 0o700  # solutions, submissions and grades are the instructor's alone
CONFIG_TEXT = '''"""Written by `python -m grader nbgrader`; options are explained there.

Your own settings can follow below; they stay when the course is built again.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, json.loads((FOLDER / "course.json").read_text())["checkout"])
from grader.nbgrader_course.config import configure

configure(c, FOLDER)  # nbgrader defines c
'''


@dataclass(frozen=True)
class Assignment:
    """What the grading must know of an assignment.

    Attributes:
        exercises: numbers of those that count.
        student_files: paths in it of what students write.
        root: the copy of the course that it is graded with; "" for the checkout.
    """

    exercises: tuple[str, ...]
    student_files: tuple[str, ...]
    root: str = ""


def build_course(
    root: Path,
    out: Path,
    name: str = "fcos",
    *,
    notebooks: Sequence[str] = (),
    parts: Sequence[str] = (),
    own: Path | None = None,
) -> Assignment:
    """Write an assignment into a new course folder, or into one that was built here.

    The gradebook, submissions and other assignments of the folder stay.

    Args:
        root: checkout of the course.
        out: the folder.
        name: of the assignment.
        notebooks: how the names of its notebooks begin, "01"; all if empty.
        parts: of the course; the default ones if empty.
        own: folder of --course-dir; the course with it is kept in COPIES, from where
            submissions are graded.

    Raises:
        CourseError: `out` is something else, or a notebook does not fit the manifest.
    """
    out = out.resolve()
    settings = read_json(out / SETTINGS)
    if not is_free(out) and settings is None:
        raise CourseError(f"{out}: is no course folder of ours; give another --out")
    settings = settings or {"assignments": {}}
    with course_with(root, own) as course:
        release = make_release(course, parts=parts)
        files, exercises = _source_files(course, release, notebooks)
        out.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        kept = ""
        if own is not None:
            kept = str(out / COPIES / name)
            _replace(out, f"{COPIES}/{name}", lambda new: copy_course(root, own, new))
    assignment = Assignment(exercises, release.written, kept)
    _replace(out, f"source/{name}", lambda new: release_files.write_files(files, new))
    settings["checkout"] = str(Path(__file__).resolve().parents[2])
    settings["root"] = str(root.resolve())
    settings["assignments"][name] = asdict(assignment)
    write_json(out / SETTINGS, settings)
    if not (out / CONFIG).exists():
        write_atomically(out / CONFIG, CONFIG_TEXT)
    return assignment


def _replace(out: Path, name: str, write: Callable[[Path], object]) -> None:
    """Put a folder in the place of an earlier one, once it is complete.

    The earlier one, in which somebody may have worked, is kept if it is another.
    """
    old = out / name
    old.parent.mkdir(exist_ok=True)
    target = old.with_name(f".{old.name}.new")
    shutil.rmtree(target, ignore_errors=True)  # of a run that was killed
    with new_folder(target) as folder:
        write(folder)
    if old.exists() and is_same(old, target):
        shutil.rmtree(target)
        return
    if old.exists():
        kept = move_away(old, out / EARLIER / name / time.strftime("%Y-%m-%d-%H%M%S"))
        print(
            f"{shown(name)} is renewed; what was there is kept in "
            f"{shown(kept.relative_to(out).as_posix())}",
            file=sys.stderr,
        )
    target.rename(old)


def _source_files(
    root: Path, release: Release, beginnings: Sequence[str]
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Path in source/<assignment>/ -> content, and the exercises in its notebooks.

    Python files are stubs, since nbgrader hands them out as they are; notebooks have
    their model answers, which it cuts and keeps for the instructor.
    """
    whole = read_registry(root)
    tests = choose_exercises(
        read_manifest(root, whole), (), whole, release.registry.default_parts
    )
    points = points_by_exercise(tests)
    files: dict[str, bytes] = {}
    exercises: list[str] = []
    for path, content in release.files.items():
        short = path.removeprefix(FOLDER)
        if path == MAP:
            files[path] = move_map_links(content.decode()).encode()
        elif path == README:
            files[path] = move_readme_links(content.decode()).encode()
        elif not path.endswith(".ipynb"):
            files[path] = content
        elif short.startswith(tuple(beginnings) or ""):
            text = fit_notebook((root / path).read_text("utf-8"), whole, {})
            prepared = prepare_notebook(text, path, points)
            files[short] = prepared.text.encode()
            exercises += prepared.exercises
    del files[release_files.MANIFEST]  # its sums are of the notebooks of the release
    _check(exercises, points, beginnings)
    return files, tuple(exercises)


def _check(
    exercises: list[str], points: dict[str, float], beginnings: Sequence[str]
) -> None:
    for number in exercises:
        if exercises.count(number) > 1:
            raise CourseError(
                f"exercise {number} has two graded cells; remove one from notebooks/"
            )
    missing = [number for number in points if number not in exercises]
    if missing and not beginnings:
        raise CourseError(
            f'exercise {missing[0]} has tests but no check("{missing[0]}") in '
            "notebooks/; add that cell"
        )
    if not exercises:
        raise CourseError(
            f"no notebook that begins with {' or '.join(beginnings)} has an exercise"
        )


def read_assignment(folder: Path, name: str) -> Assignment:
    """What was built; `folder` is the course folder.

    Raises:
        CourseError: there is no such assignment.
    """
    try:
        found = json.loads((folder / SETTINGS).read_text("utf-8"))["assignments"][name]
    except (OSError, ValueError, KeyError):
        raise CourseError(
            f"{folder / SETTINGS}: has no assignment {name}; build it with "
            "python -m grader nbgrader"
        ) from None
    return Assignment(
        tuple(found["exercises"]),
        tuple(found["student_files"]),
        found.get("root", ""),
    )
