"""Every entry of a pile has a row with a reason, and costs nobody else anything."""

import copy
import csv
import io
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from core.command import CourseError
from grader.grading import forks as jobs
from grader.grading import grade as grading
from grader.grading import result_folder
from grader.results.results import read_results
from grader.submissions import intake_zip
from grader.submissions.find import find_submissions
from grader.submissions.intake import take
from grader.submissions.intake_zip import IntakeError
from grader.submissions.names import shown
from grader.submissions.pile import files_of_assignment
from tests.odd_entries import (
    CODE,
    ENTRIES,
    FILE,
    SAME_PERSON,
    honest_zip,
    link,
    text,
    tree,
)
from tests.small_course import grade_small, write_course, write_submission

ROOT = Path(__file__).resolve().parent.parent


def rows_of(out: Path) -> dict[str, dict[str, str]]:
    """Folder of results -> its row of grades.csv."""
    with (out / "grades.csv").open(encoding="utf-8") as file:
        return {row["folder"]: row for row in csv.DictReader(file)}


@pytest.fixture
def honest(tmp_path):
    """A pile with one honest hand-in."""
    write_submission(tmp_path / "class" / "honest", CODE.decode())
    return tmp_path / "class"


@pytest.mark.parametrize("name", ENTRIES, ids=ascii)
def test_an_odd_entry_is_refused_with_a_sentence_or_taken(honest, name):
    """Alone beside an honest one: both are found, and only IntakeError comes of it."""
    write, said = ENTRIES[name]
    write(honest)
    found = {submission.name: submission for submission in find_submissions([honest])}
    if name == SAME_PERSON:
        assert found["honest"].earlier == (name,) and len(found) == 1
        return
    assert set(found) == {"honest", name}
    assert set(take(found["honest"].path).files) == {"common.py"}
    if said is None:
        assert take(found[name].path).files["common.py"] == CODE
        return
    with pytest.raises(IntakeError) as caught:
        take(found[name].path)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_each_entry_of_a_pile_has_a_row_with_a_reason(honest, tmp_path):
    """All odd entries at once: as many rows, and the honest one has its points."""
    for write, _ in ENTRIES.values():
        write(honest)
    assert grade_small(write_course(tmp_path / "course"), honest, jobs=2) == 1
    rows = rows_of(tmp_path / "out")
    joined = {name for given in find_submissions([honest]) for name in given.earlier}
    assert joined >= {SAME_PERSON} and len(joined) == len(ENTRIES) + 1 - len(rows)
    by_name: dict[str, list] = {}
    for folder, row in rows.items():
        by_name.setdefault(row["submission"], []).append((folder, row))
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    for name, said in {
        **{name: ENTRIES[name][1] for name in ENTRIES},
        "honest": None,
    }.items():
        if name in joined:
            continue
        cell = " ".join(shown(name).split())
        ((folder, row),) = by_name[cell]
        assert (row["score"], row["status"]) == (
            ("4", "finished") if said is None else ("0", "refused")
        ), name
        content = read_results(tmp_path / "out" / folder)
        assert content is not None
        assert (said or "") in f"{content['output'][:1].lower()}{content['output'][1:]}"
        assert f'href="{folder}/feedback.html"' in page.replace("%2B", "+")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *rows,
        "run.json",
        "grades.csv",
        "index.html",
    }


@pytest.mark.parametrize("name", ["loose.py", "rename.py", "assignment"])
@pytest.mark.parametrize("hand_in", ["folder", "zip"])
def test_a_python_file_in_a_pile_does_not_make_it_one_submission(
    tmp_path, name, hand_in, capsys
):
    """A loose file, or a folder assignment/: the others are still found."""
    pile = tmp_path / "class"
    pile.mkdir()
    write = tree("anna", FILE) if hand_in == "folder" else honest_zip("anna.zip")
    write(pile)
    ENTRIES[name][0](pile)
    found = {submission.name for submission in find_submissions([pile])}
    assert found == {"anna", name}
    assert "is taken for a folder of submissions" in capsys.readouterr().err


def test_loose_files_of_several_students_are_a_pile(tmp_path, capsys):
    """Nothing but anna.py and bert.py: each has a row, none is graded for the other."""
    for name in ("anna.py", "bert.py"):
        text(name)(tmp_path)
    found = find_submissions([tmp_path])
    assert [submission.name for submission in found] == ["anna.py", "bert.py"]
    assert "is taken for a folder of submissions" in capsys.readouterr().err
    text("common.py")(tmp_path)
    assert len(find_submissions([tmp_path])) == 1


def test_files_that_the_assignment_has_are_known():
    """So that a folder of them is one submission."""
    files = {path.name for path in (ROOT / "assignment").glob("*.py")}
    assert files - {"__init__.py"} <= files_of_assignment()


def test_results_in_a_submission_are_nobody_elses(tmp_path):
    """--out in the only submission: the second run grades the same one again."""
    tree("anna", FILE, "results/")(tmp_path)
    own = tmp_path / "anna"
    found = find_submissions([own], own / "results")
    assert [submission.name for submission in found] == ["anna"]


def test_a_folder_of_the_course_is_one_submission(tmp_path, capsys):
    """What a student's copy of the course holds beside assignment/ is nobody else's."""
    own = tmp_path / "anna"
    for name in ("assignment/common.py", "helpers/data/voc.py", "notebooks/a.ipynb"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(CODE)
    for name in ("README.md", "requirements.txt", ".DS_Store"):
        (own / name).write_text("")
    (own / "__pycache__").mkdir()
    assert [submission.name for submission in find_submissions([own])] == ["anna"]
    assert "is taken for one submission" in capsys.readouterr().err


def test_what_systems_leave_is_named_and_has_no_row(honest, capsys):
    """Never without a word: one line names it."""
    for name in (".DS_Store", "Thumbs.db", "._honest", "desktop.ini"):
        (honest / name).write_text("")
    (honest / "__MACOSX").mkdir()
    (honest / "out").mkdir()
    found = find_submissions([honest], honest / "out")
    assert [submission.name for submission in found] == ["honest"]
    said = capsys.readouterr().err
    names = ".DS_Store, ._honest, Thumbs.db, __MACOSX, desktop.ini, out"
    assert f"left out: {names}" in said


def test_each_of_several_paths_stands_for_a_student(honest):
    """As the shell gives them, `class/*`: files, links and empty folders have rows."""
    text("notes.txt")(honest)
    tree("nobody")(honest)
    link("thief", "honest")(honest)
    found = find_submissions(sorted(honest.iterdir()))
    assert {submission.name for submission in found} == {
        "honest",
        "nobody",
        "notes.txt",
        "thief",
    }
    thief = next(submission for submission in found if submission.name == "thief")
    with pytest.raises(IntakeError, match="is a link"):
        take(thief.path)
    assert len(find_submissions([honest / "thief"])) == 1  # one path is followed


def test_a_loop_of_links_as_the_path_is_one_sentence(tmp_path):
    """The path of the command leads nowhere."""
    link("loop", "loop")(tmp_path)
    with pytest.raises(CourseError, match="loop"):
        find_submissions([tmp_path / "loop"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(), "a file cannot be read (OSError)"),
        (OSError(5, "Input/output error"), "cannot be read (Input/output error)"),
        (PermissionError(13, "Permission denied"), "(Permission denied)"),
        (MemoryError(), "the submission cannot be read (MemoryError)"),
        (RecursionError(), "the submission cannot be read (RecursionError)"),
        (ValueError("x"), "damaged"),
    ],
    ids=str,
)
@pytest.mark.parametrize("hand_in", ["folder", "zip"])
def test_an_error_while_reading_concerns_one_hand_in(
    tmp_path, monkeypatch, error, said, hand_in
):
    """A read error, or one that zipfile never meant to raise."""
    write = tree("anna", FILE) if hand_in == "folder" else honest_zip("anna.zip")
    write(tmp_path)

    class Broken(io.FileIO):
        def readinto(self, buffer, /):
            raise error

        readall = readinto

    monkeypatch.setattr(intake_zip.io, "FileIO", Broken)
    with pytest.raises(IntakeError) as caught:
        take(next(tmp_path.iterdir()))
    said = said if hand_in == "zip" or said != "damaged" else "(ValueError)"
    assert said in str(caught.value)


def test_a_hand_in_that_vanishes_has_a_row(honest, tmp_path, monkeypatch):
    """It was there when the pile was listed, and is gone when it is read."""
    tree("gone", FILE)(honest)

    def take_late(path, wanted):
        shutil.rmtree(honest / "gone", ignore_errors=True)
        return take(path, wanted)

    monkeypatch.setattr(grading, "take", take_late)
    assert grade_small(write_course(tmp_path / "course"), honest) == 1
    rows = rows_of(tmp_path / "out")
    assert (rows["honest"]["score"], rows["gone"]["status"]) == ("4", "refused")


def test_an_error_in_the_grader_concerns_one_hand_in(honest, tmp_path, monkeypatch):
    """While it is copied, started, read or written: the others have their grades."""
    names = ("copy", "start", "answer", "page")
    for name in names:
        tree(name, FILE)(honest)

    def failing(module, name, is_for):
        real = getattr(module, name)

        def function(*args, **others):
            if is_for(*args):
                raise OSError(28, "No space left on device")
            return real(*args, **others)

        monkeypatch.setattr(module, name, function)

    root = write_course(tmp_path / "course")
    order = sorted(["honest", *names])
    copied = f"code-{order.index('copy')}"
    failing(grading, "copy_files", lambda _, to: to.name == copied)
    failing(jobs, "_start", lambda job: job.id == "start")
    failing(grading, "read_outcomes", lambda answer: answer.job.id == "answer")
    failing(result_folder, "write_feedback", lambda to, *_: to.name == "page")
    assert grade_small(root, honest) == 1
    rows = rows_of(tmp_path / "out")
    assert set(rows) == {"honest", *names}
    assert rows["honest"]["score"] == "4"
    for name in names:
        assert rows[name]["status"] == "could not be graded", name
        why = read_results(tmp_path / "out" / name)
        if name != "page":
            assert why is not None and "No space left on device" in why["output"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert "This cannot be written (No space left on device)." in page


def test_a_result_that_cannot_be_written_has_a_row(honest, tmp_path):
    """A file stands where the folder of its results must be; it is kept."""
    tree("anna", FILE)(honest)
    root = write_course(tmp_path / "course")
    assert grade_small(root, honest) == 0
    shutil.rmtree(tmp_path / "out" / "anna")
    (tmp_path / "out" / "anna").write_text("mine")
    assert grade_small(root, honest) == 1
    assert rows_of(tmp_path / "out")["anna"]["status"] == "could not be graded"
    assert "File exists" in (tmp_path / "out" / "index.html").read_text()
    assert (tmp_path / "out" / "anna").read_text() == "mine"


def test_damaged_results_have_a_row(honest, tmp_path):
    """Of somebody who is not graded this time; who is, is graded again."""
    tree("anna", FILE)(honest)
    root = write_course(tmp_path / "course")
    grade_small(root, honest)
    for name in ("anna", "honest"):
        path = tmp_path / "out" / name / "results.json"
        path.write_text(path.read_text().replace('"status": "finished"', '"status": 7'))
    shutil.rmtree(honest / "anna")
    assert grade_small(root, honest) == 0
    rows = rows_of(tmp_path / "out")
    assert rows["honest"]["score"] == "4"
    assert rows["anna"]["status"] == "damaged, earlier run"


def test_results_of_somebody_else_are_not_taken_for_ones_own(honest, tmp_path):
    """Two handed in the same; results.json of one was copied over that of the other."""
    tree("anna", FILE)(honest)
    root = write_course(tmp_path / "course")
    grade_small(root, honest)
    out = tmp_path / "out"
    shutil.copyfile(out / "anna" / "results.json", out / "honest" / "results.json")
    assert grade_small(root, honest) == 0
    rows = rows_of(out)
    assert {name: row["submission"] for name, row in rows.items()} == {
        "anna": "anna",
        "honest": "honest",
    }


EDITS = [
    (("score",), "full"),
    (("score",), float("nan")),
    (("tests", 0), None),
    (("tests", 0), {}),
    (("tests", 0, "number"), 1.1),
    (("extra_data", "max_score"), float("inf")),
    (("extra_data", "instructor"), []),
    (("extra_data", "instructor", 0), "mine"),
    (("extra_data", "instructor", 0), {}),
    (("extra_data", "instructor", 0, "category"), []),
    (("extra_data", "instructor", 0, "cause"), {}),
    (("extra_data", "exercises"), {"1.1": 3}),
    (("extra_data", "exercises", "1.1"), None),
    (("extra_data", "exercises", "1.1"), {"score": 2}),
    (("extra_data", "exercises", "1.1", "score"), "2"),
    (("extra_data", "exercises", "1.1", "max_score"), None),
]


def test_results_edited_by_hand_stop_no_page(honest, tmp_path):
    """A value of the wrong kind costs one row its points, and nobody else a row."""
    root = write_course(tmp_path / "course")
    grade_small(root, honest)
    whole = read_results(tmp_path / "out" / "honest")
    for number, (place, value) in enumerate(EDITS):
        edited = copy.deepcopy(whole)
        inner = edited
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        folder = tmp_path / "out" / f"edit-{number}"
        folder.mkdir()
        (folder / "results.json").write_text(json.dumps(edited))
    assert grade_small(root, honest) == 0
    rows = rows_of(tmp_path / "out")
    assert rows.pop("honest")["score"] == "4"
    assert {row["status"] for row in rows.values()} == {"damaged, earlier run"}
    assert len(rows) == len(EDITS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_read_is_refused():
    """Another user's folder, tried as a user without rights."""
    with tempfile.TemporaryDirectory() as name:
        pile = Path(name)
        pile.chmod(0o755)
        tree("open", FILE)(pile)
        tree("closed", FILE)(pile)
        (pile / "closed").chmod(0)
        os.seteuid(65534)
        try:
            found = {
                submission.name: submission.path
                for submission in find_submissions([pile])
            }
            assert len(take(found["open"]).files) == 1
            with pytest.raises(IntakeError, match=r"read \(Permission denied\)"):
                take(found["closed"])
        finally:
            os.seteuid(0)
