"""The stand-in for a student's code: looks like it, and asks the sandbox.

Everything that comes back is data, checked by grader/border/wire.py, or the handle of
an object that stays in the sandbox.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch

from grader.border.wire_types import Handle

# That a loop of a test walks through, and that a list makes room for, whatever the
# length says.
MOST_ITEMS = 1000


class Asker(Protocol):
    """What a stand-in needs of the connection to a test's process."""

    def ask(self, what: str, request: dict[str, Any]) -> Any:
        """Send a request and return its answer; `what` is for messages."""
        ...

    def use_device(self, device: str) -> None:
        """Inputs are there from now on."""
        ...


class RemoteObject:
    """A module, function or other object in the sandbox.

    It can be called, indexed, measured and asked for attributes, and be an argument of
    another call in the same test.
    """

    def __init__(self, asker: Asker, handle: Handle, path: str):
        self._asker = asker
        self._handle = handle
        self._path = path

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it in the sandbox, where it works on copies of the arguments."""
        return self._ask({"op": "call", "args": args, "kwargs": kwargs}, "")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and printing ask for such; not a test
            raise AttributeError(name)
        return self._ask({"op": "attribute", "name": name}, f".{name}")

    def __getitem__(self, key: int | str) -> Any:
        return self._ask({"op": "item", "key": key}, f"[{key!r}]")

    def __len__(self) -> int:
        length = self._ask({"op": "length"}, "")
        return max(0, min(length, MOST_ITEMS)) if isinstance(length, int) else 0

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{self._handle.type_name} in the sandbox>"

    def _ask(self, request: dict[str, Any], suffix: str) -> Any:
        target = {"target": self} | request
        return self._asker.ask(self._path + suffix, target)


class RemoteNames:
    """The names of one module of the student."""

    def __init__(self, asker: Asker, module: str):
        self._asker = asker
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        request = {"op": "name", "module": self._module, "name": name}
        return self._asker.ask(name, request)


class RemoteStudent:
    """The same methods as helpers.checks.student.Student, served by the sandbox.

    Args:
        asker: the connection to the test's process.
        visible: names of the modules that tests ask, see core/course.py.
        device: where tensors of a check should be made.
    """

    def __init__(self, asker: Asker, visible: Iterable[str], device: str = "cpu"):
        self._asker = asker
        self._names = {name: RemoteNames(asker, name) for name in visible}
        self.device = torch.device(device)

    def __getattr__(self, name: str) -> RemoteNames:
        """One of the visible modules."""
        names = vars(self).get("_names", {})
        if name not in names:
            raise AttributeError(f"a student has no {name!r}, only {', '.join(names)}")
        found: RemoteNames = names[name]
        return found

    def on_device(self, device: str) -> "RemoteStudent":
        """The same code with its inputs there, beside a GPU; answers must be there too.

        Args:
            device: "cuda" or "cpu". Where no GPU is lent there is a pretended one.
        """
        self._asker.use_device(device)
        return RemoteStudent(self._asker, self._names, device)

    def seed(self, number: int) -> None:
        """Start torch's random generator anew, in the sandbox."""
        self._method("seed", "seed", number)

    def make_pyramid(self, out_channels: int, backbone: str = "tiny") -> RemoteObject:
        """A DetectorBackboneWithFPN."""
        what = "DetectorBackboneWithFPN"
        module: RemoteObject = self._method(
            "make_pyramid", what, out_channels, backbone=backbone
        )
        return module

    def make_detector(
        self,
        num_classes: int,
        fpn_channels: int,
        stem_channels: list[int],
        backbone: str = "tiny",
    ) -> RemoteObject:
        """An FCOS."""
        detector: RemoteObject = self._method(
            "make_detector",
            "FCOS",
            num_classes,
            fpn_channels,
            stem_channels,
            backbone=backbone,
        )
        return detector

    def after_call(
        self, call: Callable[..., Any] | str, *args: Any, **kwargs: Any
    ) -> tuple[Any, list[Any]]:
        """The result of a call, and copies of its arguments as they are afterwards."""
        what = getattr(call, "_path", "a call")
        after: tuple[Any, list[Any]] = self._method(
            "after_call", what, call, *args, **kwargs
        )
        return after

    def gradients(
        self,
        call: Callable[..., Any],
        *args: Any,
        inputs: Sequence[int] = (),
        module: Any = None,
        part: Sequence[str | int] = (),
        **kwargs: Any,
    ) -> tuple[Any, list[Any], dict[str, torch.Tensor | None]]:
        """The result of a call, and the gradients of its sum; see Student.gradients."""
        what = f"gradients of {getattr(call, '_path', 'a call')}"
        given = kwargs | {"inputs": list(inputs), "module": module, "part": list(part)}
        answer: tuple[Any, list[Any], dict[str, Any]] = self._method(
            "gradients", what, call, *args, **given
        )
        return answer

    def train(
        self,
        detector: Any,
        images: torch.Tensor,
        gt_boxes: torch.Tensor,
        steps: int,
        learning_rate: float,
    ) -> list[dict[str, float]]:
        """Some steps of Adam on one batch; the losses of each step."""
        history: list[dict[str, float]] = self._method(
            "train", "training", detector, images, gt_boxes, steps, learning_rate
        )
        return history

    def _method(self, name: str, what: str, *args: Any, **kwargs: Any) -> Any:
        request = {"op": "student", "name": name, "args": args, "kwargs": kwargs}
        return self._asker.ask(what, request)
