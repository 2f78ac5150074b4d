"""Users of their own for sandboxes: each sandbox that runs takes a free number."""

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from core.command import CourseError

# Between the numbers that distributions and systemd give to real and dynamic users.
FIRST_UID, NUM_SLOTS = 60_750, 100
# One place for the whole machine, whatever TMPDIR says: graders that do not see each
# other's locks would take the same user, and end each other's sandboxes.
LOCKS = Path("/tmp/fcos-grader-slots")
CAP_SETGID, CAP_SETUID = 6, 7
KILL_ROUNDS = 100
PAUSE_S = 0.02


def may_become_others() -> bool:
    """Whether this process may change its user: root that has kept the right to.

    In a container whose root has no other numbers to give, or not all of those that
    sandboxes take, it may not.
    """
    if os.geteuid() != 0:
        return False
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    effective = next(
        int(line.split()[1], 16)
        for line in status.splitlines()
        if line.startswith("CapEff:")
    )
    if not all(effective >> capability & 1 for capability in (CAP_SETGID, CAP_SETUID)):
        return False
    return _are_mapped() and _can_become(FIRST_UID + NUM_SLOTS - 1)


def _are_mapped() -> bool:
    """Whether this namespace of users has all numbers that sandboxes take."""
    needed = set(range(FIRST_UID, FIRST_UID + NUM_SLOTS + 1))  # see open_to_others
    for name in ("uid_map", "gid_map"):
        try:
            lines = (Path("/proc/self") / name).read_text().splitlines()
        except OSError:
            continue  # then one is tried
        there: set[int] = set()
        for first, _, count in (map(int, line.split()) for line in lines):
            there |= {number for number in needed if 0 <= number - first < count}
        if there != needed:
            return False
    return True


@cache
def _can_become(uid: int) -> bool:
    return _as_user(uid, lambda: b"yes") == b"yes"


def _as_user(uid: int, work: Callable[[], bytes]) -> bytes:
    """What work returns in a process of this user; nothing if there can be none."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writing, work())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def open_to_others(paths: Iterable[Path]) -> Path | None:
    """The first file or folder, of these and below them, that any user can open."""
    found = [entry for path in paths for entry in (path, *path.rglob("*"))]

    def first_open() -> bytes:
        for path in found:
            with suppress(OSError):
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                return os.fsencode(path)
        return b""

    # No sandbox has this number, so no folder of one is opened to it.
    said = _as_user(FIRST_UID + NUM_SLOTS, first_open)
    return Path(os.fsdecode(said)) if said else None


@dataclass
class Slot:
    """A user number that no other sandbox of this machine uses now.

    Attributes:
        uid: the number, of user and group.
    """

    uid: int
    _lock: int

    @classmethod
    def take(cls) -> Self:
        """A free one, swept clean.

        Raises:
            CourseError: all are taken.
        """
        folder = LOCKS
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise CourseError(f"{folder} belongs to somebody else; remove it")
        for uid in range(FIRST_UID, FIRST_UID + NUM_SLOTS):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            lock = os.open(folder / str(uid), flags, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            slot = cls(uid, lock)
            slot.kill_all()  # what a grader that was killed may have left
            return slot
        raise CourseError(f"{NUM_SLOTS} sandboxes run already; wait for some to end")

    def kill_all(self) -> None:
        """Kill every process of this user.

        Raises:
            CourseError: some survive.
        """
        for _ in range(KILL_ROUNDS):
            if not processes_of(self.uid):
                return
            # To all at once, from a process of that user: one by one, a process that
            # forks could be missed.
            subprocess.run(
                ["/bin/sh", "-c", "kill -9 -1"],
                user=self.uid,
                group=self.uid,
                extra_groups=[],
                check=False,
                capture_output=True,
            )
            time.sleep(PAUSE_S)
        raise CourseError(f"processes of user {self.uid} cannot be killed")

    def free(self) -> None:
        """Kill what is left, and give the number back."""
        try:
            self.kill_all()
        finally:
            os.close(self._lock)


def processes_of(uid: int) -> list[int]:
    """Numbers of the processes that run as this user; dead ones do not count."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        try:
            lines = (path / "status").read_text().splitlines()
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        if str(uid) in fields["Uid"].split() and fields["State"].strip()[0] not in "ZX":
            found.append(int(path.name))
    return found
