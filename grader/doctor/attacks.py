"""The attacks that `doctor` tries, and what they are after."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from grader.border.limits import MEBIBYTE, Limits
from grader.doctor.promises import (
    ANSWERS,
    COMMANDS,
    ENDLESS,
    FILES,
    HIDDEN,
    MAKING,
    MEMORY,
    NETWORK,
    SIBLINGS,
    Promise,
)
from grader.sandbox.levels import Level

# Small, so that what has no end reaches them soon.
LIMITS = Limits(cpu_seconds=4, memory_mb=512, call_seconds=40, threads=64)
VICTIM_SECONDS = 3600
OPEN_FILES = ("/etc/passwd", "/etc/group", "/etc/hostname")
CPU_SECONDS = LIMITS.cpu_seconds + 6  # past the limit, and past the kernel's last word
MUCH_OUTPUT = 4 * LIMITS.output_mb * MEBIBYTE


@dataclass
class Targets:
    """What the probes are after.

    Attributes:
        hidden: folders and files of the grader that no submission may read.
        siblings: those of other submissions.
        secret: a word in the grader's environment.
        port: of a server on this machine.
        victim: a process of the grader that may die; a new one for each attack.
    """

    hidden: list[str]
    siblings: list[str]
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


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One probe and what it needs.

    Attributes:
        words: for the table.
        name: of the function in grader/doctor/probes.py.
        against: the promise that it tries to break.
        arguments: given the targets.
        times: how often it is run, each time as a test of its own.
        stopped_by: categories of an end which says that the sandbox held, beside
            "not allowed"; any other end may come of a busy machine.
        got_through_by: categories of an end which says that it did not.
        is_quick: it needs no limit of time or memory to end.
    """

    words: str
    name: str
    against: Promise
    arguments: Callable[[Targets], tuple[Any, ...]] = lambda targets: ()
    times: int = 1
    stopped_by: tuple[str, ...] = ()
    got_through_by: tuple[str, ...] = ()
    is_quick: bool = True


def _code(targets: Targets) -> tuple[Any, ...]:
    inside = ["/code/grader/worker/zygote.py", "/submission/common.py"]
    torch = importlib.util.find_spec("torch")
    return ([*inside, str(torch.origin) if torch else ""],)


ATTACKS = (
    Attack(
        words="read hidden tests",
        name="read_files",
        against=HIDDEN,
        arguments=lambda targets: (targets.hidden,),
    ),
    Attack(
        words="read other students",
        name="read_files",
        against=SIBLINGS,
        arguments=lambda targets: (targets.siblings,),
    ),
    Attack(
        words="read what all users may read",
        name="read_files",
        against=FILES,
        arguments=lambda targets: (list(OPEN_FILES),),
    ),
    Attack(
        words="read the environment",
        name="read_environment",
        against=MEMORY,
        arguments=lambda targets: (targets.secret,),
    ),
    Attack(
        words="see commands and their arguments",
        name="read_arguments",
        against=COMMANDS,
        arguments=lambda targets: (targets.secret,),
    ),
    Attack(
        words="read the grader's memory",
        name="read_memory",
        against=MEMORY,
        arguments=lambda targets: ([os.getpid(), targets.victim.pid],),
    ),
    Attack(
        words="end the grader",
        name="send_signals",
        against=MAKING,
        arguments=lambda targets: ([targets.victim.pid],),
    ),
    Attack(
        words="use the network",
        name="use_network",
        against=NETWORK,
        arguments=lambda targets: (targets.port,),
    ),
    Attack(words="start processes", name="start_processes", against=MAKING),
    Attack(
        words="start endless threads",
        name="start_threads",
        against=ENDLESS,
        arguments=lambda targets: (LIMITS.threads,),
    ),
    Attack(
        words="run another program",
        name="run_program",
        against=MAKING,
        got_through_by=("crashed",),  # the other program has no answer
    ),
    Attack(
        words="fill the disk",
        name="fill_disk",
        against=MAKING,
        arguments=lambda targets: (2 * LIMITS.temporary_mb * MEBIBYTE,),
    ),
    Attack(
        words="change the code of later tests",
        name="change_code",
        against=MAKING,
        arguments=_code,
    ),
    Attack(
        words="take endless memory",
        name="take_memory",
        against=ENDLESS,
        arguments=lambda targets: (LIMITS.memory_mb << 20,),
        stopped_by=("out of memory",),
        is_quick=False,
    ),
    Attack(
        words="keep state between tests", name="keep_state", against=MAKING, times=2
    ),
    Attack(
        words="compute for ever",
        name="compute_for_ever",
        against=ENDLESS,
        arguments=lambda targets: (CPU_SECONDS,),
        stopped_by=("timeout",),
        is_quick=False,
    ),
    Attack(
        words="print for ever",
        name="print_for_ever",
        against=ENDLESS,
        arguments=lambda targets: (MUCH_OUTPUT,),
        stopped_by=("exception",),
        is_quick=False,
    ),
    Attack(
        words="forge an answer",
        name="forge_answer",
        against=ANSWERS,
        stopped_by=("crashed",),
    ),
    Attack(
        words="end as if all were well",
        name="exit_now",
        against=ANSWERS,
        stopped_by=("crashed",),
    ),
    Attack(words="leave a process behind", name="leave_daemon", against=MAKING),
)


def attacks_on(level: Level, missing: Collection[str] = ()) -> tuple[Attack, ...]:
    """Those that a level must stop where the kernel lacks these features."""
    return tuple(attack for attack in ATTACKS if attack.against.holds(level, missing))
