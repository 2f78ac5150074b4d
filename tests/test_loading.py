"""What a submission's files take to load costs a test none of its own time."""

import pytest

from grader.border.limits import Limits
from grader.sandbox.levels import Level, probe_level
from grader.session.session import Session
from helpers.checks.expect import CheckError

LEVEL = probe_level().level
LIMITS = Limits(cpu_seconds=2, call_seconds=60)
SLOW_FILE = """
import time
def compute(seconds):
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    return seconds
compute(1.5)
"""


@pytest.mark.skipif(LEVEL is Level.NONE, reason="no sandbox on this machine")
def test_loading_is_given_on_top_of_a_tests_time(tmp_path):
    """A test has 2 s: 1.5 s to load and 1 s of its own are fine, 6 s of its own not."""
    (tmp_path / "common.py").write_text(SLOW_FILE)
    with Session(tmp_path, LEVEL, LIMITS) as session:
        assert 1.4 < session.load_seconds < 2
        assert session.student().common.compute(1.0) == 1.0
        session.end_test()
        with pytest.raises(CheckError) as caught:
            session.student().common.compute(6.0)
        assert caught.value.category == "timeout"


@pytest.mark.parametrize("kind", ["computes", "waits"])
@pytest.mark.skipif(LEVEL is Level.NONE, reason="no sandbox on this machine")
def test_a_file_that_never_ends_is_waited_for_once(tmp_path, kind):
    """It is named; each test that needs it says so at once, the other files go on."""
    line = "pass" if kind == "computes" else "time.sleep(1)"
    endless = f"import time\nwhile True:\n    {line}\n"
    (tmp_path / "fcos_losses.py").write_text(endless)
    (tmp_path / "one_stage_detector.py").write_text("from fcos_losses import *\n")
    (tmp_path / "common.py").write_text("ANSWER = 42\n")
    call_seconds = 60 if kind == "computes" else 6
    with Session(tmp_path, LEVEL, Limits(cpu_seconds=2, call_seconds=call_seconds)) as (
        session
    ):
        for _ in range(3):
            with pytest.raises(CheckError) as caught:
                session.student().one_stage_detector.fcos_box_loss()
            assert caught.value.category == "timeout"
            assert caught.value.message == (
                "fcos_losses.py takes too long while it is loaded"
            )
            session.end_test()
        assert session.student().common.ANSWER == 42
        session.end_test()
        assert session.cpu_seconds - session.start_cpu_seconds < LIMITS.cpu_seconds
