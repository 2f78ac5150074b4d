"""Collecting for nbgrader: every hand-in has a row, and names come from its place."""

import dataclasses
import errno
import importlib
import os

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from core.command import CourseError
from core.files import new_folder
from grader.nbgrader_course import place as place_module
from grader.nbgrader_course.collect import REFUSED, Class, Row, collect, report
from grader.nbgrader_course.config import SANITIZE
from grader.nbgrader_course.names import check_name, show
from grader.nbgrader_course.place import EARLIER
from tests.nbgrader_archives import (
    CODE,
    HARMLESS,
    HTML_NAME,
    NOTEBOOK,
    REASONS,
    write_archives,
    write_zip,
)

NAME = "fcos"
BOOK = nbformat.writes(new_notebook(cells=[new_markdown_cell("# Small")])).encode()
GOOD = [(NOTEBOOK, BOOK), (CODE, b"A = 1\n")]


@pytest.fixture
def group(tmp_path):
    """A course folder with an empty archive."""
    (tmp_path / "archive").mkdir()
    submitted = tmp_path / "submitted"
    return Class(
        archive=tmp_path / "archive",
        course=tmp_path,
        submitted=submitted,
        assignment=NAME,
        notebooks=(NOTEBOOK,),
        known=set(),
        only_known=False,
    )


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_bad_hand_in_has_a_row_and_the_others_are_taken(group):
    """No entry vanishes, none stops the class, and nobody hands in for another."""
    write_archives(group.archive, BOOK, b"A = 1\n")
    write_zip(
        group.archive / "honest.zip",
        [(f"fcos/{name}", content) for name, content in GOOD],
    )
    rows = collect(group)
    assert len(rows) == len(list(group.archive.iterdir()))
    taken = {row.who for row in rows if row.what == "taken"}
    assert taken == {"honest", *HARMLESS}
    assert {path.name for path in group.submitted.iterdir()} == taken
    for who in taken:
        assert files_of(group.submitted / who / NAME) == dict(GOOD)
    refused = {row.who: row.why for row in rows if row.what == REFUSED}
    assert refused.keys() == {show(name) for name in REASONS}
    for name, reason in REASONS.items():
        assert reason in refused[show(name)], name
    assert all(line.isascii() and line.isprintable() for line in report(rows))
    assert not (group.archive.parent / "extracted").exists()


def test_row_says_what_was_left_out(group):
    """A notebook for somebody else in a zip is named, and so is what is missing."""
    write_zip(
        group.archive / "ada.zip",
        [(NOTEBOOK, BOOK), (f"extracted/bob/{NOTEBOOK}", BOOK), ("notes.txt", b"")],
    )
    group = dataclasses.replace(group, notebooks=(NOTEBOOK, "02_next.ipynb"))
    (row,) = collect(group)
    assert row.why == (
        "new in the gradebook; without 02_next.ipynb; without assignment/*.py, so the "
        "exercises have no points; files that were left out: 2, "
        f"'extracted/bob/{NOTEBOOK}' among them"
    )


def test_platforms_put_files_or_a_zip_into_a_folder_of_the_student(group):
    """The name of the folder counts, and not that of the zip in it."""
    (group.archive / "ada").mkdir()
    write_zip(group.archive / "ada" / "bob's work.zip", GOOD)
    (group.archive / "eve" / "assignment").mkdir(parents=True)
    for name, content in GOOD:
        (group.archive / "eve" / name).write_bytes(content)
    assert [row.what for row in collect(group)] == ["taken", "taken"]
    for who in ("ada", "eve"):
        assert files_of(group.submitted / who / NAME) == dict(GOOD)


@pytest.mark.parametrize("beside", [".DS_Store", "._work.zip", "onlinetext.html"])
def test_what_platforms_and_systems_put_beside_the_zip_of_a_student(group, beside):
    """The zip is still the hand-in, and no notebook beside it is passed over."""
    (group.archive / "ada").mkdir()
    write_zip(group.archive / "ada" / "work.zip", GOOD)
    (group.archive / "ada" / beside).write_bytes(b"")
    assert [row.what for row in collect(group)] == ["taken"]
    (group.archive / "ada" / NOTEBOOK).write_bytes(BOOK.replace(b"Small", b"Later"))
    assert [row.what for row in collect(group)] == ["replaced"]
    assert b"Later" in files_of(group.submitted / "ada" / NAME)[NOTEBOOK]
    write_zip(group.archive / "bob.zip", GOOD)
    (group.archive / "eve" / "mine").mkdir(parents=True)
    (group.archive / "eve" / "mine" / NOTEBOOK).write_bytes(BOOK)
    write_zip(group.archive / "eve" / "data.zip", [("a.txt", b"")])
    assert [row.what for row in collect(group)] == ["unchanged", "taken", "taken"]


def test_what_systems_leave_is_no_hand_in(group):
    """As for `python -m grader grade`: it has no row, and the exit code stays 0."""
    write_zip(group.archive / "ada.zip", GOOD)
    for name in ("._ada.zip", "Desktop.ini", ".DS_Store"):
        (group.archive / name).write_bytes(b"")
    (group.archive / "__MACOSX").mkdir()
    assert [row.who for row in collect(group)] == ["ada"]


def test_second_hand_in_keeps_the_first(group):
    """The same is left as it is; of another, the earlier one goes to a dated folder."""
    write_zip(group.archive / "ada.zip", GOOD)
    assert collect(group)[0].what == "taken"
    assert collect(group)[0].what == "unchanged"
    own = group.submitted / "ada" / NAME
    (own / "timestamp.txt").write_text("2026-01-02")  # a file that somebody added
    seen = []
    for content in (b"A = 2\n", b"A = 3\n"):
        seen.append(files_of(own))
        write_zip(group.archive / "ada.zip", [(NOTEBOOK, BOOK), (CODE, content)])
        (row,) = collect(group)
        assert row.what == "replaced" and f"{EARLIER}/{NAME}/ada/" in row.why
        assert files_of(own)[CODE] == content
    kept = [
        files_of(path)
        for path in sorted((group.course / EARLIER / NAME / "ada").iterdir())
    ]
    assert sorted(map(repr, kept)) == sorted(map(repr, seen))
    write_zip(group.archive / "ada.zip", [])
    (row,) = collect(group)
    assert row.what == REFUSED and "collected earlier is still there" in row.why
    assert files_of(own)[CODE] == b"A = 3\n"


def test_killed_collection_loses_neither_hand_in(group, monkeypatch):
    """Killed when the first was moved away, and then a broken third one comes."""
    write_zip(group.archive / "ada.zip", GOOD)
    collect(group)
    write_zip(group.archive / "ada.zip", [(NOTEBOOK, BOOK), (CODE, b"A = 2\n")])

    def move_away(folder, earlier):
        real(folder, earlier)
        raise KeyboardInterrupt

    real = place_module.move_away
    with monkeypatch.context() as patches:
        patches.setattr(place_module, "move_away", move_away)
        with pytest.raises(KeyboardInterrupt):
            collect(group)
    (group.archive / "ada.zip").write_bytes(b"PK")
    (row,) = collect(group)
    assert row.what == REFUSED and "collected earlier is still there" in row.why
    assert files_of(group.submitted / "ada" / NAME)[CODE] == b"A = 2\n"
    (kept,) = (group.course / EARLIER / NAME / "ada").iterdir()
    assert files_of(kept) == dict(GOOD)


def test_full_disk_leaves_the_earlier_submission(group, monkeypatch):
    """What cannot be written is refused, and the one that is there stays."""
    write_zip(group.archive / "ada.zip", GOOD)
    collect(group)
    write_zip(group.archive / "ada.zip", [(NOTEBOOK, BOOK), (CODE, b"A = 2\n")])

    def full(target):
        with new_folder(target):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(place_module, "new_folder", full)
    (row,) = collect(group)
    assert row.what == REFUSED and "No space left" in row.why
    assert files_of(group.submitted / "ada" / NAME) == dict(GOOD)


def test_only_known_students(group):
    """With a class list nobody else comes in; a name never differs in capitals only."""
    for name in ("ada", "mallory"):
        write_zip(group.archive / f"{name}.zip", GOOD)
    known = dataclasses.replace(group, known={"ada"}, only_known=True)
    assert [row.what for row in collect(known)] == ["taken", REFUSED]
    (row,) = collect(dataclasses.replace(group, known={"ada", "Mallory"}))[1:]
    assert row.what == REFUSED and "Mallory is known" in row.why


def test_linked_place_is_refused(group, tmp_path):
    """A link in submitted/ is not written through."""
    write_zip(group.archive / "ada.zip", GOOD)
    (tmp_path / "elsewhere").mkdir()
    group.submitted.mkdir()
    (group.submitted / "ada").symlink_to(tmp_path / "elsewhere")
    (row,) = collect(group)
    assert row.what == REFUSED and "is a link" in row.why
    assert not list((tmp_path / "elsewhere").iterdir())


def test_empty_archive_is_a_sentence(group):
    """Nothing to collect is no success."""
    (group.archive / ".DS_Store").write_bytes(b"")
    with pytest.raises(CourseError, match="is empty"):
        collect(group)


@pytest.mark.parametrize("name", ["ada", "a.b@uni-x.org", "_1", "A-1"])
def test_plain_name_is_a_student(name):
    """Names as learning platforms have them."""
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a.",
        "a/b",
        "a\\b",
        "a\n",
        "a b",
        "-a",
        "a'",
        'a"',
        "a&b",
        "a*",
        "ä",
    ],
)
def test_other_name_is_refused(name):
    """What could be HTML, a path, an option, a pattern or another's look-alike."""
    with pytest.raises(CourseError, match="is no name of a student"):
        check_name(name)


def test_names_are_checked_before_anything_else_of_autograde():
    """Also of a student who is in the gradebook from before."""
    module, _, name = SANITIZE[0].rpartition(".")
    check = getattr(importlib.import_module(module), name)()
    with pytest.raises(CourseError, match="is no name of a student"):
        check.preprocess(new_notebook(), {"nbgrader": {"student": HTML_NAME}})
    assert check.preprocess(new_notebook(), {"nbgrader": {"student": "ada"}})


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EROFS])
def test_full_disk_stops_the_collection_with_a_sentence(group, monkeypatch, kind):
    """It is nobody's fault, so nobody is refused; what is collected stays."""
    for name in ("ada", "bob"):
        write_zip(group.archive / f"{name}.zip", GOOD)
    real = place_module.new_folder

    def full(folder):
        if "bob" in folder.parts:
            cause = OSError(kind, os.strerror(kind))
            raise CourseError(f"{folder}: cannot write") from cause
        return real(folder)

    def no_bytes(size):
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(place_module, "new_folder", full)
    monkeypatch.setattr(
        importlib.import_module(collect.__module__), "bytes", no_bytes, raising=False
    )
    with pytest.raises(CourseError, match="after 1 hand-ins; make room"):
        collect(group)
    assert files_of(group.submitted / "ada" / NAME) == dict(GOOD)
    monkeypatch.undo()
    assert [row.what for row in collect(group)] == ["unchanged", "taken"]


def test_table_is_plain_whatever_a_reason_holds():
    """A name in a reason neither steers the terminal nor stops it."""
    (line, _) = report([Row("ada", REFUSED, "a\x1b[2J\u202e\N{BULLET}")])
    assert line.isascii() and line.isprintable() and "\\ufffd[2J" in line
