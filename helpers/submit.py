"""Pack your work for handing in: the files of assignment/, after all visible checks.

python -m helpers.submit             writes submission.zip beside assignment/
python -m helpers.submit --out F.zip

In a notebook: `from helpers.submit import submit, bring`. `submit()` does the same, and
`bring("submission.zip")` puts the files of such a zip back, on another machine.
"""

import contextlib
import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    run_command,
)
from core.course import PACKAGE, read_registry
from core.files import write_atomically
from helpers.checks.exercises import ROOT
from helpers.checks.reset import (
    keep,
    read_stubs,
    replace_unchanged,
    with_written,
)
from helpers.drive.copies import CACHES, keep_other

if TYPE_CHECKING:
    from helpers.checks.results import Report

NAME = "submission.zip"
# What the grader takes: so many modules of Python, none larger than this.
MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}\.py")
MOST_BYTES = 1_000_000
MOST_FILES, MOST_BYTES_TOGETHER = 100, 5_000_000
# What the libraries raise for a zip that is none, damaged, encrypted or unusual.
UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
MOST_NAMED = 8  # of files that stay behind
DATE = (1980, 1, 1, 0, 0, 0)  # in the zip, so that the same work gives the same file


def pack(out: Path, root: Path = ROOT) -> tuple[list[str], Path | None]:
    """Write the zip that the grader takes; an earlier, other one is kept.

    Args:
        out: the zip.
        root: the folder that holds assignment/.

    Returns:
        Names of the packed files, and where an earlier zip of that name is kept.

    Raises:
        CourseError: there is nothing to pack, the grader would not take it, a file
            cannot be read, or the zip cannot be written.
    """
    _check_name(out)
    folder = root / PACKAGE
    paths = [path for path in sorted(folder.glob("*.py")) if path.is_file()]
    contents = {path.name: _read(path) for path in paths if MODULE.fullmatch(path.name)}
    _check_contents(contents, folder)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(f"{PACKAGE}/{name}", DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    try:
        kept = keep_other(out, packed.getvalue())
        write_atomically(out, packed.getvalue())
    except OSError as error:
        raise CourseError(
            f"{out}: cannot be written ({error.strerror}); free space, or give "
            "another --out"
        ) from error
    return list(contents), kept


def _check_name(out: Path) -> None:
    if out.is_dir():
        raise CourseError(f"{out}: is a folder; name the zip to write")
    if out.suffix.lower() != ".zip":
        raise CourseError(f"{out}: is no name of a zip; let it end in .zip")


def _check_contents(contents: Mapping[str, bytes], folder: Path) -> None:
    """Raise a CourseError for what the grader would refuse."""
    if not contents:
        raise CourseError(f"{folder}: there is no Python file to hand in")
    if len(contents) > MOST_FILES:
        raise CourseError(
            f"{folder}: has {len(contents)} Python files, and the grader takes at most "
            f"{MOST_FILES}; take out what is not yours"
        )
    lower: dict[str, str] = {}
    for name, content in contents.items():
        other = lower.setdefault(name.lower(), name)
        if other != name:
            raise CourseError(
                f"{folder}: {other} and {name} differ in capitals only, and the grader "
                "takes neither then; rename or remove one"
            )
        if len(content) > MOST_BYTES:
            raise CourseError(
                f"{folder / name}: has {len(content):,} bytes, and the grader takes at "
                f"most {MOST_BYTES:,}; take out what is no code"
            )
    if (total := sum(map(len, contents.values()))) > MOST_BYTES_TOGETHER:
        raise CourseError(
            f"{folder}: its Python files have {total:,} bytes together, and the grader "
            f"takes at most {MOST_BYTES_TOGETHER:,}; take out what is no code"
        )


def left_out(root: Path = ROOT) -> list[str]:
    """Python files of assignment/ that the grader does not look at."""
    folder = root / PACKAGE
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*.py"))]
    return [
        f"{PACKAGE}/{path.as_posix()}"
        for path in paths
        if not MODULE.fullmatch(path.as_posix()) and not {*CACHES} & {*path.parts}
    ]


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
    """Pack, check, and say what is in the zip and what is open.

    The zip comes first, so that it is there whatever becomes of the checks.

    Returns:
        Whether every exercise passes its visible checks.
    """
    from helpers.checks.results import PASS
    from helpers.checks.runner import CheckRun

    names, kept = pack(out, root)
    with CheckRun(device, root, quiet=True) as run:
        reports = [run.report(number) for number in run.exercises]
    print(*describe(reports), sep="\n")
    print(f"\nHand in this file: {out}")
    print(f"  in it: {', '.join(names)}")
    if others := left_out(root):
        print(f"  not in it: {', '.join(others)}; the grader takes files like nms.py")
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

    A function that the zip has not written, and that is written here, stays.

    Args:
        zip_path: as `pack` wrote it; nothing else in it is taken.
        root: the folder that holds assignment/.

    Returns:
        A line for each file that changed, and one for all that was not taken.

    Raises:
        CourseError: it is no such zip, or a file cannot be written.
    """
    found, others = _read_zip(zip_path)
    changed: dict[str, bytes | None] = {}  # name -> what is here
    kept, stayed = {}, {}
    for name in sorted(found):
        path = root / PACKAGE / name
        before = _read(path) if path.is_file() else None
        found[name], stayed[name] = _with_written(found[name], before, name, root)
        content = found[name]
        if before != content:
            changed[name] = before
        if before is not None and before != content:
            kept[name] = keep(before, name, root)
    lines: list[str] = []
    for name, before in changed.items():
        path = root / PACKAGE / name
        try:
            replace_unchanged(path, before, found[name])
        except CourseError as error:
            raise CourseError("; ".join([str(error), *lines])) from error
        except OSError as error:
            raise CourseError(
                "; ".join([f"{path}: cannot be written ({error.strerror})", *lines])
            ) from error
        said = f"{PACKAGE}/{name}: brought"
        if stayed[name]:
            said += f", with the {', '.join(stayed[name])} that was here"
        if name in kept:
            where = kept[name].relative_to(root)
            said += f"; the one that was here is kept as {where}"
        lines.append(said)
    if others:
        more = f" and {len(others) - MOST_NAMED} more" if others[MOST_NAMED:] else ""
        named = ", ".join(others[:MOST_NAMED]) + more
        lines.append("not brought: " + "".join(filter(str.isprintable, named)))
    return lines


def _with_written(
    brought: bytes, here: bytes | None, file: str, root: Path
) -> tuple[bytes, list[str]]:
    """A brought file with what only the one here has written; and these functions."""
    stubs = read_stubs(root)
    exercises = [
        (exercise.id, exercise.function)
        for exercise in read_registry(root).exercises.values()
        if exercise.file == file and exercise.id in stubs
    ]
    with contextlib.suppress(UnicodeDecodeError):
        if here is not None and exercises:
            new, mine = brought.decode("utf-8"), here.decode("utf-8")
            text, stayed = with_written(new, mine, exercises, stubs)
            if stayed and "\r\n" in new:
                text = text.replace("\n", "\r\n")
            return (text.encode() if stayed else brought), stayed
    return brought, []


def _read_zip(path: Path) -> tuple[dict[str, bytes], list[str]]:
    """The modules of assignment/ in a zip, and the names of all other files."""
    found: dict[str, bytes] = {}
    others: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                folder, _, name = entry.filename.rpartition("/")
                if folder == PACKAGE and MODULE.fullmatch(name):
                    with archive.open(entry) as file:
                        content = file.read(MOST_BYTES + 1)
                    if name in found:
                        raise CourseError(
                            f"{path}: {entry.filename} is in it twice; give the file "
                            "that submit() wrote"
                        )
                    if len(content) <= MOST_BYTES:
                        found[name] = content
                        continue
                    others.append(
                        f"{entry.filename} (larger than {MOST_BYTES:,} bytes)"
                    )
                elif not entry.is_dir():
                    others.append(entry.filename)
    except FileNotFoundError as error:
        raise CourseError(
            f"{path}: is not there; give the file that submit() wrote"
        ) from error
    except UNREADABLE as error:
        raise CourseError(
            f"{path}: cannot be read as a zip ({error}); give the file that "
            "submit() wrote"
        ) from error
    if not found:
        raise CourseError(f"{path}: has no file of {PACKAGE}/; give another")
    return found, others


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
