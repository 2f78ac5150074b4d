"""What a test gets back of torchvision, since its exercise does not close it.

The sandbox of a submission has what no exercise of the course closes. The rest comes
with each test that may have it, and only if a file of the submission speaks of
torchvision's operators or detectors at all.
"""

import marshal
import os
import re
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.sandbox import closing
from grader.worker.closed import LATER, NOW

# `torchvision.ops`, `from torchvision import ops`, `models.detection`.
SPEAKS_OF_THEM = re.compile(rb"\bops\b|\bdetection\b")
DETECTORS = re.compile(rb"\bdetection\b")


@dataclass(frozen=True)
class Opening:
    """What is handed to a test's process.

    Attributes:
        given: for grader.worker.closed.open_parts.
        library: the file with the operators goes along.
    """

    given: bytes
    library: Path | None


def speaks_of_parts(submission: Path) -> bool:
    """Whether a file may want something of torchvision.ops or its detectors."""
    return any(SPEAKS_OF_THEM.search(text) for text in _texts(submission))


def make_opening(
    submission: Path,
    in_sandbox: closing.Closed,
    in_test: closing.Closed,
    is_hidden: bool,
) -> Opening | None:
    """What the sandbox lacks and this test may have; None: nothing.

    Args:
        submission: its files.
        in_sandbox: what is closed where the test begins.
        in_test: what its exercise closes, a part of that.
        is_hidden: the library is not in the sandbox, so it has to go along.
    """
    modules: dict[str, tuple[list[str], bytes]] = {}
    for module, names in in_sandbox.names.items():
        opened = names - in_test.names.get(module, frozenset())
        if opened:
            source = closing.source(module)
            # In the order of the text: a class stands behind what it derives from.
            chosen = [name for name in source.definitions if name in opened]
            text = "\n".join(source.text_of(name) for name in chosen)
            code = compile(text, f"<{module}>", "exec", dont_inherit=True)
            modules[module] = (chosen, marshal.dumps(code))
    when = ""
    if in_sandbox.operators and not in_test.operators:
        when = LATER
    elif in_sandbox.operators and _names_others(submission, in_test.operators):
        when = NOW
    if not modules and not when:
        return None
    found = closing.libraries() if when else []
    given: dict[str, Any] = {
        "modules": modules,
        "library": when if found else "",
        "operators": list(closing.operators()),
        "closed": sorted(in_test.operators),
        "path": "" if is_hidden or not found else str(found[0]),
    }
    return Opening(marshal.dumps(given), found[0] if found and is_hidden else None)


def open_files(opening: Opening) -> list[int]:
    """The files that go along, each of this test alone; to be closed by the caller."""
    files = [_sealed_file(opening.given)]
    if opening.library is not None:
        files.append(_sealed_file(opening.library.read_bytes()))
    return files


def _names_others(submission: Path, closed: Collection[str]) -> bool:
    """Whether a file may want an operator that stays open: roi_align, RoIAlign."""
    words = [
        name.replace("_", "_?").encode()
        for name in closing.operators()
        if name not in closed
    ]
    wanted = re.compile(b"|".join(words), re.IGNORECASE)
    return any(
        wanted.search(text) or DETECTORS.search(text) for text in _texts(submission)
    )


def _texts(submission: Path) -> list[bytes]:
    return [
        path.read_bytes()
        for path in sorted(submission.glob("*.py"))
        if path.is_file() and not path.is_symlink()
    ]


def _sealed_file(content: bytes) -> int:
    """An open file that can only be read, with no name anywhere."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            return os.dup(file.fileno())
    import fcntl

    file_number = os.memfd_create("part", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with os.fdopen(os.dup(file_number), "wb") as file:
        file.write(content)
    os.lseek(file_number, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    fcntl.fcntl(file_number, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_SEAL)
    return file_number
