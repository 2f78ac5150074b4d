"""Signals while training: finish the iteration first, so that a whole one is saved."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from core.command import ENDING_SIGNALS

STOP_SIGNALS = (signal.SIGINT, *ENDING_SIGNALS)
# Ctrl-C again after this time means "at once"; `timeout` sends its signal twice.
AGAIN_S = 0.3


class StoppedError(Exception):
    """Training ended early, between two iterations, because the user asked for it."""


class StopRequest:
    """Within this context the first signal is remembered; Ctrl-C again interrupts.

    In the middle of an iteration some weights are new and others old; a run that went
    on from there would not end where an uninterrupted one does.

    Attributes:
        requested: True after the first signal.
        number: of that signal.
    """

    def __init__(self) -> None:
        self.requested = False
        self.number: int = signal.SIGINT
        self._since = 0.0
        self._may_interrupt = True
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        # Python lets only the main thread decide about signals.
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                ignored = signal.getsignal(number) == signal.SIG_IGN
                if number == signal.SIGINT or not ignored:  # by nohup
                    self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """In here even Ctrl-C pressed again waits, for a file is being written."""
        self._may_interrupt = False
        try:
            yield
        finally:
            self._may_interrupt = True

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self.number = True, number
            self._since = time.monotonic()
        elif (
            number == signal.SIGINT
            and self._may_interrupt
            and time.monotonic() - self._since >= AGAIN_S
        ):
            raise KeyboardInterrupt


def ignore_signals(worker: int) -> None:
    """For processes that load data: the signals reach them too, but are not for them.

    The process that trains ends them, see `helpers.data.stream.until_stopped`.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
