"""What an exercise asks to write cannot be had; what it does not, is the real one."""

import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.command import CourseError
from core.course import Registry, read_registry
from grader.sandbox import closing
from grader.sandbox.inside import hidden_paths
from grader.sandbox.levels import Level, probe_level
from grader.sandbox.slots import may_become_others
from grader.session.session import Session
from grader.worker.landlock import landlock_version
from helpers.checks.expect import CheckError
from tests import reaching_submission

LEVELS = [probe_level().level]
if may_become_others() and landlock_version() and Level.OWN_USER not in LEVELS:
    LEVELS.append(Level.OWN_USER)
needs_walls = pytest.mark.skipif(Level.NONE in LEVELS, reason="no walls here")
# Toy exercises: these close what the course's own will close one day.
TOYS = {
    "4.1": (),
    "4.2": ("RoIAlign",),
    "4.3": ("models.detection._utils.Matcher", "models.detection.rpn"),
    "4.4": ("models.detection.FCOS",),
    "6.3": ("nms",),
}
# Exercise -> what its tests must not find.
CLOSED = {
    "1.1": ("box_iou", "_loss_inter_union"),
    "2.2": ("FeaturePyramidNetwork",),
    "4.2": ("RoIAlign", "roi_align"),
    "4.3": ("Matcher", "RegionProposalNetwork"),
    "4.4": ("FCOS",),
    "5.1": ("BoxLinearCoder",),
    "6.1": ("sigmoid_focal_loss",),
    "6.3": ("nms", "batched_nms"),
    "8.1": ("nms", "batched_nms", "box_iou"),
}
# Exercise -> what it leaves as it is, the detectors of torchvision among them.
OPEN = {
    "4.1": tuple(reaching_submission.TARGETS),
    "4.2": ("nms", "batched_nms", "box_iou", "Matcher", "FCOS"),
    "6.3": ("box_iou", "roi_align", "RoIAlign", "sigmoid_focal_loss", "Matcher"),
    "8.1": ("roi_align", "RoIAlign", "sigmoid_focal_loss", "FeaturePyramidNetwork"),
}


def toy_registry() -> Registry:
    """The course, where some exercises close other things."""
    registry = read_registry()
    exercises = {
        number: replace(exercise, closed=TOYS.get(number, exercise.closed))
        for number, exercise in registry.exercises.items()
    }
    return replace(registry, exercises=exercises)


def test_what_the_course_closes_is_there():
    """Each name in course.toml leads to something, and its text can do without it."""
    for exercise in read_registry().exercises.values():
        closed = closing.close(exercise.closed)
        assert bool(closed.names) is bool(exercise.closed)
        for module, names in closed.names.items():
            compile(closing.source(module).without(names), module, "exec")


@pytest.mark.parametrize(
    ("name", "module", "inner", "operators"),
    [
        ("nms", "ops.boxes", {"nms"}, {"nms", "qnms"}),
        ("torchvision.ops.nms", "ops.boxes", {"nms"}, {"nms", "qnms"}),
        ("RoIAlign", "ops.roi_align", {"RoIAlign", "roi_align"}, {"roi_align"}),
        ("box_iou", "ops.boxes", {"box_iou", "_box_inter_union"}, set()),
        (
            "models.detection._utils.BoxCoder",
            "models.detection._utils",
            {"BoxCoder", "encode_boxes"},
            set(),
        ),
        ("models.detection.FCOS", "models.detection.fcos", {"FCOS", "FCOSHead"}, set()),
        (
            "models.detection.rpn",
            "models.detection.rpn",
            {"RPNHead", "RegionProposalNetwork"},
            set(),
        ),
    ],
)
def test_a_name_closes_what_it_is_made_of(name, module, inner, operators):
    """The functions that it calls in its file, and the operators that these ask."""
    closed = closing.close([name])
    (found,) = closed.names
    assert found == f"torchvision.{module}" and inner <= closed.names[found]
    assert operators <= closed.operators
    assert "box_area" not in closed.names[found]  # which answers no exercise


@pytest.mark.parametrize(
    "name", ["no_such", "models.detection.no_such", "models.detection", "a.b.c", ""]
)
def test_a_name_that_leads_nowhere_is_said(name: str):
    """One sentence, whatever was written in course.toml."""
    with pytest.raises(CourseError, match="closed: torchvision has no"):
        closing.close([name])


def test_allowed_functions_stay():
    """--allow-ops opens a function, though another that calls it is closed."""
    closed = closing.close(["nms", "batched_nms"], allowed=["nms"])
    assert "nms" not in closed.names["torchvision.ops.boxes"]
    assert "batched_nms" in closed.names["torchvision.ops.boxes"]
    assert closed.operators == frozenset()


def test_an_exercise_closes_what_it_stands_on():
    """8.2 is tested with the nms of 8.1 and the iou of 1.1; 4.1 with neither."""
    registry = read_registry()
    assert {"nms", "box_iou"} <= {*registry.closed_for("8.2")}
    assert registry.closed_for("4.1") == ()
    assert {*registry.closed_for("6.1")} == {"sigmoid_focal_loss"}


def test_hidden_are_texts_bytecode_and_the_library():
    """Of a closed module nothing is shown, in whatever form it is installed."""
    hidden = hidden_paths(closing.close(["nms"]))
    names = {path.name.partition(".")[0] for path in hidden}
    assert {"boxes", "custom_op_db", "pytest", "faster_coco_eval"} <= names
    assert {path for path in closing.libraries()} <= {*hidden}
    library = {*closing.libraries()}
    assert not library & {*hidden_paths(closing.close(["sigmoid_focal_loss"]))}


@pytest.fixture(scope="module", params=LEVELS, ids=lambda level: level.value)
def session(tmp_path_factory, request) -> Iterator[Session]:
    """The hostile file in a sandbox of each level with walls."""
    folder = tmp_path_factory.mktemp("reaching")
    shutil.copyfile(reaching_submission.__file__, folder / "common.py")
    with Session(folder, request.param, registry=toy_registry()) as running:
        yield running


@needs_walls
@pytest.mark.parametrize("exercise", CLOSED)
def test_no_way_leads_to_what_an_exercise_closes(session: Session, exercise: str):
    """The file imports all of it; a call is refused with one sentence."""
    for target in CLOSED[exercise]:
        common = session.student(exercise).common
        with pytest.raises(CheckError) as refused:
            common.plain(target)
        assert refused.value.category == "not allowed", refused.value
        assert "is what an exercise asks for" in refused.value.traceback
        assert common.reach(target) == [], f"{exercise}: {target}"
    session.end_test()


@needs_walls
@pytest.mark.parametrize("exercise", OPEN)
def test_what_an_exercise_does_not_close_is_the_real_one(session, exercise: str):
    """With the right numbers, though another exercise of the same course closes it."""
    common = session.student(exercise).common
    assert {name: common.plain(name) for name in OPEN[exercise]} == dict.fromkeys(
        OPEN[exercise], True
    )
    session.end_test()


@needs_walls
def test_without_an_exercise_all_is_closed(session: Session):
    """Whoever forgets to say which is tested opens nothing."""
    common = session.student().common
    for target in ("nms", "box_iou", "RoIAlign", "Matcher", "FCOS"):
        with pytest.raises(CheckError) as refused:
            common.plain(target)
        assert refused.value.category == "not allowed"
    session.end_test()
