r"""Text as a reader sees it, however a file wraps it: tags, escapes, blanks, capitals.

A page has one tag for each coloured word, a terminal's output a colour code, a JSON
file `\u0020` for a blank, an address `%20`. Each of these is taken off, alone and
together, since code itself may look like any of them: `a < b and c > d` is no tag.
"""

import codecs
import html
import json
import re
from collections.abc import Callable
from urllib.parse import unquote

MARKS = (  # the longer ones first: those of UTF-32 begin like those of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
INVISIBLE = re.compile(
    "[\0\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
)
TERMINAL = re.compile(
    r"\x1b\[[0-9:;<=>?]*[ -/]*[@-~]"  # a colour
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # a link
    r"|\x1b[@-Z\\^_]"
)
TAG = re.compile(r"<[^<>]*>")
ESCAPE = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([nrt\"'/\\]))"
)
LETTERS = {"n": "\n", "r": "\r", "t": "\t"}
LAST_CODE = 0x10FFFF  # of Unicode


def compact(text: str) -> str:
    r"""The text without blanks, line ends and what cannot be seen, in small letters.

    >>> compact("  Answer =  B\n+ c ")
    'answer=b+c'
    """
    found = "".join(text.casefold().split())
    return found if found.isascii() and "\0" not in found else INVISIBLE.sub("", found)


def decoded(content: bytes) -> list[str]:
    """The texts that a file may be: UTF-8, and UTF-16 or UTF-32 if it could be these.

    The first is always UTF-8, with U+FFFD for what is none.
    """
    texts = [content.decode("utf-8", "replace")]
    for mark, encoding in MARKS:
        if content.startswith(mark):
            texts.append(content[len(mark) :].decode(encoding, "replace"))
    if b"\0" in content:
        texts += [content.decode(encoding, "replace") for encoding in WIDE]
    return texts


def unwrapped(text: str) -> set[str]:
    """The text itself, and every reading of it without tags and escapes.

    Example:
        >>> sorted(unwrapped("<b>a</b> &lt; b"))[1:]
        ['<b>a</b> < b', 'a &lt; b', 'a < b']
    """
    found = {text}
    for step in STEPS:
        found |= {step(reading) for reading in found}
    return found


def strings_of(content: str) -> list[tuple[str, str]]:
    """(where, text) of all in a JSON file: strings, keys, lists of strings joined.

    Raises:
        ValueError: it is no JSON, or too deep.
    """
    found: list[tuple[str, str]] = []

    def visit(value: object, where: str) -> None:
        if isinstance(value, str):
            found.append((where, value))
        elif isinstance(value, list) and all(isinstance(line, str) for line in value):
            found.append((where, "".join(value)))
        elif isinstance(value, list):
            for index, item in enumerate(value, start=1):
                visit(item, f"{where} {index}")
        elif isinstance(value, dict):
            for key, item in value.items():
                found.append((where, key))
                visit(item, f"{where} {key}" if where else key)

    try:
        visit(json.loads(content), "")
    except RecursionError as error:
        raise ValueError("too deep") from error
    return found


def _without_terminal_codes(text: str) -> str:
    return TERMINAL.sub("", text)


def _without_backslashes(text: str) -> str:
    return ESCAPE.sub(_letter, text)


def _letter(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if not code:
        return LETTERS.get(found[4], found[4])
    number = int(code, 16)
    return chr(number) if number <= LAST_CODE else found[0]


def _without_percents(text: str) -> str:
    return unquote(text)


def _without_tags(text: str) -> str:
    return TAG.sub("", text)


def _without_entities(text: str) -> str:
    return html.unescape(text)


# Twice: what shows a page's source has escaped tags around escaped code.
STEPS: tuple[Callable[[str], str], ...] = (
    _without_backslashes,
    _without_terminal_codes,
    _without_percents,
    _without_tags,
    _without_entities,
    _without_tags,
    _without_entities,
)
