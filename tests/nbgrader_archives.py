"""Hand-ins for zip_collect that are a trick, beside honest ones."""

import os
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

NOTEBOOK = "01_small.ipynb"
CODE = "assignment/common.py"
BOMB_BYTES = 40 * 2**20  # twice what is read of it
ZIP_ENTRIES = ((b"PK\3\4", 6), (b"PK\1\2", 8))  # where each has its flags
# Writes a file into the course folder, with the rights of whoever reads the name.
SCRIPT = (
    "<img src=x onerror=\"fetch('&#47;api&#47;contents&#47;marked.txt',{method:'PUT',"
    "headers:{'X-XSRFToken':document.cookie.split('_xsrf=').pop()},body:JSON.stringify"
    "({type:'file',format:'text',content:'x'})});document.title='taken over'\">"
)
HTML_NAME = "<img src=x onerror=document.title=1>"
TERMINAL_NAME = "\x1b[2Jeve"
DECOMPOSED_NAME = "Ju\u0308rgen"
NO_NAME = "is no name of a student"
NO_NOTEBOOK = "there is no notebook of the assignment"
NOT_READABLE = "is no notebook that can be read"
EMPTY = b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": '
ATTACKS = tomllib.loads((Path(__file__).parent / "attacks/attacks.toml").read_text())
COLLECTED = {attack["name"]: attack["says"] for attack in ATTACKS["collected"]}
# Taken, and as whose; what else is in the zip is left out.
HARMLESS = (*(name for name, says in COLLECTED.items() if not says), "with_page")
# Stem of the entry -> a part of the reason.
REASONS = {name: says for name, says in COLLECTED.items() if says} | {
    "two_folders": "is in it twice",
    "backslash": "leads out of it",
    "large_code": "larger than",
    "linked": "is a link",
    "list": NOT_READABLE,
    "odd_cells": NOT_READABLE,
    "half_character": NOT_READABLE,
    "no_cell": "has no cell",
    "other_notebook": NO_NOTEBOOK,
    "no_notebook": NO_NOTEBOOK,
    "linked_folder": NO_NOTEBOOK,
    "linked_notebook": "is a link",
    "whole_link": "is a link",
    "loose.ipynb": "neither a zip nor a folder",
    "Capital": "differs in capitals only",
    "capital": "differs in capitals only",
    "both": "several hand-ins of this name",
    "-option": NO_NAME,
    ".hidden": NO_NAME,
    "with blank": NO_NAME,
    "a" * 101: NO_NAME,
    TERMINAL_NAME: NO_NAME,
    DECOMPOSED_NAME: NO_NAME,
    "J\xfcrgen": NO_NAME,
    "b\udcff": NO_NAME,
}


def write_archives(archive: Path, notebook: bytes, code: bytes) -> None:
    """One hand-in for each name above; "both" is a zip and a folder.

    Args:
        archive: the folder for zip_collect.
        notebook: content of NOTEBOOK.
        code: content of CODE.
    """
    good = [(NOTEBOOK, notebook), (CODE, code)]
    link = zipfile.ZipInfo(NOTEBOOK)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    zips: dict[str, Iterable[tuple[str | zipfile.ZipInfo, bytes]]] = {
        "for_bob": [*good, (f"extracted/bob/{NOTEBOOK}", notebook)],
        "made_name": [*good, (f"extracted/{SCRIPT}/{NOTEBOOK}", notebook)],
        "file_and_folder": [("assignment", b""), *good],
        "zeros": [*good, ("zeros.bin", bytes(BOMB_BYTES))],
        "with_page": [*good, ("page.html", b"<script>1</script>"), ("a.svg", b"")],
        "twice": [*good, (f"./{NOTEBOOK}", notebook)],
        "two_folders": [*good, (f"old/{NOTEBOOK}", notebook)],
        "slip": [(f"../../{NOTEBOOK}", notebook), *good],
        "backslash": [(f"..\\{NOTEBOOK}", notebook), *good],
        "bomb": [(NOTEBOOK, bytes(BOMB_BYTES)), (CODE, code)],
        "large_code": [(NOTEBOOK, notebook), (CODE, b"#" * 1_000_001)],
        "linked": [(link, b"/etc/passwd"), (CODE, code)],
        "deep": [(NOTEBOOK, b"[" * 500_000)],
        "list": [(NOTEBOOK, b"[1]")],
        "odd_cells": [(NOTEBOOK, EMPTY + b"[1]}")],
        "half_character": [(NOTEBOOK, notebook.replace(b"Small", b"\\ud800"))],
        "no_cell": [(NOTEBOOK, EMPTY + b"[]}")],
        "other_notebook": [("09_other.ipynb", notebook), (CODE, code)],
        "no_notebook": [(CODE, code)],
    }
    for name, members in zips.items():
        write_zip(archive / f"{name}.zip", members)
    _write_encrypted(archive / "encrypted.zip", good)
    (archive / "text.zip").write_bytes(b"no zip at all")
    (archive / "loose.ipynb").write_bytes(notebook)
    same = (
        "Capital",
        "capital",
        "both",
        *(name for name in REASONS if REASONS[name] == NO_NAME),
    )
    for name in same:
        write_zip(archive / f"{name}.zip", good)
    (archive / "both").mkdir()
    os.mkfifo(archive / "pipe.zip")
    (archive / "whole_link.zip").symlink_to(archive / "zeros.zip")
    (archive / "linked_folder").mkdir()
    (archive / "linked_folder" / "in").symlink_to(archive)
    (archive / "linked_notebook").mkdir()
    (archive / "linked_notebook" / NOTEBOOK).symlink_to(archive / "loose.ipynb")


def write_zip(
    path: Path, members: Iterable[tuple[str | zipfile.ZipInfo, bytes]]
) -> None:
    """Write a zip; a name may occur twice."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)


def _write_encrypted(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    write_zip(path, members)
    content = bytearray(path.read_bytes())
    for signature, offset in ZIP_ENTRIES:
        place = content.find(signature)
        while place >= 0:
            content[place + offset] |= 1
            place = content.find(signature, place + 4)
    path.write_bytes(content)
