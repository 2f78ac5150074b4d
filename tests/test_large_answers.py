"""No answer makes the trusted process look at more than it sent for."""

from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
)

from core.course import read_registry
from grader.manifest import read_manifest
from grader.session import proxy
from grader.session.local_session import LocalSession
from grader.suites.suite_run import with_suite
from grader.worker.child import Server

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = list(read_manifest(ROOT))
EXERCISES = read_registry().exercises
# Those whose tests go through names, layers or indices, and are quick.
NAMES_OR_LAYERS = (
    *("2.1", "3.1", "4.1", "4.5", "8.1"),
    *("10.1", "10.3", "10.7", "12.1", "12.4"),
)
LEVELS = '{"p3": X, "p4": X, "p5": X}'
PUBLISHED = '{"loss_fcos_cls": X, "loss_fcos_loc": X, "loss_fcos_ctr": X}'
# What an exercise answers, with X where a tensor belongs; the others answer one X.
FORMS = {
    "2.2": LEVELS,
    "3.2": f"[{LEVELS}, {LEVELS}, {LEVELS}]",
    "4.1": LEVELS,
    "4.5": LEVELS,
    "7.2": "(X, X, X)",
    "7.4": '{"loss_cls": X, "loss_box": X, "loss_ctr": X}',
    "8.2": "(X, X, X)",
    "10.2": '{"p3": X, "p4": X, "p5": X, "p6": X, "p7": X}',
    "10.6": f"[{LEVELS}, {LEVELS}, {LEVELS}]",
    "10.7": '{"p3": X, "p4": X, "p5": X, "p6": X, "p7": X}',
    "11.3": "(X, X)",
    "11.6": PUBLISHED,
    "11.7": PUBLISHED,
    "12.1": "(X, X, X)",
    "12.2": "(X, X, X)",
    "12.3": "(X, X, X)",
}
LARGE = 2**21  # numbers, far more than any answer or input of the course
TENSORS = {
    "rows without numbers": "torch.empty(2**18, 0)",
    "millions of numbers": f"torch.zeros({LARGE})",
}
OTHERS = {
    "millions of indices": f"torch.zeros({LARGE}, dtype=torch.int64)",
    "names": "{str(i): None for i in range(60_000)}",
    "an object without end": "Endless()",
}
# What brings a tensor over the border, without a look at what it holds.
CARRYING = (
    *("detach", "alias", "view", "reshape", "as_strided", "slice", "select"),
    *("clone", "empty"),
)
ENDLESS = """
import torch
class Endless:
    def __len__(self):
        return 2**60
    def __getitem__(self, key):
        return Endless()
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Endless()
    def __call__(self, *args, **kwargs):
        return Endless()
X = {value}
ANSWER = {form}
"""
MOST_LOOKED_AT = 100_000  # numbers, rows and requests of one test


class Looked:
    """Counts what the tests look at: numbers listed, rows walked through, requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.count = 0
        self.last = ""  # operation with a large tensor
        listed, rows = torch.Tensor.tolist, torch.Tensor.__iter__

        def tolist(tensor):
            self.add(max(tensor.numel(), *tensor.shape, 1))
            return listed(tensor)

        def walk(tensor):
            self.add(len(tensor))
            return rows(tensor)

        asked = proxy.RemoteObject._ask

        def ask(remote, request, suffix):
            self.add(1)
            return asked(remote, request, suffix)

        self.computing = Computing(self)
        answer = Server.answer

        def answer_unseen(server, body):
            """The student's side, which runs in this process here."""
            with _disable_current_modes():
                return answer(server, body)

        monkeypatch.setattr(Server, "answer", answer_unseen)
        monkeypatch.setattr(torch.Tensor, "tolist", tolist)
        monkeypatch.setattr(torch.Tensor, "__iter__", walk)
        monkeypatch.setattr(proxy.RemoteObject, "_ask", ask)

    def add(self, number: int) -> None:
        self.count += number
        if self.count > MOST_LOOKED_AT:
            raise RuntimeError("looks at too much")


class Computing(TorchDispatchMode):
    """Counts what is computed with a large tensor; an operation with it is too much."""

    def __init__(self, looked: Looked):
        super().__init__()
        self.looked = looked

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = str(operation).split(".")[1].strip("_")
        if not name.startswith(CARRYING) and any(
            isinstance(part, torch.Tensor) and part.numel() >= LARGE for part in args
        ):
            self.looked.count += LARGE
            self.looked.last = name
        return operation(*args, **(kwargs or {}))


def submission(folder: Path, exercise, value: str, form: str) -> Path:
    """The solution, where one exercise answers something else."""
    for path in (ROOT / "assignment").glob("*.py"):
        text = path.read_text()
        if path.name == exercise.file:
            owner, _, method = exercise.function.rpartition(".")
            head = ENDLESS.format(value=value, form=form)
            name = f"{owner}.{method}" if owner else method
            if method == "__init__":
                name = f"{owner}.state_dict"
            text += f"\n{head}\n{name} = lambda *args, **kwargs: ANSWER\n"
        (folder / path.name).write_text(text)
    return folder


def cases():
    for number, exercise in EXERCISES.items():
        more = OTHERS if number in NAMES_OR_LAYERS else {}
        for name, value in (TENSORS | more).items():
            form = FORMS.get(number, "X")
            yield pytest.param(exercise, value, form, id=f"{number} {form} {name}")


@pytest.fixture(scope="module")
def chosen():
    """Exercise -> its tests."""
    found: dict[str, set[str]] = {}
    for test in MANIFEST:
        found.setdefault(test.exercise, set()).add(test.id)
    return found


def test_no_answer_is_looked_at_before_its_shape(tmp_path, monkeypatch, chosen):
    """A test lists, walks through and asks for little, whatever comes."""
    looked = Looked(monkeypatch)

    def try_all(suite):
        wrong = []
        for number, case in enumerate(cases()):
            exercise, value, form = case.values
            folder = tmp_path / str(number)
            folder.mkdir()
            session = LocalSession(submission(folder, exercise, value, form))
            for name in sorted(chosen[exercise.id]):
                looked.count, looked.last = 0, ""
                with looked.computing:
                    suite.run({name}, session)
                if looked.count > MOST_LOOKED_AT:
                    wrong.append(
                        f"{case.id}: {name} looks at {looked.count} {looked.last}"
                    )
        return wrong

    wrong = with_suite(ROOT, MANIFEST, try_all)
    assert not wrong, "\n".join(wrong)
