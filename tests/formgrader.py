"""nbgrader's formgrader in a server of its own, as an instructor has it open."""

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 120  # a loaded machine starts it slowly


@contextlib.contextmanager
def served(course: Path, own: Path) -> Iterator[str]:
    """Serve a course folder.

    Args:
        course: the folder, which is the root of the server, too.
        own: an empty folder for the server's files.

    Yields:
        The address of formgrader, without a slash at its end.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    places = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": course,
        "ServerApp.allow_root": True,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": "",
    }
    with (own / "server.log").open("w") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyter_server",
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            cwd=course,
            env=os.environ | {name: str(own) for name in places},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}/formgrader"
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(address):
            assert server.poll() is None, (own / "server.log").read_text()
            assert time.monotonic() < until, "formgrader does not answer"
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _answers(address: str) -> bool:
    try:
        return bool(read_json(f"{address}/api/status")["status"])
    except (urllib.error.URLError, ConnectionError):
        return False


def read_json(address: str) -> Any:
    """What formgrader's interface answers."""
    with urllib.request.urlopen(address, timeout=START_SECONDS) as answer:
        return json.load(answer)


def rename_student(course: Path, old: str, new: str) -> None:
    """Give a student a name that an older gradebook may have, past all checks."""
    with contextlib.closing(sqlite3.connect(course / "gradebook.db")) as database:
        for table, column in (
            ("student", "id"),
            ("submitted_assignment", "student_id"),
        ):
            database.execute(
                f"UPDATE {table} SET {column} = ? WHERE {column} = ?",
                (new, old),
            )
        database.commit()
    for folder in ("autograded", "submitted"):
        (course / folder / old).rename(course / folder / new)
