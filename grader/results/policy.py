"""What a student is told about a test: all of a visible one, little of a hidden one.

Of a hidden test: title, points, passed or failed, a category from a closed list and the
hint. Its inputs and expected numbers stay hidden, whatever the student's code does.
"""

import builtins
import re
from dataclasses import KW_ONLY, dataclass

from grader.manifest import ManifestTest
from grader.outcomes import NOT_RUN, NOT_TRIED, USED_UP, Outcome
from grader.submissions.names import listed
from helpers.checks.no_gpu import NO_GPU, is_of_devices

# How the proxy names a place: "TypeError at line 12 of common.py".
PLACE = re.compile(r"(?P<type>\w+)(?P<place> at line \d{1,5} of \w{1,80}\.py)")
# A class of the student's own could carry hidden numbers in its name.
KNOWN_TYPES = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)
SENTENCES = {
    "wrong value": "The answer has wrong numbers.",
    "wrong shape": "The answer has the wrong shape.",
    "wrong dtype": "The answer has the wrong dtype.",
    "NaN": "There is NaN in the answer.",
    "wrong type": "The answer is not of the kind that was asked for.",
    "not allowed": "Your code used something that is not allowed here.",
    "not implemented": "The exercise is not written yet.",
    "exception": "Your code raised an exception.",
    "timeout": "Your code took too long.",
    "crashed": "The process of your code ended.",
    "out of memory": "Your code used too much memory.",
    NOT_RUN: "The test did not run; ask your instructor.",
}
MOST_OUTPUT = 4096  # characters
ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")  # differs from run to run


@dataclass(frozen=True)
class Told:
    """What a student reads about a test.

    Attributes:
        label: category in a word or two; "passed" if it passed.
        sentence: what happened.
        hint: of the instructor; "" if it passed.
        message, traceback, output: of a visible test only.
    """

    label: str
    sentence: str
    hint: str = ""
    _: KW_ONLY
    message: str = ""
    traceback: str = ""
    output: str = ""

    def as_text(self) -> str:
        """The same for places that show plain text only."""
        parts = [self.sentence]
        if self.hint:
            parts.append(f"Hint: {self.hint}")
        for title, text in (
            ("Message", self.message),
            ("In your files", self.traceback),
            ("Your code printed", self.output),
        ):
            if text:
                parts.append(f"{title}:\n{text}")
        return "\n\n".join(parts)


def tell(test: ManifestTest, outcome: Outcome) -> Told:
    """What the student reads."""
    if outcome.category is None:
        if not outcome.given:
            return Told("passed", "Passed.")
        which = listed(outcome.given.split())
        return Told(
            f"passed, with our {which}",
            f"Passed with the course's own solution of {which} in place of yours, so "
            "that a mistake costs only the exercise it is in.",
        )
    hint = "" if outcome.category == "blocked" else test.hint
    told = Told(_label(outcome), _sentence(outcome), hint)
    if not test.visible:
        return told
    return Told(
        told.label,
        told.sentence,
        told.hint,
        message=_clean(outcome.message),
        traceback=_clean(outcome.traceback),
        output=_clean(outcome.output)[-MOST_OUTPUT:],
    )


def _label(outcome: Outcome) -> str:
    if outcome.category == "blocked":
        return f"blocked by {outcome.blocked_by}"
    return str(outcome.category)


def _sentence(outcome: Outcome) -> str:
    if outcome.category == "blocked":
        return (
            f"Exercise {outcome.blocked_by} comes first; without it this test says "
            "nothing about your code here."
        )
    place = PLACE.search(outcome.message)
    if outcome.category == "exception" and place:
        known = place["type"] in KNOWN_TYPES
        kind = place["type"] if known else "an exception"
        is_told = outcome.cause == NO_GPU or is_of_devices(outcome.cause)
        why = f": {outcome.cause}" if is_told else ""
        return f"Your code raised {kind}{place['place']}{why}."
    if outcome.category == "timeout":
        for reason in (USED_UP, NOT_TRIED):
            if reason in outcome.message:
                return f"Your code took too long: {reason}."
    if outcome.category == "wrong value" and is_of_devices(outcome.cause):
        return f"The answer is on another device than the inputs: {outcome.cause}."
    return SENTENCES[str(outcome.category)]


def _clean(text: str) -> str:
    """Without addresses, and without characters that only a terminal understands."""
    text = ADDRESS.sub("0x…", text)
    return "".join(
        letter for letter in text if letter.isprintable() or letter in "\n\t"
    )
