"""Parts of the course, and an instructor's own exercises beside ours.

An instructor's folder looks like the course: course.toml says what is dropped, weighed
anew and added, and assignment/, grader_tests/, helpers/checks/ and notebooks/ hold the
added files. It is laid over a copy of the course; no file of ours is edited.
"""

import argparse
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from core.command import CourseError
from core.course import FILE, make_registry, read_registry
from core.course_text import course_text
from grader.release.release_files import FOLDERS, README, SINGLE_FILES, tracked_files

COPIED = (*FOLDERS, "grader", "grader_tests")
OWN_FOLDERS = ("assignment", "grader_tests", "helpers", "notebooks")
NAMED = "grader_tests/courses"  # a folder each, see --course
CACHES = ("__pycache__", ".ipynb_checkpoints")


def add_course_options(
    parser: argparse.ArgumentParser, root: Path | None = None
) -> None:
    """Add --parts and --course-dir to a sub-command.

    Args:
        parser: of the sub-command.
        root: the checkout, where --course makes sense, too: for what is handed in.
    """
    parser.add_argument(
        "--parts",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"parts of the course (default: default_parts of {FILE})",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--course-dir",
        type=Path,
        metavar="DIR",
        help="folder with exercises of your own, and what you drop or weigh anew; "
        "docs/own-exercises.md",
    )
    if root is not None:
        add_named_course(group, root)


def add_named_course(parser: argparse._ActionsContainer, root: Path) -> None:
    """Add --course, whose folder is found as that of --course-dir is."""
    parser.add_argument(
        "--course",
        dest="course_dir",
        type=partial(_named_course, root),
        metavar="NAME",
        help="hand-ins of another course, graded by what its handout asks for: "
        f"{', '.join(course_names(root))}",
    )


def course_names(root: Path) -> list[str]:
    """The other courses whose hand-ins can be graded."""
    return sorted(path.parent.name for path in (root / NAMED).glob(f"*/{FILE}"))


def _named_course(root: Path, name: str) -> Path:
    """Its folder, as --course-dir takes it."""
    if name not in course_names(root):
        raise argparse.ArgumentTypeError(
            f"there is no course {name!r}; choose {', '.join(course_names(root))}"
        )
    return root / NAMED / name


@contextmanager
def course_with(root: Path, own: Path | None) -> Iterator[Path]:
    """The checkout, or for a while a copy of it with an instructor's folder laid over.

    Args:
        root: the checkout.
        own: the folder of --course-dir, if there is one.

    Raises:
        CourseError: the folder does not fit the course.
    """
    if own is None:
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="fcos-course-") as name:
        yield copy_course(root, own, Path(name) / "course")


def copy_course(root: Path, own: Path, out: Path) -> Path:
    """Write such a copy into a new folder, and return it."""
    registry = make_registry([_read(root), _read(own)], str(own / FILE))
    tracked = tracked_files(root)
    for short in _files(root, (*COPIED, *SINGLE_FILES, README)):
        if tracked is None or short in tracked:
            _copy(root / short, out / short)
    for short in _files(own, OWN_FOLDERS):
        if (out / short).exists():
            raise CourseError(
                f"{own / short}: the course has a file of this name; give yours another"
            )
        _copy(own / short, out / short)
    (out / FILE).write_text(course_text(registry), "utf-8")
    read_registry(out)
    return out


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(
            f"{path}: cannot read it ({error}); --course-dir is a folder with such a "
            "file"
        ) from error


def _files(root: Path, names: tuple[str, ...]) -> list[str]:
    """Paths of the files with these names, or below the folders of these names."""
    found = []
    for name in names:
        path = root / name
        found += [path, *path.rglob("*")] if path.is_dir() else [path]
    return [
        path.relative_to(root).as_posix()
        for path in sorted(set(found))
        if not path.is_dir() and not set(CACHES) & set(path.parts) and path.exists()
    ]


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink():
        raise CourseError(f"{source}: is a link; put the file itself there")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
