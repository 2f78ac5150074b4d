"""A submission behind the border behaves like one in process, and can do no harm."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from grader.border.limits import Limits
from grader.sandbox.levels import Level, probe_level
from grader.session.local_session import LocalSession
from grader.session.proxy import RemoteObject
from grader.session.session import Session
from helpers.checks.expect import CheckError
from tests.hostile_submission import COMMON, write_submission

ROOT = Path(__file__).resolve().parent.parent
LEVEL = probe_level().level
LIMITS = Limits(cpu_seconds=2, call_seconds=8, output_mb=1)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """One sandbox with the misbehaving submission for all tests of this file."""
    folder = write_submission(tmp_path_factory.mktemp("submission"))
    with Session(folder, LEVEL, LIMITS) as opened:
        yield opened


@pytest.fixture(params=["sandbox", "local"])
def student(request: pytest.FixtureRequest, session: Session):
    """The submission in a fresh process, and in this one."""
    if request.param == "sandbox":
        yield session.student()
        session.end_test()
    else:
        with LocalSession(session.submission) as local:
            yield local.student()


def error_of(call, *args) -> CheckError:
    with pytest.raises(CheckError) as caught:
        call(*args)
    return caught.value


def test_functions_take_and_give_tensors(student):
    """A call with an empty tensor, a tensor, a dtype; a name that is a number."""
    assert student.common.double(torch.zeros(0, 4)).shape == (0, 4)
    twice = student.common.double(torch.tensor([1.0, 2]), dtype=torch.float64)
    assert twice.dtype is torch.float64
    assert twice.tolist() == [2.0, 4.0]
    assert student.common.BACKGROUND == -1


def test_modules_stay_behind_the_border(student):
    """A module can be called, indexed, measured, saved, loaded and passed back."""
    layer = student.common.Layer(2)
    x = torch.tensor([[1.0, 2.0]])
    assert isinstance(layer, RemoteObject)
    assert isinstance(layer.stem, RemoteObject)
    assert len(layer.stem) == 2
    assert [isinstance(part, RemoteObject) for part in layer.stem] == [True] * 2
    assert layer.levels == {"p3": 8}
    before = layer(x)
    weights = layer.state_dict()
    assert weights["stem.0.weight"].shape == (3, 2)
    layer.load_state_dict({name: 0 * value for name, value in weights.items()})
    assert layer(x).tolist() == [[0.0, 0.0, 0.0]]
    layer.load_state_dict(weights)
    assert torch.equal(layer.eval()(x), before)
    result, of_inputs, of_weights = student.gradients(
        layer, x, inputs=(0,), module=layer
    )
    assert torch.equal(result, before)
    assert of_inputs[0].shape == (1, 2)
    assert set(of_weights) == set(weights)


def test_all_ways_to_import_give_one_module(student):
    """`common`, `assignment.common` and star imports are the same module."""
    assert student.common.same_module() is True
    assert student.common.from_deltas() == -1


def test_a_broken_file_costs_only_what_is_in_it(student):
    """A syntax error says its line; functions of other files are still found."""
    found = error_of(lambda: student.one_stage_detector.FCOS)
    assert found.category == "exception"
    assert found.message == "SyntaxError at line 1 of one_stage_detector.py"
    assert student.one_stage_detector.double(torch.ones(1)).item() == 2


def test_exceptions_name_type_and_line_of_the_own_file(student):
    """The message has no input in it; the traceback has the student's frames only."""
    found = error_of(student.common.fail, torch.ones(1))
    line = 1 + COMMON.split("\n").index("    return y / 0")
    assert found.message == f"ZeroDivisionError at line {line} of common.py"
    assert "return y / 0" in found.traceback
    assert "worker" not in found.traceback
    assert str(ROOT) not in found.traceback


def test_a_stub_is_not_implemented_and_says_its_exercise(student):
    """NotImplementedError of a stub keeps the number of its exercise."""
    found = error_of(student.common.stub)
    assert found.category == "not implemented"
    assert found.message.startswith("Exercise 3.2 is not implemented")


def test_inputs_that_are_changed_in_place_stay_as_they_are_here(student):
    """A test's own tensors never change; one that asks gets others that did."""
    x = torch.zeros(3)
    assert student.common.change(x).item() == 7
    assert x.tolist() == [0, 0, 0]
    _, (after,) = student.after_call(student.common.change, x)
    assert after.tolist() == [7, 0, 0]
    answer, (levels,) = student.after_call(student.common.change_level, {"p3": x})
    assert levels["p3"].tolist() == answer.tolist() == [7, 0, 0]
    assert x.tolist() == [0, 0, 0]
    assert error_of(student.after_call, student.common.fail, x).category == "exception"


def test_answers_add_up_to_a_bound(session: Session):
    """Two answers fit, a third does not; the next test starts anew."""
    student = session.student()
    size = LIMITS.answers_mb * 2**20 * 2 // 5 // 4  # numbers; two fifths of the bound
    for _ in range(2):
        assert len(student.common.many(size)) == size
    found = error_of(student.common.many, size)
    assert found.category == "out of memory"
    assert found.message == f"its answers take more than {LIMITS.answers_mb} MB"
    assert error_of(lambda: student.common.many).category == "out of memory"
    assert len(session.student().common.many(size)) == size


def test_tricky_answers_arrive_as_data(student):
    """A tensor that equals everything is a plain one; an object equals nothing."""
    assert type(student.common.strange()) is torch.Tensor
    assert student.common.friend() != 5
    assert error_of(student.common.huge).category == "wrong type"


def test_odd_exceptions_are_reported(student):
    """SystemExit, endless recursion, names like tags and broken texts."""
    assert error_of(student.common.stop).message.startswith("SystemExit at line")
    assert error_of(student.common.recurse).message.startswith("RecursionError")
    assert error_of(student.common.odd_error).message.startswith("an exception at line")
    assert student.common.unicode() is None


def test_torchvisions_answers_are_not_allowed(session: Session):
    """torchvision.ops.nms can be imported and not called, and so its operator."""
    boxes, scores = torch.tensor([[0.0, 0, 4, 2]]), torch.ones(1)
    student = session.student()
    for call in (student.common.take_torchvisions, student.common.take_operator):
        assert error_of(call, boxes, scores).category == "not allowed"


def test_pretrained_backbones_are_made_without_network(session: Session):
    """What would be downloaded is replaced by untrained weights of the seed."""
    student = session.student()
    student.seed(3)
    first = student.common.pretrained().state_dict()["stem.0.weight"]
    student.seed(3)
    again = student.common.pretrained().state_dict()["stem.0.weight"]
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("leave", "crashed"),
        ("loop", "timeout"),
        ("sleep", "timeout"),
        ("shout", "not allowed"),
        ("close_line", "crashed"),
    ],
)
def test_a_test_that_ends_badly_is_the_only_one(session, name: str, category: str):
    """Its process ends, the call says why, later calls fail, the next test works."""
    student = session.student()
    assert error_of(getattr(student.common, name)).category == category
    assert error_of(lambda: student.common.BACKGROUND).category == category
    session.end_test()
    assert session.student().common.BACKGROUND == -1


def test_the_end_of_what_was_printed_is_kept(session: Session):
    """Prints do not disturb the answers; processor time and memory are told."""
    student = session.student()
    student.common.unicode()
    run = session.end_test()
    assert run.output.startswith("hello from common")
    assert "grün" in run.output
    assert len(run.output) <= 4096
    assert 0 < run.seconds < 60
    assert run.peak_memory > 2**20


def test_handles_of_an_earlier_test_cannot_be_used(session: Session):
    """An object of a process that has ended is a mistake of the test."""
    layer = session.student().common.Layer(2)
    later = session.student()
    with pytest.raises(TypeError, match="cannot be sent"):
        later.common.double(layer)


def test_a_sandbox_that_died_is_started_again(session: Session):
    """When the outermost process is killed the next test has a new one."""
    student = session.student()
    assert session._sandbox is not None
    session._sandbox.process.kill()
    session._sandbox.process.wait()
    # What was inside is ended by the kernel, which may take a moment on a busy machine.
    until = time.monotonic() + 60
    with pytest.raises(CheckError) as caught:
        while time.monotonic() < until:
            assert student.common.BACKGROUND == -1
            time.sleep(0.05)
    assert caught.value.category == "crashed"
    assert session.student().common.BACKGROUND == -1


def test_the_course_solution_trains_behind_the_border():
    """The reference detector is built, trained and used in the sandbox."""
    with Session(ROOT / "assignment", LEVEL) as session:
        student = session.student()
        student.seed(0)
        detector = student.make_detector(3, 8, [8])
        images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        boxes = torch.tensor([[[5.0, 5, 40, 50, 1]], [[8.0, 2, 90, 30, 2]]])
        history = student.train(detector, images, boxes, 2, 1e-3)
        assert sorted(history[0]) == ["loss_box", "loss_cls", "loss_ctr"]
        assert detector._normalizer.item() < 150
        order = [session.student().common.BACKGROUND, session.hash_seed]
        assert order == [-1, 0]


def test_two_local_submissions_do_not_mix(tmp_path: Path):
    """Each LocalSession finds its own files, and `assignment` is free afterwards."""
    answers = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "extra.py").write_text(f"ANSWER = {number}\n")
        (folder / "common.py").write_text("from assignment.extra import ANSWER\n")
        with LocalSession(folder) as session:
            answers.append(session.student().common.ANSWER)
    assert answers == [1, 2]


def test_level_is_one_of_three():
    """The probe says which level works here, and why."""
    probe = probe_level()
    assert probe.level in Level
    assert probe.reason
