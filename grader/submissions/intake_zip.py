"""Read a zip that somebody else made: nothing is unpacked, every size is limited."""

import io
import os
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

MOST_ZIP_BYTES = 100_000_000
MOST_DIRECTORY_BYTES = 5_000_000  # of the list of names, which is read as a whole
ENCRYPTED = 0x1 | 0x40  # with a password, or with the "strong" kind
DRIVE = re.compile(r"[A-Za-z]:")  # begins a path on Windows
UNIX_MODE_SHIFT = 16
STORED_AND_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class IntakeError(Exception):
    """A submission that cannot be graded; the text is one sentence for its author."""


class _ShortReads(io.BufferedReader):
    """A file of which nobody reads much at once.

    A zip says itself how long the list of its names is, in several places; zipfile
    believes it and reads the list at once.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """As that of files; the end of a zip is read without a size."""
        most = MOST_DIRECTORY_BYTES + 1
        try:
            data = super().read(most if size is None or size < 0 else min(size, most))
        except OSError as error:  # zipfile would say that this is no zip
            raise unreadable(error) from error
        if len(data) == most:
            raise IntakeError(
                "the zip holds too many files; hand in only the folder assignment"
            )
        return data


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file, not followed if it is a link, not waited for if it is a pipe.

    Raises:
        IntakeError: it is something else.
        OSError: it cannot be opened.
    """
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise IntakeError(f"{path.name} is a link; hand in the file itself")
    if stat.S_ISREG(mode):
        # It may have become something else in between.
        flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        file = _ShortReads(io.FileIO(os.open(path, os.O_RDONLY | flags)))
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise IntakeError(f"{path.name} is no file; hand in a Python file")


def unreadable(error: OSError) -> IntakeError:
    """What is said of a file whose reading failed."""
    why = error.strerror or type(error).__name__
    return IntakeError(f"a file cannot be read ({why}); hand it in again")


@dataclass(frozen=True)
class Member:
    """A file in a zip.

    Attributes:
        name: its path there, with "/" between folders, without "." and "".
    """

    name: str
    _info: zipfile.ZipInfo
    _path: Path

    @property
    def is_link(self) -> bool:
        """Whether unpacking would make a link."""
        return stat.S_ISLNK(self._info.external_attr >> UNIX_MODE_SHIFT)

    def read(self, most: int) -> bytes:
        """At most so many bytes, whatever the zip claims.

        Raises:
            IntakeError: the content is damaged or encrypted.
        """
        if self._info.flag_bits & ENCRYPTED:
            raise IntakeError(f"{self.name} is encrypted; pack it without a password")
        if self._info.compress_type not in STORED_AND_DEFLATED:
            raise IntakeError(
                f"{self.name} is packed in an unusual way; use a plain zip"
            )
        try:
            with (
                open_regular(self._path) as opened,
                zipfile.ZipFile(opened) as archive,
                archive.open(self._info) as file,
            ):
                return file.read(most)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise IntakeError(f"{self.name} is damaged in the zip; pack it anew") from (
                error
            )
        except NotImplementedError as error:
            raise IntakeError(
                f"{self.name} is packed in an unusual way; use a plain zip"
            ) from error


def read_zip(path: Path, most_entries: int) -> list[Member]:
    """The files of a zip, whose names stay inside of it.

    Args:
        most_entries: more are refused.

    Raises:
        IntakeError: no zip, too large, or a name that leads elsewhere.
    """
    try:
        with open_regular(path) as opened:
            _check_size(opened)
            with zipfile.ZipFile(opened) as archive:
                infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise IntakeError("the zip is damaged or no zip at all; pack it anew") from (
            error
        )
    if len(infos) > most_entries:
        raise IntakeError(f"the zip holds more than {most_entries} files; remove some")
    members = []
    for info in infos:
        # Some tools of Windows write its separator.
        name = info.filename.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or DRIVE.match(name):
            raise IntakeError(
                f"the zip holds {info.filename[:60]!r}, which leads out of it; pack it "
                "anew"
            )
        if name and name.endswith("/"):  # a folder
            continue
        if not parts:
            raise IntakeError("the zip holds a file without a name; pack it anew")
        members.append(Member("/".join(parts), info, path))
    return members


def _check_size(file: io.BufferedReader) -> None:
    if os.fstat(file.fileno()).st_size > MOST_ZIP_BYTES:
        raise IntakeError(
            f"the zip is larger than {MOST_ZIP_BYTES} bytes; hand in only the folder "
            "assignment"
        )
