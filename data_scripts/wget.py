"""GNU wget as a child process that cannot hang: time-outs, retries, a stall watch."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from core.command import CourseError

POLL_S = 0.1
REDRAW_S = 0.5
VERSION_TIMEOUT_S = 20
BUSY_HTTP_ERRORS = "429,500,502,503,504"  # worth another try, unlike 404


@dataclass(frozen=True)
class Limits:
    """When to give up.

    Attributes:
        timeout_s: wget's own limit for a name look-up, a connection or a silence.
        tries: Connections that one wget run makes before it gives up.
        pause_s: Longest pause between two of them.
        stall_s: A run that gains fewer than stall_bytes in this time is ended. It
            catches what a time-out cannot: a server that sends a byte now and then.
        stall_bytes: See stall_s.
    """

    timeout_s: float = 30.0
    tries: int = 3
    pause_s: float = 5.0
    stall_s: float = 120.0
    stall_bytes: int = 1_000_000


class StallWatch:
    """Tells whether a file still grows as fast as the limits ask for."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self.size, self.since = file_size(path), time.monotonic()

    def stalled(self) -> bool:
        """Return True if the file gained too little in the last stall_s seconds."""
        size, now = file_size(self.path), time.monotonic()
        if size - self.size >= self.limits.stall_bytes:
            self.size, self.since = size, now
        return now - self.since > self.limits.stall_s


def file_size(path: Path) -> int:
    """Return a file's size in bytes, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def find_wget() -> str:
    """Return the path of GNU wget.

    Raises:
        CourseError: There is none; says how to get it.
    """
    found = shutil.which("wget")
    if not found or "GNU Wget" not in _version(found):
        raise CourseError(
            "GNU wget is not installed; get it with 'conda install -c conda-forge "
            "wget', 'apt install wget' or 'brew install wget' and run this again"
        )
    return found


def _version(program: str) -> str:
    """Return what --version prints; small systems have a wget that knows no --tries."""
    try:
        result = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout


def _command(wget: str, url: str, path: Path, limits: Limits) -> list[str]:
    return [
        wget,
        "--continue",
        f"--tries={limits.tries}",
        f"--timeout={limits.timeout_s:g}",
        f"--waitretry={limits.pause_s:g}",
        "--retry-connrefused",
        f"--retry-on-http-error={BUSY_HTTP_ERRORS}",
        "--max-redirect=5",
        "--no-verbose",
        f"--output-document={path}",
        "--",
        url,
    ]


def run_wget(
    url: str, path: Path, size: int, limits: Limits, lock: int | None = None
) -> str:
    """Continue the download of `url` into `path`; always comes back.

    Args:
        url: http or https.
        path: The file to continue; what it holds already is asked for no more.
        size: Bytes of the whole file; wget is ended when it writes more.
        limits: When to give up.
        lock: Open file that carries a lock. wget inherits it, so that a wget whose
            parent was killed still keeps others from writing the same file.

    Returns:
        "" if wget says that the file is complete, else why it ended.
    """
    environment = {**os.environ, "LC_ALL": "C"}  # its reasons in English
    command = _command(find_wget(), url, path, limits)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            pass_fds=() if lock is None else (lock,),
        )
        try:
            reason = _watch(process, path, size, limits)
        finally:
            process.kill()
            process.wait()
        if reason or process.returncode == 0:
            return reason
        log.seek(0)
        lines = log.read().decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else f"wget ended with code {process.returncode}"


def _watch(
    process: subprocess.Popen[bytes], path: Path, size: int, limits: Limits
) -> str:
    """Draw the progress until wget ends; return why it has to be ended, or ""."""
    stall = StallWatch(path, limits)
    with tqdm(
        total=size,
        initial=file_size(path),
        unit="B",
        unit_scale=True,
        desc=path.name,
        file=sys.stderr,
        mininterval=REDRAW_S,
    ) as progress:
        while True:
            try:
                process.wait(POLL_S)
                ended = True
            except subprocess.TimeoutExpired:
                ended = False
            done = file_size(path)
            if done != progress.n:
                progress.update(done - progress.n)
            if done > size:
                return f"sent more than the {size} bytes of the file"
            if ended:
                return ""
            if stall.stalled():
                return f"less than {limits.stall_bytes} bytes in {limits.stall_s:g} s"
