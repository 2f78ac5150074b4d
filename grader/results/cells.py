"""A cell of a table that is text in every spreadsheet, whatever it holds."""

import re
import unicodedata

from grader.submissions.names import shown

SIGNS = frozenset("=+-@")  # begin a formula
DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")  # look like one
# A spreadsheet of another country begins a cell there, whatever the quotes say.
SEPARATOR = re.compile(r"[;,|\t][\s\"'\ufffd]*")


def text_cell(text: str) -> str:
    """One line without what cannot be seen, and no sign that begins a formula.

    Full-width and small forms count as the sign that they look like: some spreadsheets
    take them for it.

    Example:
        >>> text_cell("=1+1"), text_cell("ada;=1+1"), text_cell("Lovelace, Ada")
        ("'=1+1", "ada;'=1+1", 'Lovelace, Ada')
    """
    line = shown(" ".join(text.split()))
    begins = line.startswith("'") or is_sign(line.lstrip("\"' \ufffd")[:1])
    places = [
        found.end() - len(found[0]) + 1
        for found in SEPARATOR.finditer(line)
        if is_sign(line[found.end() : found.end() + 1])
    ]
    for place in reversed(places):
        line = f"{line[:place]}'{line[place:]}"
    return f"'{line}" if begins else line


def is_sign(letter: str) -> bool:
    """Whether a cell that begins so could be a formula; "" is none."""
    return bool(letter) and (
        letter in DASHES or unicodedata.normalize("NFKC", letter)[:1] in SIGNS
    )
