"""Solutions that are right in another way than ours pass the hidden tests."""

import math
from pathlib import Path

import pytest

from grader.manifest import read_manifest
from grader.session.local_session import LocalSession
from grader.suites.mutation_suites import write_sources
from grader.suites.suite_run import run_suite
from tests.legitimate import REWRITTEN, accepted

ROOT = Path(__file__).resolve().parent.parent
ORIGINAL_FORM = Path(__file__).resolve().parent / "original_form"
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
MANIFEST = read_manifest(ROOT)
ENTRIES = [entry for entry in MANIFEST if not entry.visible]
OF_NMS = (
    "boxes without area dropped",
    "0 / 0 in NMS, which drops",
    "0 / 0 in NMS, which keeps",
    "last of equal scores first",
)
# Layers under other names than ours, and in other places, on which later steps stand.
OF_LAYERS = ("other_fpn_keys", "head_in_loops", "other_top", "nested_stem")
# Exercises that the original assignment does not have in these two files.
OURS_ONLY = {"1.1", "2.1", "4.2", "4.3", "4.4"}
# Matching is given there and differs from ours, for p3 to p5 alone; merge_levels is a
# part of forward.
KNOWN_OF_ORIGINAL = (
    "test_match_on_any_levels",
    "test_match_of_close_areas",
    "test_match_at_the_border",
    "test_match_tells_padding_by_its_class",
    "test_match_of_an_image_without_boxes",
    "test_merge_levels",
)


def step_of(exercise: str) -> int:
    """The step of an exercise: 11 of "11.2"."""
    return int(exercise.partition(".")[0])


def failures(folder: Path, exercises: set[str]) -> dict[str, str]:
    """Name of a test -> category and message, of what fails in these exercises."""
    chosen = {entry.id for entry in ENTRIES if entry.exercise in exercises}
    told = run_suite(ROOT, MANIFEST, chosen, LocalSession(folder), math.inf)
    return {
        outcome.id.split("::")[1]: f"{outcome.category}: {outcome.message}"
        for outcome in told
        if outcome.category
    }


@pytest.mark.parametrize("name", REWRITTEN)
def test_legitimate_variant_passes(name: str, tmp_path: Path):
    """What the text leaves open costs no points."""
    write_sources(accepted(name, SOURCES), tmp_path)
    steps = {step_of(exercise) for exercise in REWRITTEN[name]}
    chosen = {entry.exercise for entry in ENTRIES if step_of(entry.exercise) in steps}
    assert failures(tmp_path, chosen) == {}


@pytest.mark.parametrize("name", OF_NMS)
def test_detections_of_a_legitimate_nms(name: str, tmp_path: Path):
    """What 8.1 leaves open costs no points in 12.3 and 12.4."""
    write_sources(accepted(name, SOURCES), tmp_path)
    assert failures(tmp_path, {"12.3", "12.4"}) == {}


@pytest.mark.parametrize("name", OF_LAYERS)
def test_detector_of_legitimate_layers(name: str, tmp_path: Path):
    """What 2.1, 3.1, 10.1 and 10.3 leave open costs no points in later steps."""
    write_sources(accepted(name, SOURCES), tmp_path)
    assert failures(tmp_path, {"11.7", "12.3", "12.4"}) == {}


def test_solution_in_the_form_of_the_original_assignment():
    """Two files that import each other by their bare names, without our sub-exercises.

    What is not there earns nothing; everything else is graded as it is in our form.
    """
    exercises = {entry.exercise for entry in ENTRIES if step_of(entry.exercise) <= 5}
    failed = failures(ORIGINAL_FORM, exercises - OURS_ONLY)
    assert {name for name in failed if not name.startswith(KNOWN_OF_ORIGINAL)} == set()
    for name, told in failures(ORIGINAL_FORM, OURS_ONLY).items():
        assert told.startswith("not implemented"), f"{name}: {told}"
