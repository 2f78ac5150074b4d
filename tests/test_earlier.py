"""An earlier mistake costs its own exercise; later ones get the solution's part."""

import ast
import marshal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from core.course import read_registry
from grader.manifest import read_manifest
from grader.outcomes import Outcome
from grader.results.policy import tell
from grader.sandbox.levels import Level, probe_level
from grader.session.local_session import LocalSession
from grader.session.session import Session
from grader.suites.earlier import run_with_earlier, wrong_earlier
from grader.suites.given_parts import given_parts
from grader.suites.mistakes import Edit, plant
from grader.suites.pace import Pace
from grader.suites.suite_run import Suite, with_suite

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = read_registry(ROOT)
TESTS = {test.id: test for test in read_manifest(ROOT)}
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
DETECTOR = "one_stage_detector.py"
CALLED = "exercises_called"  # a set among the modules, where the solution writes to


class _Telling(ast.NodeTransformer):
    """Lets each function of an exercise say that it is called."""

    def __init__(self, module: str):
        self.names = {
            exercise.function: number
            for number, exercise in REGISTRY.exercises.items()
            if exercise.module == module
        }
        self.prefix = ""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.prefix = f"{node.name}."
        self.generic_visit(node)
        self.prefix = ""
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        number = self.names.get(f"{self.prefix}{node.name}")
        if number:
            line = f"import sys; sys.modules[{CALLED!r}].add({number!r})"
            node.body[:0] = ast.parse(line).body
        return node


@pytest.fixture(scope="module")
def calls(tmp_path_factory) -> dict[str, set[str]]:
    """Id of a test -> exercises whose functions it ran."""
    folder = tmp_path_factory.mktemp("telling")
    for path in (ROOT / "assignment").glob("*.py"):
        tree = _Telling(path.stem).visit(ast.parse(path.read_text()))
        (folder / path.name).write_text(ast.unparse(ast.fix_missing_locations(tree)))
    called: set[str] = set()
    sys.modules[CALLED] = called  # type: ignore[assignment]

    def run_each(suite: Suite) -> dict[str, set[str]]:
        found = {}
        with LocalSession(folder) as session:
            for name in suite.ids:
                called.clear()
                suite.run({name}, session)
                found[name] = set(called)
        return found

    try:
        return with_suite(ROOT, list(TESTS.values()), run_each)
    finally:
        del sys.modules[CALLED]


def test_the_manifest_says_what_a_test_needs(calls):
    """Every exercise that a test runs is its own, or among what it needs."""
    for name, ran in calls.items():
        test = TESTS[name]
        known = {test.exercise, *wrong_earlier(test, REGISTRY, REGISTRY.exercises)}
        assert ran <= known, f"{name}: add needs = {sorted(ran - known)}"
    for name, ran in calls.items():
        useless = set(TESTS[name].needs) - ran
        assert not useless, f"{name}: does not run {sorted(useless)}"


def functions_in(code: CodeType) -> Iterator[str]:
    """Qualified names of all functions and classes in some code."""
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield part.co_qualname
            yield from functions_in(part)


def test_given_parts_hold_no_other_exercise():
    """Neither the exercise that is judged nor one that it does not need."""
    for test in {(t.exercise, t.needs): t for t in TESTS.values()}.values():
        earlier = wrong_earlier(test, REGISTRY, REGISTRY.exercises)
        if not earlier:
            continue
        content = marshal.loads(given_parts(ROOT, REGISTRY, earlier, test.exercise))
        found = {
            name for file in content["files"] for name in functions_in(file["code"])
        }
        functions = {
            exercise.function: number for number, exercise in REGISTRY.exercises.items()
        }
        given = {functions[name] for name in found if name in functions}
        assert given == set(earlier), test.id
        assert test.exercise not in given


def run(folder: Path, chosen: set[str], session: Any = None) -> dict[str, Outcome]:
    """How tests end, with the solution's parts where earlier ones fail."""

    def judge(suite: Suite) -> list[Outcome]:
        with session or LocalSession(folder) as source:
            course = (ROOT, REGISTRY, list(TESTS.values()))
            return run_with_earlier(suite, course, chosen, source, Pace())

    told = with_suite(ROOT, list(TESTS.values()), judge)
    return {outcome.id: outcome for outcome in told}


# A mistake: its exercise, file, text and replacement; a test that meets it, and others
# of later exercises that must pass with the solution's part.
MISTAKES = [
    (
        "1.1",
        Edit("common.py", "union > 0, intersection / union", "union > 0, union / 9"),
        "test_1_boxes.py::test_iou_of_all_pairs",
        ["test_8_nms.py::test_nms_by_hand"],
    ),
    (
        "2.1",
        Edit("common.py", 'layers[f"lateral{level}"] =', "layers[level] ="),
        "test_2_fpn.py::test_pyramid_has_a_map_for_each_stride",
        [],
    ),
    (
        "2.2",
        Edit("common.py", '"p5": self.fpn_params', '"p6": self.fpn_params'),
        "test_2_fpn.py::test_pyramid_has_a_map_for_each_stride",
        ["test_7_fcos.py::test_fcos_answers_at_every_location"],
    ),
    (
        "3.1",
        Edit("fcos_head.py", "            channels = width\n", ""),
        "test_3_layers.py::test_head_stems_have_a_convolution_for_each_width",
        ["test_7_fcos.py::test_fcos_has_the_numbers_of_channels_asked_for"],
    ),
    (
        "4.1",
        Edit("common.py", "(grid_x, grid_y), dim=2", "(grid_y, grid_x), dim=2"),
        "test_4_locations.py::test_locations_are_x_then_y",
        ["test_7_training.py::test_loss_box_of_a_batch"],
    ),
    (
        "7.3",
        Edit(DETECTOR, "self._normalizer.mul_(", "self._normalizer.add_("),
        "test_7_fcos.py::test_update_normalizer_by_hand",
        ["test_7_training.py::test_loss_ctr_of_a_batch"],
    ),
    (
        "7.4",
        Edit(DETECTOR, "values.sum() / divisor", "None"),
        "test_7_training.py::test_loss_cls_of_a_batch",
        ["test_8_inference.py::test_forward_in_eval_mode_takes_thresholds"],
    ),
]


@pytest.mark.parametrize(
    ("exercise", "edit", "own", "later"), MISTAKES, ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_costs_its_own_exercise_only(exercise, edit, own, later, tmp_path):
    """Later tests pass, and say whose part stood in; its own test fails."""
    plant((edit,), SOURCES, tmp_path)
    told = run(tmp_path, {own, *later})
    assert told[own].category is not None
    for name in later:
        assert told[name].category is None, told[name]
        assert exercise in told[name].given.split()
        text = tell(TESTS[name], told[name]).as_text()
        assert f"own solution of {told[name].given.replace(' ', ', ')}" in text


def test_a_later_mistake_stays_one(tmp_path):
    """The solution's locations do not mend a loss; the first answer is what is told."""
    edits = (
        MISTAKES[4][1],
        Edit(DETECTOR, "values.sum() / divisor", "values.mean() / divisor"),
    )
    plant(edits, SOURCES, tmp_path)
    name = "test_7_training.py::test_loss_box_of_a_batch"
    own = "test_4_locations.py::test_locations_are_x_then_y"
    told = run(tmp_path, {own, name})
    assert told[name].category == "wrong value"
    assert told[name].given == ""


ATTACK = """

import sys
THEIRS = sys.modules.get("given_parts.fcos_matching")
STOLEN = getattr(THEIRS, "fcos_distances_to_edges", None)
print("found", STOLEN)

def fcos_distances_to_edges(locations, boxes_xyxy):
    return STOLEN(locations, boxes_xyxy) if STOLEN else locations[:, None]

def fcos_match_locations_to_gt(locations_per_fpn_level, strides, gt_boxes):
    if THEIRS:
        print("LEAK", THEIRS.fcos_distances_to_edges.__code__.co_consts)
        raise type("LEAK" + fcos_distances_to_edges.__name__, (Exception,), {})("LEAK")
    raise ValueError("plain")
"""


@pytest.mark.skipif(
    probe_level().level is Level.NONE, reason="no sandbox: nothing hostile is run"
)
def test_a_given_part_gives_nothing_away(tmp_path):
    """Its text reaches no result, and no test of its own exercise ever meets it."""
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
    with (tmp_path / "fcos_matching.py").open("a") as file:
        file.write(ATTACK)
    chosen = {
        "test_4_matching_parts.py::test_distances_of_all_pairs",
        "test_4_matching.py::test_match_of_one_box",
        "checks/test_4_matching.py::test_match_by_hand",
    }
    session = Session(tmp_path, probe_level().level)
    told = run(tmp_path, chosen, session)
    assert all(outcome.category for outcome in told.values())
    assert all("LEAK" not in repr(outcome) for outcome in told.values())
    assert "ValueError" in told["test_4_matching.py::test_match_of_one_box"].message
