"""A prediction of yours beside the answer: right, near or wrong; it is never graded.

The answer comes from code in the cell, or from answers.toml where a glance at the cell
would give it away.
"""

import html
import math
import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import torch
from IPython.display import HTML

from core.command import CourseError

# Set to "fold" where nobody can write a guess, as in pages to look at.
SWITCH = "FCOS_COURSE_ANSWERS"
ANSWERS = Path(__file__).with_name("answers.toml")
DIGITS = 4
NEAR = 0.15  # of the answer; so far off still counts as near
ROUNDED = 0.05  # of the answer; rounding may cost no more
# Words and colours; the words alone say it too.
MARKS = {
    "right": "#009E73",
    "near": "#E69F00",
    "wrong": "#D55E00",
    "guess first": "#0072B2",
    "not comparable": "#0072B2",
    "the answer": "#0072B2",
}
ORDER = ("right", "near", "wrong")  # of several numbers the worst counts


def compare_guess(
    guess: Any, truth: Any, what: str = "", *, how: str = "", show: bool = False
) -> HTML:
    """Your prediction beside the truth; without a prediction the truth stays hidden.

    Args:
        guess: a number, a text, a list of numbers; `...` where you made none.
        truth: what the code gave.
        what: name of the quantity.
        how: the way to the answer, shown with it.
        show: show the answer without a guess.
    """
    answer = _row("the answer", what, [("the answer", _plain(truth)), ("", how)])
    if guess is ... and not show:
        if os.environ.get(SWITCH) == "fold":
            hidden = f"<details><summary>guess first, then open</summary>{answer.data}"
            return HTML(f"{hidden}</details>")
        return _row("guess first", what, [("replace the dots of", "guess = ...")])
    if guess is ...:
        return answer
    problem = _what_is_odd(guess, truth)
    if problem:
        return _row("not comparable", what, [("your guess", _plain(guess)), problem])
    cells = [("your guess", _plain(guess)), ("the answer", _plain(truth)), ("", how)]
    return _row(judge(guess, truth), what, cells)


def compare_stored(guess: Any, what: str, *, show: bool = False) -> HTML:
    """Your prediction beside the stored answer to the question of this name.

    Raises:
        CourseError: no answer is stored under this name.
    """
    if what not in stored_answers():
        raise CourseError(f"no answer is stored for {what!r} in {ANSWERS.name}")
    entry = stored_answers()[what]
    return compare_guess(guess, entry["answer"], what, how=entry["how"], show=show)


@cache
def stored_answers() -> dict[str, dict]:
    """Name of the quantity -> {"answer": its value, "how": the way to it}."""
    return tomllib.loads(ANSWERS.read_text("utf-8"))


def judge(guess: Any, truth: Any) -> str:
    """Is a guess "right", "near" or "wrong"?

    A number is right when the answer rounds to it and near up to 15 % from the answer;
    whole numbers are right only when they are equal. Texts are compared without case,
    blanks and order of their commas.

    Args:
        guess, truth: of one kind: numbers, texts, or lists of them of one length.
    """
    guess, truth = _simple(guess), _simple(truth)
    if isinstance(truth, list):
        each = [judge(*pair) for pair in zip(guess, truth, strict=True)]
        return max(each, key=ORDER.index, default="right")
    if isinstance(truth, str):
        return "right" if _words(guess) == _words(truth) else "wrong"
    guess, truth = _number(guess), _number(truth)
    distance = abs(guess - truth)
    if distance == 0 or (not _is_whole(truth) and _rounds_to(truth, guess)):
        return "right"
    return "near" if distance <= NEAR * abs(truth) else "wrong"


def _rounds_to(truth: float, guess: float) -> bool:
    """Has the guess the digits of the answer, as far as it gives digits?"""
    distance = abs(guess - truth)
    digits = len(f"{guess:.10f}".rstrip("0").partition(".")[2])
    half_a_digit = 0.5 * 10**-digits * (1 + 1e-9)
    return distance <= half_a_digit and distance <= ROUNDED * abs(truth)


def _what_is_odd(guess: Any, truth: Any) -> tuple[str, str] | None:
    """Why the two cannot be compared, as (before, in bold), or None."""
    guess, truth = _simple(guess), _simple(truth)
    if isinstance(truth, list):
        if not isinstance(guess, list) or len(guess) != len(truth):
            example = "(" + ", ".join(["..."] * len(truth)) + ")"
            return ("the answer has several parts; write", f"guess = {example}")
        odd = (_what_is_odd(*pair) for pair in zip(guess, truth, strict=True))
        return next((each for each in odd if each), None)
    if isinstance(truth, str):
        is_text = isinstance(guess, str)
        return None if is_text else ("the answer is a text; write", 'guess = "..."')
    number = _number(guess)
    if number is None or not math.isfinite(number):
        return ("the answer is a number; write", "guess = (a number)")
    return None


def _simple(value: Any) -> Any:
    """Tensors, arrays and tuples as lists and numbers of Python."""
    if isinstance(value, torch.Tensor) or hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _number(value: Any) -> Any:
    """The value as a number, also from "0.5" and "96 %"; None for anything else."""
    if isinstance(value, str):
        value = value.strip().removesuffix("%").replace(",", "")
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _is_whole(value: float) -> bool:
    return math.isfinite(value) and float(value).is_integer()


def _words(text: str) -> list[str]:
    return sorted(" ".join(part.split()).casefold() for part in text.split(","))


def _row(mark: str, what: str, cells: list[tuple[str, str]]) -> HTML:
    style = "padding:4px 18px;text-align:left"
    body = "".join(
        f'<td style="{style}">{html.escape(title)}<br>'
        f'<b style="font-size:130%">{html.escape(value)}</b></td>'
        for title, value in cells
        if value
    )
    head = f'<b style="color:{MARKS[mark]}">{mark}</b><br>{html.escape(what)}'
    return HTML(
        f'<table style="border-left:4px solid {MARKS[mark]}"><tr>'
        f'<td style="{style}">{head}</td>{body}</tr></table>'
    )


def _plain(value: Any) -> str:
    value = _simple(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        is_whole = value.is_integer() or abs(value) >= 10**DIGITS
        return f"{value:,.0f}" if is_whole else f"{value:.{DIGITS}g}"
    if isinstance(value, list):
        return "(" + ", ".join(_plain(item) for item in value) + ")"
    return str(value)
