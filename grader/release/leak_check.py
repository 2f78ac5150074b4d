"""Look for solutions and hidden tests in everything that students would get.

What is disguised on purpose (base64, a picture, new names for all) is not found.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.command import CourseError
from grader.release.markers import looks_like_marker
from grader.release.plain_text import compact, decoded, strings_of, unwrapped
from grader.release.stubs import SecretLine

SHORTEST_SECRET = 20  # characters; shorter lines are everyday Python
KEY = 16  # characters without blanks by which a line is looked up
ONLY_A_NAME = re.compile(r"[\w.]+\($")  # of a function, whose arguments come below
JSON_FILES = (".json", ".ipynb")


@dataclass(frozen=True)
class HiddenBody:
    """The lines of a hidden test, or of what helps it.

    Single lines of it may stand anywhere: a visible check calls the same function.

    Attributes:
        where: its file and line.
        lines: those long enough to tell, compacted.
    """

    where: str
    lines: frozenset[str]

    def is_in(self, found: Collection[str]) -> bool:
        """Whether so many of its lines were found that it was copied."""
        return 2 * len(self.lines & set(found)) > len(self.lines)


def squeeze(text: str) -> str:
    """The text with one blank for each run of blanks.

    >>> squeeze("  a =  b   + c ")
    'a = b + c'
    """
    return " ".join(text.split())


def is_long(text: str) -> bool:
    """Whether a line is more than everyday Python."""
    return len(squeeze(text)) >= SHORTEST_SECRET and len(compact(text)) >= KEY


def searched_secrets(
    secrets: Iterable[SecretLine], given: Iterable[str]
) -> dict[str, str]:
    """Squeezed text -> where it stands, of the lines to search for.

    Args:
        secrets: all lines that were cut.
        given: texts of assignment/ after the cut; what stands in them is no secret.
    """
    known = "\n".join(compact(line) for text in given for line in text.splitlines())
    return {
        text: secret.where
        for secret in secrets
        if is_long(text := squeeze(secret.text))
        and compact(text) not in known
        and not ONLY_A_NAME.fullmatch(text)
    }


class Search:
    """All that is searched for, by the first letters of each line."""

    def __init__(self, secrets: Mapping[str, str], bodies: Sequence[HiddenBody] = ()):
        """See check_no_leaks."""
        self.lines = {compact(text): (text, secrets[text]) for text in secrets}
        self.bodies = bodies
        self.by_key: dict[str, set[str]] = {}
        own = {line for body in bodies for line in body.lines}
        every = {*self.lines, *own} - {""}
        self.length = min([KEY, *map(len, every)])
        for line in every:
            self.by_key.setdefault(line[: self.length], set()).add(line)

    def lines_in(self, text: str) -> set[str]:
        """Those of the searched lines that a compacted text holds."""
        last = len(text) - self.length
        keys = {text[place : place + self.length] for place in range(last + 1)}
        return {
            line
            for key in keys & self.by_key.keys()
            for line in self.by_key[key]
            if line in text
        }


def check_no_leaks(
    files: Mapping[str, bytes],
    secrets: Mapping[str, str],
    bodies: Sequence[HiddenBody] = (),
) -> None:
    """Search all files, and in notebooks every string, metadata included.

    Args:
        files: path -> content of the release.
        secrets: text -> where it stands in the source.
        bodies: of hidden tests.

    Raises:
        CourseError: a solution line, a hidden test or a marker was found.
    """
    search = Search(secrets, bodies)
    for name, content in sorted(files.items()):
        seen: set[str] = set()
        for place, part in _parts(name, content):
            seen |= _check_part(place, part, search)
        for body in search.bodies:
            if body.is_in(seen):
                raise CourseError(
                    f"{name}: shows the hidden test of {body.where}, most of whose "
                    "lines stand in it; remove it"
                )


def _parts(name: str, content: bytes) -> list[tuple[str, str]]:
    """(what to write before the line number, text) of a file's searched texts."""
    parts = []
    for text in decoded(content):
        parts.append((f"{name}:", text))
        if name.endswith(JSON_FILES):
            try:
                inner = strings_of(text)
            except ValueError:
                continue
            parts += [(f"{name}: {where}, line ", part) for where, part in inner]
    return parts


def _check_part(place: str, text: str, search: Search) -> set[str]:
    """The searched lines that stand in a text, which may be part of a hidden test."""
    found: set[str] = set()
    for reading in {compact(reading) for reading in unwrapped(text)}:
        found |= search.lines_in(reading)
    whole = compact(text)
    for line in sorted(found & search.lines.keys(), key=whole.find):
        secret, source = search.lines[line]
        where = _at(place, text, whole.find(line))
        raise CourseError(
            f"{where}: shows the secret line {secret!r} of {source}; remove it"
        )
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip().startswith("#") and looks_like_marker(line):
            raise CourseError(
                f"{place}{number}: {line.strip()!r} marks a solution or a hidden test "
                "that is not cut here; remove it"
            )
    return found


def _at(place: str, text: str, start: int) -> str:
    """The place with the number of the line, if one can be told.

    Args:
        place: begins the message.
        text: as the file has it.
        start: where the line begins in the compacted text; -1 if it is not in there.
    """
    if start < 0:  # behind tags or escapes
        return place.removesuffix(", line ").removesuffix(":")
    length = 0
    lines = text.splitlines()
    for number, own in enumerate(lines, start=1):
        length += len(compact(own))
        if length > start:
            return f"{place}{number}"
    return f"{place}{len(lines)}"
