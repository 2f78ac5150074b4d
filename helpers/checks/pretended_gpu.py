"""A GPU where there is none, to see which device each tensor of a program is on.

A tensor on this GPU is an ordinary one of the CPU that says `cuda:0` when it is asked:
only its class is another. So its numbers, gradients and optimizers are real. From
`start` to `stop` every call of torch comes by here first (a TorchFunctionMode): what is
asked for on "cuda" gets that class, what is computed from such a tensor gets it too,
and where one meets a tensor of the CPU there is CUDA's own error.

Why not at the level of operators (`_make_wrapper_subclass` with device cuda:0 and a
TorchDispatchMode)? Backward then asks the driver for a stream, which nobody can answer
for it: torch 2.15 ends in "hasPrimaryContext expects a valid device index", and with
another backend registered under PrivateUse1 in an internal assertion.

What only a real GPU shows: its kernels' numbers, order of addition, speed and memory;
autocast; streams; generators of its own; a device asked for in a backward of one's own
or in a thread.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils import _device as _device_context

from helpers.checks.no_gpu import LEFT_BEHIND

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
NO_NUMPY = (
    "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the "
    "tensor to host memory first."
)
# Where no device is named, these do not look at the devices of their arguments.
FACTORIES = (
    "arange", "asarray", "as_tensor", "bartlett_window", "blackman_window", "empty",
    "empty_permuted", "empty_strided", "eye", "fft_fftfreq", "fft_rfftfreq",
    "full", "hamming_window", "hann_window", "kaiser_window", "linspace", "logspace",
    "ones", "rand", "randint", "randn", "randperm", "range", "scalar_tensor",
    "sparse_coo_tensor", "tensor", "tril_indices", "triu_indices", "zeros",
)  # fmt: skip
OF_DATA = ("as_tensor", "asarray", "tensor")
MIXED = (
    "Expected all tensors to be on the same device, but found at least two devices, "
    "cuda:0 and cpu!"
)
OTHER_INDICES = (
    "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
)
NAME = "a pretended GPU"
# Both kinds of tensors may be their arguments: they copy, or look at a shape or dtype.
MAY_MIX = (
    "copy_", "to", "type_as", "view_as", "expand_as", "reshape_as", "new_tensor",
    "tensor", "as_tensor", "asarray", "set_", "__get__", "__set__", "tensor_split",
    "is_same_size", "_has_compatible_shallow_copy_type",
)  # fmt: skip
# A tensor of one number on the CPU may meet the GPU's, but not in these.
JOINING = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack",
    "column_stack", "row_stack",
)  # fmt: skip


class Place(NamedTuple):
    """A line of a student's file: its name, and the number from 1."""

    file: str
    line: int


class GpuTensor(torch.Tensor):
    """A tensor of the CPU that says it is on the GPU."""

    # The mode does all; a class of tensors would do it once more.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def get_device(self) -> int:
        """Number of the GPU."""
        return 0

    def type(self, *args: Any, **named: Any) -> Any:
        """`x.type()` says where it is; with a type it is `x.to(dtype)`."""
        if args or named:
            return torch.Tensor.type(self, *args, **named)
        return torch.Tensor.type(self).replace("torch.", "torch.cuda.")

    def numpy(self, *_: Any, **__: Any) -> Any:
        """Refused, as on a GPU."""
        raise TypeError(NO_NUMPY)

    __array__ = numpy

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        with torch.no_grad():
            copy = to_gpu(self.detach().clone())
        copy.requires_grad_(self.requires_grad)
        vars(copy).update(vars(self))
        memo[id(self)] = copy
        return copy


def torch_name(device: str) -> str:
    """What torch calls it: "pretend" is a "cuda" that is none."""
    return "cpu" if device == "cpu" else "cuda"


def default_device() -> torch.device:
    """What torch.set_default_device set; torch's own question asks the driver."""
    return _device_context.CURRENT_DEVICE or CPU


def to_gpu(tensor: torch.Tensor) -> torch.Tensor:
    """The same object, which says from now on that it is on the GPU."""
    if isinstance(tensor, nn.Parameter) and type(tensor) is not GpuTensor:
        tensor._is_param = True  # by which torch knows one of another class
    tensor.__class__ = GpuTensor
    return tensor


def to_cpu(tensor: torch.Tensor) -> torch.Tensor:
    """The same object, which says from now on that it is on the CPU."""
    if type(tensor) is GpuTensor:
        kind: Any = nn.Parameter if getattr(tensor, "_is_param", 0) else torch.Tensor
        tensor.__class__ = kind
    return tensor


def place_of(tensor: torch.Tensor) -> Place | None:
    """Where in the student's files it was made, if that is known."""
    return vars(tensor).get("_made_at")


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """All tensors of an argument or a result, those in lists and dicts included."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


class _Gpu(TorchFunctionMode):
    """Looks at each call of torch.

    Args:
        folder: of the student's files, whose lines are named.

    Attributes:
        right: where the inputs of the test are; a tensor elsewhere is the mistake.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = str(folder)
        self.right = GPU

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        named = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        given = list(tensors_in((args, named)))
        if name in ("to", "cpu", "cuda", "type_as", "type"):
            return self._move(func, name, args, named)
        if name == "pin_memory":
            return args[0]
        if name == "__set__" and func.__self__.__name__ == "data":
            return _set_data(func, *args)
        asked = named.get("device")
        if asked is None and name in FACTORIES:
            asked = default_device()
            asked = None if asked == CPU else asked
        if asked is not None:
            asked = _device(asked)
            named["device"] = CPU if asked.type == "cuda" else asked
            if name in OF_DATA and isinstance(args[0], torch.Tensor):
                args = (self._move(torch.Tensor.to, "to", (args[0], asked), {}),)
        if name not in MAY_MIX:
            self._refuse_mixing(name, args, named, given)
        result = func(*args, **named)
        self.mark(result, given, asked or _device_of_result(name, args, given))
        return result

    def mark(
        self, result: Any, given: list[torch.Tensor], device: torch.device
    ) -> None:
        """Give new tensors their device, and remember where they were made."""
        places = [place_of(tensor) for tensor in given if tensor.device == device]
        for tensor in tensors_in(result):
            if any(tensor is argument for argument in given):
                continue
            if device == GPU:
                to_gpu(tensor)
            found = next((place for place in places if place is not None), None)
            if not places:
                found = self._line()
            if found is not None:
                tensor._made_at = found  # type: ignore[attr-defined]

    def _move(self, func: Any, name: str, args: Any, named: Any) -> Any:
        """`x.to(...)`, `x.cuda()` and the like, which may also leave it where it is."""
        tensor = args[0]
        device, args, named = _destination(name, args, named)
        if name in ("cpu", "cuda"):
            func, args, named = torch.Tensor.to, (tensor, CPU), {}
        result = func(*args, **named)
        if device == tensor.device:
            self.mark(result, [tensor], device)
            return result
        result = torch.clone(tensor) if result is tensor else result
        self.mark(result, [], device)
        return result

    def _refuse_mixing(
        self, name: str, args: Any, named: Any, given: list[torch.Tensor]
    ) -> None:
        """Raise what CUDA's operators raise where the devices are not the same."""
        on_gpu = [tensor for tensor in given if type(tensor) is GpuTensor]
        on_cpu = [tensor for tensor in given if _is_on_cpu(tensor)]
        if not on_gpu or not on_cpu:
            return
        if name in ("__getitem__", "__setitem__"):
            if _is_on_cpu(args[0]) and any(tensor.dim() for tensor in on_gpu):
                raise RuntimeError(OTHER_INDICES + self._made(given))
            # What chooses may lie on the CPU; what is written only as a whole.
            is_chosen = name == "__setitem__" and list(tensors_in(args[1])) != []
            values = tensors_in(args[2]) if is_chosen else ()
            on_cpu = [tensor for tensor in values if _is_on_cpu(tensor)]
        is_in_place = name.startswith("__i") or (name[-1:] == "_" != name[-2:-1])
        changed = args[0] if args and is_in_place else named.get("out")
        is_changed = any(map(_is_on_cpu, tensors_in(changed)))
        if name in JOINING or is_changed or any(tensor.dim() for tensor in on_cpu):
            raise RuntimeError(MIXED + self._made(given))

    def _made(self, given: list[torch.Tensor]) -> str:
        """In words, where the tensor that is on the wrong device comes from."""
        wrong = [tensor for tensor in given if tensor.device != self.right]
        for tensor in wrong:
            place = place_of(tensor)
            if place is not None:
                return f" ({describe(tensor, place)})"
        if any(isinstance(tensor, nn.Parameter) for tensor in wrong):
            return f" ({LEFT_BEHIND})"
        return ""

    def _line(self) -> Place | None:
        """The student's line that runs now."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            folder, _, file = frame.f_code.co_filename.rpartition("/")
            if folder == self.folder:
                return Place(file, frame.f_lineno)
            frame = frame.f_back
        return None


def _is_on_cpu(tensor: torch.Tensor) -> bool:
    """What stands for a tensor inside of vmap and the like is on any device."""
    is_inside = torch._C._functorch.is_functorch_wrapped_tensor
    return type(tensor) is not GpuTensor and not is_inside(tensor)


def describe(tensor: torch.Tensor, place: Place) -> str:
    """In words, on which device a tensor was made, and where."""
    name = "GPU" if type(tensor) is GpuTensor else "CPU"
    return f"made on the {name} at line {place.line} of {place.file}"


def _device(asked: Any) -> torch.device:
    """What a program calls a device, in one form.

    Raises:
        RuntimeError: there is but one GPU.
    """
    is_number = isinstance(asked, int)
    device = torch.device("cuda", asked) if is_number else torch.device(asked)
    if device.type != "cuda":
        return device
    if device.index not in (None, 0):
        raise RuntimeError("CUDA error: invalid device ordinal")
    return GPU


def _device_of_result(name: str, args: Any, given: list[torch.Tensor]) -> torch.device:
    """Where a call that names no device puts its result."""
    if name in FACTORIES:
        is_of_data = name in OF_DATA and isinstance(args[0], torch.Tensor)
        given = [args[0]] if is_of_data else []
    return GPU if any(type(tensor) is GpuTensor for tensor in given) else CPU


def _destination(
    name: str, args: Any, named: dict[str, Any]
) -> tuple[torch.device, Any, dict[str, Any]]:
    """Where a tensor is to move, and the arguments without the GPU."""
    tensor, *rest = args
    if name == "cpu":
        return CPU, args, named
    if name == "cuda":
        asked = rest[0] if rest else named.get("device")
        return _device(0 if asked is None else asked), args, named
    other = rest[0] if rest else named.get("other", named.get("device"))
    if isinstance(other, torch.Tensor):
        return other.device, args, named
    if name == "type":
        word = str(other) if isinstance(other, str | type) else ""
        device = GPU if "cuda" in word else CPU if "Tensor" in word else tensor.device
        rest[:1] = [other.replace(".cuda", "")] if isinstance(other, str) else rest[:1]
        return device, (tensor, *rest), named
    if not isinstance(other, str | int | torch.device) or isinstance(other, bool):
        return tensor.device, args, named
    device = _device(other)
    inside = CPU if device == GPU else device
    if rest:
        return device, (tensor, inside, *rest[1:]), named
    return device, args, {**named, "device": inside}


def _set_data(func: Any, tensor: torch.Tensor, value: torch.Tensor) -> None:
    """`x.data = y` takes over the device of y; so modules move."""
    func(tensor, value)
    (to_gpu if type(value) is GpuTensor else to_cpu)(tensor)


class PretendedGpu:
    """One for this process, from `start` to `stop`; see the top of this file."""

    def __init__(self) -> None:
        self._mode: _Gpu | None = None
        self._stack = ExitStack()  # of what is to be undone

    def start(self, folder: Path, right: str = "cuda") -> None:
        """From now on there is a GPU.

        Args:
            folder: of the student's files.
            right: the device of the inputs that come now, "cpu" or "cuda".
        """
        if self._mode is None:
            self._mode = _Gpu(folder)
            for place, name, answer in (
                *_what_torch_says(),
                *_ways_around(self._mode),
            ):
                self._stack.callback(setattr, place, name, getattr(place, name))
                setattr(place, name, answer)
            self._stack.enter_context(self._mode)
        self._mode.right = _device(right)

    def stop(self) -> None:
        """It is gone; tensors that were on it still say so."""
        self._mode = None
        self._stack.close()
        torch.set_default_device(None)  # a student's may be this one

    def wrong_places(self, value: Any) -> list[Place]:
        """Where the tensors of an answer that are not beside the inputs were made."""
        if self._mode is None:
            return []
        wrong = [t for t in tensors_in(value) if t.device != self._mode.right]
        return [place for place in map(place_of, wrong) if place is not None]


def _what_torch_says() -> list[tuple[Any, str, Callable[..., Any]]]:
    """(module, name, function) of what torch would ask the driver."""
    properties = SimpleNamespace(
        name=NAME, major=8, minor=0, total_memory=2**34, multi_processor_count=1
    )
    stream = SimpleNamespace(is_capturing=_saying(False), synchronize=_saying(None))
    said: dict[str, Any] = {
        "is_available": True,
        "is_initialized": True,
        "is_bf16_supported": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_name": NAME,
        "get_device_capability": (8, 0),
        "get_device_properties": properties,
        "mem_get_info": (2**34, 2**34),
        "memory_allocated": 0,
        "memory_reserved": 0,
        "max_memory_allocated": 0,
        "reset_peak_memory_stats": None,
        "empty_cache": None,
        "synchronize": None,
        "current_stream": stream,
        "is_current_stream_capturing": False,
        "set_device": None,
        "init": None,
        "_lazy_init": None,
        "_lazy_call": None,  # what a seed asks for
    }
    accelerator = {
        "is_available": True,
        "device_count": 1,
        "current_accelerator": GPU,
        "current_device_index": 0,
        "current_stream": stream,
        "synchronize": None,
    }
    return [
        (module, name, _saying(value))
        for module, answers in ((torch.cuda, said), (torch.accelerator, accelerator))
        for name, value in answers.items()
        if hasattr(module, name)
    ]


def _ways_around(mode: _Gpu) -> list[tuple[Any, str, Callable[..., Any]]]:
    """(module, name, function) of what would not come by the mode."""
    found = [
        (module, name, _following(getattr(module, name)))
        for module, names in (
            (torch, ("vmap",)),
            (torch.func, ("vmap", "grad", "grad_and_value", "jacrev", "jacfwd")),
        )
        for name in names
    ]
    return [
        *found,
        (torch, "from_numpy", _made_here(torch.from_numpy, mode)),
        (torch, "set_default_tensor_type", _set_default_type),
        (torch.jit, "script", lambda code, *_, **__: code),  # runs it as it is
        (torch.jit, "trace", lambda code, *_, **__: code),
        (torch.backends.cudnn, "is_acceptable", _saying(False)),
    ]


def _following(transform: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.vmap` and the like, whose answer is where its arguments are."""

    def make(*args: Any, **named: Any) -> Callable[..., Any]:
        inner = transform(*args, **named)

        def call(*given: Any, **more: Any) -> Any:
            answer = inner(*given, **more)
            if any(type(t) is GpuTensor for t in tensors_in((given, more))):
                for tensor in tensors_in(answer):
                    to_gpu(tensor)
            return answer

        return call

    return make


def _made_here(
    function: Callable[..., torch.Tensor], mode: _Gpu
) -> Callable[..., torch.Tensor]:
    """One that makes a tensor of the CPU."""

    def make(*args: Any) -> torch.Tensor:
        tensor = function(*args)
        mode.mark(tensor, [], CPU)
        return tensor

    return make


def _set_default_type(kind: Any) -> None:
    """The old way to torch.set_default_device; the dtype stays."""
    torch.set_default_device(GPU if "cuda" in str(kind) else None)


def _saying(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


GPU_HERE = PretendedGpu()
