"""Bring a folder to another place that has versions of its own, and lose none of them.

Every version has a name at every moment, so a stop loses nothing, and the next call
does what is left. Needs Python alone, as the first cell of the notebooks uses it.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from helpers.drive.copies import (
    CACHES,
    COPYING,
    OF_A_RUN,
    begins,
    free_name,
    is_same,
    keep_version,
    last_write,
    place,
    versions,
)

COPIES = "kept"  # runs/kept holds single files, not a run


class Merge:
    """Bring `here` to `there`; of two versions the sensible one is used, both stay.

    A version that somebody wrote is used before one that was published with the
    course, of two the newer; the other gets a name with its date, beside it.

    Args:
        here: the folder of the course.
        there: the folder that is used from now on; it exists.
        released: where published versions of the files are kept.
        by_run: a folder with files in it goes as a whole, so that no checkpoint lies
            beside the log of another run.
        is_released: of a file that is here; None: nobody knows, so what comes first
            is taken for it.
        age: time of a file that is here, in seconds.
    """

    def __init__(
        self,
        here: Path,
        there: Path,
        released: Path,
        *,
        by_run: bool,
        is_released: Callable[[Path], bool] | None,
        age: Callable[[Path], float],
    ):
        self.here, self.there, self.released = here, there, released
        self.by_run, self._is_released, self._age = by_run, is_released, age
        self.lines: list[str] = []  # what to say, one sentence for each version
        self.changed: list[Path] = []  # files whose version here is not the used one

    def run(self) -> None:
        """Do all of it; called again, it does what is left.

        Raises:
            OSError: something cannot be read or written; every version still is there.
        """
        for folder in (self.there, self.released):
            if folder.is_dir():
                self._tidy(folder)
        for path in sorted(self.here.rglob("*")):
            is_file_or_folder = path.is_file() or (
                path.is_dir() and not path.is_symlink()
            )
            if not is_file_or_folder:
                name = path.relative_to(self.here)
                self._say(name, "is no file or folder (a link?), so it stays behind")
        self._walk(Path())

    def _say(self, name: Path, text: str) -> None:
        self.lines.append(f"{self.here.name}/{name.as_posix()}: {text}")

    def _tidy(self, folder: Path) -> None:
        """Copies that a stop left incomplete: those of what is still there can go."""
        for left in sorted(folder.rglob(f".*{COPYING}")):
            name = left.relative_to(folder).parent
            sides = [side / name for side in (self.here, self.there)]
            rivals = [
                rival
                for side in sides
                if side.is_dir()
                for rival in side.iterdir()
                if rival != left
            ]
            if any(begins(left, rival) for rival in rivals):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
                continue
            old = left.name[1:].removesuffix(COPYING)
            kept = free_name(left.with_name(f"{old}_interrupted"), last_write(left))
            left.rename(kept)
            self._say(name / old, f"an interrupted copy is kept as {kept.name}")

    def _walk(self, folder: Path) -> None:
        for path in sorted((self.here / folder).iterdir()):
            name = folder / path.name
            if path.name in CACHES or path.name.endswith(COPYING):
                continue
            if path.is_dir() and not path.is_symlink():
                there = self.there / name
                if self._is_run(name) or (there.exists() and not there.is_dir()):
                    self._bring(name)
                else:
                    there.mkdir(exist_ok=True)
                    self._walk(name)
            elif path.is_file():
                self._bring(name)

    def _is_run(self, name: Path) -> bool:
        if not self.by_run or name.parts[0] == COPIES:
            return False
        folders = [
            folder
            for folder in (self.here / name, self.there / name)
            if folder.is_dir()
        ]
        return any(path.is_file() for folder in folders for path in folder.iterdir())

    def _bring(self, name: Path) -> None:
        """One file, or the folder of one run."""
        mine, theirs = self.here / name, self.there / name
        age = self._age(mine) if mine.is_file() else last_write(mine)
        if not os.path.lexists(theirs):
            if self._is_released is None or self._was_released(name, mine):
                self._keep_released(name, age)
            place(mine, theirs, age)
            return
        is_mine_given = self._was_released(name, mine)
        if is_same(mine, theirs):
            if is_mine_given:
                self._keep_released(name, age)
            return
        is_theirs_given = self._was_released(name, theirs)
        if is_mine_given and not is_theirs_given:
            is_newer = False
        elif is_theirs_given and not is_mine_given:
            is_newer = True
        elif self.by_run and name.as_posix() in OF_A_RUN:
            is_newer = self._is_newer_run()
        else:
            older = last_write(theirs)
            is_newer = age > older or (is_mine_given and age == older)
        if is_newer:
            self._use_mine(name, age, is_mine_given, is_theirs_given)
        else:
            self._use_theirs(name, age, is_mine_given)

    def _is_newer_run(self) -> bool:
        """Of a run that lies in the folder itself: the same answer for all its files.

        A stop may have left some of them there already, with the times that are here.
        """
        mine, theirs = (
            max(
                path.stat().st_mtime for path in side.iterdir() if path.name in OF_A_RUN
            )
            for side in (self.here, self.there)
        )
        return mine >= theirs

    def _use_mine(
        self, name: Path, age: float, is_mine_given: bool, is_theirs_given: bool
    ) -> None:
        mine, theirs = self.here / name, self.there / name
        if is_theirs_given:
            text = "this machine's is used; the course's stays in released/"
            if is_mine_given:
                self._keep_released(name, age)
                text = "you had not edited it, so the course's new version is used"
            place(mine, theirs, age)
            self._say(name, text)
            return
        if mine.is_file() and theirs.is_file():
            kept, _ = keep_version(theirs, theirs, last_write(theirs))
            place(mine, theirs, age)
        else:
            kept = free_name(theirs, last_write(theirs))
            place(mine, theirs, age, aside=kept)
        self._say(name, f"this machine's is newer and used; Drive's is now {kept.name}")

    def _use_theirs(self, name: Path, age: float, is_mine_given: bool) -> None:
        mine, theirs = self.here / name, self.there / name
        self.changed.append(name)
        if not is_mine_given:
            kept, _ = keep_version(mine, theirs, age)
            text = f"Drive's is newer and used; this machine's is now {kept.name}"
            self._say(name, text)
        elif self._keep_released(name, age):
            self._say(name, "Drive's is used; the course's is in released/")

    def _was_released(self, name: Path, path: Path) -> bool:
        if not path.is_file():
            return False
        if path == self.here / name and self._is_released and self._is_released(path):
            return True
        return any(is_same(path, version) for version in versions(self.released / name))

    def _keep_released(self, name: Path, age: float) -> bool:
        return keep_version(self.here / name, self.released / name, age)[1]
