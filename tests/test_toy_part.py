"""A part is an addition: its files and its entries in course.toml, nothing else.

The toy part of tests/toy_part.py goes the whole way in a copy of this course: check,
hint, list, release, grade, nbgrader, train, evaluate, detect; then as an instructor's
own folder.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from core.command import CourseError
from core.course import FILE, read_registry
from grader.course import read_course
from grader.course_folder import copy_course
from grader.gradescope.build import autograder_files
from grader.manifest import points_by_exercise
from grader.release.build import make_release
from grader.sandbox import closing
from grader.suites.mistakes import plant, read_mistakes
from tests import toy_part

PYTHON = [sys.executable, "-m"]
GIVEN = "size = (bottom_right - top_left).clamp(min=0)"  # of the solution of 1.1
REFERENCE_POINTS = 257  # of the parts that count by default


def run(root: Path, *words: str | Path, code: int = 0) -> str:
    """What a command of the course in `root` says, if it ends with this exit code."""
    done = subprocess.run(
        [*PYTHON, *map(str, words)],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A copy of the course with the toy part; nobody may change it."""
    return toy_part.copy_with_part(tmp_path_factory.mktemp("toy") / "course")


@pytest.fixture(scope="module")
def release(course: Path, tmp_path_factory) -> Path:
    """The students' version of the toy part alone, proven."""
    out = tmp_path_factory.mktemp("toy_release") / "student"
    said = run(course, "grader", "release", "--out", out, "--parts", "toy")
    assert "1 exercises, each raises NotImplementedError" in said
    assert "With their solutions: exercises 1.1, " in said
    return out


def test_check_and_hint_know_the_exercise(course: Path):
    """Its number has two digits before the dot."""
    said = run(course, "helpers.check", "99.1")
    assert "toy_best_box (99.1): 1 of 1 visible checks pass" in said
    said = run(course, "helpers.check", "hint", "toy_best_box")
    assert "What did exercise 1.1 measure?" in said


def test_release_of_the_part_has_what_it_stands_on_solved(release: Path):
    """Its own exercise is open; those of the other part are given, and listed."""
    stated = json.loads((release / "release.json").read_text())
    assert stated["parts"] == ["toy"] and "1.1" in stated["solved"]
    assert "99.1" not in stated["solved"]
    common = (release / "assignment" / "common.py").read_text()
    assert GIVEN in common and "### BEGIN" not in common
    own = (release / "assignment" / "toy_detector.py").read_text()
    assert toy_part.SOLUTION_LINE not in own and "Exercise 99.1 toy_best_box:" in own
    notebooks = [path.name for path in (release / "notebooks").glob("*.ipynb")]
    assert notebooks == ["99_toy.ipynb"]
    table = (release / "notebooks" / "README.md").read_text()
    row = "| [99 A toy](99_toy.ipynb) | 99.1 | `toy_best_box` | `toy_detector.py` |"
    assert row in table and "1.1" not in table.replace("99.1", "")
    assert not (release / "helpers" / "checks" / "hints.toml").exists()
    assert list(read_registry(release).exercises) == ["99.1"]


def test_student_of_the_part_sees_only_the_part(release: Path):
    """The list has one step, and the exercise is open, not done."""
    said = run(release, "helpers.check", "list")
    assert re.search(r"99 A toy\n  \[ \] 99\.1  toy_best_box", said)
    assert "0 of 1 exercises pass" in said
    said = run(release, "helpers.check", "reset", "99.1")
    assert "toy_best_box is as it was at the start" in said


def test_default_release_and_grades_know_nothing_of_the_part(course: Path):
    """Without --parts all is as it was before the part came."""
    made = make_release(course)
    assert len(made.registry.exercises) == 22 and not made.solved
    assert not [name for name in made.files if "toy" in name or "99" in name]
    assert b"99" not in made.files["notebooks/README.md"]
    graded = read_course(course, [], "none")
    assert sum(test.points for test in graded.chosen) == REFERENCE_POINTS
    toy = read_course(course, [], "none", parts=["toy"])
    assert sum(test.points for test in toy.chosen) == 4
    assert read_course(course, ["99.1"], "none").chosen == toy.chosen


def test_part_closes_its_own_answers_and_no_others(course: Path):
    """By names of torchvision.ops and by paths; what is given solved stays open."""
    registry = read_registry(course)
    own = ("RoIAlign", "models.detection._utils.Matcher")
    assert registry.closed_for("99.1", ["toy"]) == registry.closed(["toy"]) == own
    assert "box_iou" in registry.closed_for("99.1", ["one_stage", "toy"])
    assert not set(own) & set(registry.closed())
    closed = closing.close(own)
    assert "Matcher" in closed.names["torchvision.models.detection._utils"]
    assert "roi_align" in closed.operators and "nms" not in closed.operators


def test_texts_of_the_release_begin_where_the_part_does(release: Path):
    """No link to a notebook that is not handed out, no command about its exercises."""
    for name in ("README.md", "notebooks/README.md"):
        text = (release / name).read_text("utf-8")
        for target in re.findall(r"\]\(([^)\s#:]+)\)", text):
            assert (release / name).parent.joinpath(target).exists(), target
    commands = (release / "README.md").read_text("utf-8")
    assert "helpers.check 99.1 " in commands and 'hint("99.1")' in commands
    assert "reset 99.1 " in commands and not re.search(r"\b1\.1\b", commands)


def test_hidden_tests_and_solution_of_the_part_leak_into_no_release(course: Path):
    """They stay secret where the part itself is not handed out."""
    lesson = course / "helpers" / "toy_lesson.py"
    try:
        for line in (toy_part.SOLUTION_LINE, "def test_best_of_three_boxes(student):"):
            lesson.write_text(line + "\n")
            with pytest.raises(CourseError, match="shows the secret line"):
                make_release(course)
    finally:
        lesson.unlink()


def test_grade_of_the_part_counts_its_points_alone(
    course: Path, release: Path, tmp_path: Path
):
    """All for who has solved it, none for who has not begun; a mistake is named."""
    class_ = tmp_path / "class"
    for name, source in {"begun": release, "solved": course}.items():
        (class_ / name / "assignment").mkdir(parents=True)
        for path in (source / "assignment").glob("*.py"):
            (class_ / name / "assignment" / path.name).write_bytes(path.read_bytes())
    (mistake,) = [
        mistake for mistake in read_mistakes(course) if mistake.exercise == "99.1"
    ]
    sources = {
        path.name: path.read_text() for path in (course / "assignment").glob("*.py")
    }
    (class_ / "mistaken" / "assignment").mkdir(parents=True)
    plant(mistake.edits, sources, class_ / "mistaken" / "assignment")
    out = tmp_path / "grades"
    run(
        course,
        "grader",
        "grade",
        class_,
        "--out",
        out,
        "--parts",
        "toy",
        "--unsafe",
        "--jobs",
        "2",
    )
    scores, causes = {}, {}
    for name in ("begun", "solved", "mistaken"):
        result = json.loads((out / name / "results.json").read_text())
        scores[name] = result["score"]
        causes[name] = [entry["cause"] for entry in result["extra_data"]["instructor"]]
        assert list(result["extra_data"]["exercises"]) == ["99.1"]
    assert scores == {"begun": 0, "solved": 4, "mistaken": 1}
    assert mistake.cause in causes["mistaken"]


def test_nbgrader_and_gradescope_take_the_part(course: Path, tmp_path: Path):
    """One graded cell; and a zip whose own course.toml counts this part."""
    out = tmp_path / "nbgrader"
    said = run(course, "grader", "nbgrader", "--out", out, "--parts", "toy")
    assert "1 graded exercises" in said
    source = out / "source" / "fcos" / "99_toy.ipynb"
    cells = nbformat.read(source, as_version=4).cells
    marks = [cell.metadata.get("nbgrader", {}) for cell in cells]
    graded = {mark["grade_id"]: mark["points"] for mark in marks if mark.get("grade")}
    assert graded == {"exercise-99-1": 4}
    files = autograder_files(course, parts=["toy"])
    assert b'default_parts = ["toy"]' in files[f"course/{FILE}"]
    assert "course/assignment/toy_detector.py" in files


def test_detector_of_the_part_trains_and_detects(course: Path, tmp_path: Path):
    """No file of ours knows its loss, its one level, or that it has no backbone."""
    data, out = tmp_path / "shapes", tmp_path / "run"
    run(course, *f"data_scripts.make_shapes --out {data} --train 6 --val 3".split())
    where = f"--data shapes --data-dir {data} --device cpu"
    choices = (
        "--set model=toy --set iterations=3 --set batch_size=2 --set image_size=64"
    )
    run(course, *f"helpers.train --recipe plain {choices} {where} --out {out}".split())
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["iteration"] == 3 and lines[-1]["loss_colour"] > 0
    thresholds = "--score-threshold 0.1 --nms-threshold 0.5"
    said = run(
        course, *f"helpers.evaluate --checkpoint {out} {where} {thresholds}".split()
    )
    assert "mAP" in said
    photos = sorted((data / "VOCdevkit" / "VOC2007" / "JPEGImages").glob("*.jpg"))[:2]
    command = f"helpers.detect --checkpoint {out} --out {tmp_path / 'found'}"
    run(course, *command.split(), "--score-threshold", "0.1", *photos)
    found = json.loads((tmp_path / "found" / "detections.json").read_text())
    assert len(found) == 2
    said = run(
        course,
        *f"helpers.train --recipe cpu --set model=toy {where} --out {out}2".split(),
        code=2,
    )
    assert "the detector toy has no backbone to freeze" in said


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (toy_part.CHECKS, "exercise 99.1 has no visible check"),
        (toy_part.HINTS, "exercise 99.1 has no hint"),
    ],
)
def test_exercise_without_check_or_hint_is_an_error(course: Path, file: str, said: str):
    """It is never "done", and the sentence has its number."""
    path = course / file
    text = path.read_text()
    try:
        path.write_text("" if path.suffix == ".toml" else '"""Nothing."""\n')
        assert said in run(course, "helpers.check", "99.1", code=2)
    finally:
        path.write_text(text)


def test_exercise_without_hidden_test_is_an_error(course: Path):
    """Nobody is graded by what students can see alone."""
    path = course / toy_part.MANIFEST
    text = path.read_text()
    hidden, visible = text.split("[[test]]")[1:]
    try:
        path.write_text(f"[[test]]{visible}")
        with pytest.raises(CourseError, match=r"exercise 99\.1 has no hidden test"):
            read_course(course, [], "none", parts=["toy"])
    finally:
        path.write_text(text)
    assert "visible = false" in hidden


HEAD = """
default_parts = ["one_stage", "toy"]
drop = ["6.3"]
points = { "1.1" = 100, "99.1" = 10 }
"""


@pytest.fixture(scope="module")
def own_course(tmp_path_factory) -> Path:
    """This course with an instructor's folder laid over it."""
    folder = tmp_path_factory.mktemp("own")
    own = toy_part.write_own_course(folder / "mine", HEAD)
    return copy_course(toy_part.ROOT, own, folder / "course")


def test_own_folder_adds_drops_and_weighs(own_course: Path):
    """Points are shared out anew; what is dropped counts nothing."""
    graded = read_course(own_course, [], "none")
    points = points_by_exercise(graded.chosen)
    before = points_by_exercise(read_course(toy_part.ROOT, [], "none").chosen)
    assert points["1.1"] == pytest.approx(100) and points["99.1"] == pytest.approx(10)
    assert set(before) - set(points) == {"6.3"}
    assert points["4.5"] == before["4.5"]


def test_release_with_own_folder_gives_what_was_dropped(own_course: Path):
    """Its solution is there, its check is not, and no cell asks for it."""
    made = make_release(own_course)
    assert made.solved == ("6.3",)
    assert "99.1" in made.registry.exercises and "6.3" not in made.registry.exercises
    losses = made.files["assignment/fcos_losses.py"].decode()
    assert "Exercise 6.2 fcos_box_loss:" in losses
    assert "Exercise 6.3 fcos_centerness_loss:" not in losses
    notebook = made.files["notebooks/06_losses.ipynb"].decode()
    assert 'check(\\"6.2\\")' in notebook and 'check(\\"6.3\\")' not in notebook
    assert "**Exercise 6.3 is given**" in notebook
    boxes = made.files["notebooks/01_data_and_boxes.ipynb"].decode()
    assert '"points": 100' in boxes


def test_own_folder_must_fit(tmp_path: Path):
    """A file of ours is not replaced, and a course.toml is there."""
    own = tmp_path / "mine"
    own.mkdir()
    with pytest.raises(CourseError, match="cannot read it"):
        copy_course(toy_part.ROOT, own, tmp_path / "one")
    (own / FILE).write_text('drop = ["7.7"]\n')
    with pytest.raises(CourseError, match=r"there is no exercise '7\.7'"):
        copy_course(toy_part.ROOT, own, tmp_path / "two")
    (own / FILE).write_text("")
    (own / "assignment").mkdir()
    (own / "assignment" / "common.py").write_text("")
    with pytest.raises(CourseError, match="the course has a file of this name"):
        copy_course(toy_part.ROOT, own, tmp_path / "three")
