"""The map of the course as a picture for notebooks: what is done, and what is next."""

import html
from collections.abc import Sequence

from helpers.checks.results import BLOCKED, OPEN, PASS, WRONG, Report

# Background, mark and word; the colours are told apart by colour-blind people, too.
LOOKS = {
    PASS: ("#56B4E9", "✓", "done"),
    WRONG: ("#E69F00", "!", "not right yet"),
    BLOCKED: ("#D9D9D9", "–", "waits for another"),
    OPEN: ("#FFFFFF", "", "open"),
}
TILE = (
    "display:inline-block;width:3.2em;margin:2px;padding:3px 0;text-align:center;"
    "border:1px solid #777;border-radius:4px;color:#111;background:{colour}"
)
CELL = "text-align:left;padding:2px 12px;vertical-align:middle"


def map_html(reports: Sequence[Report]) -> str:
    """A row for each notebook, a tile for each exercise.

    Args:
        reports: of all exercises, in their order.
    """
    steps: dict[str, list[Report]] = {}
    for report in reports:
        steps.setdefault(report.exercise.notebook, []).append(report)
    rows = "".join(
        f'<tr style="background:none"><td style="{CELL}">{number} · '
        f"{html.escape(own[0].exercise.step)}</td>"
        f'<td style="{CELL}">{"".join(map(_tile, own))}</td></tr>'
        for number, own in steps.items()
    )
    done = sum(report.status == PASS for report in reports)
    legend = " &nbsp; ".join(
        f'<span style="{TILE.format(colour=colour)};width:1.6em">{mark or "&nbsp;"}'
        f"</span> {word}"
        for colour, mark, word in LOOKS.values()
    )
    return (
        f'<div role="img" aria-label="{done} of {len(reports)} exercises done">'
        f"<p><b>{done} of {len(reports)}</b> exercises pass their visible checks."
        f" {_next(reports)}</p>"
        f'<table style="border-collapse:collapse">{rows}</table><p>{legend}</p></div>'
    )


def _tile(report: Report) -> str:
    colour, mark, word = LOOKS[report.status]
    exercise = report.exercise
    title = html.escape(f"{exercise.name}: {word}", quote=True)
    return (
        f'<span title="{title}" style="{TILE.format(colour=colour)}">'
        f"{exercise.id} {mark}</span>"
    )


def _next(reports: Sequence[Report]) -> str:
    """What to go on with."""
    for status in (WRONG, OPEN):
        for report in reports:
            if report.status == status:
                exercise = report.exercise
                name = html.escape(exercise.name)
                return f"Next: {exercise.id}, <code>{name}</code>."
    return ""
