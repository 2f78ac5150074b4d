"""What a message may hold, and the words for it; see grader/border/wire.py."""

import re
import struct
from dataclasses import dataclass

import torch

LENGTH = struct.Struct(">I")  # of a body, and of the outline in it, in bytes
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.bool,
    )
}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
DEVICE = re.compile(r"(cpu|cuda(:\d{1,2})?)\Z")
LARGEST_INT = 2**63


class WireError(Exception):
    """A message that is not as it must be, or a value that no message can hold."""


@dataclass(frozen=True)
class WireLimits:
    """What one message may hold at most.

    Attributes:
        max_bytes: length of a message.
        max_outline: length of all but the tensors; an empty list of one byte there
            takes 64 in memory, so this is what bounds the memory.
        max_depth: lists within lists.
        max_items: values in all, each element of a list and each key counted.
        max_dims: dimensions of a tensor.
        max_side: of a tensor, also beside a zero.
        max_empty_rows: of a tensor without numbers, the product of the sides in front
            of its zero: tolist() makes so many empty lists of it, of 64 bytes each.
    """

    max_bytes: int = 256 * 2**20
    max_outline: int = 4 * 2**20
    max_depth: int = 20
    max_items: int = 200_000
    max_dims: int = 8
    max_side: int = 2**24
    max_empty_rows: int = 2**18


@dataclass(frozen=True)
class Handle:
    """An object that stays in the sandbox.

    Attributes:
        number: its number there.
        type_name: the name of its class, for messages.
    """

    number: int
    type_name: str = ""
