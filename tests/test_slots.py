"""Users of sandboxes: one for each, on the whole machine."""

import pytest

from grader.sandbox.slots import Slot, may_become_others


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
