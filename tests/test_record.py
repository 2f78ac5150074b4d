"""Stored results: their commands can be repeated, and name no place of one machine."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks import record

STORED = sorted(record.RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_command_names_no_place_of_one_machine(path: Path):
    """No whole path, also not behind an equals sign."""
    result = json.loads(path.read_text())
    for word in shlex.split(result["command"]):
        assert not Path(word.rpartition("=")[2]).is_absolute(), word


def test_whole_paths_are_not_stored(monkeypatch):
    """Only what a folder is called, wherever it stands in the command."""
    given = ["--data-dir", "/home/ada/voc", "--out", "runs/a", "--from=/tmp/b", "--x=1"]
    monkeypatch.setattr(sys, "argv", ["quality.py", *given])
    words = shlex.split(record.command_line())
    own = ["--data-dir", "ELSEWHERE/voc", "--out", "runs/a"]
    assert words[-6:] == [*own, "--from=ELSEWHERE/b", "--x=1"]
