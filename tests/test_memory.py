"""Freed memory is kept for the next training step."""

import platform
import subprocess
import sys

import pytest

from helpers.training.loop import keep_freed_memory

# Prints the page faults of ten times 64 MiB, after twenty times in which the process
# grows, and what keep_freed_memory answered.
STEPS = """
import resource, sys
import torch
from helpers.training.loop import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "keep" else None
for _ in range(20):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, kept)
"""


def page_faults(how: str) -> tuple[int, str]:
    output = subprocess.run(
        [sys.executable, "-c", STEPS, how], capture_output=True, text=True, check=True
    ).stdout
    faults, kept = output.split()
    return int(faults), kept


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other memory managers stay as they are"
)
def test_a_tensor_takes_the_memory_of_the_last_one():
    fresh, _ = page_faults("fresh")
    kept, answer = page_faults("keep")
    assert answer == "True"
    assert kept < fresh / 10, f"{kept} page faults, {fresh} without"


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert keep_freed_memory() is False
