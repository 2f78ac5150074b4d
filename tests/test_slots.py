"""Users of sandboxes: one for each, on the whole machine."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from grader.sandbox.slots import Slot, may_become_others, open_to_others

ROOT = Path(__file__).resolve().parent.parent


def test_two_graders_with_other_temporary_folders_take_two_users(monkeypatch, tmp_path):
    """TMPDIR differs from session to session; the users are those of the machine."""
    if not may_become_others():
        pytest.skip("only root can start a user of its own")
    first = Slot.take()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    second = Slot.take()
    try:
        assert first.uid != second.uid
    finally:
        first.free()
        second.free()


def test_root_of_a_container_with_one_number_may_not_become_others():
    """There it is called root, and no other user can be started."""
    unshare = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    code = "from grader.sandbox.slots import may_become_others as may; print(may())"
    run = subprocess.run(
        [*unshare, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert run.stdout == "False\n", run.stderr


def test_the_first_file_that_any_user_can_open_is_found():
    """What root alone may enter is closed with all that is in it."""
    if not may_become_others():
        pytest.skip("only root can try what others may")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "closed").mkdir(mode=0o700)
        (place / "closed" / "file").write_text("")
        (place / "open").write_text("")
        assert open_to_others([place]) is None  # such folders are made for one user
        place.chmod(0o711)
        assert open_to_others([place / "closed"]) is None
        assert open_to_others([place]) == place / "open"
