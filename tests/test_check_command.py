"""`python -m helpers.check`: what students run all the time."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.command import CourseError
from helpers.check import check, hint, reset
from helpers.checks.exercises import find_exercise, find_exercises, read_exercises
from helpers.checks.in_notebook import as_calls, without_traceback
from helpers.checks.pictures import DRAWINGS, draw_picture
from helpers.checks.report import map_text, report_text
from helpers.checks.results import OPEN, PASS, WRONG
from helpers.checks.runner import CheckRun
from helpers.checks.watch import read_stamps
from tests.student_course import edit, make_course, make_whole_course

EXERCISES = read_exercises()
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
WAIT_S = 120  # for a process on a busy machine


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """The students' version with nothing written; tests put back what they change."""
    return make_whole_course(tmp_path_factory.mktemp("students") / "course")


def run_check(course: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "helpers.check", *words],
        cwd=course,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )


def test_unknown_exercise_is_one_sentence(course: Path):
    """A wrong number ends with exit code 2 and says which ones are near."""
    answer = run_check(course, "3.7")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == (
        "error: there is no exercise '3.7'; did you mean 3.1 or 3.2? "
        "python -m helpers.check list shows all\n"
    )


def test_hint_says_how_to_get_the_next(course: Path):
    """Three levels; the last one has no next."""
    first = run_check(course, "hint", "nms")
    assert first.returncode == 0
    assert first.stdout.startswith("Hint 1 of 3 for 8.1, a nudge:\n\nSort once.")
    assert first.stdout.endswith("More: python -m helpers.check hint 8.1 --level 2\n")
    assert "More:" not in run_check(course, "hint", "8.1", "--level", "3").stdout


def test_wrong_code_ends_with_1_and_a_picture(course: Path):
    """The message stands alone, without traceback or colour, and names the picture."""
    path = course / "assignment" / "common.py"
    before = path.read_text()
    solved = make_course(course.parent / "solved", []) / "assignment" / "common.py"
    path.write_text(solved.read_text().replace("(grid_x, grid_y)", "(grid_y, grid_x)"))
    try:
        answer = run_check(course, "4.1")
    finally:
        path.write_text(before)
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "Likely: x and y are swapped." in answer.stdout
    assert "\033" not in answer.stdout
    assert answer.stdout.endswith("Picture: runs/checks/4.1.png\n")
    assert (course / "runs" / "checks" / "4.1.png").stat().st_size > 1000


def test_watch_checks_after_a_save_and_ends_cleanly(course: Path):
    """It says how 1.1 is, again after a save, and Ctrl-C is no error."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "helpers.check", "--watch"],
        cwd=course,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    path = course / "assignment" / "common.py"
    before = path.read_text()
    try:
        lines = read_until(process, "Ctrl-C ends.")
        assert "iou (1.1): not written yet" in lines
        path.write_text(before.replace("raise NotImplementedError(", "return (", 1))
        lines = read_until(process, "Ctrl-C ends.")
        assert "expected a tensor, got str" in lines
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=WAIT_S)
    finally:
        path.write_text(before)
        process.kill()
    assert process.returncode == 0
    assert "Stopped. Go on with: python -m helpers.check 1.1 --watch" in rest
    assert "Traceback" not in rest


def read_until(process: subprocess.Popen[str], text: str) -> str:
    end = time.monotonic() + WAIT_S
    lines = ""
    while time.monotonic() < end:
        assert process.stdout is not None
        line = process.stdout.readline()
        lines += line
        if text in line or not line:
            break
    return lines


def report_of(root: Path, number: str) -> str:
    with CheckRun(root=root, quiet=True) as run:
        return report_text(run.report(number))


def test_edited_file_is_seen_at_once(tmp_path: Path):
    """Two edits of the same length within a second: both are seen."""
    root = make_course(tmp_path / "course", [])
    assert "4 of 4" not in report_of(root, "4.2")
    edit(root, "fcos_matching.py", "ltrb_px.amin(dim=2) > 0", "ltrb_px.amin(dim=2) < 0")
    assert ": wrong value" in report_of(root, "4.3")
    edit(root, "fcos_matching.py", "ltrb_px.amin(dim=2) < 0", "ltrb_px.amin(dim=2) > 0")
    assert "3 of 3 visible checks pass" in report_of(root, "4.3")


def test_modules_of_a_notebook_stay_as_they_are(tmp_path: Path):
    """What was imported before is the same object after a check."""
    import assignment.common

    before = sys.modules["assignment.common"]
    with CheckRun(root=make_course(tmp_path / "course"), quiet=True) as run:
        assert run.report("1.1").status == OPEN
        assert sys.modules["assignment.common"] is not before
    assert sys.modules["assignment.common"] is before is assignment.common


BROKEN = (
    ("size = (bottom", "size = ((bottom", ["cannot be read by Python: line", "^"]),
    ("size = (bottom", "size = (botom", ["NameError at line", "size = (botom_right"]),
    ("BACKGROUND = -1", "BACKGROUND = 1 / 0", ["common.py cannot be loaded: Zero"]),
    ("BACKGROUND = -1", "exit()", ["ends the program while it is loaded"]),
    ("def iou(", "def my_iou(", ["has no iou; python -m helpers.check reset 1.1"]),
    ("    size = (", "    exit()\n    size = (", ["your code ends the program"]),
    ("    size = (", "    raise NotImplementedError\n    size = (", ["NotImplemented"]),
)


@pytest.mark.parametrize("case", BROKEN, ids=[case[1].strip() for case in BROKEN])
def test_broken_code_is_told_in_its_own_lines(tmp_path: Path, case):
    """The student's file and line; nothing of ours."""
    old, new, said = case
    root = make_course(tmp_path / "course", [])
    edit(root, "common.py", old, new)
    text = report_of(root, "1.1")
    for sentence in said:
        assert sentence in text, text
    assert "Traceback" not in text and "helpers/" not in text


def test_broken_file_leaves_the_others_checked(tmp_path: Path):
    """A mistake in the losses does not hide that IoU is right."""
    root = make_course(tmp_path / "course", [])
    edit(root, "fcos_losses.py", "def fcos_box_loss(", "def fcos_box_loss(:")
    with CheckRun(root=root, quiet=True) as run:
        statuses = [
            run.report(number).status for number in ("1.1", "5.1", "6.2", "7.3")
        ]
    assert statuses == [PASS, PASS, WRONG, WRONG]


def test_map_shows_what_is_done(tmp_path: Path):
    """One line for each exercise, with a mark and what it waits for."""
    root = make_course(tmp_path / "course", ["3.1", "8.1"])
    with CheckRun(root=root, quiet=True) as run:
        text = map_text([run.report(number) for number in EXERCISES])
        assert run.first_open() == "3.1"
        assert run.first_open(after="3.1") == "3.2"
    assert text.startswith("1 Data and boxes\n")
    assert "\n2 Backbone and FPN\n" in text and "ipynb" not in text
    assert "[x] 1.1  iou " in text
    assert "[ ] 3.1  FCOSPredictionNetwork.__init__" in text
    assert "[-] 3.2  FCOSPredictionNetwork.forward            blocked by 3.1" in text
    count = len(EXERCISES)
    assert f"{count - 11} of {count} exercises pass" in text


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("3.2", ["3.2"]),
        ("6", ["6.1", "6.2", "6.3"]),
        ("nms", ["8.1"]),
        ("nms()", ["8.1"]),
        ("FCOS.inference", ["8.2"]),
        ("inference", ["8.2"]),
    ],
)
def test_exercise_is_found_by_number_step_or_name(word: str, found: list[str]):
    """3.2, all of step 6, or the name of the function."""
    assert [exercise.id for exercise in find_exercises(word, EXERCISES)] == found


@pytest.mark.parametrize(
    ("word", "near"),
    [("nsm", "8.1"), ("__init__", "3.1 or 7.1"), ("3-2", "3.2"), ("Boxloss", "6.2")],
)
def test_near_exercises_are_named(word: str, near: str):
    """A typing mistake leads to the right one."""
    with pytest.raises(CourseError, match=f"did you mean .*{near}"):
        find_exercises(word, EXERCISES)
    with pytest.raises(CourseError, match="a whole step; choose one"):
        find_exercise("3", EXERCISES)


@pytest.mark.parametrize("number", DRAWINGS)
def test_picture_shows_right_and_survives_broken_code(tmp_path: Path, number: str):
    """A figure for code that answers, None for a stub."""
    with CheckRun(root=make_course(tmp_path / "right", []), quiet=True) as run:
        figure = draw_picture(number, run.student)
        assert figure is not None and len(figure.axes) >= 2
        assert draw_picture("6.1", run.student) is None
    with CheckRun(root=make_course(tmp_path / "open"), quiet=True) as run:
        assert draw_picture(number, run.student) is None


def test_notebook_messages_name_calls():
    """In a cell one writes check("3.2"), not a command."""
    text = "Again: python -m helpers.check 3.2   Hint: python -m helpers.check hint 3.2"
    assert as_calls(text) == 'Again: check("3.2")   Hint: hint("3.2")'
    error = without_traceback(AssertionError("two\nlines"))
    assert vars(error)["_render_traceback_"]() == ["two", "lines"]


@pytest.mark.parametrize("call", [check, hint, reset])
def test_mistake_in_a_notebook_names_calls(call):
    """The sentence of an unknown exercise, and how one sees the others there."""
    with pytest.raises(CourseError) as told:
        call("7.9")
    assert str(told.value).endswith("7.2 or 7.3 or 7.4? progress() shows all")


def test_hint_in_a_notebook_says_more_each_time(capsys: pytest.CaptureFixture):
    """Called again, it gives the next level; a level can be chosen, too."""
    for level in (1, 2, 3, 3):
        hint("4.2")
        assert f"Hint {level} of 3 for 4.2" in capsys.readouterr().out
    hint("fcos_distances_to_edges", level=2)
    assert "Hint 2 of 3" in capsys.readouterr().out
    with pytest.raises(CourseError, match="no hint of level 4"):
        hint("4.2", level=4)


def test_watch_sees_every_save(tmp_path: Path):
    """Another content, another stamp."""
    root = make_course(tmp_path / "course")
    before = read_stamps(root)
    edit(root, "common.py", "BACKGROUND = -1", "BACKGROUND = -1  ")
    assert read_stamps(root) != before
