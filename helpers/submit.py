"""Pack your work for handing in: the files of assignment/, after all visible checks.

python -m helpers.submit             writes submission.zip beside assignment/
python -m helpers.submit --out F.zip

In a notebook: `from helpers.submit import submit, bring`. `submit()` does the same, and
`bring("submission.zip")` puts the files of such a zip back, on another machine.
"""

import io
import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    run_command,
)
from core.course import PACKAGE
from core.files import write_atomically
from helpers.checks.exercises import ROOT
from helpers.checks.reset import keep
from helpers.drive.copies import free_name, last_write

if TYPE_CHECKING:
    from helpers.checks.results import Report

NAME = "submission.zip"
# What the grader takes: modules of Python, of which none is larger than this.
MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}\.py")
MOST_BYTES = 1_000_000
DATE = (1980, 1, 1, 0, 0, 0)  # in the zip, so that the same work gives the same file


def pack(out: Path, root: Path = ROOT) -> tuple[list[str], Path | None]:
    """Write the zip that the grader takes; an earlier, other one is kept.

    Args:
        out: the zip.
        root: the folder that holds assignment/.

    Returns:
        Names of the packed files, and where an earlier zip of that name is kept.

    Raises:
        CourseError: there is nothing to pack, a file is too large or cannot be read,
            or the zip cannot be written.
    """
    folder = root / PACKAGE
    paths = sorted(path for path in folder.glob("*.py") if MODULE.fullmatch(path.name))
    packed = io.BytesIO()
    names = []
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            content = _read(path)
            if len(content) > MOST_BYTES:
                raise CourseError(
                    f"{path}: has {len(content):,} bytes, and the grader takes at most "
                    f"{MOST_BYTES:,}; take out what is no code"
                )
            names.append(path.name)
            entry = zipfile.ZipInfo(f"{PACKAGE}/{path.name}", DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    if not names:
        raise CourseError(f"{folder}: there is no Python file to hand in")
    kept = None
    try:
        if out.is_file() and out.read_bytes() != packed.getvalue():
            kept = out.rename(free_name(out, last_write(out)))
        write_atomically(out, packed.getvalue())
    except OSError as error:
        raise CourseError(
            f"{out}: cannot be written ({error.strerror}); free space, or give "
            "another --out"
        ) from error
    return names, kept


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror})") from error


def describe(reports: "list[Report]") -> list[str]:
    """What passes, what does not, and what is open."""
    from helpers.checks.results import PASS, WRONG

    wrong = [each.exercise.id for each in reports if each.status == WRONG]
    done = sum(each.status == PASS for each in reports)
    left = [each.exercise.id for each in reports if each.status not in (PASS, WRONG)]
    lines = [f"{done} of {len(reports)} exercises pass their visible checks."]
    if wrong:
        lines.append(f"Not right yet: {', '.join(wrong)}")
    if left:
        lines.append(f"Open: {', '.join(left)}")
    return lines


def hand_in(out: Path, device: str = "cpu", root: Path = ROOT) -> bool:
    """Check, pack, and say what is in the zip and what is open.

    Returns:
        Whether every exercise passes its visible checks.
    """
    from helpers.checks.results import PASS
    from helpers.checks.runner import CheckRun

    with CheckRun(device, root, quiet=True) as run:
        reports = [run.report(number) for number in run.exercises]
    names, kept = pack(out, root)
    print(*describe(reports), sep="\n")
    print(f"\nHand in this file: {out}")
    print(f"  in it: {', '.join(names)}")
    if kept is not None:
        print(f"  the one of before is kept as {kept}")
    print(
        "  Answers to the questions are in the notebooks; hand those in too, if your "
        "instructor asks for them."
    )
    return all(each.status == PASS for each in reports)


def submit(out: str | os.PathLike[str] = NAME) -> None:
    """For notebooks: check all exercises, and pack the zip to hand in.

    Args:
        out: the zip; a relative path counts from the folder of the course.
    """
    from helpers.checks.in_notebook import without_traceback
    from helpers.notebook import is_colab

    path = ROOT / out
    try:
        hand_in(path)
    except CourseError as error:
        raise without_traceback(error) from None
    if is_colab():
        import importlib

        importlib.import_module("google.colab.files").download(str(path))


def unpack(zip_path: Path, root: Path = ROOT) -> list[str]:
    """Put the files of a zip into assignment/; those that are replaced are kept.

    Args:
        zip_path: as `pack` wrote it; nothing else in it is taken.
        root: the folder that holds assignment/.

    Returns:
        A line for each file that changed.

    Raises:
        CourseError: it is no such zip, or a file cannot be written.
    """
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(zip_path) as archive:
            for entry in archive.infolist():
                folder, _, name = entry.filename.rpartition("/")
                is_ours = folder == PACKAGE and MODULE.fullmatch(name)
                if is_ours and entry.file_size <= MOST_BYTES:
                    with archive.open(entry) as file:
                        found[name] = file.read(MOST_BYTES + 1)[:MOST_BYTES]
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise CourseError(
            f"{zip_path}: cannot be read as a zip ({error}); give the file that "
            "submit() wrote"
        ) from error
    if not found:
        raise CourseError(f"{zip_path}: has no file of {PACKAGE}/; give another")
    lines = []
    for name, content in sorted(found.items()):
        path = root / PACKAGE / name
        is_there = path.is_file()
        if is_there and path.read_bytes() == content:
            continue
        said = f"{PACKAGE}/{name}: brought"
        if is_there:
            kept = keep(path.read_bytes(), name, root)
            said += f"; the one that was here is kept as {kept.relative_to(root)}"
        try:
            write_atomically(path, content)
        except OSError as error:
            raise CourseError(
                f"{path}: cannot be written ({error.strerror})"
            ) from error
        lines.append(said)
    return lines


def bring(zip_path: str | os.PathLike[str] | None = None) -> None:
    """For notebooks: bring the work that submit() packed on another machine.

    Args:
        zip_path: the zip; on Colab, without one, you choose it on your computer.
    """
    from helpers.checks.in_notebook import without_traceback
    from helpers.notebook import is_colab

    if zip_path is None and is_colab():
        import importlib

        uploaded = importlib.import_module("google.colab.files").upload()
        zip_path = next(iter(uploaded), None)
    try:
        if zip_path is None:
            raise CourseError('name the zip: bring("submission.zip")')
        lines = unpack(Path(zip_path))
    except CourseError as error:
        raise without_traceback(error) from None
    print(*(lines or ["Everything was here already."]), sep="\n")


def main() -> int:
    """Read the command line, check and pack."""
    parser = CommandParser(prog="python -m helpers.submit", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / NAME, help="the zip")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    passed = hand_in(options.out, options.device)
    return EXIT_OK if passed else EXIT_PARTLY_FAILED


if __name__ == "__main__":
    run_command(main)
