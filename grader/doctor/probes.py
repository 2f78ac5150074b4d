"""What a hostile submission might try: this file is graded by `doctor` as common.py.

Each probe returns "" when it was stopped, and otherwise says what it could do. Each is
bounded by itself, so that a hole in the sandbox cannot take the machine down.
"""

import ctypes
import os
import signal
import socket
import stat
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

MOST_PROCESSES = 200
MOST_THREADS = 400
MOST_BYTES = 1024 * 2**20
PIECE = 8 * 2**20
DAEMON_SECONDS = 120
SLEEP_SECONDS = 4
PTRACE_ATTACH = 16
MARK = "fcos-grader-probe"
WRITABLE = ("/tmp", "/dev/shm", "/var/tmp", "/run/lock", ".")


def read_files(paths: list[str]) -> str:
    """Read files of the grader: hidden tests, other submissions, what is secret."""
    for place in paths:
        with suppress(OSError):
            path = Path(place)
            found = [path] if path.is_file() else [inner for inner in path.rglob("*")]
            for file in found:
                if file.is_file():
                    file.read_bytes()
                    return f"read {file.name}"
            if found:
                return f"listed {path.name}"
    return ""


def read_environment(secret: str) -> str:
    """Look for a word in the environment of all processes."""
    if secret in "".join(os.environ.values()):
        return "the grader's environment is its own"
    return _look_for(secret, "environ")


def read_arguments(secret: str) -> str:
    """Look for a word among the arguments of all processes."""
    return _look_for(secret, "cmdline")


def _look_for(secret: str, name: str) -> str:
    for folder in _processes():
        with suppress(OSError):
            if secret.encode() in (folder / name).read_bytes():
                return f"read the {name} of the grader"
    return ""


def read_memory(others: list[int]) -> str:
    """Read the memory of the grader and of the process that forked this one."""
    libc = ctypes.CDLL(None, use_errno=True)
    for pid in [*others, os.getppid()]:
        with suppress(OSError):
            maps = Path(f"/proc/{pid}/maps").read_text()
            start = int(maps.split("-", 1)[0], 16)
            with Path(f"/proc/{pid}/mem").open("rb") as memory:
                memory.seek(start)
                memory.read(16)
            return f"read the memory of process {pid}"
        if libc.ptrace(PTRACE_ATTACH, pid, 0, 0) == 0:
            return f"took over process {pid}"
    return ""


def send_signals(victims: list[int]) -> str:
    """End a process of the grader."""
    for pid in [*victims, os.getppid()]:
        with suppress(OSError):
            os.kill(pid, 0)  # asks only whether a signal may be sent
            if pid in victims:
                os.kill(pid, signal.SIGTERM)
            return f"may send signals to process {pid}"
    return ""


def use_network(port: int) -> str:
    """Reach a server on this machine, or open any socket."""
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        with suppress(OSError), socket.socket(family) as mine:
            if family == socket.AF_INET:
                mine.settimeout(1)
                mine.connect(("127.0.0.1", port))
                return "reached the network"
            return "opened a socket"
    return ""


def start_processes() -> str:
    """Fork again and again, up to a few hundred."""
    count = 0
    for _ in range(MOST_PROCESSES):
        try:
            child = os.fork()
        except OSError:
            break
        if child == 0:
            time.sleep(SLEEP_SECONDS)
            os._exit(0)
        count += 1
    return f"started {count} processes" if count else ""


def start_threads(allowed: int) -> str:
    """Start threads, up to a few hundred."""
    threads = []
    try:
        for _ in range(MOST_THREADS):
            thread = threading.Thread(target=time.sleep, args=(1,), daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:
        pass
    return f"started {len(threads)} threads" if len(threads) > allowed else ""


def run_program() -> str:
    """Replace this process by another program."""
    with suppress(OSError):
        os.execv("/bin/true", ["true"])
    return ""


def leave_daemon() -> str:
    """Leave a process behind that outlives its parent; the grader looks for it."""
    with suppress(OSError):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(DAEMON_SECONDS)
            os._exit(0)
    return ""


def fill_disk(allowed: int) -> str:
    """Write files wherever that is possible, up to a gigabyte in all."""
    written, made = 0, []
    for folder in WRITABLE:
        with suppress(OSError):
            for number in range(MOST_BYTES // PIECE):
                if written >= MOST_BYTES:
                    break
                path = Path(folder) / f"{MARK}-{number}"
                made.append(path)
                path.write_bytes(bytes(PIECE))
                written += PIECE
    for path in made:
        with suppress(OSError):
            path.unlink()
    return f"wrote {written >> 20} MB" if written > allowed else ""


def change_code(paths: list[str]) -> str:
    """Change the code that later tests run."""
    for target in paths:
        with suppress(OSError), Path(target).open("ab"):
            return f"may write to {target}"
        with suppress(OSError):
            (Path(target).parent / MARK).touch()
            (Path(target).parent / MARK).unlink()
            return f"may make files beside {target}"
    return ""


def take_memory(allowed: int) -> str:
    """Take more and more memory, up to a gigabyte."""
    pieces: list[bytes] = []
    try:
        while len(pieces) * PIECE < MOST_BYTES:
            pieces.append(b"\1" * PIECE)
    except MemoryError:
        pass
    taken = len(pieces) * PIECE
    pieces.clear()
    return f"took {taken >> 20} MB" if taken > allowed else ""


def keep_state() -> str:
    """Leave a mark in this test that the next one finds."""
    for folder in WRITABLE:
        path = Path(folder) / MARK
        if path.exists():
            path.unlink()
            return f"a file in {folder} outlived its test"
        with suppress(OSError):
            path.touch()
    if hasattr(os, MARK):
        return "Python's memory outlived its test"
    setattr(os, MARK, True)
    return ""


def compute_for_ever(seconds: float) -> str:
    """Compute without end, or so: by the processor's time, since others compute too."""
    while time.process_time() < seconds:
        pass
    return f"computed for {seconds} s"


def print_for_ever(most_bytes: int) -> str:
    """Print without end, or so."""
    line = "x" * 1023
    for _ in range(most_bytes // 1024):
        print(line)
    return f"printed {most_bytes >> 20} MB"


def forge_answer() -> str:
    """Write answers that nobody asked for to all that is open."""
    for number in range(3, 64):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, struct.pack(">I", 6) + b"\0\0\0\1\xc0")
    return "the grader took a forged answer"


def exit_now() -> str:
    """End Python as if all were well."""
    os._exit(0)


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]
