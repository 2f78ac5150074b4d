"""Sessions with Google Drive in processes of their own, which may die at any moment.

`python -m tests.drive_sessions` answers requests, one JSON object per line; each is
done by a fork, so that hundreds take seconds. `Sessions` is the other side.
"""

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KILLED = 9
WRITES = {  # events of Python that change something in a file system
    "os.rename",
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.utime",
}


@dataclass(frozen=True)
class Answer:
    """How a session went: what it printed, operations on files, was it killed."""

    text: str
    operations: int
    killed: bool

    @property
    def is_well(self) -> bool:
        """Whether Drive got an [OK]."""
        return self.text.startswith("[OK]")


class Sessions:
    """Starts sessions; a context manager."""

    def __enter__(self) -> "Sessions":
        """Start the process that forks them."""
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.drive_sessions"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._server.communicate()

    def start(
        self, root: Path, drive: Path, kill_at: int = 0, fail_at: int = 0
    ) -> Answer:
        """Call start with drive=True, as far as Drive goes.

        Args:
            root: the folder of the course.
            drive: where Drive is mounted.
            kill_at: operation on files at which the process dies, from 1.
            fail_at: operation from which on Drive is full.
        """
        assert self._server.stdin and self._server.stdout
        request = [str(root), str(drive), kill_at, fail_at]
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return Answer(**json.loads(self._server.stdout.readline()))


class Counter:
    """Counts operations on files, and ends the process or fails at one of them."""

    def __init__(self, drive: str, kill_at: int, fail_at: int):
        self.drive, self.kill_at, self.fail_at = drive, kill_at, fail_at
        self.number = 0

    def audit(self, event: str, arguments: tuple) -> None:
        """Hook of Python; see sys.addaudithook."""
        is_write = event in WRITES or (event == "open" and _writes(arguments))
        if is_write and not isinstance(arguments[0], int):
            paths = [
                os.fsdecode(a) for a in arguments[:2] if isinstance(a, str | bytes)
            ]
            self._count(any(path.startswith(self.drive) for path in paths))

    def fsync(self, handle: int) -> None:
        """Stand for os.fsync; who dies here has written half of the file."""
        if self.number + 1 == self.kill_at:
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
        self._count(on_drive=True)

    def _count(self, on_drive: bool) -> None:
        self.number += 1
        if self.number == self.kill_at:
            os._exit(KILLED)
        if self.fail_at and self.number >= self.fail_at and on_drive:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.drive)


def _writes(arguments: tuple) -> bool:
    path, _, flags = arguments
    is_file = isinstance(path, str) and path != os.devnull
    return is_file and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def in_a_fork(work: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What `work` returns in a process of its own; None if that died."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            os.write(write, json.dumps(work()).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"a session ended with {code}"
    return json.loads(text) if code == 0 else None


def _session(root: str, drive: str, kill_at: int, fail_at: int) -> dict[str, Any]:
    from helpers import notebook

    notebook.ROOT, notebook.DRIVE = Path(root), Path(drive)
    notebook.is_colab = lambda: True
    counter = Counter(drive, kill_at, fail_at)
    os.fsync = counter.fsync  # type: ignore[assignment]
    printed = io.StringIO()
    sys.addaudithook(counter.audit)
    with redirect_stdout(printed):
        notebook.report(notebook.keep_on_drive)
    return {"text": printed.getvalue(), "operations": counter.number, "killed": False}


def main() -> None:
    """Answer until the input ends."""
    import helpers.notebook  # noqa: F401 - once, for all forks
    from helpers.drive import on_drive

    on_drive._git = lambda root, *command: ""  # the tests' courses have a manifest
    for line in sys.stdin:
        answer = in_a_fork(partial(_session, *json.loads(line)))
        dead = {"text": "", "operations": 0, "killed": True}
        print(json.dumps(answer or dead), flush=True)


if __name__ == "__main__":
    main()
