"""Take what a student handed in: only the Python files of assignment/, copied."""

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from pathlib import Path

from grader.submissions.intake_zip import (
    IntakeError,
    open_regular,
    read_zip,
    unreadable,
)
from grader.submissions.names import first_names, listed, shown

FOLDER = "assignment"
MOST_FILES = 100  # Python files; the course has seven
MOST_BYTES = 1_000_000  # of one of them
MOST_BYTES_TOGETHER = 5_000_000
MOST_ENTRIES = 20_000  # names that are looked at, wanted or not
MOST_DEPTH = 4  # folders in each other, in which files are looked for
ARCHIVES = (
    ".zip",
    ".tar",
    ".gz",
    ".tgz",
    ".bz2",
    ".tbz2",
    ".xz",
    ".txz",
    ".zst",
    ".lzma",
    ".z",
    ".lz4",
    ".7z",
    ".rar",
    ".ace",
    ".arj",
    ".cab",
    ".iso",
    ".dmg",
    ".jar",
)
MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}\.py")


class NoCodeError(IntakeError):
    """There is no Python file at all: nothing to grade, and no trick."""


@dataclass(frozen=True)
class Taken:
    """What is graded of a submission.

    Attributes:
        files: "common.py" -> content.
        ignored: number of files beside them.
        others: names of what came, see first_names.
    """

    files: Mapping[str, bytes]
    ignored: int
    others: Sequence[str] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents."""
        return digest_files(self.files)


def digest_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for name in sorted(files):
        content = hashlib.sha256(files[name]).hexdigest()
        total.update(f"{name}\0{content}\n".encode())
    return total.hexdigest()


def take(path: Path, wanted: Collection[str] = ()) -> Taken:
    """The Python files of a submission, read with limits.

    Args:
        wanted: names of the assignment's files, ("common.py", ...). Where the usual
            places have none of them, or are several, as in the folder of all of a
            term's work, the one folder that has any is taken.

    Raises:
        IntakeError: a link, a trick of a zip, too much, no Python file, or whatever
            else is odd about it; one sentence for its author.
    """
    try:
        taken = _take(path, frozenset(wanted))
    except IntakeError as error:
        raise IntakeError(shown(str(error))) from error
    except OSError as error:
        raise unreadable(error) from error
    except Exception as error:  # what one hand-in does concerns no other
        raise IntakeError(
            f"the submission cannot be read ({type(error).__name__}); pack it anew as "
            "a plain zip"
        ) from error
    if not taken.files:
        came = f", only {listed(list(taken.others))}" if taken.others else ""
        raise NoCodeError(
            "there is no assignment/*.py in the submission, at its top or in one "
            f"folder of it{came}; hand in the folder assignment with your files"
        )
    return taken


def _take(path: Path, wanted: frozenset[str]) -> Taken:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise IntakeError("the submission is a link; hand in the files themselves")
    if stat.S_ISDIR(mode):
        return _take_folder(path, wanted)
    if not stat.S_ISREG(mode):
        raise IntakeError(
            "the submission is neither a file nor a folder; hand in a zip of assignment"
        )
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return _take_zip(path, wanted)
    if suffix == ".py":
        raise IntakeError(
            "a Python file alone is no submission; hand in the folder assignment with "
            "your files, or a zip of it"
        )
    if suffix in ARCHIVES:
        raise IntakeError(
            "no archive but a .zip is read; hand in a zip of the folder assignment"
        )
    raise IntakeError(
        "the submission is neither a folder nor a zip; hand in the folder assignment "
        "with your files, or a zip of it"
    )


def _take_folder(path: Path, wanted: frozenset[str]) -> Taken:
    entries = _list(_code_folder(path, wanted))
    zips = [name for name in entries if name.lower().endswith(".zip")]
    zips = [name for name in zips if not name.startswith("._")]  # of macOS
    if len(zips) == 1 and not any(name.endswith(".py") for name in entries):
        # platforms put it into a student's folder
        return _take_zip(entries[zips[0]], wanted)
    names = [name for name in entries if MODULE.fullmatch(name)]
    check_names(names)
    files: dict[str, bytes] = {}
    for name in sorted(names):
        files[name] = _read(entries[name])
        check_sizes(files)
    return Taken(files, len(entries) - len(files), first_names(entries))


def _list(folder: Path) -> dict[str, Path]:
    with os.scandir(folder) as entries:
        found = {
            entry.name: Path(entry.path) for entry in islice(entries, MOST_ENTRIES)
        }
        if next(entries, None):
            raise IntakeError(f"there are more than {MOST_ENTRIES} files; remove some")
    return found


def _code_folder(path: Path, wanted: frozenset[str]) -> Path:
    """assignment/, the top, or the same in one more folder; as in a zip."""
    entries = _list(path)
    folders = [entry for _, entry in sorted(entries.items()) if entry.is_dir()]
    found = [folder for folder in folders if folder.name.lower() == FOLDER]
    if not found:
        found = [folder / FOLDER for folder in folders if (folder / FOLDER).is_dir()]
    if not found:
        found = [path]
        if not any(map(MODULE.fullmatch, entries)):
            own = [folder for folder in folders if not folder.is_symlink()]
            own = [folder for folder in own if not _is_of_tool(folder.name)]
            has_code = [any(map(MODULE.fullmatch, _list(folder))) for folder in own]
            found = list(compress(own, has_code))
        if wanted and (len(found) != 1 or wanted.isdisjoint(_list(found[0]))):
            whole = _folder_with(wanted, _names_below(path))
            found = found if whole is None else [path / whole]
    if len(found) > 1:
        raise IntakeError(
            f"there are Python files in {len(found)} folders; hand in one folder "
            "assignment"
        )
    for folder in found:
        for part in (folder.parent, folder):
            if part != path and part.is_symlink():
                raise IntakeError(
                    f"{part.name} is a link; hand in the files themselves"
                )
    return found[0] if found else path


def _folder_with(wanted: frozenset[str], names: Iterable[str]) -> str | None:
    """The one folder that holds any of these files, "" for the top; None if none does.

    Args:
        names: paths of files, with "/" between folders.

    Raises:
        IntakeError: several hold some, and nothing says which is meant.
    """
    found: dict[str, set[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        near = folder.count("/") < MOST_DEPTH and not _is_of_tool(folder)
        if near and file in wanted:
            found.setdefault(folder, set()).add(file)
    if len(found) > 1:
        files = sorted(set().union(*found.values()))
        raise IntakeError(
            f"files of the assignment ({listed(files)}) are in {len(found)} folders, "
            f"{listed(first_names(found))}; hand in one folder assignment"
        )
    return next(iter(found), None)


def _is_of_tool(folder: str) -> bool:
    """Whether it is in .ipynb_checkpoints or the like: copies that nobody means."""
    return any(part.startswith((".", "__MACOSX")) for part in folder.split("/"))


def _names_below(path: Path) -> list[str]:
    """Of the files in a folder and in those in it; none if there are too many.

    Links are not followed.
    """
    names: list[str] = []
    left = MOST_ENTRIES
    for root, folders, files in os.walk(path):
        place = Path(root).relative_to(path)
        left -= len(folders) + len(files)
        if left < 0:
            return []
        if len(place.parts) == MOST_DEPTH:
            folders.clear()
        names += [(place / name).as_posix() for name in files]
    return names


def _read(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read(MOST_BYTES + 1)


def _take_zip(path: Path, wanted: frozenset[str]) -> Taken:
    members = read_zip(path, MOST_ENTRIES)
    prefix = _prefix([member.name for member in members], wanted)
    chosen = {}
    for member in members:
        name = member.name.removeprefix(prefix)
        if member.name.startswith(prefix) and MODULE.fullmatch(name):
            if name in chosen:
                raise IntakeError(f"{name} is in the zip twice; pack it anew")
            if member.is_link:
                raise IntakeError(f"{name} is a link; hand in the file itself")
            chosen[name] = member
    check_names(list(chosen))
    files: dict[str, bytes] = {}
    for name in sorted(chosen):
        files[name] = chosen[name].read(MOST_BYTES + 1)
        check_sizes(files)
    came = first_names(member.name for member in members)
    return Taken(files, len(members) - len(files), came)


def _prefix(names: list[str], wanted: frozenset[str]) -> str:
    """Where the files are: assignment/, the top, or the same in one more folder."""
    folders = {name.rpartition("/")[0] for name in names if name.endswith(".py")}
    folders -= {name for name in folders if _is_of_tool(name)}
    inner = {folder for folder in folders if folder.split("/")[-1].lower() == FOLDER}
    fits = _highest(inner)
    if not fits:
        fits = _highest(folders)
        own = {name for name in names if name.rpartition("/")[0] in fits}
        own = {name.rpartition("/")[2] for name in own}
        if wanted and (len(fits) != 1 or wanted.isdisjoint(own)):
            whole = _folder_with(wanted, names)
            fits = fits if whole is None else [whole]
    if len(fits) > 1:
        raise IntakeError(
            f"the zip has Python files in {len(fits)} folders; hand in one "
            "folder assignment"
        )
    return f"{fits[0]}/" if fits and fits[0] else ""


def _highest(folders: Iterable[str]) -> list[str]:
    """Those at the top, or else in one folder, or else in one more."""
    depths = {name: name.count("/") + 1 if name else 0 for name in folders}
    for depth in (0, 1, 2):
        fits = sorted(name for name, own in depths.items() if own == depth)
        if fits:
            return fits
    return []


def check_names(names: Sequence[str]) -> None:
    """Raise an IntakeError for too many files, or two that differ in case only."""
    if len(names) > MOST_FILES:
        raise IntakeError(
            f"there are {len(names)} Python files, at most {MOST_FILES} are taken; "
            "remove some"
        )
    lower = [name.lower() for name in names]
    for name in names:
        if lower.count(name.lower()) > 1:
            raise IntakeError(
                f"two files are called {name} but for capitals; rename one of them"
            )


def check_sizes(files: Mapping[str, bytes]) -> None:
    """Raise an IntakeError for a file, or all together, that is too large."""
    for name, content in files.items():
        if len(content) > MOST_BYTES:
            raise IntakeError(f"{name} is larger than {MOST_BYTES} bytes; make it less")
    if sum(map(len, files.values())) > MOST_BYTES_TOGETHER:
        raise IntakeError(
            f"the Python files are larger than {MOST_BYTES_TOGETHER} bytes together; "
            "make them less"
        )


def copy_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files into a new folder that only this user can enter.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            error.filename = str(folder / name)  # a full disk does not say where
            raise
