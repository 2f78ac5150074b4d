"""Names that other people chose, as they may be shown."""

from collections.abc import Iterable

ODD = "\ufffd"  # what Unicode has for a character that cannot be shown
MOST_SHOWN = 200  # characters of a list of names
MOST_NAMES, MOST_LETTERS = 20, 60  # that `first_names` keeps, and letters of each


def shown(text: str) -> str:
    r"""A text on one line that every page, table and terminal can hold.

    Example:
        >>> ascii(shown("b\udcffob\n"))
        "'b\\ufffdob\\ufffd'"
    """
    return "".join(letter if letter.isprintable() else ODD for letter in text)


def listed(names: list[str]) -> str:
    """Some names, and how many more there are.

    Example:
        >>> listed(["a", "b"])
        'a, b'
    """
    text = ""
    for number, name in enumerate(names):
        text += f", {shown(name)}" if text else shown(name)
        left = len(names) - number - 1
        if left and len(text) > MOST_SHOWN:
            return f"{text} and {left} more"
    return text


def first_names(names: Iterable[str]) -> list[str]:
    """The first of them in their order by letters, each cut off where it is long."""
    return [
        name if len(name) <= MOST_LETTERS else f"{name[:MOST_LETTERS]}…"
        for name in sorted(names)[:MOST_NAMES]
    ]
