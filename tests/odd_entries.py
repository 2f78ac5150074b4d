"""Entries of a folder of submissions that are tricks, accidents, or no submission.

Each function of ENTRIES writes one entry, beside an honest one; the text is part of
the sentence that its author reads. None: it is graded, for all its oddness.
"""

import bz2
import io
import os
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

CODE = b"def double(x):\n    return 2 * x\n\ndef add_one(x):\n    return x + 1\n"
FILE = "assignment/common.py"
LINK_MODE = 0o120777 << 16
NO_CODE = "there is no assignment/*.py"
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
Write = Callable[[Path], object]


def pack(
    path: Path,
    *members: tuple[str | zipfile.ZipInfo, bytes],
    kind: int = zipfile.ZIP_DEFLATED,
    comment: bytes = b"",
) -> Path:
    """Write a zip."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members:
            archive.writestr(name, content)
        archive.comment = comment
    return path


def zip_of(name: str, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Write:
    """A zip with just these members."""
    return lambda folder: pack(folder / name, *members)


def honest_zip(name: str, **options: int | bytes) -> Write:
    """A zip with a right answer."""
    return lambda folder: pack(folder / name, (FILE, CODE), **options)  # type: ignore[arg-type]


def patched(name: str, *patches: tuple[bytes, int, bytes]) -> Write:
    """A zip of which bytes were changed: (behind which signature, where, to what)."""

    def write(folder: Path) -> None:
        path = pack(folder / name, (FILE, CODE))
        data = bytearray(path.read_bytes())
        for signature, offset, content in patches:
            place = data.find(signature) + offset
            data[place : place + len(content)] = content
        path.write_bytes(data)

    return write


def flagged(name: str, flag: int) -> Write:
    """A zip whose file has these general flags."""
    bits = flag.to_bytes(2, "little")
    return patched(name, (LOCAL, 6, bits), (CENTRAL, 8, bits))


def packed_as(name: str, method: int) -> Write:
    """A zip whose file says that it is compressed in this way."""
    number = method.to_bytes(2, "little")
    return patched(name, (LOCAL, 8, number), (CENTRAL, 10, number))


def info(name: str, mode: int = 0) -> zipfile.ZipInfo:
    """Of a member, with a name that zipfile itself would change."""
    found = zipfile.ZipInfo("name")
    found.filename = name
    found.create_system, found.external_attr = 3, mode
    return found


def zip64_list(folder: Path) -> None:
    """A zip64 record that claims a list of 90 MB of names; the plain one says 0."""
    path = pack(folder / "zip64.zip", (FILE, CODE))
    data = path.read_bytes()
    place = data.find(END)
    fields = (44, 45, 45, 0, 0, 1, 1, 90_000_000, 0)
    record = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", *fields)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 90_000_000, 1)
    end = END + b"\0" * 4 + b"\xff" * 12 + b"\0\0"
    with path.open("wb") as file:
        file.seek(90_000_000)  # a hole: nothing is stored
        file.write(data[:place] + record + locator + end)


def text(name: str, content: bytes = b"x = 1\n") -> Write:
    """A file."""
    return lambda folder: (folder / name).write_bytes(content)


def tree(name: str, *files: str) -> Write:
    """A folder with these files; a name that ends in / is a folder."""

    def write(folder: Path) -> None:
        (folder / name).mkdir()
        for file in files:
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir() if file.endswith("/") else path.write_bytes(CODE)

    return write


def link(name: bytes | str, target: str) -> Write:
    """A link; its name may be no UTF-8."""
    return lambda folder: (folder / os.fsdecode(name)).symlink_to(target)


def inner_link(folder: Path) -> None:
    """A folder whose only folder is a link, with a name that is no UTF-8."""
    (folder / "around").mkdir()
    (folder / "around" / os.fsdecode(b"in\xffner")).symlink_to(folder / "honest")


def open_socket(folder: Path) -> None:
    """A socket, which is a file system's, too."""
    here = Path.cwd()
    os.chdir(folder)  # its path must be short
    with socket.socket(socket.AF_UNIX) as own:
        own.bind("talk.zip")
    os.chdir(here)


def inner_pipe(folder: Path) -> None:
    """A folder with a pipe for a file."""
    (folder / "piped" / "assignment").mkdir(parents=True)
    os.mkfifo(folder / "piped" / FILE)


def folder_with_zip(name: str, *zips: str) -> Write:
    """A folder of a student as learning platforms pack it: with a zip in it."""

    def write(folder: Path) -> None:
        (folder / name).mkdir()
        (folder / name / ".DS_Store").write_bytes(b"")
        for file in zips:
            pack(folder / name / file, (FILE, CODE))

    return write


def inner_zip_link(folder: Path) -> None:
    """A folder whose only zip is a link to another student's."""
    pack(folder.parent / "of_another.zip", (FILE, CODE))
    (folder / "linked-zip").mkdir()
    (folder / "linked-zip" / "a.zip").symlink_to(folder.parent / "of_another.zip")


def bytes_zip(folder: Path) -> None:
    """A zip whose name is no UTF-8."""
    pack(folder / os.fsdecode(b"z\xfcri.zip"), (FILE, CODE))


def nested() -> bytes:
    """A zip, as bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(FILE, CODE)
    return content.getvalue()


# name of its row -> how it is written, and what its author reads
SAME_PERSON = "HONEST"  # as the honest one, whose hand-in can be read
ENTRIES: dict[str, tuple[Write, str | None]] = {
    # Zips
    "password": (flagged("password.zip", 0x1), "is encrypted"),
    "strong": (flagged("strong.zip", 0x41), "is encrypted"),
    "strong-alone": (flagged("strong-alone.zip", 0x40), "is encrypted"),
    "patch-data": (flagged("patch-data.zip", 0x20), "unusual way"),
    "no-utf8": (
        patched(
            "no-utf8.zip",
            (LOCAL, 6, b"\0\x08"),
            (CENTRAL, 8, b"\0\x08"),
            (CENTRAL, 46, b"\xff\xfe"),
        ),
        "damaged",
    ),
    "nameless": (zip_of("nameless.zip", (info(""), b"x"), (FILE, CODE)), "without a"),
    "nameless-too": (zip_of("nameless-too.zip", (info("\0a"), b"x")), "without a"),
    "dot": (zip_of("dot.zip", (info("."), b"x"), (FILE, CODE)), "without a name"),
    "deflate64": (packed_as("deflate64.zip", 9), "unusual way"),
    "zstd": (packed_as("zstd.zip", 93), "unusual way"),
    "unknown": (packed_as("unknown.zip", 77), "unusual way"),
    "bzip2": (honest_zip("bzip2.zip", kind=zipfile.ZIP_BZIP2), "unusual way"),
    "lzma": (honest_zip("lzma.zip", kind=zipfile.ZIP_LZMA), "unusual way"),
    "version": (patched("version.zip", (CENTRAL, 6, b"\xff\0")), "damaged"),
    "crc": (patched("crc.zip", (LOCAL, 14, b"12"), (CENTRAL, 16, b"12")), "damaged"),
    "other-name": (patched("other-name.zip", (LOCAL, 30, b"A")), "damaged"),
    "offset": (patched("offset.zip", (CENTRAL, 42, b"\xf0\xff\xff\x7f")), "damaged"),
    "long-list": (patched("long-list.zip", (END, 12, b"\xff" * 4)), "damaged"),
    "zip64": (zip64_list, "too many files"),
    "1979": (
        patched("1979.zip", (LOCAL, 10, b"\0" * 4), (CENTRAL, 12, b"\0" * 4)),
        None,
    ),
    "comment": (honest_zip("comment.zip", comment=b"a" * 60_000), None),
    "end-in-comment": (honest_zip("end-in-comment.zip", comment=END * 9), "damaged"),
    "windows": (zip_of("windows.zip", (info(r"assignment\common.py"), CODE)), None),
    "drive": (zip_of("drive.zip", (info("C:/a/common.py"), CODE)), "leads out"),
    "up": (zip_of("up.zip", (info(r"..\assignment\common.py"), CODE)), "leads out"),
    "mac": (
        zip_of("mac.zip", ("__MACOSX/assignment/._common.py", b"\0"), (FILE, CODE)),
        None,
    ),
    "cp437": (
        patched("cp437.zip", (LOCAL, 30, b"\xe9"), (CENTRAL, 46, b"\xe9")),
        None,
    ),
    "no-members": (zip_of("no-members.zip"), NO_CODE),
    "folders": (zip_of("folders.zip", ("assignment/", b""), ("a/b/", b"")), NO_CODE),
    "file-folder": (zip_of("file-folder.zip", (f"{FILE}/", b"")), NO_CODE),
    "in-a-zip": (zip_of("in-a-zip.zip", ("assignment.zip", nested())), NO_CODE),
    "deeper": (zip_of("deeper.zip", (f"a/b/c/d/{FILE}", CODE)), "at its top or in one"),
    "capitals": (
        zip_of("capitals.zip", (FILE, CODE), ("Assignment/fcos_head.py", CODE)),
        "in 2 folders",
    ),
    "Assignment": (zip_of("Assignment.zip", ("a/Assignment/common.py", CODE)), None),
    "bomb": (zip_of("bomb.zip", (FILE, bytes(50_000_000))), "larger than"),
    "link-in": (zip_of("link-in.zip", (info(FILE, LINK_MODE), b"/etc")), "is a link"),
    "empty": (text("empty.zip", b""), "no zip at all"),
    "cut": (lambda folder: cut(folder / "cut.zip"), "no zip at all"),
    "tarred": (text("tarred.zip", bz2.compress(CODE)), "no zip at all"),
    "UPPER": (honest_zip("UPPER.ZIP"), None),
    "pipe": (lambda folder: os.mkfifo(folder / "pipe.zip"), "neither a file"),
    "talk": (open_socket, "neither a file"),
    # Other files
    "loose.py": (text("loose.py"), "a Python file alone"),
    "rename.py": (text("rename.py"), "a Python file alone"),
    "my work.PY": (text("my work.PY"), "a Python file alone"),
    "a.tar.gz": (text("a.tar.gz"), "no archive but a .zip"),
    "b.rar": (text("b.rar"), "no archive but a .zip"),
    "c.7z": (text("c.7z"), "no archive but a .zip"),
    "d.ipynb": (text("d.ipynb"), "neither a folder nor a zip"),
    "e.pdf": (text("e.pdf"), "neither a folder nor a zip"),
    "no-suffix": (text("no-suffix"), "neither a folder nor a zip"),
    ".hidden": (text(".hidden"), "neither a folder nor a zip"),
    "run.json": (text("run.json"), "neither a folder nor a zip"),
    "a pipe": (lambda folder: os.mkfifo(folder / "a pipe"), "neither a file"),
    # Folders
    "assignment": (tree("assignment"), NO_CODE),
    "bob.py": (tree("bob.py", FILE), None),
    "nobody": (tree("nobody"), NO_CODE),
    ".work": (tree(".work"), NO_CODE),
    "grades.csv": (tree("grades.csv"), NO_CODE),
    "INDEX.html": (tree("INDEX.html", FILE), None),
    "two": (tree("two", f"a/{FILE}", f"b/{FILE}"), "in 2 folders"),
    "two-capitals": (tree("two-capitals", FILE, "Assignment/a.py"), "in 2 folders"),
    "Capital": (tree("Capital", "Assignment/common.py", "notes/a.txt"), None),
    "homework": (tree("homework", "my work/common.py"), None),
    "two-parts": (tree("two-parts", "a/common.py", "b/common.py"), "in 2 folders"),
    "far-down": (tree("far-down", f"a/b/c/d/{FILE}"), "at its top or in one folder"),
    "platform": (folder_with_zip("platform", "Anna's work.ZIP"), None),
    "two-zips": (folder_with_zip("two-zips", "a.zip", "b.zip"), NO_CODE),
    "linked-zip": (inner_zip_link, "is a link"),
    "py-folder": (tree("py-folder", f"{FILE}/"), "is no file"),
    "piped": (inner_pipe, "is no file"),
    "around": (inner_link, "is a link"),
    "x" * 255: (tree("x" * 255, FILE), None),
    "line\nbreak\x1b[2J": (tree("line\nbreak\x1b[2J", FILE), None),
    "\u202ereverse": (tree("\u202ereverse", FILE), None),
    "Zoe\u0308": (tree("Zoe\u0308", FILE), None),
    "Zo\u00eb": (tree("Zo\u00eb", FILE), None),
    "HONEST": (tree("HONEST"), NO_CODE),
    # Links and names
    "broken": (link("broken", "nowhere"), "is a link"),
    "loop": (link("loop", "loop"), "is a link"),
    "b\udcffob": (link(b"b\xffob", "nowhere"), "is a link"),
    "to-honest": (link("to-honest", "honest"), "is a link"),
    "z\udcfcri": (bytes_zip, None),
}


def cut(path: Path) -> None:
    """The first half of a zip."""
    data = pack(path, (FILE, CODE)).read_bytes()
    path.write_bytes(data[: len(data) // 2])
