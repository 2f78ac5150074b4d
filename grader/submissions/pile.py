"""A folder that was given: is it one submission, or a pile of them?"""

import os
import sys
from pathlib import Path

from core.course import read_registry
from grader.submissions.intake import ARCHIVES, FOLDER, MODULE
from grader.submissions.names import listed, shown

# What systems and tools leave in folders by themselves; nobody hands it in.
LEFT_OUT = frozenset(
    {
        ".ds_store",
        "__macosx",
        ".localized",
        ".spotlight-v100",
        ".trashes",
        ".fseventsd",
        ".temporaryitems",
        ".apdisk",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        ".directory",
        "lost+found",
        ".git",
        ".gitignore",
        ".gitattributes",
        ".gitkeep",
        "__pycache__",
        ".ipynb_checkpoints",
        ".pytest_cache",
        ".ruff_cache",
        ".mypy_cache",
        ".idea",
        ".vscode",
    }
)
LEFT_OUT_STARTS = ("._", ".~lock.", ".nfs")  # macOS, LibreOffice, network drives
# What a student's folder of the course, or of the original assignment, has beside
# assignment/ or its Python files.
OF_COURSE = frozenset(
    {
        "assignment",
        "core",
        "data_scripts",
        "helpers",
        "notebooks",
        "runs",
        "data",
        "build",
        "docs",
        ".venv",
        ".github",
        "eecs598",
        "datasets",
    }
)
# A file of the original assignment that the course does not have.
OF_ORIGINAL = "two_stage_detector.py"


def files_of_assignment() -> set[str]:
    """Of the course and of the original; other Python files alone are of several."""
    return {OF_ORIGINAL, *(f"{name}.py" for name in read_registry().modules)}


def is_left_out(name: str) -> bool:
    """Whether an entry of a pile is none of a student."""
    return name.lower() in LEFT_OUT or name.startswith(LEFT_OUT_STARTS)


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted, without what systems leave there.

    Raises:
        OSError: the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if not is_left_out(entry.name)]
    return sorted(found, key=lambda entry: entry.name)


def is_one(folder: Path, out: Path | None = None) -> bool:
    """Whether the folder itself is a submission; says so, unless nothing speaks for it.

    It must hold assignment/ or Python files of it, and nothing that could be somebody
    else's: another folder, an archive, a link. A pile in which people handed in single
    Python files is a pile.

    Args:
        folder: that was given.
        out: absolute path of the folder of results, which is nobody's.
    """
    entries = [entry for entry in entries_of(folder) if Path(entry.path) != out]
    own = [entry.name for entry in entries if _is_code(entry)]
    if not own:
        return False
    others = [entry.name for entry in entries if _may_be_of_another(entry)]
    is_named = FOLDER in own or not files_of_assignment().isdisjoint(own)
    sentence = f"{shown(str(folder))}: is taken for "
    if others:
        sentence += (
            f"a folder of submissions, since it holds {listed(others)} beside "
            f"{listed(own)}; if it is one submission, give a zip of it"
        )
    elif is_named:
        sentence += f"one submission, since it holds {listed(own)}"
    else:
        sentence += (
            f"a folder of submissions, since {listed(own)} has no name of the "
            "assignment's files; if it is one submission, give a zip of it"
        )
    print(sentence, file=sys.stderr)
    return is_named and not others


def _is_code(entry: os.DirEntry[str]) -> bool:
    is_file = entry.is_file(follow_symlinks=False)
    return entry.name == FOLDER or (is_file and bool(MODULE.fullmatch(entry.name)))


def _may_be_of_another(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return entry.name not in OF_COURSE
    if entry.name == FOLDER:  # a link, say, which is refused by its name
        return False
    is_file = entry.is_file(follow_symlinks=False)
    return not is_file or entry.name.lower().endswith(ARCHIVES)
