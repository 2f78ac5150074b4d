"""A submission's files compiled once, so that each test's process only loads them.

Nothing of them runs here. Texts that bring down Python's own compiler exist, too, so it
works in a process of its own, behind the walls and limits of a test. What it could not
compile, or had to warn about, each test compiles for itself and meets the same error.

To compile the solution's files takes 2.7 ms, to load them 0.07 ms, in each of 246
processes (benchmarks/results/own_parts.json).
"""

import marshal
import os
import select
import signal
import time
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import CodeType

SECONDS = 10.0  # on the clock, for all files
MOST_BYTES = 2**24
CHUNK = 2**16


def compile_files(files: Mapping[str, Path], close: Callable[[], None]) -> bytes:
    """All files that compile without a word, for `code_of`; empty if that failed.

    Args:
        files: name of the module -> its file.
        close: gives up what a test may not do.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            close()
            with os.fdopen(writing, "wb") as out:
                out.write(compile_here(files))
        finally:
            os._exit(0)
    os.close(writing)
    try:
        return _read_all(reading, time.monotonic() + SECONDS)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def code_of(name: str, compiled: bytes) -> CodeType | None:
    """The code of one file, if it is there; called in a test's process only."""
    if not compiled:
        return None
    found: dict[str, bytes] = marshal.loads(compiled)
    code: CodeType | None = marshal.loads(found[name]) if name in found else None
    return code


def compile_here(files: Mapping[str, Path]) -> bytes:
    """The same in this process; for files that one trusts."""
    found = {}
    for name, path in files.items():
        try:
            found[name] = _compile(str(path), path.read_bytes())
        except Exception:  # noqa: BLE001 - each test will meet it
            continue
    return marshal.dumps(found)


@lru_cache(maxsize=256)
def _compile(path: str, source: bytes) -> bytes:
    """One file; remembered, since many tries differ from the last in one file only."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return marshal.dumps(compile(source, path, "exec", dont_inherit=True))


def _read_all(reading: int, deadline: float) -> bytes:
    """Until the other side is done; empty when that is too late or too much."""
    data = b""
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    while poll.poll(1000 * max(0.0, deadline - time.monotonic())):
        part = os.read(reading, CHUNK)
        data += part
        if not part:
            return data
        if len(data) > MOST_BYTES:
            break
    return b""
