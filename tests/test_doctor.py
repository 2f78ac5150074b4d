"""The doctor tells a sandbox that holds from one that does not."""

import argparse
import itertools
import re
import subprocess
import time
import types
from pathlib import Path

import pytest

from core.command import EXIT_OK, EXIT_PARTLY_FAILED, CourseError
from grader.doctor import command as doctor
from grader.doctor import examine as examining
from grader.doctor import probes
from grader.doctor.attacks import ATTACKS, Targets
from grader.doctor.command import run_doctor
from grader.doctor.examine import Finding, Verdict, examine, processes_named
from grader.doctor.promises import HIDDEN, LANDLOCK, PROMISES, SIBLINGS
from grader.grading.level import require_to_hold
from grader.sandbox.levels import Level, probe_level
from helpers.checks.expect import CheckError

ROOT = Path(__file__).resolve().parent.parent

HARMLESS = ("read_files", "read_environment", "read_arguments", "use_network")


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


@pytest.mark.parametrize("verdict", Verdict)
def test_the_exit_code_says_whether_the_walls_held(
    verdict: Verdict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """0 when all attacks were stopped, 1 otherwise; a line for each."""
    found = [Finding("use the network", verdict, "because")]
    monkeypatch.setattr(doctor, "examine", lambda level: iter(found))
    code = run_doctor(argparse.Namespace(level=Level.NONE.value))
    assert code == (EXIT_OK if verdict is Verdict.STOPPED else EXIT_PARTLY_FAILED)
    printed = capsys.readouterr().out
    assert ("GOT THROUGH" in printed) is (verdict is Verdict.GOT_THROUGH)
    assert ("less busy" in printed) is (verdict is Verdict.UNKNOWN)
    assert "use the network" in printed


class Ending:
    """A session whose tests all end in one way."""

    name = "no process has such a word among its arguments"

    def __init__(self, category: str = "", said: str = ""):
        self.category, self.said, self.tries = category, said, 0

    def student(self):
        self.tries += 1
        return types.SimpleNamespace(common=self)

    def end_test(self):
        pass

    def __getattr__(self, name: str):
        def call(*arguments):
            if self.category:
                raise CheckError(self.category, name, "no answer within 40 s")
            return self.said

        return call


@pytest.mark.parametrize(
    ("name", "ending", "verdict", "tries"),
    [
        ("use_network", Ending("timeout"), Verdict.UNKNOWN, examining.TRIES),
        ("use_network", Ending("crashed"), Verdict.UNKNOWN, examining.TRIES),
        ("use_network", Ending("not allowed"), Verdict.STOPPED, 1),
        ("use_network", Ending(said="reached it"), Verdict.GOT_THROUGH, 1),
        ("run_program", Ending("crashed"), Verdict.GOT_THROUGH, 1),
        ("compute_for_ever", Ending("timeout"), Verdict.STOPPED, 1),
        ("leave_daemon", Ending(), Verdict.STOPPED, 1),
    ],
)
def test_what_a_busy_machine_ends_is_no_verdict(name, ending, verdict, tries):
    """Neither "stopped" nor "GOT THROUGH": it is tried again, and then said."""
    attack = next(attack for attack in ATTACKS if attack.name == name)
    victim = types.SimpleNamespace(pid=1, poll=lambda: None)
    targets = Targets([], [], "secret", 1, victim)
    finding = examining._try_again(ending, attack, targets)
    assert finding.verdict is verdict
    assert ending.tries == tries


def test_computing_for_ever_is_counted_in_seconds_of_the_processor(monkeypatch):
    """Of a minute on the clock it may have had a second."""
    began, clock = time.process_time(), itertools.count(0, 1000)
    monkeypatch.setattr(probes.time, "monotonic", lambda: next(clock))
    assert probes.compute_for_ever(began + 0.1)
    assert time.process_time() - began >= 0.1


@pytest.mark.parametrize("killed", [True, False])
def test_a_killed_process_that_had_no_turn_yet_is_not_left_behind(killed, monkeypatch):
    """One that sleeps on is; to tell them apart the kernel is asked."""
    monkeypatch.setattr(examining, "PATIENCE_S", 0.2)
    monkeypatch.setattr(examining, "_is_killed", lambda pid: killed)
    with subprocess.Popen(["sleep", "63.25"]) as sleeper:
        while not processes_named("63.25"):  # it takes a moment to have arguments
            time.sleep(0.01)
        left = examining._left_behind("63.25", 0)
        sleeper.kill()
    assert left == (1, Verdict.UNKNOWN if killed else Verdict.GOT_THROUGH)


ROW = re.compile(r"^\|([^|]+)\|([^|]+)\|([^|]+)\|([^|]+)\|([^|]+)\|$", re.MULTILINE)
COLUMNS = (
    (Level.BUBBLEWRAP, ()),
    (Level.OWN_USER, ()),
    (Level.OWN_USER, (LANDLOCK,)),
    (Level.NONE, ()),
)
# Where there is no Landlock, the run first sees that these are root's alone.
SEEN_TO = {HIDDEN.words: "kept: root's alone", SIBLINGS.words: "there are none"}


def test_the_page_says_what_each_level_keeps():
    """Its table is that of the attacks, cell by cell; each row has an attack."""
    text = (ROOT / "docs" / "sandbox.md").read_text()
    table = text[text.index("| a submission cannot |") :].split("\n\n")[0]
    rows = [[cell.strip() for cell in found] for found in ROW.findall(table)][2:]
    assert [row[0] for row in rows] == [promise.words for promise in PROMISES]
    for promise, (_, *cells) in zip(PROMISES, rows, strict=True):
        assert any(attack.against is promise for attack in ATTACKS)
        for (level, missing), cell in zip(COLUMNS, cells, strict=True):
            if missing and promise.words in SEEN_TO:
                assert cell == SEEN_TO[promise.words]
            else:
                assert cell.startswith("kept") is promise.holds(level, missing), cell
                assert cell.startswith(("kept", "**no**"))


def test_what_no_level_keeps_gets_through_there():
    """A "no" of the column without walls is true, where that can be tried."""
    attacks = [attack for attack in ATTACKS if attack.name in HARMLESS]
    for finding in examine(Level.NONE, attacks):
        attack = next((a for a in attacks if a.words == finding.attack), None)
        kept = attack is None or attack.against.holds(Level.NONE)
        assert finding.is_stopped is kept, finding


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Verdict.STOPPED, "1 attacks stopped"),
        (Verdict.GOT_THROUGH, "'use the network' got through"),
        (Verdict.UNKNOWN, "when the machine is less busy"),
    ],
)
def test_grade_tries_the_same_attacks_before_it_begins(verdict, says, monkeypatch):
    """Those that end by themselves; what gets through is a sentence, and no grade."""
    asked = []

    def found(level, attacks, known):
        asked.extend(attacks)
        return iter([Finding("use the network", verdict, ",".join(map(str, asked)))])

    monkeypatch.setattr(examining, "examine", found)
    if verdict is Verdict.STOPPED:
        assert says in require_to_hold(Level.BUBBLEWRAP)
    else:
        with pytest.raises(CourseError, match=says) as caught:
            require_to_hold(Level.BUBBLEWRAP)
        assert "read_files" in str(caught.value)
        assert "take_memory" not in str(caught.value)  # takes a while
