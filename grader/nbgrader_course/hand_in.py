"""Read one hand-in for nbgrader: the assignment's notebooks and assignment/*.py."""

import json
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import nbformat

from grader.submissions.intake import FOLDER, MOST_ENTRIES, take
from grader.submissions.intake_zip import IntakeError, read_zip
from grader.submissions.pile import is_left_out

MOST_NOTEBOOK_BYTES = 20_000_000  # of one, with the pictures of its outputs
MOST_NOTEBOOK_BYTES_TOGETHER = 60_000_000
MOST_CELLS, MOST_OUTPUTS = 1_000, 5_000  # the course's notebooks have some 45 cells
MOST_NAMED = 3  # notebooks that a message names
DEEPEST = 1  # folders above a notebook: often the zip holds one folder


@dataclass(frozen=True)
class HandIn:
    """What is kept of a hand-in.

    Attributes:
        files: "01_backbone.ipynb" and "assignment/common.py" -> content.
        missing: notebooks of the assignment that are not in it.
        left_out: names of the other files; may be anything.
    """

    files: Mapping[str, bytes]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]


class _File(Protocol):
    """A file in a zip or in a folder."""

    @property
    def name(self) -> str:
        """Its path there."""

    @property
    def is_link(self) -> bool:
        """Whether it leads to another file."""

    def read(self, most: int) -> bytes:
        """At most so many bytes."""


@dataclass(frozen=True)
class _FolderFile:
    name: str
    path: Path

    @property
    def is_link(self) -> bool:
        return self.path.is_symlink()

    def read(self, most: int) -> bytes:
        """Not followed if it is a link, not waited for if it is a pipe."""
        flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        handle = os.open(self.path, os.O_RDONLY | flags)
        with open(handle, "rb") as file:  # noqa: PTH123 - of a descriptor
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise IntakeError(f"{self.name} is no file; hand in a notebook")
            return file.read(most)


def read_hand_in(path: Path, notebooks: Collection[str]) -> HandIn:
    """Read a zip or a folder with the limits of every hand-in.

    Args:
        path: it; whose it is says its own name, and nothing that is in it.
        notebooks: names of the notebooks of the assignment.

    Raises:
        IntakeError: a link, a trick of a zip, too much, or no notebook.
        OSError: it cannot be read.
    """
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        path = _only_zip(path)
        mode = path.lstat().st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise IntakeError(f"{path.name} is a link or no file; hand in a zip")
    is_folder = stat.S_ISDIR(mode)
    entries: list[_File] = [
        *(_list(path) if is_folder else read_zip(path, MOST_ENTRIES))
    ]
    wanted = _find_notebooks(entries, notebooks)
    files = _read_notebooks(wanted)
    if any(entry.name.endswith(".py") for entry in entries):
        code = take(path).files
        files |= {f"{FOLDER}/{name}": content for name, content in code.items()}
    missing = tuple(sorted(set(notebooks) - set(files)))
    used = {entry.name for entry in wanted.values()}
    left_out = tuple(
        entry.name
        for entry in entries
        if entry.name not in used and not _is_code(entry.name, files)
    )
    return HandIn(files, missing, left_out)


def _is_code(name: str, files: Mapping[str, bytes]) -> bool:
    return f"{FOLDER}/{name.rpartition('/')[2]}" in files


def _only_zip(folder: Path) -> Path:
    """Platforms put a student's zip into a folder of that student, and a page, too."""
    with os.scandir(folder) as entries:
        found = list(islice(entries, MOST_ENTRIES))
    found = [path for path in found if not is_left_out(path.name)]
    zips = [path.name for path in found if path.name.lower().endswith(".zip")]
    has_own = any(
        path.is_dir() or path.name.endswith((".ipynb", ".py")) for path in found
    )
    return folder / zips[0] if len(zips) == 1 and not has_own else folder


def _list(folder: Path) -> list[_File]:
    """All files of a folder; what is behind a link is not listed, the link is."""
    found: list[_File] = []
    for top, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(top) / name).is_symlink()]
        for name in [*names, *links]:
            path = Path(top) / name
            found.append(_FolderFile(path.relative_to(folder).as_posix(), path))
        if len(found) > MOST_ENTRIES:
            raise IntakeError(f"there are more than {MOST_ENTRIES} files; remove some")
    return found


def _find_notebooks(
    entries: list[_File], notebooks: Collection[str]
) -> dict[str, _File]:
    wanted: dict[str, _File] = {}
    for entry in entries:
        name = entry.name.rpartition("/")[2]
        if name not in notebooks or entry.name.count("/") > DEEPEST:
            continue
        if name in wanted:
            raise IntakeError(f"{name} is in it twice; hand in one of them")
        if entry.is_link:
            raise IntakeError(f"{name} is a link; hand in the file itself")
        wanted[name] = entry
    if not wanted:
        expected = ", ".join(sorted(notebooks)[:MOST_NAMED])
        raise IntakeError(f"there is no notebook of the assignment in it ({expected})")
    return wanted


def _read_notebooks(wanted: Mapping[str, _File]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name in sorted(wanted):
        files[name] = wanted[name].read(MOST_NOTEBOOK_BYTES + 1)
        if len(files[name]) > MOST_NOTEBOOK_BYTES:
            raise IntakeError(
                f"{name} is larger than {MOST_NOTEBOOK_BYTES} bytes; clear its outputs"
            )
        if sum(map(len, files.values())) > MOST_NOTEBOOK_BYTES_TOGETHER:
            raise IntakeError(
                f"the notebooks are larger than {MOST_NOTEBOOK_BYTES_TOGETHER} bytes "
                "together; clear their outputs"
            )
        _check_notebook(name, files[name])
    return files


def _check_counts(name: str, content: bytes) -> None:
    """Refuse what nbformat would check for hours, one cell or output after another."""
    try:
        cells = json.loads(content)["cells"]
        outputs = sum(len(cell.get("outputs", ())) for cell in cells)
    except Exception:  # noqa: BLE001 - what is wrong with it is said below
        return
    if len(cells) > MOST_CELLS or outputs > MOST_OUTPUTS:
        raise IntakeError(
            f"{name} has {len(cells)} cells and {outputs} outputs, at most "
            f"{MOST_CELLS} and {MOST_OUTPUTS} are read; clear its outputs"
        )


def _check_notebook(name: str, content: bytes) -> None:
    """Refuse what nbgrader could not read; what is odd in it is repaired later."""
    _check_counts(name, content)
    try:
        notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
        kinds = [(cell.cell_type, cell.source + "") for cell in notebook.cells]
        nbformat.v4.writes(notebook).encode("utf-8")  # half a character cannot be
    except Exception as error:  # whatever JSON can do to nbformat
        raise IntakeError(
            f"{name} is no notebook that can be read; save it in Jupyter and hand it "
            "in again"
        ) from error
    if not kinds:
        raise IntakeError(f"{name} has no cell; hand in the one you worked in")
