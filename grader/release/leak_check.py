"""Look for solutions and hidden tests in everything that students would get."""

import html
import json
import re
from collections.abc import Iterable, Mapping

from core.command import CourseError
from grader.release.markers import looks_like_marker
from grader.release.notebooks import notebook_texts
from grader.release.stubs import SecretLine

SHORTEST_SECRET = 20  # characters; shorter lines are everyday Python
ONLY_A_NAME = re.compile(r"[\w.]+\($")  # of a function, whose arguments come below


def squeeze(text: str) -> str:
    """The text with one blank for each run of blanks.

    >>> squeeze("  a =  b   + c ")
    'a = b + c'
    """
    return " ".join(text.split())


def searched_secrets(
    secrets: Iterable[SecretLine], given: Iterable[str]
) -> dict[str, str]:
    """Squeezed text -> where it stands, of the lines to search for.

    Args:
        secrets: all lines that were cut.
        given: texts of assignment/ after the cut; what stands in them is no secret.
    """
    known = "\n".join(squeeze(line) for text in given for line in text.splitlines())
    return {
        text: secret.where
        for secret in secrets
        if len(text := squeeze(secret.text)) >= SHORTEST_SECRET
        and text not in known
        and not ONLY_A_NAME.fullmatch(text)
    }


def check_no_leaks(files: Mapping[str, bytes], secrets: Mapping[str, str]) -> None:
    """Search all files, and in notebooks every string, metadata included.

    Args:
        files: path -> content of the release.
        secrets: text -> where it stands in the source.

    Raises:
        CourseError: a solution line, a hidden test or a marker was found.
    """
    for name, content in sorted(files.items()):
        text = content.decode("utf-8", errors="replace")
        for place, part in _parts(name, text):
            for number, line in enumerate(part.splitlines(), start=1):
                _check_line(f"{place}{number}", line, secrets)


def _parts(name: str, text: str) -> list[tuple[str, str]]:
    """(what to write before the line number, text) of a file's searched texts."""
    parts = [(f"{name}:", text)]
    if name.endswith(".ipynb"):
        try:
            inner = notebook_texts(text)
        except json.JSONDecodeError:
            return parts
        parts += [(f"{name}: {where}, line ", part) for where, part in inner]
    return parts


def _check_line(place: str, line: str, secrets: Mapping[str, str]) -> None:
    # Outputs of a notebook may hold HTML.
    for text in {squeeze(line), squeeze(html.unescape(line))}:
        for secret, source in secrets.items():
            if secret in text:
                raise CourseError(
                    f"{place}: shows the secret line {secret!r} of {source}; remove it"
                )
    if line.strip().startswith("#") and looks_like_marker(line):
        raise CourseError(
            f"{place}: {line.strip()!r} marks a solution or a hidden test that "
            "is not cut here; remove it"
        )
