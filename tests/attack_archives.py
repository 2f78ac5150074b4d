"""Submissions that are a trick themselves: links, zips that lead out, names."""

import io
import os
import zipfile
from pathlib import Path

from grader.submissions.ids import id_of
from grader.submissions.names import shown
from tests.attack_class import HONEST_WRONG, SOLUTION, read_entries
from tests.odd_entries import ENTRIES

LINK_MODE = 0o120777 << 16
BOMB_BYTES = 200 * 2**20
NASTY_NAME = '=HYPERLINK(1)<img src=x onerror=alert(1)> "q"'


def write_archives(folder: Path, mark: str) -> dict[str, str]:
    """Write them; returns the name of each, and what its author must read."""
    common = (SOLUTION / "common.py").read_bytes()
    zips: dict[str, list[tuple[str | zipfile.ZipInfo, bytes]]] = {
        "slip": [(f"../../{mark}-slip.py", common), ("assignment/common.py", common)],
        "absolute": [(f"/tmp/{mark}-absolute.py", common)],
        "backslash": [(f"..\\{mark}-backslash.py", common)],
        "linked": [(_link("assignment/common.py"), b"/etc/passwd")],
        "capitals": [("assignment/common.py", common), ("assignment/Common.py", b"")],
        "twice": [("assignment/common.py", common), ("./assignment/common.py", b"")],
        "bomb": [("assignment/common.py", bytes(BOMB_BYTES))],
        "many": [(f"assignment/a{n}.py", b"") for n in range(200)],
        "dots": [("assignment/common.py.", common), ("assignment/cοmmon.py", common)],
    }
    for name, members in zips.items():
        _write_zip(folder / f"{name}.zip", members)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("assignment/common.py", common)
    _write_zip(folder / "nested.zip", [("assignment.zip", inner.getvalue())])
    (folder / "text.zip").write_bytes(b"no zip at all")
    _write_folders(folder)
    said = {
        **dict.fromkeys(("slip", "absolute", "backslash"), "leads out of it"),
        **dict.fromkeys(("linked", "link-to-file", "link-to-folder"), "is a link"),
        "whole-link": "is a link",
        "capitals": "but for capitals",
        "twice": "twice",
        "bomb": "larger than",
        "many": "at most",
        "text": "no zip at all",
        "fifo": "is no file",
        **dict.fromkeys(("dots", "nested", NASTY_NAME), "there is no assignment/*.py"),
    }
    # Names that mean something in the folder of results, and that of somebody else.
    taken = [".work", "run.json", "index.html", "grades.csv", "CON", id_of_wrong()]
    for name in taken:
        (folder / name).mkdir()
    entries = read_entries()
    for name in entries:
        ENTRIES[name][0](folder)
    (folder / ".DS_Store").write_bytes(b"")  # of a system, and nobody's
    names = dict.fromkeys(taken, "there is no assignment/*.py")
    return said | names | {shown(name): says for name, says in entries.items()}


def id_of_wrong() -> str:
    """The folder of results of the honest wrong student, whose name is not plain."""
    return id_of(HONEST_WRONG)


def _write_folders(folder: Path) -> None:
    for name in ("link-to-file", "fifo"):
        (folder / name / "assignment").mkdir(parents=True)
    original = folder / "reference" / "assignment" / "common.py"
    (folder / "link-to-file" / "assignment" / "common.py").symlink_to(original)
    os.mkfifo(folder / "fifo" / "assignment" / "common.py")
    (folder / "link-to-folder").mkdir()
    (folder / "link-to-folder" / "assignment").symlink_to(original.parent)
    (folder / "whole-link").symlink_to(original.parent.parent)
    (folder / NASTY_NAME).mkdir()


def _link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, LINK_MODE
    return info


def _write_zip(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
