"""Where a student's code runs: the worker, started behind the walls of a level."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from core.command import CourseError
from grader.border.limits import Limits
from grader.sandbox.bubblewrap import NO_TEXT, NOTHING, bubblewrap_arguments
from grader.sandbox.closing import Closed, libraries, operators
from grader.sandbox.folder import LOCK, new_folder, remove_folder
from grader.sandbox.gpu import Gpu, find_gpu
from grader.sandbox.inside import (
    CLOSED,
    ROOT,
    absent_modules,
    copy_code,
    hidden_paths,
    module_names,
    not_listed,
    refused,
    write_closed,
)
from grader.sandbox.level import Level
from grader.sandbox.slots import Slot, may_become_others
from grader.worker.lockdown import Lockdown

__all__ = ["ROOT", "Level", "Sandbox", "clean_environment", "copy_submission"]
WORKER = "grader/worker/zygote.py"
NOTHING_CLOSED = Closed({}, frozenset())
STOP_SECONDS = 10
LONGEST_WORDS = 300


class Sandbox:
    """A running zygote behind the walls of one level.

    Args:
        submission: folder with the student's *.py files; they are copied.
        level: of the walls.
        limits: of each test.
        device: where checks make their tensors: "cpu", "cuda", or "pretend" for a GPU
            that is none.
        visible: names of the modules that tests ask, see core/course.py.
        closed: what it does not have of torchvision.
        hash_seed: of Python's strings, so that two runs iterate sets alike.
        worker: the program that is started, below the code.

    Attributes:
        control: the socket to the zygote.
        process: the outermost process.

    Raises:
        CourseError: it cannot be started.
    """

    def __init__(
        self,
        submission: Path,
        level: Level,
        limits: Limits,
        *,
        device: str = "cpu",
        visible: Sequence[str] = (),
        closed: Closed = NOTHING_CLOSED,
        hash_seed: int = 0,
        worker: str = WORKER,
    ):
        self.level = level
        self.worker = worker
        self.gpu: Gpu | None = find_gpu() if device == "cuda" else None
        self.slot = Slot.take() if _changes_user(level) else None
        self.folder, self._lock = new_folder()
        self.control, inner = socket.socketpair()
        try:
            copy_code(self.folder / "code")
            write_closed(closed, self.folder / "code")
            (self.folder / NOTHING).mkdir()
            (self.folder / NO_TEXT).touch()
            hidden = [] if level is Level.NONE else hidden_paths(closed)
            copy_submission(submission, self.folder / "submission")
            self._open_folder()
            settings = {
                "name": self.folder.name,
                "control": inner.fileno(),
                "code": str(self._inside("code")),
                "submission": str(self._inside("submission")),
                "lockdown": asdict(self._lockdown(hidden)),
                "limits": asdict(limits),
                "device": device,
                "visible": list(visible),
                "absent": absent_modules(),
                "refused": module_names(refused()),
                "others": module_names(not_listed()),
                "closed": str(self._inside("code") / CLOSED),
                "operators": list(operators()) if closed.operators else [],
                "libraries": [path.name for path in libraries()],
            }
            self.process = self._start(settings, limits, hash_seed, hidden)
        except OSError as error:
            self._give_up()
            why = error.strerror or type(error).__name__
            raise CourseError(f"the sandbox does not start ({why})") from error
        except BaseException:
            self._give_up()
            raise
        finally:
            inner.close()

    def close(self) -> None:
        """End all processes and remove all files of this sandbox."""
        self.control.close()
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        if self.process.stderr is not None:
            self.process.stderr.close()
        self._clean()

    def last_words(self) -> str:
        """The last line that a worker which did not start has said."""
        self.process.kill()
        said = self.process.stderr.read() if self.process.stderr is not None else b""
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:LONGEST_WORDS] if lines else "it said nothing"

    def _give_up(self) -> None:
        self.control.close()
        self._clean()

    def _clean(self) -> None:
        if self.slot is not None:
            self.slot.free()
        remove_folder(self.folder, self._lock)

    def _open_folder(self) -> None:
        """Let the slot's user in, and nobody else: not the users of other slots."""
        if self.slot is not None:
            os.chown(self.folder, 0, self.slot.uid)
            self.folder.chmod(0o750)
            for path in self.folder.rglob("*"):  # whatever the umask of the caller is
                if path.name != LOCK:
                    path.chmod(0o755 if path.is_dir() else 0o644)

    def _inside(self, name: str) -> Path:
        has_own_root = self.level is Level.BUBBLEWRAP
        return Path("/") / name if has_own_root else self.folder / name

    def _home(self) -> Path:
        """Made by the worker: below /tmp, where that is its own."""
        has_own_root = self.level is Level.BUBBLEWRAP
        return (Path("/tmp") if has_own_root else self.folder) / "home"

    def _lockdown(self, hidden: list[Path]) -> Lockdown:
        has_walls = self.level is not Level.NONE
        return Lockdown(
            uid=self.slot.uid if self.slot else None,
            hidden=tuple(map(str, hidden)),
            use_landlock=self.level is Level.OWN_USER,
            use_seccomp=has_walls,
            is_alone=has_walls,
            devices=tuple(self.gpu.nodes) if self.gpu else (),
            readable=self._readable(),
        )

    def _readable(self) -> tuple[str, ...]:
        gpu = self.gpu
        return (*gpu.readable, *gpu.library_folders) if gpu else ()

    def _start(
        self,
        settings: dict[str, object],
        limits: Limits,
        hash_seed: int,
        hidden: list[Path],
    ) -> subprocess.Popen[bytes]:
        worker = self._inside("code") / self.worker
        # As -I, but the environment, which we make, may fix the order of sets.
        python = [sys.executable, "-s", "-P", "-B", str(worker), json.dumps(settings)]
        files = [int(str(settings["control"]))]
        if self.level is Level.BUBBLEWRAP:
            arguments = bubblewrap_arguments(
                self.folder,
                limits.temporary_mb,
                as_root=self.slot is not None,
                hidden=hidden,
                gpu=self.gpu,
            )
            # Through a file: the arguments of process 1 can be read by all inside.
            reading, writing = os.pipe()
            os.write(
                writing, b"".join(argument.encode() + b"\0" for argument in arguments)
            )
            os.close(writing)
            python = ["bwrap", "--args", str(reading), *python]
            files.append(reading)
        environment = clean_environment(hash_seed, str(self._home()))
        if self.gpu is not None:
            environment |= self.gpu.environment()
        try:
            return subprocess.Popen(
                python,
                env=environment,
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise CourseError(f"the sandbox does not start ({error})") from error
        finally:
            for file in files[1:]:
                os.close(file)


def clean_environment(hash_seed: int = 0, home: str = "/tmp") -> dict[str, str]:
    """All that a student's code sees of the environment."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": home,
        "LOGNAME": "student",  # else Python looks for the name of its user, in vain
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": f"{home}/.config/matplotlib",
        "LANG": "C.UTF-8",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # fewer, larger pages to fork
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONUTF8": "1",
        "TORCHINDUCTOR_CACHE_DIR": "/tmp",  # else torch's compiler makes a folder
    }


def copy_submission(submission: Path, target: Path) -> None:
    """Copy the files *.py at the top of a folder; nothing else, and no links."""
    target.mkdir()
    for path in submission.glob("*.py"):
        if path.is_file() and not path.is_symlink():
            shutil.copyfile(path, target / path.name, follow_symlinks=False)


def _changes_user(level: Level) -> bool:
    if level is Level.OWN_USER and not may_become_others():
        raise CourseError("only root can start a user of its own; use another level")
    return level is not Level.NONE and may_become_others()
