"""A limit of time for code that may never end, such as a student's loop."""

import _thread
import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

AGAIN_S = 1.0  # the limit is told again and again to code that catches everything


class TimeLimitError(BaseException):
    """The time is over. Not an Exception: `except Exception` in a loop lets it pass."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Within this context the main thread is interrupted when the time is over.

    In another thread there is no limit. A single long call of torch ends first.

    Args:
        seconds: of the clock on the wall.

    Raises:
        TimeLimitError: from the line that ran at that time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
    elif hasattr(signal, "SIGALRM"):
        with _alarm(seconds):
            yield
    else:
        with _interrupt(seconds):
            yield


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeLimitError(f"no end after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _interrupt(seconds: float) -> Iterator[None]:
    """For Windows, which has no alarm: the same by an interrupt, as of Ctrl-C."""
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        _thread.interrupt_main()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt as error:
        if is_over.is_set():
            over = TimeLimitError(f"no end after {seconds:.0f} s")
            raise over.with_traceback(error.__traceback__) from None
        raise
    finally:
        timer.cancel()
