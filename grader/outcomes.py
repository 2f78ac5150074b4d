"""How a test ended, and what its exception means for a student."""

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, replace

from core.course import MENTION
from grader.manifest import ManifestTest
from helpers.checks.expect import CATEGORIES, CheckError

NOT_RUN = "not run"  # beside CATEGORIES: skipped, or never reached
MOST_MESSAGE = 4000  # characters
# Why a test was not tried, which is a timeout too; no student's code can say these.
USED_UP = "the time of the whole submission is used up"
NOT_TRIED = "the tests before it took too long, so it was not tried"


@dataclass(frozen=True)
class Outcome:
    """How one test ended.

    Attributes:
        id: as in the manifest.
        category: one of CATEGORIES, or NOT_RUN; None if it passed.
        message: what the test said; may hold hidden inputs.
        cause: the known mistake, a fixed text of the test.
        blocked_by: number of the exercise that is not written yet, or "".
        given: numbers of the exercises whose solution stood in for the student's when
            it passed, "4.1 4.5", or "".
        traceback: lines of the student's own files.
        output: the end of what the student's code printed.
        seconds: how long it took, on the clock.
        cpu_seconds: of the processor, in the student's process.
        peak_memory: of the student's process, in bytes.
    """

    id: str
    category: str | None
    message: str = ""
    cause: str | None = None
    _: KW_ONLY
    blocked_by: str = ""
    given: str = ""
    traceback: str = ""
    output: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0


def judge(
    error: BaseException, test: ManifestTest, may_block: Collection[str]
) -> Outcome:
    """What it means that a test raised this.

    Args:
        may_block: the exercises that this one stands on. A student's code may name any
            other, to blame it or to carry the digits of a hidden input.
    """
    text = str(error)[:MOST_MESSAGE]
    if isinstance(error, CheckError):
        category = error.category if error.category in CATEGORIES else "wrong value"
        traceback = str(getattr(error, "traceback", "") or "")
        found = Outcome(test.id, category, text, error.cause, traceback=traceback)
    elif isinstance(error, NotImplementedError):
        found = Outcome(test.id, "not implemented", text)
    elif isinstance(error, AssertionError):
        found = Outcome(test.id, "wrong value", text or "an assertion failed")
    else:  # The student's own exceptions are CheckErrors: the test met an odd answer.
        kind = type(error).__name__
        found = Outcome(
            test.id, "wrong type", f"the answer cannot be used ({kind}: {text})"
        )
    if found.category in ("not implemented", "exception", "blocked"):
        stub = MENTION.search(f"{text}\n{found.traceback}")
        if stub and stub[1] == test.exercise:
            return replace(found, category="not implemented")
        if stub and stub[1] in may_block:
            return replace(found, category="blocked", blocked_by=stub[1])
    return found
