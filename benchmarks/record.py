"""One form for all results: the figures, the command, the versions, the machine."""

import json
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from helpers.training.checkpoint import versions

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, str | int]:
    """What the figures depend on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        names = [
            line.partition(":")[2].strip() for line in lines if "model name" in line
        ]
        name = names[0] if names else name
    result: dict[str, str | int] = {
        "processor": name,
        "cores": os.cpu_count() or 0,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "torch_threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        result["gpu"] = torch.cuda.get_device_name()
    return result


def command_line() -> str:
    """The command as it was given, without paths that only one machine has.

    Of the interpreter nothing is said; a file or folder by its whole path is
    ELSEWHERE/NAME.
    """
    module = sys.modules["__main__"].__spec__
    start = f"python -m {module.name}" if module else f"python {Path(sys.argv[0]).name}"
    return shlex.join([*start.split(), *map(without_place, sys.argv[1:])])


def without_place(argument: str) -> str:
    """An argument, or the value behind its "=", without the folders of its whole path.

    Example:
        >>> without_place("/home/ada/voc"), without_place("runs/a")
        ('ELSEWHERE/voc', 'runs/a')
    """
    option, equals, value = argument.rpartition("=")
    if not Path(value).is_absolute():
        return argument
    return f"{option}{equals}ELSEWHERE/{Path(value).name}"


def write_result(name: str, figures: dict) -> Path:
    """Write benchmarks/results/<name>.json and return its path."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {
        "command": command_line(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
        "machine": machine(),
        **figures,
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
    return path
