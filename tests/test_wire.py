"""Messages between the grader and the sandbox: exact for data, deaf to all else."""

import random
import socket
import struct
import time

import msgpack
import pytest
import torch

from grader.border.frames import ClosedError, DeadlineError, receive_frame, send_frame
from grader.border.wire import decode, encode
from grader.border.wire_types import DTYPES, Handle, WireError, WireLimits


def message(outline, blobs: bytes = b"") -> bytes:
    """A body as an enemy may send it."""
    packed = msgpack.packb(outline)
    return struct.pack(">I", len(packed)) + packed + blobs


def test_plain_values_come_back_as_they_are():
    """Numbers, strings, None, lists, tuples and dicts cross the border unchanged."""
    value = [
        None,
        True,
        0,
        -(2**63),
        1.5,
        float("inf"),
        "ü",
        (1, [2, ()]),
        {"a": 1, 2: {}},
    ]
    back = decode(encode(value))
    assert back == value
    assert [type(item) for item in back] == [type(item) for item in value]


def test_a_float_that_is_not_a_number_stays_so():
    """NaN crosses the border."""
    assert decode(encode(float("nan"))) != decode(encode(float("nan")))


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(0, 4), (), (2, 3, 1)], ids=str)
def test_tensors_come_back_exactly(dtype: torch.dtype, shape: tuple[int, ...]):
    """Tensors keep dtype, shape and every bit; the empty one first."""
    tensor = (torch.arange(6)[: max(1, torch.Size(shape).numel())] % 2).to(dtype)
    tensor = tensor[: torch.Size(shape).numel()].reshape(shape)
    back = decode(encode({"x": tensor}))["x"]
    assert back.dtype == dtype
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """0, 1, 2 and so on; 0 and 1 in turn where that is all there is."""
    count = torch.Size(shape).numel()
    most = 2 if dtype is torch.bool else 100
    return (torch.arange(count) % most).to(dtype).reshape(shape)


def made_in_inference() -> torch.Tensor:
    with torch.inference_mode():
        return numbers(2, 3) * 2


# What a view is of, and how it lies in memory; each is what honest code may return.
VIEWS = {
    "a column of no rows": lambda dtype: numbers(0, 6, dtype=dtype)[:, 4],
    "a column of one row": lambda dtype: numbers(1, 6, dtype=dtype)[:, 4],
    "a column": lambda dtype: numbers(5, 6, dtype=dtype)[:, 4],
    "columns of no rows": lambda dtype: numbers(0, 6, dtype=dtype)[:, :4],
    "columns of one row": lambda dtype: numbers(1, 6, dtype=dtype)[:, :4],
    "columns": lambda dtype: numbers(5, 6, dtype=dtype)[:, :4],
    "no columns": lambda dtype: numbers(5, 6, dtype=dtype)[:, 2:2],
    "every second": lambda dtype: numbers(7, dtype=dtype)[1::2],
    "one of every second": lambda dtype: numbers(7, dtype=dtype)[5::2][:1],
    "an element": lambda dtype: numbers(3, 4, dtype=dtype)[1, 2],
    "an element as a row": lambda dtype: numbers(3, 4, dtype=dtype)[1:2, 2:3],
    "the end of a storage": lambda dtype: numbers(9, dtype=dtype)[6:],
    "transposed": lambda dtype: numbers(2, 3, dtype=dtype).T,
    "transposed row": lambda dtype: numbers(1, 3, dtype=dtype).T,
    "permuted": lambda dtype: numbers(2, 3, 4, dtype=dtype).permute(2, 0, 1),
    "expanded": lambda dtype: numbers(2, 1, dtype=dtype).expand(2, 4),
    "expanded to one": lambda dtype: numbers(3, dtype=dtype)[1:2].expand(1, 1, 1),
    "expanded to nothing": lambda dtype: numbers(1, dtype=dtype).expand(0, 1),
    "one number": lambda dtype: numbers(3, dtype=dtype)[2],
    "flipped": lambda dtype: numbers(2, 3, dtype=dtype).flip(1),
    "windows": lambda dtype: numbers(6, dtype=dtype).unfold(0, 3, 1),
    "a diagonal": lambda dtype: numbers(3, 3, dtype=dtype).diagonal(),
    "a stride of its own": lambda dtype: numbers(9, dtype=dtype).as_strided((1,), (6,)),
    "channels last": lambda dtype: numbers(2, 3, 4, 5, dtype=dtype).to(
        memory_format=torch.channels_last
    ),
    "one channel last": lambda dtype: numbers(1, 1, 1, 5, dtype=dtype).to(
        memory_format=torch.channels_last
    ),
}
ODD = {
    "requires grad": lambda: numbers(2, 3).requires_grad_()[:, 1:],
    "with a history": lambda: (numbers(1, 6).requires_grad_() * 2)[:, 4],
    "inference": made_in_inference,
    "a column in inference": lambda: made_in_inference()[:1, 1],
    "negative bit": lambda: torch.complex(numbers(3), numbers(3)).conj().imag,
    "one negative bit": lambda: torch.complex(numbers(1), numbers(1) + 2).conj().imag,
    "real part": lambda: torch.complex(numbers(1), numbers(1)).real,
    "other dtype seen": lambda: numbers(4).view(torch.int32)[::2],
    "sparse": lambda: numbers(2, 3).to_sparse(),
    "largest of rows": lambda: numbers(1, 6).T.max(dim=0).indices,
}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
def test_views_of_every_kind_arrive_as_their_numbers(view, dtype: torch.dtype):
    """Whatever its strides: shape, dtype and numbers arrive, and nothing else."""
    tensor = view(dtype)
    back = decode(encode([tensor, tensor]))
    for item in back:
        assert (item.dtype, item.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(item, tensor)
        assert item.is_contiguous()


@pytest.mark.parametrize("make", ODD.values(), ids=list(ODD))
def test_tensors_with_a_past_arrive_as_their_numbers(make):
    """Gradients, inference mode and bits of sign are no part of what arrives."""
    tensor = make()
    back = decode(encode(tensor))
    dense = tensor.detach().to_dense() if tensor.is_sparse else tensor.detach()
    assert back.dtype == dense.dtype
    assert torch.equal(back, dense.resolve_neg())
    assert not back.requires_grad
    assert not back.is_inference()


def test_a_parameter_and_a_subclass_arrive_as_plain_tensors():
    """Nothing of a class of the sender arrives."""

    class Equal(torch.Tensor):
        def __eq__(self, other):
            return True

    for tensor in (torch.nn.Parameter(torch.ones(2)), torch.ones(2).as_subclass(Equal)):
        back = decode(encode(tensor))
        assert type(back) is torch.Tensor
        assert not back.requires_grad
        assert back.tolist() == [1.0, 1.0]


def test_subclasses_of_numbers_and_strings_arrive_as_plain_ones():
    """An int that says it equals everything is only an int on the other side."""

    class Equal(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    back = decode(encode([Equal(3), type("S", (str,), {})("s")]))
    assert [type(item) for item in back] == [int, str]
    assert back == [3, "s"]


def test_dtypes_and_devices_cross_the_border():
    """dtype= and device= of a call arrive."""
    value = (torch.float64, torch.device("cpu"))
    assert decode(encode(value)) == value


def test_objects_cross_only_as_handles():
    """An object that is no data is sent as its number, if there is a number for it."""
    thing = object()
    with pytest.raises(WireError, match="cannot be sent: object"):
        encode([thing])
    body = encode([thing], lambda value: Handle(7, "object"))
    assert decode(body, lambda handle: handle) == [Handle(7, "object")]
    with pytest.raises(WireError):
        decode(body)


@pytest.mark.parametrize(
    "value",
    [2**64, {1.5: 2}, {(1, 2): 3}, torch.zeros(1, dtype=torch.complex64), {1, 2}, b"x"],
    ids=repr,
)
def test_what_no_message_can_hold_is_refused_at_once(value):
    """Huge ints, odd keys, complex tensors, sets and bytes are not sent."""
    with pytest.raises(WireError, match="cannot be sent"):
        encode(value)


def test_endless_lists_are_refused_on_both_sides():
    """Lists that are too deep, too long or contain themselves end with an error."""
    loop: list = []
    loop.append(loop)
    with pytest.raises(WireError):
        encode(loop)
    limits = WireLimits(max_items=10)
    with pytest.raises(WireError):
        encode([0] * 11, limits=limits)
    with pytest.raises(WireError):
        decode(encode([0] * 11), limits=limits)
    deep: list = []
    for _ in range(500):
        deep = ["l", [deep]]
    with pytest.raises(WireError):
        decode(message(deep))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\1",
        struct.pack(">I", 2**32 - 1) + b"\xc0",
        message(None) + b"!",
        message({"a": 1}),
        message(["l"]),
        message(["l", [1], 2]),
        message(["l", {}]),
        message([]),
        message([1]),
        message(["x", []]),
        message(b"bytes"),
        message(msgpack.ExtType(1, b"x")),
        message(msgpack.Timestamp(1)),
        message(["d", [[1]]]),
        message(["d", [[["l", []], 1]]]),
        message(["d", [[None, 1]]]),
        message(["d", [[1.5, 1]]]),
        message(["y", "float31"]),
        message(["v", "cpu; rm"]),
        message(["h", 1, "Linear"]),
        message(["h", -1, "Linear"]),
    ],
    ids=lambda body: body[4:24].hex() or "empty",
)
def test_malformed_messages_raise_one_error(body: bytes):
    """Whatever is not a message ends with WireError and nothing else."""
    with pytest.raises(WireError):
        decode(body)


@pytest.mark.parametrize(
    ("name", "shape", "size"),
    [
        ("float32", [3], 8),
        ("float32", [2], 12),
        ("float32", [-1, -2], 8),
        ("float32", [2.0], 8),
        ("float32", [True, 2], 8),
        ("float32", ["2"], 8),
        ("float32", [2**62, 4, 2], 8),  # 2**65 elements are 0 in 64 bits
        ("float32", [2**62, 0], 0),
        ("float32", [1] * 9, 4),
        ("complex64", [1], 8),
        ("object", [1], 8),
        ("bool", [2], 2),
    ],
)
def test_tensors_whose_parts_do_not_fit_are_refused(name: str, shape: list, size: int):
    """Shape, dtype and bytes of a tensor must agree; a bool is 0 or 1."""
    with pytest.raises(WireError):
        decode(message(["T", name, shape], b"\x07" * size))


@pytest.mark.parametrize(
    "shape", [[2**28, 0], [0, 2**28], [2**22, 0], [2**12, 2**12, 0, 4]], ids=str
)
def test_a_tensor_without_numbers_has_no_long_sides(shape: list[int]):
    """Its few bytes would become millions of empty lists or rows on the other side."""
    with pytest.raises(WireError, match="sides"):
        decode(message(["T", "float32", shape]))
    with pytest.raises(WireError, match="sides"):
        encode(torch.empty(shape))


@pytest.mark.parametrize("shape", [(60_000, 0, 4), (0, 60_000), (3000, 0)], ids=str)
def test_a_tensor_without_numbers_has_sides_as_honest_answers(shape: tuple[int, ...]):
    """No box in front of all locations of a photograph."""
    assert decode(encode(torch.empty(shape))).shape == shape


def test_random_bytes_and_changed_messages_never_do_anything_else():
    """Ten thousand broken messages: a value or WireError, and no other exception."""
    generator = random.Random(0)
    good = encode({"id": 1, "value": [torch.ones(2, 3), (1.5, "a"), {"b": None}]})
    refused = 0
    for _ in range(10_000):
        body = bytearray(good)
        for _ in range(generator.randint(1, 4)):
            body[generator.randrange(len(body))] = generator.randrange(256)
        if generator.random() < 0.3:
            body = body[: generator.randrange(len(body))]
        try:
            decode(bytes(body))
        except WireError:
            refused += 1
    assert 0 < refused < 10_000  # some broken bytes are a number's, which still reads


def test_frames_arrive_whole_and_in_order():
    """Bodies larger than what a socket takes at once arrive as they were sent."""
    here, there = socket.socketpair()
    with here, there:
        bodies = [b"", b"a", bytes(50_000)]
        for body in bodies:
            send_frame(here, body, deadline=None)
        assert [receive_frame(there, 100_000) for _ in bodies] == bodies


def test_a_frame_that_is_too_long_is_not_read():
    """A length beyond the limit is refused before any memory is taken."""
    here, there = socket.socketpair()
    with here, there:
        here.sendall(struct.pack(">I", 2**32 - 1))
        with pytest.raises(WireError):
            receive_frame(there, 1000)


def test_a_frame_that_does_not_come_has_a_deadline():
    """Silence, half a message and nobody who reads end with DeadlineError."""
    here, there = socket.socketpair()
    with here, there:
        soon = time.monotonic() + 0.05
        with pytest.raises(DeadlineError):
            receive_frame(there, 1000, soon)
        here.sendall(struct.pack(">I", 10) + b"half")
        with pytest.raises(DeadlineError):
            receive_frame(there, 1000, soon)
        with pytest.raises(DeadlineError):
            send_frame(here, bytes(10_000_000), soon)


def test_a_frame_from_nobody_is_the_end():
    """The other side is gone, before or within a message."""
    here, there = socket.socketpair()
    with there:
        with here:
            here.sendall(struct.pack(">I", 10) + b"half")
        with pytest.raises(ClosedError):
            receive_frame(there, 1000)
        with pytest.raises(ClosedError):
            send_frame(there, b"x", deadline=None)
