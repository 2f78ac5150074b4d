"""Ctrl-C while training: finish the iteration first, so that what is saved is whole."""

import signal
import threading
from types import FrameType, TracebackType


class StoppedError(Exception):
    """Training ended early, between two iterations, because the user asked for it."""


class StopRequest:
    """Within this context the first Ctrl-C is remembered, the second one interrupts.

    In the middle of an iteration some weights are new and others old; a run that went
    on from there would not end where an uninterrupted one does.

    Attributes:
        requested: True after the first Ctrl-C.
    """

    def __init__(self) -> None:
        self.requested = False
        # Python lets only the main thread decide about signals.
        self._may_listen = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> "StopRequest":
        if self._may_listen:
            self._before = signal.signal(signal.SIGINT, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._may_listen:
            signal.signal(signal.SIGINT, self._before)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def ignore_interrupts(worker: int) -> None:
    """For processes that load data: Ctrl-C reaches them too, but is not for them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
