"""How the outcome of checks is written: short, in the order in which it is read."""

import os
import sys
import textwrap
from collections.abc import Iterable

from helpers.checks.exercises import Exercise
from helpers.checks.hints import hints_of
from helpers.checks.results import BLOCKED, OPEN, PASS, WRONG, Report

WIDTH = 104  # as wide as a code cell shows without a scroll bar
INDENT, GAP = "  ", "   "
MARKS = {PASS: "[x]", WRONG: "[!]", OPEN: "[ ]", BLOCKED: "[-]"}
WORDS = {PASS: "done", WRONG: "not right yet", OPEN: "", BLOCKED: "waits for another"}
# Blue and orange rather than green and red, which some people cannot tell apart.
ANSI = {PASS: "34", WRONG: "33", "bold": "1"}


def use_colour() -> bool:
    """Only on a terminal, and never where NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, kind: str) -> str:
    """The text in the colour of a status, or "bold"."""
    if kind not in ANSI or not use_colour():
        return text
    return f"\033[{ANSI[kind]}m{text}\033[0m"


def report_text(report: Report) -> str:
    """All that a student reads of one exercise."""
    exercise = report.exercise
    name = f"{exercise.name} ({exercise.id})"
    total = len(report.results)
    problem = report.problem
    if problem is None:
        unseen = hints_of(exercise.id).unseen
        said = f"{report.passed} of {total} visible checks pass; hidden tests also try"
        first, *rest = _wrap([f"{name}: {said} {unseen}."])
        return "\n".join([paint(first, PASS), *rest])
    lines = [f"{name}: {problem.headline}", *problem.lines]
    if problem.status == OPEN:
        lines.append(f"Write it in assignment/{exercise.file}.")
    lines += _fill(_footer(exercise, problem.status, problem.likely))
    if problem.status == WRONG and total > 1:
        lines.append(f"{report.passed} of {total} checks pass; not: {problem.title}")
    first, *rest = _wrap(lines)
    return f"\n{INDENT}".join([paint(first, problem.status), *rest])


def _footer(exercise: Exercise, status: str, likely: str) -> list[str]:
    """The likely mistake, where to read, how to run again, how to get a hint."""
    if status == BLOCKED:
        return [f"Then: {exercise.command}"]
    parts = [f"Likely: {likely}."] if likely else []
    parts.append(f'Read: notebook {exercise.notebook}, "{hints_of(exercise.id).read}".')
    if status != WRONG:
        return [*parts, f"Then: {exercise.command}"]
    hint = f"Hint: python -m helpers.check hint {exercise.id}"
    return [*parts, f"Again: {exercise.command}", hint]


def _fill(parts: Iterable[str]) -> list[str]:
    """As many parts on each line as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(GAP) + len(part) <= WIDTH:
            lines[-1] += GAP + part
        else:
            lines.append(part)
    return lines


def _wrap(lines: Iterable[str]) -> list[str]:
    """Long lines broken between words; lines of code keep their blanks."""
    wrapped = []
    for line in lines:
        if len(line) <= WIDTH or line.startswith("    "):
            wrapped.append(line)
        else:
            wrapped += textwrap.wrap(
                line, WIDTH, subsequent_indent=INDENT, break_long_words=False
            )
    return wrapped


def map_text(reports: Iterable[Report]) -> str:
    """The map of the course with what is done."""
    lines: list[str] = []
    step = ""
    done = total = 0
    for report in reports:
        exercise = report.exercise
        if exercise.step != step:
            step = exercise.step
            lines += ["", paint(f"{exercise.notebook} {step}", "bold")]
        status = report.status
        word = WORDS[status]
        if status == BLOCKED and report.problem:
            word = report.problem.headline
        row = f"{INDENT}{MARKS[status]} {exercise.id}  {exercise.name:<40} {word}"
        lines.append(paint(row.rstrip(), status))
        done += status == PASS
        total += 1
    lines += ["", f"{done} of {total} exercises pass their visible checks."]
    return "\n".join(lines).lstrip("\n")
