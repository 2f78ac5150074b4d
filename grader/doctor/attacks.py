"""The attacks that `doctor` tries, and what they are after."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grader.border.limits import MEBIBYTE, Limits

# Small, so that what has no end reaches them soon.
LIMITS = Limits(cpu_seconds=4, memory_mb=512, call_seconds=40, threads=64)
VICTIM_SECONDS = 600
MUCH_OUTPUT = 4 * LIMITS.output_mb * MEBIBYTE


@dataclass
class Targets:
    """What the probes are after.

    Attributes:
        files: folders and files that no submission may read.
        secret: a word in the grader's environment.
        port: of a server on this machine.
        victim: a process of the grader that may die; a new one for each attack.
    """

    files: list[str]
    secret: str
    port: int
    victim: subprocess.Popen[bytes]

    def end_victim(self) -> None:
        """End the process."""
        self.victim.kill()
        self.victim.wait()

    def renew_victim(self) -> None:
        """Start a new one if it has ended."""
        if self.victim.poll() is not None:
            self.victim = start_victim(self.secret)


def start_victim(secret: str) -> subprocess.Popen[bytes]:
    """A process that does nothing, with the secret among its arguments."""
    sleep = f"import time; time.sleep({VICTIM_SECONDS})"
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", sleep, secret])


@dataclass(frozen=True)
class Attack:
    """One probe and what it needs.

    Attributes:
        words: for the table.
        name: of the function in grader/doctor/probes.py.
        arguments: given the targets.
        times: how often it is run, each time as a test of its own.
    """

    words: str
    name: str
    arguments: Callable[[Targets], tuple[Any, ...]] = lambda targets: ()
    times: int = 1


def _code(targets: Targets) -> tuple[Any, ...]:
    inside = ["/code/grader/worker/zygote.py", "/submission/common.py"]
    torch = importlib.util.find_spec("torch")
    return ([*inside, str(torch.origin) if torch else ""],)


ATTACKS = (
    Attack(
        "read hidden tests and other students",
        "read_files",
        lambda targets: (targets.files,),
    ),
    Attack(
        "read the environment", "read_environment", lambda targets: (targets.secret,)
    ),
    Attack(
        "read the grader's memory",
        "read_memory",
        lambda targets: ([os.getpid(), targets.victim.pid],),
    ),
    Attack("end the grader", "send_signals", lambda targets: ([targets.victim.pid],)),
    Attack("use the network", "use_network", lambda targets: (targets.port,)),
    Attack("start endless processes", "start_processes"),
    Attack("start endless threads", "start_threads", lambda targets: (LIMITS.threads,)),
    Attack("run another program", "run_program"),
    Attack(
        "fill the disk",
        "fill_disk",
        lambda targets: (2 * LIMITS.temporary_mb * MEBIBYTE,),
    ),
    Attack("change the code of later tests", "change_code", _code),
    Attack(
        "take endless memory", "take_memory", lambda targets: (LIMITS.memory_mb << 20,)
    ),
    Attack("keep state between tests", "keep_state", times=2),
    Attack("compute for ever", "compute_for_ever"),
    Attack("print for ever", "print_for_ever", lambda targets: (MUCH_OUTPUT,)),
    Attack("forge an answer", "forge_answer"),
    Attack("end as if all were well", "exit_now"),
    Attack("leave a process behind", "leave_daemon"),
)
