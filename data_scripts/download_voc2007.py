"""Fetch PASCAL VOC 2007 trainval (460 MB) with GNU wget; run it again to go on.

Whatever interrupts it, the next run continues; VOCdevkit appears only when complete.
Killed at half of the archive, the next run asks for the other half and no more
(tests/test_download_voc2007.py looks at what the server was asked).
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from core.command import (
    EXIT_OK,
    CommandParser,
    CourseError,
    make_out_folder,
    run_command,
)
from core.files import is_free, locked_folder
from data_scripts.voc_archive import (
    DEVKIT,
    INSIDE,
    VOC2007_TRAINVAL,
    Archive,
    is_archive,
    missing_files,
    unpack,
)
from data_scripts.voc_format import VOC_CLASSES, read_class_names
from data_scripts.wget import Limits, StallWatch, file_size, run_wget

MIRRORS = (
    "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtrainval_06-Nov-2007.tar",
    "https://pjreddie.com/media/files/VOCtrainval_06-Nov-2007.tar",
    "https://web.eecs.umich.edu/~justincj/data/VOCtrainval_06-Nov-2007.tar",
)
SPARE_BYTES = 50_000_000  # to be left free on the disk
MEGABYTE = 1_000_000


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # beside the progress bar


def _check_space(out: Path, archive: Archive) -> None:
    """Raise CourseError unless the rest of the archive and its content fit the disk."""
    rest = max(archive.size - file_size(out / archive.name), 0)
    needed = rest + archive.size + SPARE_BYTES
    free = shutil.disk_usage(out).free
    if free < needed:
        raise CourseError(
            f"{out}: {free / MEGABYTE:.0f} MB are free but {needed / MEGABYTE:.0f} MB "
            "are needed; free some space or choose another --out"
        )


def _put_aside(path: Path) -> str:
    """Rename a file with wrong bytes; return the sentence part that names it."""
    aside = path.with_name(path.name + ".wrong-md5")
    size = file_size(path)
    path.replace(aside)
    return f"wrong bytes (md5 or size, {size} bytes), kept aside as {aside}"


def _from_one_mirror(
    url: str, path: Path, archive: Archive, limits: Limits, lock: int | None
) -> str:
    """Continue from one mirror as long as it delivers; return "" or why it failed."""
    began_at = file_size(path)
    while True:
        before = file_size(path)
        reason = run_wget(url, path, archive.size, limits, lock)
        size = file_size(path)
        if size >= archive.size or not reason:
            if is_archive(path, archive):
                return ""
            reason = _put_aside(path)
            _say(f"{url}: {reason}")
            if began_at == 0:
                return reason
            # The wrong bytes may be those of an earlier run: once more, from zero.
            began_at = 0
        elif size - before < limits.stall_bytes:
            return reason


def fetch(
    out: Path,
    mirrors: Sequence[str] = MIRRORS,
    archive: Archive = VOC2007_TRAINVAL,
    limits: Limits | None = None,
    lock: int | None = None,
) -> Path:
    """Download the archive into `out` and return its path; its md5 is right.

    Raises:
        CourseError: No space, no wget, or no mirror delivered the right bytes; what
            arrived stays and the next call continues it.
    """
    path = out / archive.name
    _check_space(out, archive)
    if file_size(path) >= archive.size:
        if is_archive(path, archive):
            return path
        _say(f"{path}: {_put_aside(path)}")
    reasons = []
    for url in mirrors:
        _say(f"downloading {url}")
        reason = _from_one_mirror(url, path, archive, limits or Limits(), lock)
        if not reason:
            return path
        _say(f"{url}: {reason}")
        reasons.append(f"{url}: {reason}")
    if file_size(path) == 0:
        path.unlink(missing_ok=True)  # wget creates the file before it knows more
    raise CourseError(
        f"{archive.name} could not be downloaded ({'; '.join(reasons)}); "
        f"{file_size(path)} of {archive.size} bytes are in {path}: run this again to "
        "go on, or put the whole file there by hand"
    )


def _is_complete(out: Path) -> bool:
    """Return True if VOCdevkit is in `out`; CourseError if it is not all of VOC."""
    if is_free(out / DEVKIT):
        return False
    voc_root = out.joinpath(*INSIDE)
    if read_class_names(voc_root) != VOC_CLASSES:
        raise CourseError(f"{voc_root}: holds another data set; choose another --out")
    missing = missing_files(voc_root)
    if missing:
        raise CourseError(
            f"{voc_root}: exists but lacks {len(missing)} files, the first is "
            f"{missing[0]}; remove {out / DEVKIT} or choose another --out"
        )
    return True


def download(
    out: Path,
    mirrors: Sequence[str] = MIRRORS,
    keep_archive: bool = False,
    archive: Archive = VOC2007_TRAINVAL,
    limits: Limits | None = None,
) -> bool:
    """Make out/VOCdevkit/VOC2007; return False if it was complete already.

    Raises:
        CourseError: As `fetch` and `voc_archive.unpack`.
    """
    limits = limits or Limits()
    make_out_folder(out)
    # After kill -9 its wget may still be at work: wait while the file grows.
    watch = StallWatch(out / archive.name, limits)
    with locked_folder(out, keep_waiting=lambda: not watch.stalled()) as lock:
        if _is_complete(out):
            return False
        path = fetch(out, mirrors, archive, limits, lock)
        unpack(path, out)
        if not keep_archive:
            path.unlink()
    return True


def main() -> int:
    """Command line: see --help."""
    parser = CommandParser(
        prog="python -m data_scripts.download_voc2007",
        description="Fetch PASCAL VOC 2007 trainval; run again after an interruption.",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder that will hold VOCdevkit"
    )
    parser.add_argument(
        "--mirror",
        action="append",
        metavar="URL",
        help="take the archive from here, not from the known mirrors; may be repeated",
    )
    parser.add_argument(
        "--keep-archive", action="store_true", help="do not remove the .tar at the end"
    )
    options = parser.parse_args()
    for url in options.mirror or ():
        if not url.startswith(("http://", "https://")):
            parser.error(f"--mirror {url!r} must begin with http:// or https://")
    mirrors = options.mirror or MIRRORS
    new = download(options.out, mirrors, options.keep_archive)
    state = "complete" if new else "already complete, nothing to do"
    print(f"{options.out.joinpath(*INSIDE)}: {state}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
