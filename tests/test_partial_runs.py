"""A run into a folder of results adds to it: nothing is lowered, hidden or lost."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

import grader.grading.job
from core.command import CourseError
from grader.course import REFERENCES_VARIABLE
from grader.grading import grade as grading
from grader.grading.command import grade_paths
from grader.pages.class_report import REPLACED
from grader.sandbox.sandbox import Level
from tests.small_course import (
    HALF,
    MANIFEST,
    SOLUTION,
    LocalSession,
    write_course,
    write_submission,
)


@pytest.fixture
def root(tmp_path):
    for name in ("anna", "bert"):
        write_submission(tmp_path / "class" / name)
    return write_course(tmp_path / "course")


def run(
    root: Path,
    exercises: Sequence[str] = (),
    regrade: Sequence[str] = (),
    paths: Sequence[Path] = (),
) -> dict[str, dict[str, str]]:
    """Grade as the command does, without walls; the rows of grades.csv, by folder."""
    place = root.parent
    with (
        mock.patch.object(grader.grading.job, "Session", LocalSession),
        mock.patch("grader.grading.level.choose_level", lambda *_: Level.BUBBLEWRAP),
    ):
        given = paths or [place / "class"]
        grade_paths(root, given, place / "out", 1, exercises=exercises, regrade=regrade)
    return rows(place / "out")


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "grades.csv").open(encoding="utf-8") as file:
        return {row["folder"]: row for row in csv.DictReader(file)}


def points(row: dict[str, str]) -> tuple[str, str, str]:
    return row["score"], row["max_score"], row["status"]


FULL = ("4", "4", "finished")


def test_a_partial_run_keeps_the_whole(root, tmp_path, capsys):
    """--exercises 1.1 into a folder with all of them: 4 of 4 stay 4 of 4, untouched."""
    run(root)
    path = tmp_path / "out" / "anna" / "results.json"
    before = path.read_bytes()
    assert {name: points(row) for name, row in run(root, ["1.1"]).items()} == {
        "anna": FULL,
        "bert": FULL,
    }
    assert path.read_bytes() == before
    said = capsys.readouterr()
    assert "2 of 2 submissions are graded already" in said.out
    assert "holds results of all exercises, which count too" in said.err


def test_weeks_add_up(root):
    """1.1, then 1.2 into the same folder: points are those of both."""
    assert points(run(root, ["1.1"])["anna"]) == ("2", "2", "finished")
    assert points(run(root, ["1.2"])["anna"]) == FULL
    assert points(run(root, ["1.1"])["anna"]) == FULL


def test_a_changed_hand_in_is_graded_in_all_that_counts(root, tmp_path):
    """Points of the old file do not stay beside those of the new one."""
    run(root)
    (tmp_path / "class" / "anna" / "assignment" / "common.py").write_text(HALF)
    found = run(root, ["1.2"])
    assert points(found["anna"]) == ("0.5", "4", "finished")
    assert points(found["bert"]) == FULL


def test_regrade_of_an_exercise_grades_all_that_counts(root, tmp_path):
    """--regrade anna --exercises 1.1: all of hers anew, and bert's stay."""
    run(root)
    paths = [tmp_path / "out" / name / "results.json" for name in ("anna", "bert")]
    written = [path.stat().st_mtime_ns for path in paths]
    assert points(run(root, ["1.1"], ["anna"])["anna"]) == FULL
    assert paths[0].stat().st_mtime_ns > written[0]
    assert paths[1].stat().st_mtime_ns == written[1]


@pytest.mark.parametrize("change", ["course", "references"])
def test_other_tests_grade_all_again_and_say_so(
    root, tmp_path, capsys, monkeypatch, change
):
    """A partial run with another version of the course, or another term."""
    run(root)
    if change == "course":
        (root / "grader_tests" / "more.toml").write_text("a = 1\n")
    else:
        (tmp_path / "term").mkdir()
        (tmp_path / "term" / "a.json").write_text("1")
        monkeypatch.setenv(REFERENCES_VARIABLE, str(tmp_path / "term"))
    assert points(run(root, ["1.1"])["anna"]) == FULL
    said = capsys.readouterr().out
    assert "graded again, since it is not as before: tests or references" in said


def test_who_is_not_given_this_time_stays_and_is_named(root, tmp_path, capsys):
    """A row of an earlier run says that it is one, in both pages and on the screen."""
    run(root)
    shutil.rmtree(tmp_path / "class" / "bert")
    found = run(root, ["1.1"])
    assert points(found["anna"]) == FULL
    assert points(found["bert"]) == ("4", "4", "finished, earlier run")
    said = capsys.readouterr().out
    assert "1 not given this time, with the result of an earlier run: bert" in said
    page = (tmp_path / "out" / "index.html").read_text()
    assert "finished, earlier run" in page
    found = run(root, paths=[tmp_path / "class" / "anna", tmp_path / "class" / "anna"])
    assert set(found) == {"anna", "bert"}


@pytest.mark.parametrize("exercises", [["1.1"], []])
def test_ctrl_c_leaves_earlier_results(root, tmp_path, monkeypatch, exercises):
    """Who was not reached keeps the points of before; called again, it goes on."""
    run(root, ["1.2"])
    monkeypatch.setattr(grading, "run_jobs", interrupted(grading.run_jobs))
    with pytest.raises(KeyboardInterrupt):
        run(root, exercises)
    found = rows(tmp_path / "out")
    assert points(found["anna"]) == FULL
    assert points(found["bert"]) == ("2", "2", "finished, earlier run")
    monkeypatch.undo()
    assert points(run(root, ["1.1"])["bert"]) == FULL


def interrupted(real):
    """Jobs of which only the first gives an answer."""

    def run_jobs(jobs, slots, watch):
        yield next(real(jobs, slots, watch))
        next(jobs)  # the second has begun
        raise KeyboardInterrupt

    return run_jobs


@pytest.mark.parametrize(("earlier", "now"), [(["1.2"], ["1.1"]), ([], [])])
def test_an_exercise_that_is_gone_is_refused(root, tmp_path, earlier, now):
    """Its points would vanish: the run ends before it starts."""
    run(root, earlier)
    shutil.rmtree(root)
    write_course(root)
    path = root / "grader_tests" / "manifest" / "step1.toml"
    path.write_text(MANIFEST.replace('"1.2"', '"1.1"'))
    registry = root / "course.toml"
    registry.write_text(registry.read_text().partition('[[exercise]]\nid = "1.2"')[0])
    before = (tmp_path / "out" / "grades.csv").read_bytes()
    with pytest.raises(CourseError, match=r"exercise 1\.2, which the course does not"):
        run(root, now)
    assert (tmp_path / "out" / "grades.csv").read_bytes() == before


def test_other_files_of_the_folder_stay(root, tmp_path):
    """Notes beside results are nobody's result, and are kept."""
    run(root, ["1.1"])
    for name in ("notes.txt", "anna/remark.txt"):
        (tmp_path / "out" / name).write_text("mine")
    run(root, ["1.2"])
    for name in ("notes.txt", "anna/remark.txt"):
        assert (tmp_path / "out" / name).read_text() == "mine"


def test_all_exercises_by_name_are_all(root, tmp_path):
    """--exercises with every number is the whole run, and grades nobody again."""
    run(root)
    run(root, ["1.2", "1.1"])
    content = json.loads((tmp_path / "out" / "anna" / "results.json").read_text())
    assert content["extra_data"]["hashes"]["exercises"] == "all"


LATER = "finished, earlier run, later hand-in refused"
BROKEN = "The zip is damaged or no zip at all"


def hand_in_broken(place: Path) -> None:
    shutil.rmtree(place / "class" / "anna")
    (place / "class" / "anna.zip").write_bytes(b"PK, and no more")


def hand_in_again(place: Path, source: str) -> None:
    (place / "class" / "anna.zip").unlink(missing_ok=True)
    write_submission(place / "class" / "anna", source)


def test_a_later_hand_in_that_is_refused_leaves_the_grade(root, tmp_path, capsys):
    """The row keeps its points, and says beside them what was refused, and why."""
    run(root)
    hand_in_broken(tmp_path)
    for _ in range(2):  # the second run finds what the first left
        found = run(root)
        assert points(found["anna"]) == ("4", "4", LATER)
        assert points(found["bert"]) == FULL
        said = capsys.readouterr()
        assert "the earlier grade stays" in said.out
        assert "the page says why" in said.err
    out = tmp_path / "out"
    told = "A later hand-in was refused, and does not count: the zip is damaged"
    pages = [out / name for name in ("index.html", "anna/feedback.html")]
    assert [page.read_text("utf-8").count(told) for page in pages] == [1, 1]
    assert "3 of 3 tests passed" in pages[1].read_text("utf-8")
    shutil.rmtree(tmp_path / "class" / "bert")  # a run that concerns nobody of them
    (tmp_path / "class" / "anna.zip").unlink()
    write_submission(tmp_path / "class" / "carl")
    assert points(run(root)["anna"]) == ("4", "4", LATER)


@pytest.mark.parametrize(("source", "score"), [(SOLUTION, "4"), (HALF, "0.5")])
def test_what_was_refused_is_forgotten_with_the_next_hand_in(
    root, tmp_path, source, score
):
    """Whether it is the one that has the grade already, or another."""
    run(root)
    hand_in_broken(tmp_path)
    run(root)
    hand_in_again(tmp_path, source)
    assert points(run(root)["anna"]) == (score, "4", "finished")
    for page in ("index.html", "anna/feedback.html"):
        assert "refused" not in (tmp_path / "out" / page).read_text("utf-8")


def test_of_two_hand_ins_at_once_the_broken_one_is_named(root, tmp_path, capsys):
    """The later of them does not count, whether the other has its grade already."""
    given = tmp_path / "class"
    shutil.move(given / "anna", given / "anna_12_34_hw")
    for _ in range(2):
        (given / "anna_12_35_hw.zip").write_bytes(b"PK, and no more")
        (row,) = (row for name, row in run(root).items() if name.startswith("anna"))
        assert points(row) == ("4", "4", "finished, later hand-in refused")
        page = (tmp_path / "out" / row["folder"] / "feedback.html").read_text("utf-8")
        assert page.count("anna_12_35_hw.zip was handed in later and refused") == 1
        said = capsys.readouterr().err
        assert "anna_12_34_hw counts, the latest that can be read" in said
        (given / "anna_12_35_hw.zip").unlink()
        (row,) = (row for name, row in run(root).items() if name.startswith("anna"))
        assert points(row) == FULL
        (given / "anna_12_36_hw.txt").write_text("of the platform, no work")
        (row,) = (row for name, row in run(root).items() if name.startswith("anna"))
        assert points(row) == FULL
        (given / "anna_12_36_hw.txt").unlink()


def test_a_refused_hand_in_of_nobody_else_has_no_points(root, tmp_path):
    """Without an earlier grade there is none to keep."""
    hand_in_broken(tmp_path)
    assert points(run(root)["anna"]) == ("0", "4", "refused")
    assert BROKEN in (tmp_path / "out" / "index.html").read_text("utf-8")
    hand_in_again(tmp_path, SOLUTION)
    assert points(run(root)["anna"]) == FULL


def test_a_later_note_that_somebody_edited_is_no_trap(root, tmp_path):
    """The pages are made of whatever stands there."""
    run(root)
    path = tmp_path / "out" / "anna" / "results.json"
    for later in (3, [], {"status": 1}, {"status": "refused", "why": 4}):
        content = json.loads(path.read_text())
        content["extra_data"]["later"] = later
        path.write_text(json.dumps(content))
        shutil.rmtree(tmp_path / "class" / "bert", ignore_errors=True)
        assert points(run(root)["anna"]) == FULL


def test_table_that_is_replaced_is_kept(root, tmp_path, capsys):
    """With the points of an earlier hand-in, and what somebody wrote into it."""
    run(root)
    table = tmp_path / "out" / "grades.csv"
    mine = table.read_text().replace("anna,4", "anna,3.5")  # a day late
    table.write_text(mine)
    run(root, paths=[tmp_path / "class" / "bert"])
    (kept,) = (tmp_path / "out" / REPLACED).iterdir()
    assert kept.read_text() == mine
    said = f"grades.csv is another now; that of before is {REPLACED}/{kept.name}"
    assert said in capsys.readouterr().out
    run(root, paths=[tmp_path / "class" / "bert"])
    assert len(list((tmp_path / "out" / REPLACED).iterdir())) == 1
    assert "is another now" not in capsys.readouterr().out


@pytest.mark.parametrize("later", ["refused", "graded"])
def test_result_that_cannot_be_read_is_kept(root, tmp_path, later):
    """Somebody has given points in it by hand, and made a slip."""
    run(root)
    path = tmp_path / "out" / "anna" / "results.json"
    mine = path.read_text().replace('"score": 4.0', '"score": 3,5', 1)
    path.write_text(mine)
    if later == "refused":
        hand_in_broken(tmp_path)
    run(root)
    (kept,) = path.parent.glob("results_*.json")
    assert kept.read_text() == mine
