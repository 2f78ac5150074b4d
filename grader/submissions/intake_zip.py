"""Read a zip that somebody else made: nothing is unpacked, every size is limited."""

import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

MOST_ZIP_BYTES = 100_000_000
MOST_DIRECTORY_BYTES = 5_000_000  # of the list of names, which is read as a whole
END_SIGNATURE, END_LENGTH = b"PK\x05\x06", 22
MOST_COMMENT = 65_535
DIRECTORY_SIZE = slice(12, 16)  # of the end record: length of the list of names
ENCRYPTED = 1
UNIX_MODE_SHIFT = 16
STORED_AND_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class IntakeError(Exception):
    """A submission that cannot be graded; the text is one sentence for its author."""


@dataclass(frozen=True)
class Member:
    """A file in a zip.

    Attributes:
        name: its path there, without a leading "./".
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
                zipfile.ZipFile(self._path) as archive,
                archive.open(self._info) as file,
            ):
                return file.read(most)
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise IntakeError(f"{self.name} is damaged in the zip; pack it anew") from (
                error
            )


def read_zip(path: Path, most_entries: int) -> list[Member]:
    """The files of a zip, whose names stay inside of it.

    Args:
        most_entries: more are refused.

    Raises:
        IntakeError: no zip, too large, or a name that leads elsewhere.
    """
    _check_end(path)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise IntakeError("the zip is damaged; pack it anew") from error
    if len(infos) > most_entries:
        raise IntakeError(f"the zip holds more than {most_entries} files; remove some")
    members = []
    for info in infos:
        parts = info.filename.split("/")
        if info.filename.startswith("/") or ".." in parts or "\\" in info.filename:
            raise IntakeError(
                f"the zip holds {info.filename[:60]!r}, which leads out of it; pack it "
                "anew"
            )
        if not info.is_dir():
            members.append(Member(info.filename.removeprefix("./"), info, path))
    return members


def _check_end(path: Path) -> None:
    """Refuse a zip by what its last bytes say, before its names are read."""
    size = path.stat().st_size
    if size > MOST_ZIP_BYTES:
        raise IntakeError(
            f"the zip is larger than {MOST_ZIP_BYTES} bytes; hand in only the folder "
            "assignment"
        )
    with path.open("rb") as file:
        file.seek(max(0, size - END_LENGTH - MOST_COMMENT))
        tail = file.read()
    place = tail.rfind(END_SIGNATURE)
    if place < 0:
        raise IntakeError("the zip is damaged or no zip at all; pack it anew")
    length = int.from_bytes(tail[place:][DIRECTORY_SIZE], "little")
    if length > MOST_DIRECTORY_BYTES:
        raise IntakeError(
            "the zip holds too many files; hand in only the folder assignment"
        )
