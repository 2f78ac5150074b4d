"""Whole messages through a socket, with a deadline, and never more than a limit."""

import select
import socket
import time

from grader.border.wire_types import LENGTH, WireError

CHUNK = 2**20  # bytes read at once


class ClosedError(Exception):
    """The other side is gone."""


class DeadlineError(Exception):
    """The other side did not answer in time."""


class TooLongError(WireError):
    """A message is longer than it may be; none of it was read.

    Attributes:
        length: that it says it has, in bytes.
    """

    def __init__(self, length: int):
        super().__init__(f"a message of {length} bytes")
        self.length = length


def send_frame(channel: socket.socket, body: bytes, deadline: float | None) -> None:
    """Send a body with its length in front.

    Args:
        deadline: on the clock of time.monotonic; None: wait for ever.

    Raises:
        ClosedError: nobody reads any more.
        DeadlineError: nobody read in time.
    """
    rest = memoryview(LENGTH.pack(len(body)) + body)
    while rest:
        wait_for(channel, deadline, for_reading=False)
        # Without a deadline a blocking send waits by itself; with one it must not.
        flags = 0 if deadline is None else socket.MSG_DONTWAIT
        try:
            rest = rest[channel.send(rest[:CHUNK], flags) :]
        except BlockingIOError:
            continue
        except OSError as error:
            raise ClosedError from error


def receive_frame(
    channel: socket.socket, max_bytes: int, deadline: float | None = None
) -> bytearray:
    """The next body.

    Raises:
        ClosedError: there is none.
        DeadlineError: it did not come, or not wholly, in time.
        TooLongError: it is longer than max_bytes.
    """
    length = LENGTH.unpack(_receive(channel, LENGTH.size, deadline))[0]
    if length > max_bytes:
        raise TooLongError(length)
    return _receive(channel, length, deadline)


def has_more(channel: socket.socket) -> bool:
    """Whether bytes (or the end) wait to be read."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(0))


def _receive(channel: socket.socket, count: int, deadline: float | None) -> bytearray:
    parts = bytearray()
    while len(parts) < count:
        wait_for(channel, deadline, for_reading=True)
        try:
            part = channel.recv(min(CHUNK, count - len(parts)))
        except OSError as error:
            raise ClosedError from error
        if not part:
            raise ClosedError
        parts += part
    return parts  # as it is: a copy would take as much memory again


def wait_for(channel: socket.socket, deadline: float | None, for_reading: bool) -> None:
    """Wait until the socket can be read from, or written to.

    Raises:
        DeadlineError: not before the deadline.
    """
    if deadline is None:
        return
    left = max(0.0, deadline - time.monotonic())
    poll = select.poll()
    poll.register(channel, select.POLLIN if for_reading else select.POLLOUT)
    if not poll.poll(left * 1000):
        raise DeadlineError
