"""The end of what a test printed."""

import os
import threading

TAIL = 4096  # bytes that are kept
CHUNK = 65_536


class OutputTail:
    """Reads what is printed, in a thread of its own, and keeps the last 4 kB.

    Args:
        reading: the reading end of a pipe; closed by this object.
        most_bytes: when more was printed, nobody reads any more: printing fails.
    """

    def __init__(self, reading: int, most_bytes: int):
        self.is_too_much = False
        self._most = most_bytes
        self._tail = b""
        self._thread = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What is kept; called when the process has ended."""
        self._thread.join(timeout=1.0)
        return self._tail.decode("utf-8", "replace")

    def _read(self, reading: int) -> None:
        count = 0
        try:
            while part := os.read(reading, CHUNK):
                count += len(part)
                self._tail = (self._tail + part)[-TAIL:]
                if count > self._most:
                    self.is_too_much = True
                    return
        finally:
            os.close(reading)
