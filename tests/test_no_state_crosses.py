"""Nothing that one test does is seen in the next, and nobody else gets a signal."""

import shutil
from collections.abc import Iterator

import pytest

from grader.sandbox.levels import Level, probe_level
from grader.sandbox.slots import may_become_others
from grader.session.session import Session
from grader.worker.landlock import landlock_version
from grader.worker.lockdown import has_seccomp
from tests import crossing_submission

LEVELS = [probe_level().level]
if may_become_others() and landlock_version() and Level.OWN_USER not in LEVELS:
    LEVELS.append(Level.OWN_USER)
pytestmark = pytest.mark.skipif(
    not has_seccomp() or Level.NONE in LEVELS, reason="no walls on this machine"
)


@pytest.fixture(scope="module", params=LEVELS, ids=lambda level: level.value)
def session(tmp_path_factory, request) -> Iterator[Session]:
    """The hostile file in a sandbox of each level with walls."""
    folder = tmp_path_factory.mktemp("crossing")
    shutil.copyfile(crossing_submission.__file__, folder / "common.py")
    with Session(folder, request.param) as running:
        yield running


def test_what_one_test_sets_the_next_does_not_read(session: Session):
    """Priority, processors, times and marks of files, and what else the kernel keeps.

    Each way is refused before the kernel looks whether it would have worked.
    """
    before = session.student().common.seen()
    done = session.student().common.try_all()
    after = session.student().common.seen()
    session.end_test()
    assert done == {}
    assert before == after


def test_a_test_begins_with_its_own_files_only(session: Session):
    """Standard input and output, and the line to the grader: none is shared."""
    opened = session.student().common.seen()["open"]
    session.end_test()
    assert opened[:3] == [0, 1, 2] and len(opened) == 4, opened
