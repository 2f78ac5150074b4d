"""What runs in the sandbox: the zygote, which forks one process for each test.

The grader starts `python -s -P -B zygote.py SETTINGS` with an environment made from
nothing. Torch is imported once, here, and no tensor is computed: a forked process whose
parent has computed may hang. The student's files are read, and compiled, only in forked
processes.

The grader speaks over a socket, in lines of JSON: {"do": "fork"} comes with open files,
the test's own socket, what its prints go to, perhaps what it gets of torchvision, and
parts of the solution where it has been given any; {"do": "end"} ends the test.
"""

import gc
import json
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

gc.disable()  # until torch is imported: a tenth of the start-up
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from grader.border.limits import Limits, address_space, lift_own_limit  # noqa: E402

lift_own_limit()  # of the grader's job; torch alone fills more addresses

import torch  # noqa: E402

from grader.worker.closed import (  # noqa: E402
    ClosedModules,
    close_library,
    close_operators,
    open_parts,
)
from grader.worker.compiler import put_to_sleep  # noqa: E402

SETTINGS = json.loads(sys.argv.pop())  # a file that reads arguments finds none
sys.meta_path.insert(
    0, ClosedModules(Path(SETTINGS["closed"]), not SETTINGS["operators"])
)
if SETTINGS["operators"]:
    close_library(SETTINGS["libraries"])
put_to_sleep(Path(SETTINGS["submission"]))  # before anything imports torchvision

from grader.worker.absent import leave_out  # noqa: E402
from grader.worker.bytecode import compile_files  # noqa: E402
from grader.worker.child import prepare_gpu, seed_torch, serve_test  # noqa: E402
from grader.worker.given import Given  # noqa: E402
from grader.worker.large_pages import use_large_pages  # noqa: E402
from grader.worker.loading import measure_loading  # noqa: E402
from grader.worker.lockdown import Lockdown, close_child, lock_zygote  # noqa: E402
from grader.worker.modules import Submission  # noqa: E402
from grader.worker.plots import import_plots, make_home  # noqa: E402
from grader.worker.vision import refusing, work_offline  # noqa: E402

LONGEST_LINE = 4096
CHILDREN = Path("/proc/thread-self/children")
FILES_OF_FORK = 5  # the first two are always there
PAUSE_S = 0.002
TEMPORARY = "/tmp"


def main() -> None:
    """Prepare, say so, and fork until the grader closes the socket."""
    settings: dict[str, Any] = SETTINGS
    control = socket.socket(fileno=settings["control"])
    control.set_inheritable(False)
    torch.set_num_threads(1)
    tempfile.tempdir = TEMPORARY  # to look for one, Python writes, which no test may
    work_offline()  # before backbones take their constructors from torchvision
    _import_for_children()
    close_operators(settings["operators"], refusing)
    leave_out(settings["absent"], settings["refused"], settings["others"])
    make_home()
    import_plots(Path(settings["submission"]))
    folders = [Path(settings["code"]), Path(settings["submission"]), Path.home()]
    use_large_pages()
    in_use = address_space()  # asked now, as the pages were: the lock may hide /proc
    missing = lock_zygote(Lockdown(**settings["lockdown"]), folders)
    os.chdir(settings["submission"])
    seed_torch()
    zygote = Zygote(control, settings, in_use)
    zygote.compile_submission()
    gc.enable()
    gc.freeze()  # pages of objects that live for ever stay shared after a fork
    loading = measure_loading(zygote.submission, zygote.limits, zygote.run_alone)
    said = {"ready": True, "missing": missing, "cpu": _cpu_seconds()}
    _say(control, said | {"loading": asdict(loading)})
    zygote.run()


class Zygote:
    """Forks a process for each test, one at a time, and ends it.

    Args:
        control: to the grader.
        settings: as the grader gave them.
        in_use: bytes of addresses that torch has mapped.
    """

    def __init__(self, control: socket.socket, settings: dict[str, Any], in_use: int):
        self.control = control
        self.settings = settings
        self.lockdown = Lockdown(**settings["lockdown"])
        self.limits = Limits(**settings["limits"])
        self.in_use = in_use
        self.submission = Submission(Path(settings["submission"]), settings["visible"])
        self.child = 0

    def compile_submission(self) -> None:
        """Once for all tests, and as if it were one of them."""
        self.submission.compiled = compile_files(self.submission.files, self._close)

    def run(self) -> None:
        """Do what the grader asks until it is gone."""
        while True:
            line, files, _, _ = socket.recv_fds(
                self.control, LONGEST_LINE, FILES_OF_FORK
            )
            if not line:
                self.end_child()
                return
            request = json.loads(line)
            if request["do"] == "fork":
                self.fork(files, request)
                _say(self.control, {"pid": self.child})
            elif request["do"] == "end":
                _say(self.control, self.end_child(request["grace"]))

    def fork(self, files: list[int], request: dict[str, Any]) -> None:
        """Start the process of a test, which gets these files and so much time."""
        limits = replace(self.limits, cpu_seconds=request["cpu_seconds"])
        solution = files[-1] if request["has_given"] else None
        own = files[:-1] if request["has_given"] else files
        self._fork(lambda: self._serve(limits, solution, *own))
        for file in files:
            os.close(file)

    def run_alone(self, work: Callable[[], None], seconds: float) -> dict[str, Any]:
        """Do something behind the walls of a test, and say how it ended."""
        null = os.open(os.devnull, os.O_WRONLY)
        self._fork(lambda: self._do(work, null))
        os.close(null)
        return self.end_child(seconds)

    def _fork(self, work: Callable[[], None]) -> None:
        self.end_child()
        self.child = os.fork()
        if self.child == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)

    def end_child(self, grace: float = 0.0) -> dict[str, Any]:
        """Kill the test and all that it left, and say what it used.

        Args:
            grace: seconds that a test which is about to end is given, so that its exit
                status says why.
        """
        if not self.child:
            return {"status": None, "cpu": 0.0, "peak_kb": 0, "own": _cpu_seconds()}
        until = time.monotonic() + grace
        pid, status, used = os.wait4(self.child, os.WNOHANG)
        while not pid and time.monotonic() < until:
            time.sleep(PAUSE_S)
            pid, status, used = os.wait4(self.child, os.WNOHANG)
        if not pid:
            os.kill(self.child, signal.SIGKILL)
        self._kill_leftovers()
        if not pid:
            _, _, used = os.wait4(self.child, 0)
        self.child = 0
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        return {
            "status": status if pid else None,
            "cpu": used.ru_utime + used.ru_stime,
            "peak_kb": used.ru_maxrss,
            "own": _cpu_seconds(),
        }

    def _kill_leftovers(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child, signal.SIGKILL)
        with suppress(OSError, ValueError):
            # Whom a dead parent left is given to this process, which asked for that.
            for child in CHILDREN.read_text().split():
                os.kill(int(child), signal.SIGKILL)
        if self.lockdown.is_alone:
            # All processes that this one may kill: those of its user, in its sandbox.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(-1, signal.SIGKILL)

    def _serve(
        self,
        limits: Limits,
        solution: int | None,
        channel_file: int,
        output_file: int,
        given: int | None = None,
        library: int | None = None,
    ) -> None:
        if solution is not None:
            with os.fdopen(solution, "rb") as file:
                self.submission.given = Given(file.read())
        self._be_child(output_file)
        channel = socket.socket(fileno=channel_file)
        close_child(self.lockdown, limits, self.in_use)
        if given is not None:
            open_parts(given, library, refusing)
        if self.settings["device"] == "cuda":
            prepare_gpu(self.limits.gpu_memory_mb)
        serve_test(channel, self.submission, self.settings["device"])

    def _do(self, work: Callable[[], None], output_file: int) -> None:
        self._be_child(output_file)
        self._close()
        work()

    def _be_child(self, output_file: int) -> None:
        os.setsid()
        self.control.close()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(output_file, 1)
        os.dup2(output_file, 2)
        os.close(output_file)
        sys.stdout = os.fdopen(1, "w", 1, errors="replace", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, errors="replace", closefd=False)

    def _close(self) -> None:
        close_child(self.lockdown, self.limits, self.in_use)


def _import_for_children() -> None:
    """What each test would import anyway, once; helpers that hold answers are not."""
    import torchvision.models.detection  # noqa: F401

    import core.backbones.build
    import core.backbones.from_torchvision  # noqa: F401
    import grader.worker.original.a4_helper  # noqa: F401


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(control: socket.socket, message: dict[str, Any]) -> None:
    control.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
