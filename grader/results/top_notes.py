"""What is wrong with a hand-in as a whole, said once and not in each of its tests."""

import builtins
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from grader.outcomes import Outcome
from grader.submissions.names import listed

# How grader/session/replies.py describes an exception and its place.
RAISED = re.compile(
    r"(?P<type>\w{1,60})(: (?P<module>No module named '[\w.]{1,60}'))?"
    r" at line (?P<line>\d{1,6}) of (?P<file>\w{1,80}\.py)(?=\n|\Z)"
)
SLOW = re.compile(r"(?P<file>\w{1,80}\.py) takes too long while it is loaded")
NO_PART = "it is not in the files of the submission"
NO_PYTHON = ("SyntaxError", "IndentationError", "TabError")
# A line of these may run later, though it is not indented.
LATER = re.compile(r"(def|class|async|lambda|@)\b|.*\blambda\b")
FROM_TEXT = re.compile(r".*\b(exec|eval|compile|import_module|__import__)\b")
MOST_FILES = 3
ODD_LINES = (
    (re.compile(r"\s*[%!]"), "a line of a notebook, which only notebooks understand"),
    (re.compile(r"<{7}|={7}|>{7}"), "a mark that git leaves where two versions meet"),
    (re.compile(r"\s*(>>>|In \[)"), "a line of a session, with its prompt"),
    (re.compile(r"\s*<(!DOCTYPE|html)", re.IGNORECASE), "a web page, not the file"),
    (re.compile(r"\s*```"), "a mark of Markdown around code"),
)


def top_notes(
    outcomes: Sequence[Outcome], code: Path, expected: Sequence[str]
) -> list[str]:
    """Sentences for the top of a result: files that cannot be loaded, or are not there.

    Hidden tests count as well: a file, a line and a module that the file itself names
    tell nothing about their inputs.

    Args:
        outcomes: of all tests.
        code: folder with the files of the submission.
        expected: names of the modules that tests ask for, "common".
    """
    return [*_not_loaded(outcomes, code), *_not_there(outcomes, code, expected)]


def _not_loaded(outcomes: Sequence[Outcome], code: Path) -> list[str]:
    counts: Counter[tuple[str, int, str]] = Counter()
    for outcome in outcomes:
        late = SLOW.search(outcome.message)
        if late and outcome.category == "timeout":
            counts[late["file"], 0, ""] += 1
        found = RAISED.search(outcome.message)
        if found and outcome.category in ("exception", "not allowed"):
            file, line, kind = found["file"], int(found["line"]), found["type"]
            if _is_at_loading(code / file, line, kind):
                counts[file, line, found["module"] or _known(kind)] += 1
    first: dict[str, str] = {}
    for (file, line, why), _ in counts.most_common():
        odd = _odd_line(code / file, line) if why in NO_PYTHON else ""
        note = f"{file} cannot be loaded: {why}, line {line}{odd}."
        first.setdefault(file, note if line else f"{file} takes too long to be loaded.")
    return list(first.values())[:MOST_FILES]


def _known(kind: str) -> str:
    """A class of the student's own could carry hidden numbers in its name."""
    is_builtin = isinstance(getattr(builtins, kind, None), type)
    return kind if is_builtin or kind == "NotAllowedError" else "an exception"


def _is_at_loading(path: Path, line: int, kind: str) -> bool:
    """Whether an exception at this line ends the import of the file.

    Its text is only looked at, never parsed: nobody knows what a student wrote.
    """
    lines = _lines(path)
    if not lines:
        return False
    if not 0 < line <= len(lines):
        return kind in NO_PYTHON and line == len(lines) + 1
    text = lines[line - 1]
    if kind in NO_PYTHON:
        return not FROM_TEXT.match(text)
    return bool(text) and not text[0].isspace() and not LATER.match(text)


def _odd_line(path: Path, line: int) -> str:
    """What a line is that is no Python, if its beginning says so."""
    text = _lines(path)[line - 1 : line]
    kinds = (kind for start, kind in ODD_LINES if text and start.match(text[0]))
    return next((f", {kind}" for kind in kinds), "")


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_bytes().splitlines()  # of bytes: as Python counts them
        return [line.decode("utf-8", "replace") for line in lines]
    except OSError:
        return []


def _not_there(
    outcomes: Sequence[Outcome], code: Path, expected: Sequence[str]
) -> list[str]:
    """Which files came instead of those that tests ask for."""
    came = sorted(path.name for path in code.glob("*.py"))
    missing = [f"{name}.py" for name in expected if f"{name}.py" not in came]
    if not missing or not any(NO_PART in outcome.message for outcome in outcomes):
        return []
    return [f"There is no {listed(missing)} in the submission; it has {listed(came)}."]
