"""Which files a release is made of, and how it is written to disk."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.command import CourseError
from core.files import new_file

FOLDERS = ("assignment", "core", "helpers", "notebooks", "data_scripts")
SINGLE_FILES = (
    "course.toml",
    "environment.yml",
    "requirements.txt",
    "LICENSE",
    "CHANGELOG.md",
)
README = "grader/release/student_readme.md"
GITIGNORE = ".gitignore"
# What stays out of a student's git: data, runs, zips, copies and caches.
IGNORED = (
    "/data/",
    "/runs/",
    "/before_drive/",
    "/submission*.zip",
    "/.without_drive",
    ".venv/",
    "__pycache__/",
    ".ipynb_checkpoints/",
)
SUFFIXES = (
    ".py",
    ".md",
    ".ipynb",
    ".html",
    ".css",
    ".png",
    ".jpg",
    ".svg",
    ".json",
    ".txt",
    ".toml",
)
MANIFEST = "release.json"
GIT = ".git"
ZIP_TOP = "fcos-course"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
FILE_MODE = 0o100644


def tracked_files(root: Path) -> set[str] | None:
    """What git tracks in root; None where root is no checkout."""
    try:
        answer = subprocess.run(
            ["git", "ls-files", "-z", "--", "."],
            cwd=root,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    names = set(os.fsdecode(answer.stdout).split("\0")) - {""}
    return names if answer.returncode == 0 and names else None


def collect_files(root: Path) -> dict[str, bytes]:
    """Path in the release -> content as it stands in the source.

    In a checkout only what git tracks; elsewhere the files with a known ending.

    Raises:
        CourseError: a file is missing, unreadable or a link.
    """
    tracked = tracked_files(root)
    files = {}
    for folder in FOLDERS:
        for directory, names, leaves in os.walk(root / folder, followlinks=False):
            for name in sorted([*names, *leaves]):
                path = Path(directory, name)
                short = path.relative_to(root).as_posix()
                if _is_wanted(short, tracked) and not path.is_dir() | path.is_symlink():
                    files[short] = _read(root, short)
                elif path.is_symlink() and (tracked is None or short in tracked):
                    _read(root, short)
            names[:] = [name for name in names if not _is_cache(name)]
    for name in SINGLE_FILES:
        files[name] = _read(root, name)
    files["README.md"] = _read(root, README)
    files[GITIGNORE] = "".join(f"{line}\n" for line in IGNORED).encode()
    return files


def _is_cache(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _is_wanted(short: str, tracked: set[str] | None) -> bool:
    if any(_is_cache(part) for part in short.split("/")):
        return False
    return short in tracked if tracked is not None else short.endswith(SUFFIXES)


def _read(root: Path, short: str) -> bytes:
    path = root / short
    if path.is_symlink():
        raise CourseError(f"{path}: is a link; put the file itself there")
    try:
        return path.read_bytes()
    except OSError as error:
        raise CourseError(
            f"{path}: cannot read it ({error.strerror}); the release needs it"
        ) from error


def make_manifest(
    files: Mapping[str, bytes], parts: Sequence[str], solved: Sequence[str]
) -> bytes:
    """What a release says of itself.

    Args:
        files: path -> content; listed with their SHA-256, by which a later release
            knows this one.
        parts: whose exercises are asked for.
        solved: ids of the exercises that come with their solutions.
    """
    sums = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    content = {"parts": parts, "solved": solved, "student_release": sums}
    return (json.dumps(content, indent=1) + "\n").encode()


def earlier_names(folder: Path, zip_path: Path | None) -> set[str] | None:
    """Files of the release that will be replaced; None if there is none.

    Args:
        folder: of the release; a zip of the last release says it as well.
        zip_path: of the release.
    """
    texts = []
    with contextlib.suppress(OSError):
        texts.append((folder / MANIFEST).read_bytes())
    if zip_path is not None:
        with (
            contextlib.suppress(OSError, KeyError, zipfile.BadZipFile),
            zipfile.ZipFile(zip_path) as archive,
        ):
            texts.append(archive.read(f"{ZIP_TOP}/{MANIFEST}"))
    for text in texts:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return {str(name) for name in json.loads(text)["student_release"]}
    return None


def check_is_unchanged_release(folder: Path) -> None:
    """An earlier release may be replaced, if nobody has worked in it.

    Its `.git` does not count: that is how the folder is pushed to a public repository.

    Raises:
        CourseError: it is something else, or a file was changed, added or removed.
    """
    try:
        sums = json.loads((folder / MANIFEST).read_bytes())["student_release"]
        expected = {str(name): str(value) for name, value in sums.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CourseError(
            f"{folder}: exists already and is no student release; give another --out"
        ) from None
    present = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
    for name, path in sorted(present.items()):
        parts = name.split("/")
        if name == MANIFEST or parts[0] == GIT or "__pycache__" in parts:
            continue
        changed = path.is_symlink() or (
            hashlib.sha256(path.read_bytes()).hexdigest() != expected.get(name)
        )
        if changed:
            raise CourseError(
                f"{path}: is not as the release wrote it; give another --out, or "
                "move the file away"
            )


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write all files below an existing folder."""
    for name, content in sorted(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def replace_release(old: Path, new: Path) -> None:
    """Put the release `new` in the place of `old`, which keeps its `.git`.

    Of a run that is killed in the middle, `finish_replacement` finds all again.
    """
    aside = _aside(old)
    if aside.exists():
        raise CourseError(f"{aside}: is left of an interrupted run; look, remove it")
    old.rename(aside)
    new.rename(old)
    if (aside / GIT).exists():
        (aside / GIT).rename(old / GIT)
    shutil.rmtree(aside)


def finish_replacement(old: Path, new: Path) -> None:
    """Bring back what a killed `replace_release` has left under other names.

    Args:
        old: the release.
        new: where the next one is written first; one that is complete makes room.

    Raises:
        CourseError: somebody has worked in `new`.
    """
    aside = _aside(old)
    if aside.exists() and not old.exists():
        aside.rename(old)
    for left in (aside, new):
        if old.exists() and (left / GIT).exists() and not (old / GIT).exists():
            (left / GIT).rename(old / GIT)
    if new.exists():
        check_is_unchanged_release(new)
        if not (new / GIT).exists():
            shutil.rmtree(new)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def write_zip(files: Mapping[str, bytes], path: Path) -> None:
    """A zip with the same bytes for the same files, complete or not at all.

    Raises:
        CourseError: something else is at `path`, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            new_file(path) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name in sorted(files):
                entry = zipfile.ZipInfo(f"{ZIP_TOP}/{name}", ZIP_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3  # Unix, wherever it is made
                entry.external_attr = FILE_MODE << 16
                archive.writestr(entry, files[name])
    except OSError as error:
        raise CourseError(
            f"{path}: cannot write ({error.strerror}); choose another --zip"
        ) from error


def check_zip_is_free(
    path: Path,
    member: str = f"{ZIP_TOP}/{MANIFEST}",
    what: str = "student release; give another --zip",
) -> None:
    """Only an earlier zip of the same kind may be replaced.

    Args:
        path: of the zip.
        member: a file that is in each of them.
        what: what they are, and what to do if it is something else.

    Raises:
        CourseError: something else is there.
    """
    if not path.exists() and not path.is_symlink():
        return
    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo(member)
    except (OSError, KeyError, zipfile.BadZipFile):
        raise CourseError(f"{path}: exists already and is no {what}") from None
