"""The doctor tells a sandbox that holds from one that does not."""

import argparse

import pytest

from core.command import EXIT_OK, EXIT_PARTLY_FAILED
from grader.doctor import command as doctor
from grader.doctor.attacks import ATTACKS
from grader.doctor.command import Finding, examine, run_doctor
from grader.sandbox.levels import Level, probe_level

HARMLESS = ("read_files", "read_environment", "use_network", "keep_state")


def test_the_sandbox_of_this_machine_stops_all_attacks():
    """What is graded with holds; with no sandbox the doctor says what gets through."""
    level = probe_level().level
    attacks = ATTACKS
    if level is Level.NONE:
        attacks = tuple(attack for attack in ATTACKS if attack.name in HARMLESS)
    findings = list(examine(level, attacks))
    through = [finding for finding in findings if not finding.is_stopped]
    if level is Level.NONE:
        assert through
    else:
        assert through == []
        assert len(findings) == len(ATTACKS) + 1


def test_the_doctor_sees_what_gets_through():
    """Without walls a submission reads hidden tests, and the doctor says so."""
    attacks = tuple(attack for attack in ATTACKS if attack.name in HARMLESS)
    findings = {finding.attack: finding for finding in examine(Level.NONE, attacks)}
    assert not findings["read hidden tests and other students"].is_stopped
    assert not findings["use the network"].is_stopped


@pytest.mark.parametrize("holds", [True, False])
def test_the_exit_code_says_whether_the_walls_held(
    holds: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """0 when all attacks were stopped, 1 otherwise; a line for each."""
    found = [Finding("use the network", holds, "because")]
    monkeypatch.setattr(doctor, "examine", lambda level: iter(found))
    code = run_doctor(argparse.Namespace(level=Level.NONE.value))
    assert code == (EXIT_OK if holds else EXIT_PARTLY_FAILED)
    printed = capsys.readouterr().out
    assert ("GOT THROUGH" in printed) is not holds
    assert "use the network" in printed
