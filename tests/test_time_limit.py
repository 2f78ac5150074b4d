"""A loop that never ends is stopped, named, and everything else goes on."""

import signal
import time
from pathlib import Path

import pytest

from core import time_limit as module
from core.time_limit import TimeLimitError, time_limit
from grader.session import local_session
from helpers.checks import fresh, runner
from helpers.checks.expect import CheckError
from helpers.checks.report import report_text
from helpers.checks.results import PASS, WRONG
from tests.student_course import edit, make_course


@pytest.mark.parametrize("way", ["alarm", "interrupt"])
def test_loop_is_stopped_and_code_that_ends_is_not(way, monkeypatch):
    """Both ways, as on Linux and as on Windows."""
    if way == "interrupt":
        monkeypatch.delattr(signal, "SIGALRM")
    with time_limit(30):
        pass
    with pytest.raises(TimeLimitError, match="no end after 0 s"), time_limit(0.05):
        while True:
            try:
                time.sleep(0.001)
            except Exception:  # noqa: BLE001 - as a student's loop may have it
                continue
    assert time.sleep(0.1) is None  # nothing comes later


def test_limit_around_a_limit_goes_on(monkeypatch):
    """The handler of before is there again."""
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(30):
        pass
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert module.AGAIN_S > 0


FIRST_LINE = "    area1 = "
ENDLESS = """    count = 0
    while count < 5:
        boxes1 = boxes1 + 0
"""


def test_check_names_the_line_of_a_loop_and_goes_on(tmp_path, monkeypatch):
    """The exercise is wrong, with its line; the next one is checked."""
    monkeypatch.setattr(runner, "CHECK_LIMIT_S", 0.3)
    make_course(tmp_path, opened=())
    edit(tmp_path, "common.py", FIRST_LINE, ENDLESS + FIRST_LINE)
    start = time.perf_counter()
    with runner.CheckRun(root=tmp_path) as run:
        report = run.report("1.1")
        other = run.report("4.2")
    assert time.perf_counter() - start < 30  # and not 0.3 s for each of five checks
    assert report.status == WRONG and len(report.results) == 1
    text = report_text(report)
    assert "stopped after 0 s, as in a loop without an end" in text
    assert "it stood at common.py, line " in text
    assert "boxes1 = boxes1 + 0" in text or "while count < 5:" in text
    assert other.status == PASS


def test_file_that_never_ends_to_load_is_named(tmp_path, monkeypatch):
    """The other files are still judged."""
    monkeypatch.setattr(fresh, "LOAD_LIMIT_S", 0.3)
    make_course(tmp_path, opened=())
    path = tmp_path / "assignment" / "fcos_losses.py"
    path.write_text(path.read_text() + "\nwhile True:\n    pass\n")
    with runner.CheckRun(root=tmp_path) as run:
        losses, distances = run.report("6.1"), run.report("4.2")
    assert "fcos_losses.py does not end while it is loaded" in report_text(losses)
    assert distances.status == PASS


def test_session_of_a_maintainer_stops_a_loop(tmp_path: Path, monkeypatch):
    """`grader tests --solution` was silent for 500 s."""
    monkeypatch.setattr(local_session, "CALL_LIMIT_S", 0.3)
    (tmp_path / "common.py").write_text(
        "def iou(a, b):\n    while True:\n        pass\n"
    )
    with local_session.LocalSession(tmp_path) as session:
        student = session.student()
        with pytest.raises(CheckError, match="TimeLimitError at line") as error:
            student.common.iou(1, 2)
    assert "no end after 0 s" in str(vars(error.value))
