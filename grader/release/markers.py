"""Find the marked regions of a source; markers that are nearly right are errors."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from core.command import CourseError

SOLUTION, HIDDEN = "SOLUTION", "HIDDEN TESTS"
KINDS = (SOLUTION, HIDDEN)
MARKERS = tuple(f"### {word} {kind}" for kind in KINDS for word in ("BEGIN", "END"))
# Of the letters of two texts; "BEGINN SOLUTON" reaches 0.92, other comments below 0.6.
ALIKE = 0.8
OTHER_WORDS = re.compile(
    r"#+\W*(begin|end|start|stop)\w*\W+(of\W+)?(the\W+)?(solution|hidden)"
    r"|#+\W*(solution|hidden\W+tests?)\W+(begin|end|start|stop)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Region:
    """Lines from a BEGIN to its END, both included, counted from 1."""

    kind: str
    begin: int
    end: int


def letters(text: str) -> str:
    """Only the letters, in capitals.

    >>> letters("## begin  Solution:")
    'BEGINSOLUTION'
    """
    return re.sub(r"[^A-Z]", "", text.upper())


def looks_like_marker(line: str) -> bool:
    """Return True for a marker and for a comment that was surely meant to be one.

    >>> looks_like_marker("    ## BEGIN SOLUTIONS"), looks_like_marker("# the end")
    (True, False)
    """
    if "#" not in line:
        return False
    comment = line[line.index("#") :].strip()
    if OTHER_WORDS.match(comment):
        return True
    return any(
        SequenceMatcher(None, letters(comment), letters(marker)).ratio() >= ALIKE
        for marker in MARKERS
    )


def find_regions(lines: list[str], where: str) -> list[Region]:
    """All regions, in order.

    Args:
        lines: of one source.
        where: the file, for messages.

    Raises:
        CourseError: a marker is misspelt, nested, or without its other half.
    """
    regions = []
    opened: tuple[str, int] | None = None
    for number, line in enumerate(lines, start=1):
        place = f"{where}:{number}"
        text = line.strip()
        if text not in MARKERS:
            if looks_like_marker(line):
                raise CourseError(
                    f"{place}: {text!r} looks like a marker but is none; write "
                    "'### BEGIN SOLUTION' or '### END SOLUTION' alone on its line"
                )
            continue
        word, kind = text.removeprefix("### ").split(" ", 1)
        if word == "BEGIN":
            if opened:
                raise CourseError(
                    f"{place}: this {text!r} is nested in the region that begins in "
                    f"line {opened[1]}; end that one first"
                )
            opened = (kind, number)
            continue
        if opened is None or opened[0] != kind:
            raise CourseError(
                f"{place}: {text!r} has no '### BEGIN {kind}' before it; add the line"
            )
        regions.append(Region(kind, opened[1], number))
        opened = None
    if opened:
        raise CourseError(
            f"{where}:{opened[1]}: '### BEGIN {opened[0]}' has no "
            f"'### END {opened[0]}'; add the line"
        )
    return regions
