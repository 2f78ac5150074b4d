"""Run the command `grade` so that whatever it leaves behind is seen."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack_class import ROOT

HANG_S = 900  # far above what a loaded machine takes
KEPT = ("torchinductor_",)  # an empty folder that torch makes for itself
# Orphans of the command become children of this process, which says what they are.
SUPERVISOR = """
import ctypes, json, os, resource, subprocess, sys, time
from pathlib import Path
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
code = subprocess.run(sys.argv[2:]).returncode
until, left = time.monotonic() + 10, []
while time.monotonic() < until:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        left = []
        break
    left = Path("/proc/thread-self/children").read_text().split()
    time.sleep(0.1)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
said = {"code": code, "left": left, "cpu": used.ru_utime + used.ru_stime}
Path(sys.argv[1]).write_text(json.dumps(said))
"""


@dataclass
class Ran:
    """What became of a run of the command.

    Attributes:
        code: exit code.
        left: numbers of processes that outlived it.
        cpu: seconds of the processor of all that ended with it.
        output: all that it printed.
        forgotten: files in its folder for temporary ones.
    """

    code: int
    left: list[str]
    cpu: float
    output: str
    forgotten: list[str] = field(default_factory=list)


def run_grade(*arguments: str) -> Ran:
    """`python -m grader grade ARGUMENTS`, in a world of its own."""
    # Not below pytest's folder: another user of a sandbox must be able to enter.
    with tempfile.TemporaryDirectory(prefix="attacks-") as name:
        temporary = Path(name)
        temporary.chmod(0o755)
        for folder in ("tmp", "home"):
            (temporary / folder).mkdir(mode=0o755)
        environment = os.environ | {
            "TMPDIR": str(temporary / "tmp"),
            "HOME": str(temporary / "home"),
            "COURSE_SECRET": "of the instructor",
        }
        said = temporary / "said.json"
        command = [sys.executable, "-m", "grader", "grade", *arguments]
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-c", SUPERVISOR, str(said), *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=HANG_S,
            check=True,
        )
        forgotten = [
            str(path.relative_to(temporary))
            for folder in ("tmp", "home")
            for path in (temporary / folder).rglob("*")
            if not path.relative_to(temporary / folder).parts[0].startswith(KEPT)
        ]
        found: dict[str, Any] = json.loads(said.read_text())
    return Ran(**found, output=run.stdout, forgotten=forgotten)


class Listener:
    """A server on this machine that counts who calls; a context manager."""

    def __enter__(self) -> "Listener":
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *ending: object) -> None:
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.calls += 1
