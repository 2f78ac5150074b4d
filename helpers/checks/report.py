"""How the outcome of checks is written: short, in the order in which it is read."""

import os
import sys
import textwrap
from collections.abc import Iterable

from helpers.checks.exercises import Exercise
from helpers.checks.hints import read_hints
from helpers.checks.results import BLOCKED, OPEN, PASS, WRONG, Report

WIDTH = 96
INDENT = "  "
MARKS = {PASS: "[x]", WRONG: "[!]", OPEN: "[ ]", BLOCKED: "[-]"}
WORDS = {PASS: "done", WRONG: "not right yet", OPEN: "", BLOCKED: "waits for another"}
# Blue and orange rather than green and red, which some people cannot tell apart.
ANSI = {PASS: "34", WRONG: "33", "bold": "1"}


def use_color() -> bool:
    """Only on a terminal, and never where NO_COLOR is set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, kind: str) -> str:
    """The text in the colour of a status, or "bold"."""
    if kind not in ANSI or not use_color():
        return text
    return f"\033[{ANSI[kind]}m{text}\033[0m"


def report_text(report: Report) -> str:
    """All that a student reads of one exercise."""
    exercise = report.exercise
    name = f"{exercise.name} ({exercise.id})"
    total = len(report.results)
    problem = report.problem
    if problem is None:
        return (
            f"{paint(name, PASS)}: {report.passed} of {total} visible checks pass; "
            f"hidden tests also try {read_hints()[exercise.id].unseen}."
        )
    lines = [paint(f"{name}: {problem.headline}", problem.status)]
    if problem.status == OPEN:
        lines.append(f"It stands in assignment/{exercise.file}.")
    if problem.status == WRONG and total > 1:
        lines.insert(1, f"Check: {problem.title} ({report.passed} of {total} pass)")
    lines += problem.lines
    lines += footer(exercise, problem.status)
    return f"\n{INDENT}".join(_wrap(lines))


def footer(exercise: Exercise, status: str) -> list[str]:
    """Where to read, how to get a hint, and how to run again."""
    read = f'Read: notebook {exercise.notebook}, "{read_hints()[exercise.id].read}".'
    if status == WRONG:
        hint = f"Hint: python -m helpers.check hint {exercise.id}"
        return [f"{read}   Again: {exercise.command}", hint]
    return [f"{read}   Then: {exercise.command}"]


def _wrap(lines: Iterable[str]) -> list[str]:
    """Long lines broken between words; code and numbers keep their blanks."""
    wrapped = []
    for line in lines:
        if len(line) <= WIDTH or "\033" in line or line.startswith("    "):
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
