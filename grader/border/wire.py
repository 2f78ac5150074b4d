"""Messages between the grader and the sandbox: plain data, and nothing that can act.

A message is its length, the length of its outline, the outline in msgpack, and the
numbers of all tensors one after the other. In the outline None, a bool, an int, a float
and a string are as they are, and everything else is a list that begins with a tag: a
list, a tuple, a dict, a tensor (dtype, shape, and "cuda" if it is there), a dtype, a
device, or the handle (a number) of an object that stays on the other side. Each side
checks what it gets as if an enemy had sent it; there is no pickle anywhere.

There and back takes 0.04 ms for the answer of 8.2 and 0.3 ms for one of 4 MB;
torch.save and torch.load with weights_only take 0.3 and 1.1 ms
(benchmarks/results/own_parts.json).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import torch

from grader.border.wire_types import (
    DEVICE,
    DTYPE_NAMES,
    DTYPES,
    LARGEST_INT,
    LENGTH,
    Handle,
    WireError,
    WireLimits,
)


def encode(
    value: Any,
    handle_of: Callable[[Any], Handle | None] | None = None,
    limits: WireLimits | None = None,
) -> bytes:
    """The bytes of a value, without their length.

    Args:
        handle_of: gives the handle of an object that is no data; None: there are none.

    Raises:
        WireError: no message can hold the value.
    """
    limits = limits or WireLimits()
    writer = _Writer(handle_of, limits)
    try:
        outline = msgpack.packb(writer.plain(value, 0))
    except (ValueError, OverflowError, TypeError, MemoryError) as error:
        raise WireError(f"cannot be sent: {type(error).__name__}") from error
    if len(outline) > limits.max_outline or writer.size > limits.max_bytes:
        raise WireError("cannot be sent: too large")
    return b"".join([LENGTH.pack(len(outline)), outline, *writer.blobs])


def decode(
    body: bytes | bytearray,
    object_of: Callable[[Handle], Any] | None = None,
    limits: WireLimits | None = None,
    to_gpu: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Any:
    """The value in a message, checked throughout.

    Args:
        object_of: gives the object of a handle; None: no handle may occur.
        to_gpu: moves a tensor that was on a GPU to this side's; None: none may occur.

    Raises:
        WireError: whatever else the bytes are.
    """
    limits = limits or WireLimits()
    if not LENGTH.size <= len(body) <= limits.max_bytes + limits.max_outline:
        raise WireError(f"a message of {len(body)} bytes")
    end = LENGTH.size + LENGTH.unpack_from(body)[0]
    if end > min(len(body), LENGTH.size + limits.max_outline):
        raise WireError("an outline that is too long")
    try:
        plain = msgpack.unpackb(
            body[LENGTH.size : end],
            raw=False,
            strict_map_key=True,
            max_map_len=0,
            max_ext_len=0,
            max_bin_len=0,
            max_array_len=limits.max_items,
        )
    except Exception as error:
        raise WireError(f"not msgpack: {type(error).__name__}") from error
    reader = _Reader(object_of, limits, memoryview(body)[end:], to_gpu)
    value = reader.value(plain, 0)
    if reader.rest:
        raise WireError("bytes after the last tensor")
    return value


class _Counter:
    """What both directions count, so that no message is endless."""

    def __init__(self, limits: WireLimits):
        self.limits = limits
        self.items = 0

    def count(self, depth: int) -> None:
        self.items += 1
        if self.items > self.limits.max_items:
            raise WireError(f"more than {self.limits.max_items} values")
        if depth > self.limits.max_depth:
            raise WireError(f"lists within lists, deeper than {self.limits.max_depth}")


class _Writer(_Counter):
    def __init__(
        self, handle_of: Callable[[Any], Handle | None] | None, limits: WireLimits
    ) -> None:
        super().__init__(limits)
        self.handle_of = handle_of
        self.blobs: list[bytes] = []
        self.size = 0

    def plain(self, value: Any, depth: int) -> Any:
        """The value made of None, bool, int, float, str and lists only."""
        self.count(depth)
        if value is None or value is True or value is False:
            return value
        if isinstance(value, int):
            return _small_int(int.__int__(value))
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, list | tuple):
            tag = "t" if isinstance(value, tuple) else "l"
            return [tag, [self.plain(item, depth + 1) for item in value]]
        if isinstance(value, dict):
            return ["d", [self._pair(*item, depth + 1) for item in value.items()]]
        if isinstance(value, torch.dtype):
            return ["y", _dtype_name(value)]
        if isinstance(value, torch.device):
            return ["v", str(value)]
        handle = value if isinstance(value, Handle) else None
        if handle is None and self.handle_of is not None:
            handle = self.handle_of(value)
        if handle is None:
            raise WireError(f"cannot be sent: {type(value).__name__}")
        return ["h", handle.number, handle.type_name[:100]]

    def _pair(self, key: Any, value: Any, depth: int) -> list[Any]:
        if not isinstance(key, str | int):
            raise WireError(f"cannot be sent: a key of type {type(key).__name__}")
        return [self.plain(key, depth), self.plain(value, depth)]

    def _tensor(self, value: torch.Tensor) -> list[Any]:
        name = _dtype_name(value.dtype)
        _check_sides(value.shape, self.limits)
        size = value.numel() * value.element_size()
        self.size += size
        if self.size > self.limits.max_bytes:
            raise WireError(f"cannot be sent: a tensor of {size} bytes")
        if value.layout is not torch.strided:
            value = value.to_dense()
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        # One number, or none, may keep any stride, which a view of bytes does not take.
        flat = plain.as_strided((plain.numel(),), (1,)).view(torch.uint8)
        self.blobs.append(torch.Tensor.numpy(flat).tobytes())
        place = ["cuda"] if value.device.type == "cuda" else []
        return ["T", name, list(value.shape), *place]


class _Reader(_Counter):
    def __init__(
        self,
        object_of: Callable[[Handle], Any] | None,
        limits: WireLimits,
        blobs: memoryview,
        to_gpu: Callable[[torch.Tensor], torch.Tensor] | None,
    ) -> None:
        super().__init__(limits)
        self.object_of = object_of
        self.to_gpu = to_gpu
        self.rest = blobs

    def value(self, plain: Any, depth: int) -> Any:
        """The value that these lists and scalars stand for."""
        self.count(depth)
        if plain is None or type(plain) in (bool, int, float, str):
            return plain
        if type(plain) is not list or not plain or type(plain[0]) is not str:
            raise WireError("a value without a tag")
        tag, fields = plain[0], plain[1:]
        match tag, fields:
            case (("l" | "t"), [list(items)]):
                values = [self.value(item, depth + 1) for item in items]
                return tuple(values) if tag == "t" else values
            case "d", [list(pairs)]:
                return dict(self._pair(pair, depth + 1) for pair in pairs)
            case "T", [str(name), list(shape)]:
                return self._tensor(name, shape)
            case "T", [str(name), list(shape), "cuda"] if self.to_gpu is not None:
                return self.to_gpu(self._tensor(name, shape))
            case "y", [str(name)] if name in DTYPES:
                return DTYPES[name]
            case "v", [str(name)] if DEVICE.match(name):
                return torch.device(name)
            case "h", [int(number), str(type_name)] if number >= 0:
                if self.object_of is not None:
                    return self.object_of(Handle(number, type_name[:100]))
        raise WireError(f"a malformed value with the tag {tag[:10]!r}")

    def _pair(self, plain: Any, depth: int) -> tuple[str | int, Any]:
        if type(plain) is not list or len(plain) != 2:
            raise WireError("a malformed entry of a dict")
        key, value = plain
        if type(key) not in (str, int):
            raise WireError("a key that is neither a string nor an int")
        self.count(depth)
        return key, self.value(value, depth)

    def _tensor(self, name: str, shape: list[Any]) -> torch.Tensor:
        if name not in DTYPES or len(shape) > self.limits.max_dims:
            raise WireError("a tensor of unknown dtype or of too many dimensions")
        if not all(type(length) is int and length >= 0 for length in shape):
            raise WireError("a tensor whose shape is not made of sizes")
        _check_sides(shape, self.limits)
        dtype = DTYPES[name]
        size = math.prod(shape) * dtype.itemsize  # Python's ints do not overflow
        if size > len(self.rest):
            raise WireError("a tensor with fewer bytes than its shape says")
        data, self.rest = bytearray(self.rest[:size]), self.rest[size:]
        if not data:
            return torch.empty(shape, dtype=dtype)
        if dtype is torch.bool and data.strip(b"\x00\x01"):
            raise WireError("a bool that is neither 0 nor 1")
        return torch.frombuffer(data, dtype=dtype).reshape(shape)


def _check_sides(shape: Sequence[int], limits: WireLimits) -> None:
    """A huge side can stand beside a zero, and then costs its sender nothing."""
    rows = math.prod(shape[: shape.index(0)]) if 0 in shape else 0
    if rows > limits.max_empty_rows or max(shape, default=0) > limits.max_side:
        raise WireError("a tensor with sides that are too long")


def _small_int(value: int) -> int:
    if not -LARGEST_INT <= value < LARGEST_INT:
        raise WireError("cannot be sent: an int of more than 64 bits")
    return value


def _dtype_name(dtype: torch.dtype) -> str:
    if dtype not in DTYPE_NAMES:
        raise WireError(f"cannot be sent: numbers of type {dtype}")
    return DTYPE_NAMES[dtype]
