"""The hidden suites: complete, passed by the solution, failed by the stubs."""

import json
import math
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from core.command import EXIT_PARTLY_FAILED, CourseError
from core.course import read_registry
from grader.__main__ import make_parser
from grader.manifest import read_manifest
from grader.release.build import make_release
from grader.session.local_session import LocalSession
from grader.suites.references import make_references, write_references
from grader.suites.suite_run import SuiteError, run_suite, with_suite
from grader_tests import tools
from grader_tests.detection_parts import read_raw
from grader_tests.oracles.plain_inference import Choices, plain_decode
from grader_tests.oracles.step8 import IMAGE_SIZES, boxes_without_area
from grader_tests.oracles.step12 import IMAGE_SIZES as PUBLISHED_SIZES
from grader_tests.published_detection_parts import read_images
from grader_tests.references import FOLDER_VARIABLE, STORED, load_reference
from helpers.checks.expect import CheckError

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = {entry.id: entry for entry in read_manifest(ROOT)}
LARGEST_FOLDER = 1_000_000  # bytes
# By one of these a file of tests gets its references.
READERS = {"load_reference", "load_cases", "load_strides", "read_raw"} | {
    *("read_level", "read_found", "read_images", "stored_batch"),
}
ANOTHER_SEED = 20_270_401


def functions() -> dict:
    """Id -> function of every test; they must be those of the manifest."""
    return with_suite(ROOT, list(MANIFEST.values()), lambda suite: suite.functions())


def outcomes(folder: Path, chosen: set[str]) -> dict:
    """Id -> how the test ended with the files of a folder."""
    tests, session = list(MANIFEST.values()), LocalSession(folder)
    return {
        outcome.id: outcome
        for outcome in run_suite(ROOT, tests, chosen, session, math.inf)
    }


def test_manifest_lists_every_test_and_nothing_else():
    """A test that is not in the manifest gives no points; one that is not there, 0."""
    assert set(functions()) == set(MANIFEST)
    with pytest.raises(SuiteError, match="not those of the manifest"):
        with_suite(ROOT, list(MANIFEST.values())[1:], lambda suite: None)


def test_every_test_says_what_it_expects_in_one_sentence():
    """The first line of a test is read by students."""
    for name, test in functions().items():
        text = (test.__doc__ or "").strip().splitlines()
        assert text, f"{name} has no docstring"
        assert text[0].endswith("."), f"{name}: {text[0]}"


def test_every_exercise_has_hidden_tests():
    """Visible checks alone can be met with the numbers that they show."""
    hidden = {entry.exercise for entry in MANIFEST.values() if not entry.visible}
    assert hidden == {entry.exercise for entry in MANIFEST.values()}
    assert hidden == set(read_registry(ROOT).exercises)


def test_solution_passes_all_tests_with_pytest():
    """`python -m grader tests` in a process of its own, as an instructor runs it."""
    answer = subprocess.run(
        [sys.executable, "-m", "grader", "tests"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-3000:]
    rows = answer.stdout.splitlines()[1:]
    assert sum(int(row.split()[1]) for row in rows) == len(MANIFEST)


def test_stub_passes_no_test(tmp_path: Path):
    """What students start from: everything is not implemented, or waits for others."""
    release = make_release(ROOT)
    for name, content in release.files.items():
        if name.startswith("assignment/"):
            (tmp_path / Path(name).name).write_bytes(content)
    for name, told in outcomes(tmp_path, set(MANIFEST)).items():
        assert told.category in ("not implemented", "blocked"), f"{name}: {told}"


def test_references_are_what_the_oracles_give():
    """With the stored seed the script gives the stored numbers again."""
    info = json.loads((STORED / "references.json").read_text())
    made = make_references(ROOT, info["seed"])
    assert list(made) == info["steps"]
    for step, tensors in made.items():
        stored = load_reference(step, STORED)
        assert set(stored) == set(tensors)
        for name, value in tensors.items():
            assert stored[name].dtype == value.dtype
            torch.testing.assert_close(stored[name], value, msg=name)


def expect_boxes_with_area() -> None:
    """In the references in use each prediction is a box, though some deltas are < 0."""
    for case, size in IMAGE_SIZES.items():
        raw = read_raw(case)[0]
        assert not any(boxes_without_area(raw, size).values())
        assert any(bool((deltas < 0).any()) for deltas in raw.deltas.values())


def test_stored_predictions_give_no_box_without_area():
    """What NMS makes of 0 / 0 depends on how a comparison is written."""
    expect_boxes_with_area()
    for levels, size in zip(read_images(), PUBLISHED_SIZES, strict=True):
        for x1, y1, x2, y2, *_ in plain_decode(levels, size, 0, Choices(), inset=1):
            assert min(x2 - x1, y2 - y1) >= 1


def test_references_are_small():
    """They are in git, so they stay below a megabyte."""
    sizes = [path.stat().st_size for path in STORED.iterdir()]
    assert sum(sizes) < LARGEST_FOLDER


def test_references_of_another_seed_are_not_replaced(tmp_path: Path, monkeypatch):
    """A class was graded by them; nobody may remember the seed."""
    one = {"step1": {"x": torch.tensor([1.0])}}
    monkeypatch.setattr("grader.suites.references.make_references", lambda *_: one)
    write_references(ROOT, tmp_path, 7)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CourseError, match="holds the references of seed 7"):
        write_references(ROOT, tmp_path, 8)
    write_references(ROOT, tmp_path, 7)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_references_of_a_term_replace_the_stored_ones(tmp_path: Path, monkeypatch):
    """Another seed, other inputs; the solution passes them all the same."""
    paths = write_references(ROOT, tmp_path / "term", ANOTHER_SEED)
    assert not [
        entry for entry in (tmp_path / "term").iterdir() if "partial" in entry.name
    ]
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "term"))
    expect_boxes_with_area()
    for path in paths:
        own = load_reference(path.stem)
        stored = load_reference(path.stem, STORED)
        assert set(own) == set(stored)
        assert any(not torch.equal(own[name], stored[name]) for name in own)
    readers = {
        name
        for name, test in functions().items()
        if not READERS.isdisjoint(test.__globals__)
    }
    for name, told in outcomes(ROOT / "assignment", readers).items():
        assert told.category is None, f"{name}: {told.message}"


def test_references_cannot_be_spoilt_by_a_reader():
    """A student's code that changes its inputs in place spoils no later test."""
    load_reference("step1", STORED)["iou.random.boxes1"].zero_()
    assert load_reference("step1", STORED)["iou.random.boxes1"].any()


def test_folder_without_a_solution_is_refused(tmp_path: Path):
    """The message says which folder to name."""
    options = make_parser().parse_args(["tests", "--solution", str(tmp_path)])
    with pytest.raises(CourseError, match=r"name the folder that holds common\.py"):
        options.run(options)


def test_solution_that_cannot_be_imported_fails_its_tests(tmp_path: Path, capsys):
    """The table names the file and the line; the own modules stay as they were."""
    before = sys.modules.get("assignment.common")
    (tmp_path / "common.py").write_text("import nothing_of_this_name\n")
    arguments = ["tests", "--solution", str(tmp_path), "-k", "test_iou_by_hand"]
    options = make_parser().parse_args(arguments)
    assert options.run(options) == EXIT_PARTLY_FAILED
    said = capsys.readouterr().out
    assert "No module named 'nothing_of_this_name' at line 1 of common.py" in said
    assert sys.modules.get("assignment.common") is before


def test_word_that_no_test_has_is_refused():
    """A mistyped -k must not look like a pass."""
    options = make_parser().parse_args(["tests", "-k", "no_such_test"])
    with pytest.raises(CourseError, match="no test matches"):
        options.run(options)


@pytest.mark.parametrize(
    ("seconds", "is_fast"),
    [([9.0, 0.1], True), ([9.0, 9.0], False), ([1.5, 1.5, 0.9], True)],
)
def test_import_of_a_file_does_not_count_as_a_slow_answer(
    monkeypatch, seconds, is_fast
):
    """The first call may run the student's file, and what that imports."""
    left = list(seconds)
    monkeypatch.setattr(tools, "_timed", lambda call: (None, left.pop(0)))
    with nullcontext() if is_fast else pytest.raises(CheckError):
        tools.expect_faster(lambda: None, lambda _: None, 1.0, "iou", "a loop")
    assert not left


# Fast functions that answer zeros, or all indices, of the right shape.
FAST_AND_WRONG = {
    "common.py": """
def iou(boxes1, boxes2):
    return torch.zeros(len(boxes1), len(boxes2))

def nms(boxes, scores, iou_threshold=0.5):
    return scores.argsort(descending=True)
""",
    "fcos_matching.py": """
def fcos_match_locations_to_gt(locations, strides, gt_boxes):
    return {level: torch.zeros(len(own), 5) for level, own in locations.items()}
""",
    "fcos_deltas.py": """
def fcos_get_deltas_from_locations(locations, gt_boxes, stride):
    return torch.zeros(len(locations), 4)
""",
}


def test_fast_and_wrong_is_wrong(tmp_path: Path):
    """Every test that takes the time also looks at the answer."""
    for path in (ROOT / "assignment").glob("*.py"):
        more = FAST_AND_WRONG.get(path.name, "")
        (tmp_path / path.name).write_text(path.read_text() + more)
    timed = {
        name
        for name, test in functions().items()
        if "expect_faster" in test.__code__.co_names
    }
    assert len(timed) == 4
    for name, told in outcomes(tmp_path, timed).items():
        assert told.category in ("wrong value", "wrong shape"), f"{name}: {told}"
