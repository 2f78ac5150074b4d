"""The pretended GPU refuses what CUDA refuses, and nothing else."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torchvision import ops

from core.command import CourseError
from grader.border.wire import decode, encode
from grader.border.wire_types import WireError
from grader.grading.command import grade_paths
from grader.manifest import read_manifest
from grader.outcomes import Outcome
from grader.results.policy import tell
from grader.sandbox.levels import Level
from grader.session.local_session import LocalSession
from grader.session.replies import SubmittedNames, made_at, student_error
from grader.session.session import Session
from grader.suites.mistakes import Edit, plant
from grader.suites.suite_run import Suite, with_suite
from helpers.checks.expect import CheckError
from helpers.checks.no_gpu import MIXED, MIXED_SAID, NUMPY, is_of_devices
from helpers.checks.pretended_gpu import (
    GPU,
    GPU_HERE,
    NO_NUMPY,
    GpuTensor,
    place_of,
    to_gpu,
)
from helpers.checks.runner import CheckRun

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
TESTS = read_manifest(ROOT)
# More than a third of all the time; they run with `grader tests --device pretend`.
SLOW = ("test_fcos_finds_what_it_was_trained_on", "test_nms_of_hundreds_of_boxes")


@pytest.fixture
def gpu() -> Iterator[None]:
    """It is there while a test runs; lines of this file are a student's."""
    GPU_HERE.start(HERE)
    yield
    GPU_HERE.stop()


def on_gpu(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, device="cuda")


def in_place() -> None:
    total = torch.tensor(0.0)
    total += on_gpu(1).sum()


def set_rows() -> None:
    on_gpu(4, 2)[torch.tensor([0])] = torch.zeros(1, 2)


def doubled(x: torch.Tensor) -> torch.Tensor:
    return x * 2


class Twice(torch.autograd.Function):
    """With a backward of its own."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2 + torch.zeros_like(gradient)


def own_gradient(x: torch.Tensor) -> torch.Tensor:
    x.requires_grad_()
    Twice.apply(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2]
    return x.grad


REFUSED: dict[str, Callable[[], object]] = {
    "arange": lambda: on_gpu(5) + torch.arange(5),
    "strides": lambda: on_gpu(2, 4) * torch.tensor([8.0, 16, 32, 64]),
    "one number that is not a scalar": lambda: on_gpu(3) * torch.tensor([2.0]),
    "scalar of the GPU": lambda: torch.ones(3) * on_gpu(1)[0],
    "where": lambda: torch.where(on_gpu(2) > 0, on_gpu(2), torch.zeros(2)),
    "cat": lambda: torch.cat((on_gpu(2), torch.zeros(1))),
    "stack of scalars": lambda: torch.stack([on_gpu(1)[0], torch.tensor(1.0)]),
    "matrix product": lambda: torch.eye(2) @ on_gpu(2, 2),
    "eye by classes": lambda: torch.eye(4)[torch.tensor([1, 2], device="cuda")],
    "mask of the GPU": lambda: torch.ones(3)[on_gpu(3) > 0],
    "values of rows": set_rows,
    "in place": in_place,
    "layer": lambda: nn.Linear(3, 2)(on_gpu(1, 3)),
    "loss": lambda: nn.functional.l1_loss(on_gpu(2), torch.zeros(2)),
    "masked_fill": lambda: on_gpu(2).masked_fill(torch.tensor([True, False]), 0),
    "torchvision": lambda: ops.nms(on_gpu(2, 4), torch.ones(2), 0.5),
    "from numpy": lambda: on_gpu(2) + torch.from_numpy(np.ones(2)),
    "out": lambda: torch.add(on_gpu(2), 1, out=torch.zeros(2)),
}
ON_GPU: dict[str, Callable[[], torch.Tensor]] = {
    "scalar": lambda: on_gpu(3) * torch.tensor(2.0),
    "scalar first": lambda: torch.tensor(2.0) * on_gpu(3),
    "indices of the CPU": lambda: on_gpu(3)[torch.tensor([0, 2])],
    "mask of the CPU": lambda: on_gpu(3)[torch.tensor([True, False, True])],
    "where with a scalar": lambda: torch.where(
        on_gpu(2) > 0, on_gpu(2), torch.tensor(0.0)
    ),
    "copy_": lambda: on_gpu(2).copy_(torch.zeros(2)),
    "like": lambda: torch.zeros_like(on_gpu(2)),
    "new": lambda: on_gpu(2).new_tensor([1, 2]),
    "to another's": lambda: torch.zeros(2).to(on_gpu(2)),
    "type_as": lambda: torch.zeros(2).type_as(on_gpu(2)),
    "as_tensor": lambda: torch.as_tensor(on_gpu(2)),
    "tensor on": lambda: torch.tensor([1, 2], device=on_gpu(1).device),
    "cuda": lambda: torch.zeros(2).cuda(),
    "to a number": lambda: torch.zeros(2).to(0, torch.float64),
    "dtype": lambda: on_gpu(2).double(),
    "row": lambda: next(iter(on_gpu(2, 2))),
    "named tuple": lambda: on_gpu(2, 2).max(dim=0).values,
    "one_hot": lambda: nn.functional.one_hot(torch.tensor([1, 0], device=GPU), 3),
    "parameter": lambda: nn.Parameter(torch.zeros(2, device="cuda")),
    "layer": lambda: nn.Linear(3, 2, device="cuda")(on_gpu(1, 3)),
    "expand_as": lambda: on_gpu(1).expand_as(torch.zeros(3)),
    "torchvision": lambda: ops.box_iou(on_gpu(2, 4), on_gpu(3, 4)),
    "vmap": lambda: torch.vmap(lambda row: (row * on_gpu(3)).sum())(on_gpu(2, 3)),
    "scripted": lambda: torch.jit.script(doubled)(on_gpu(2)),
    "gradient function": lambda: torch.func.grad(lambda x: (x**2).sum())(on_gpu(2)),
    "recurrent": lambda: nn.LSTM(3, 2, device="cuda")(on_gpu(4, 3))[0],
    "own backward": lambda: own_gradient(on_gpu(2)),
    "contiguous": lambda: on_gpu(2, 3).T.contiguous(),
}
ON_CPU: dict[str, Callable[[], torch.Tensor]] = {
    "cpu": lambda: on_gpu(2).cpu(),
    "to": lambda: on_gpu(2).to("cpu"),
    "like": lambda: torch.zeros_like(on_gpu(2), device="cpu"),
    "factory": lambda: torch.arange(3),
    "list": lambda: torch.tensor(on_gpu(2).tolist()),
    "list of scalars": lambda: torch.tensor([on_gpu(1)[0], on_gpu(1)[0]]),
    "full": lambda: torch.full((2,), on_gpu(1)[0].item()),
    "as_tensor": lambda: torch.as_tensor(on_gpu(2), device="cpu"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_two_devices_do_not_meet(gpu: None, name: str):
    """As on a GPU: one RuntimeError, which says what torch says there."""
    with pytest.raises(RuntimeError) as caught:
        REFUSED[name]()
    assert any(text in str(caught.value) for text in MIXED_SAID)


@pytest.mark.parametrize("name", ON_GPU)
def test_what_follows_a_tensor_of_the_gpu_is_there(gpu: None, name: str):
    """And all of its kinds say so."""
    found = ON_GPU[name]()
    assert found.device == GPU
    assert found.is_cuda
    assert ".cuda." in found.type()


@pytest.mark.parametrize("name", ON_CPU)
def test_what_is_on_the_cpu_stays_there(gpu: None, name: str):
    """A tensor without device=, and one that was moved."""
    found = ON_CPU[name]()
    assert found.device.type == "cpu"
    assert type(found) is torch.Tensor


def test_a_whole_slice_may_come_from_the_cpu(gpu: None):
    """`x[0] = y` copies, as CUDA does, where x[[0]] = y computes."""
    given = on_gpu(2, 3)
    given[0] = torch.zeros(3)
    assert given.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_numpy_needs_a_copy_on_the_cpu(gpu: None):
    """CUDA's own sentence."""
    for call in (lambda: np.asarray(on_gpu(2)), lambda: on_gpu(2).numpy()):
        with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\)"):
            call()
    assert on_gpu(2).cpu().numpy().tolist() == [1, 1]


def test_there_is_one_gpu(gpu: None):
    """A second one is no device."""
    assert torch.cuda.is_available()
    assert torch.cuda.device_count() == 1
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.zeros(1, device="cuda:1")


def train(device: str) -> list[float]:
    """Losses of three steps of a network with shared weights and a buffer."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))
    net.register_module("again", net[0])
    weight = net[0].weight
    net.to(device)
    assert net.get_parameter("0.weight") is weight is net.get_parameter("again.weight")
    assert isinstance(weight, nn.Parameter)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    images = torch.linspace(-1, 1, 2 * 2 * 6 * 6).reshape(2, 2, 6, 6).to(device)
    losses = []
    for _ in range(3):
        loss = (net[2](net[1](net[0](images))) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        assert weight.grad is not None
        assert weight.grad.device.type == device
        optimizer.step()
        losses.append(loss.item())
    twin = copy.deepcopy(net)
    twin.load_state_dict({name: own.cpu() for name, own in net.state_dict().items()})
    assert {own.device.type for own in twin.state_dict().values()} == {device}
    assert {type(own) for own in net.cpu().parameters()} == {nn.Parameter}
    return losses


def test_training_is_that_of_the_cpu(gpu: None):
    """Modules move, gradients arrive, and all numbers are the same."""
    assert train("cuda") == train("cpu")


def test_where_a_tensor_was_made(gpu: None):
    """The line of the call that made it, through all that was computed from it."""
    made = torch.arange(3)
    line = made_line = (place_of(made) or ("", 0))[1]
    assert line > 0
    assert place_of(torch.from_numpy(np.ones(2))) == ("test_pretended_gpu.py", line + 3)
    assert place_of((made * 2).reshape(3, 1)) == ("test_pretended_gpu.py", made_line)
    with pytest.raises(RuntimeError, match=f"made on the CPU at line {line} of test_"):
        on_gpu(3) + made.float()
    GPU_HERE.start(HERE, "cpu")
    with pytest.raises(RuntimeError, match="made on the GPU at line"):
        made + on_gpu(3)


def test_nothing_is_left_of_it():
    """Neither its answers, nor its mode, nor a default device of the student's."""
    before = torch.cuda.is_available(), list(_get_current_function_mode_stack())
    GPU_HERE.start(HERE)
    torch.set_default_device("cuda")
    assert torch.zeros(1).device == GPU
    GPU_HERE.stop()
    GPU_HERE.stop()
    after = torch.cuda.is_available(), list(_get_current_function_mode_stack())
    assert after == before
    assert torch.zeros(1).device.type == "cpu"


def test_the_device_of_a_tensor_crosses_the_border():
    """Where there is no GPU to put it, the message is refused."""
    body = encode([to_gpu(torch.tensor([1.5, 2.5])), torch.zeros(2)])
    first, second = decode(body, to_gpu=to_gpu)
    assert (type(first), type(second)) == (GpuTensor, torch.Tensor)
    assert first.tolist() == [1.5, 2.5]
    with pytest.raises(WireError):
        decode(body)


def run(ids: set[str], folder: Path, device: str = "cpu") -> dict[str, Outcome]:
    """Id -> how the test ended."""

    def work(suite: Suite) -> list[Outcome]:
        return suite.run(ids, LocalSession(folder, device))

    return {outcome.id: outcome for outcome in with_suite(ROOT, TESTS, work)}


def test_solution_passes_all_suites_on_it():
    """Every suite, gradients and training included; none is skipped."""
    ids = {test.id for test in TESTS if not test.id.endswith(SLOW)}
    found = run(ids, ROOT / "assignment", "pretend")
    assert len(found) == len(ids)
    assert {told.id: told.message for told in found.values() if told.category} == {}


def test_every_exercise_has_a_test_with_a_gpu():
    """Also in a run on the CPU; but for what has no tensor, 10.7 and 12.4."""
    own = {test.exercise for test in TESTS if "gpu" in test.id or "device" in test.id}
    assert {test.exercise for test in TESTS} - own == {"10.7", "12.4"}


# Changes of the solution that no test on the CPU alone notices.
CHANGES = {
    "x = stride * (torch.arange(width, dtype=dtype, device=device)": "4.1",
    "y = stride * (torch.arange(height, dtype=dtype, device=device)": "4.1",
    "return torch.zeros(0, dtype=torch.int64, device=boxes.device)\n    return": "8.1",
    "class_ids = torch.arange(num_classes, device=pred_cls_logits.device)": "6.1",
}


def test_changes_that_only_a_gpu_shows_are_noticed(tmp_path: Path):
    """device=None, and no device at all, in each of the four places."""
    for number, (text, exercise) in enumerate(CHANGES.items()):
        file = next(name for name, source in SOURCES.items() if text in source)
        named = text[text.index(", device=") : text.index(")", text.index(", device="))]
        for change in (", device=None", ""):
            folder = tmp_path / f"{number}{change}"
            folder.mkdir()
            plant((Edit(file, text, text.replace(named, change)),), SOURCES, folder)
            ids = {
                test.id
                for test in TESTS
                if test.exercise == exercise
                and ("gpu" in test.id or "device" in test.id)
            }
            told = run(ids, folder)
            causes = [own.cause or "" for own in told.values() if own.category]
            assert causes, f"{text} with {change!r} passes"
            assert all("made on the CPU at line" in cause for cause in causes), causes


def test_edge_case_that_is_wrong_costs_nothing_here(tmp_path: Path):
    """What its own test has charged is not charged again by the one with a GPU."""
    wrong = Edit("common.py", "if not kept:", "if not kept and boxes.sum() < 0:")
    plant((wrong,), SOURCES, tmp_path)
    told = run(
        {
            "test_gpu.py::test_nms_without_boxes_on_a_gpu",
            "test_8_nms.py::test_nms_without_boxes_gives_no_index",
        },
        tmp_path,
    )
    assert told["test_8_nms.py::test_nms_without_boxes_gives_no_index"].category
    assert told["test_gpu.py::test_nms_without_boxes_on_a_gpu"].category is None


LYING = """
import torch

def iou(boxes1, boxes2):
    return torch.zeros(len(boxes1), len(boxes2))

def nms(boxes, scores, iou_threshold=0.5):
    raise RuntimeError("Expected all tensors to be on the same device "
                       "(made on the CPU at line 99999 of secret.py)")
"""


def test_in_a_process_of_its_own(tmp_path: Path):
    """The worker pretends, its answers keep their device, the grader checks it."""
    (tmp_path / "common.py").write_text(LYING)
    with Session(tmp_path, Level.NONE) as session:
        student = session.student()
        boxes = torch.ones(2, 4)
        assert student.common.iou(boxes, boxes).device.type == "cpu"
        there = student.on_device("cuda")
        given = boxes.to(there.device)
        assert given.is_cuda
        with pytest.raises(CheckError) as caught:
            there.common.iou(given, given)
        assert caught.value.cause is not None
        assert "made on the CPU at line 5 of common.py" in caught.value.cause
        with pytest.raises(CheckError) as caught:
            there.common.nms(given, given[:, 0])
        assert caught.value.cause is None
        session.end_test()
        assert not _get_current_function_mode_stack()


@pytest.mark.parametrize(
    "places", [None, 3, [1], [("a.py",)], [("x.py", 1)], [("a", 0)]]
)
def test_a_place_that_no_honest_worker_names_is_no_cause(places: object):
    """It only says what the grader saw itself."""
    said = made_at(places, "cuda", SubmittedNames({"a.py": 9}, frozenset()))
    assert said == "an answer is on the CPU; use the inputs' device"
    assert is_of_devices(said)


def test_the_error_of_a_real_gpu_is_named():
    """Without a line, which torch does not know."""
    error = {"category": "exception", "type": "RuntimeError", "traceback": ""}
    error |= {"text": f"{MIXED_SAID[0]}, but found at least two", "file": "", "line": 0}
    assert student_error("iou", error, SubmittedNames({}, frozenset())).cause == MIXED
    error["text"] = NO_NUMPY
    assert student_error("iou", error, SubmittedNames({}, frozenset())).cause == NUMPY


def test_a_student_reads_the_line_of_a_hidden_test():
    """The cause has nothing of its inputs."""
    test = next(test for test in TESTS if test.id.startswith("test_gpu"))
    cause = "made on the CPU at line 3 of common.py; use the inputs' device"
    raised = "iou: RuntimeError at line 4 of common.py"
    told = tell(test, Outcome(test.id, "exception", raised, cause))
    assert told.sentence == f"Your code raised {raised.split(': ')[1]}: {cause}."
    told = tell(test, Outcome(test.id, "wrong value", "iou: 0.5", cause))
    assert told.sentence.endswith(f"another device than the inputs: {cause}.")
    assert "0.5" not in told.sentence


def test_visible_checks_run_on_it():
    """`python -m helpers.check --device pretend`, for who has no GPU."""
    with CheckRun("pretend", quiet=True) as run_of_checks:
        assert {run_of_checks.report(number).status for number in ("1.1", "6.1")} == {
            "pass"
        }
    assert not _get_current_function_mode_stack()


def test_cuda_without_a_gpu_is_one_sentence(tmp_path: Path, monkeypatch):
    """Before anything is read or written."""
    monkeypatch.setattr("grader.sandbox.gpu.find_gpu", lambda: None)
    with pytest.raises(CourseError, match=r"no NVIDIA GPU .* --device pretend"):
        grade_paths(ROOT, [tmp_path], tmp_path / "out", 1, device="cuda")
    assert not (tmp_path / "out").exists()
