"""Files that are there as a whole or not at all, and sums that tell what they are."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file that is complete under its name, even if the power fails.

    Args:
        path: the file; an earlier one is replaced.
        content: text becomes UTF-8; what cannot, such as half a character, a "?".

    Raises:
        OSError: it cannot be written; an earlier file is still there.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "replace")
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """The same content gives the same bytes."""
    write_atomically(path, json.dumps(content, indent=1, sort_keys=False) + "\n")


def read_json(path: Path) -> Any:
    """What a file holds; None if it is missing or no JSON."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def digest(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names below `root`, and contents, of files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return total.hexdigest()
