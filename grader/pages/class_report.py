"""The instructor's pages of a class: grades.csv and index.html."""

import csv
import io
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.files import write_atomically
from grader.pages.class_results import Student, read_class
from grader.pages.feedback import environment, format_points
from grader.results.cells import text_cell
from helpers.drive.copies import keep_other

CSV, PAGE = "grades.csv", "index.html"
# In a folder of results: tables of before, and what somebody has in two folders.
REPLACED = ".replaced"
MOST_CAUSES = 12
BINS = 10
CHART_WIDTH, CHART_HEIGHT, CHART_TOP, CHART_BASE = 420, 190, 18, 168


def safe_cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula.

    Example:
        >>> safe_cell("=1+1"), safe_cell(3.5)
        ("'=1+1", '3.5')
    """
    text = format_points(value) if isinstance(value, int | float) else str(value)
    return text_cell(text)


def render_csv(students: Sequence[Student]) -> str:
    """One line for each submission, one column for each exercise."""
    exercises = _exercises(students)
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    is_named = any(student.course[0] for student in students)
    head = ["submission", "score", "max_score", "status", *exercises, "folder"]
    table.writerow([*head, "course"] if is_named else head)
    for student in students:
        points = student.extra["exercises"]
        own = [points.get(name, {}).get("score", "") for name in exercises]
        head = [
            student.extra["name"],
            student.content["score"],
            student.extra["max_score"],
        ]
        row = [*head, student.status, *own, student.id]
        row += [student.course[0]] if is_named else []
        table.writerow([safe_cell(cell) for cell in row])
    return lines.getvalue()


def _exercises(students: Sequence[Student]) -> list[str]:
    found = {name for student in students for name in student.extra["exercises"]}
    return sorted(found, key=lambda name: [part.zfill(3) for part in name.split(".")])


def histogram(shares: Sequence[float]) -> dict[str, Any]:
    """Bars for an inline SVG: how many submissions reached which share."""
    counts = Counter(min(int(share * BINS), BINS - 1) for share in shares)
    highest = max(counts.values(), default=1)
    left, right = 14.0, CHART_WIDTH - 14.0
    width = (right - left) / BINS
    bars = []
    for index in range(BINS):
        height = (CHART_BASE - CHART_TOP) * counts[index] / highest
        percent = index * 100 // BINS
        bars.append(
            {
                "x": round(left + index * width, 1),
                "middle": round(left + (index + 0.5) * width, 1),
                "y": round(CHART_BASE - height, 1),
                "width": round(width - 3, 1),
                "height": round(height, 1),
                "count": counts[index],
                "start": percent,
                "label": f"{percent} to {percent + 100 // BINS} per cent",
            }
        )
    return {
        "bars": bars,
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
        "right": CHART_WIDTH,
        "base": CHART_BASE,
    }


def render_class(
    students: Sequence[Student], titles: Mapping[str, str], level: str
) -> str:
    """The page of the class.

    Args:
        students: all of it.
        titles: exercise -> what it is called.
        level: of the sandbox.
    """
    graded = [student for student in students if student.is_graded]
    scores = [student.content["score"] for student in graded]
    report = {
        "count": len(students),
        "graded": len(graded),
        "level": level,
        "median": format_points(statistics.median(scores)) if scores else "–",
        "most": format_points(
            max((student.extra["max_score"] for student in students), default=0)
        ),
        "full": sum(student.share == 1 for student in graded),
        "troubled": sum(
            bool({"crashed", "timeout"} & set(student.troubles)) for student in graded
        ),
        "notes": sorted({student.course[1] for student in graded} - {""}),
        "causes": _causes(graded),
        "exercises": [
            _exercise(exercise, graded, titles) for exercise in _exercises(graded)
        ],
        "problems": _problems(students),
        "students": [_row(student) for student in students],
    }
    chart = histogram([student.share for student in graded])
    template = environment().get_template("class.html")
    return template.render(report=report, chart=chart)


def _causes(graded: Sequence[Student]) -> list[dict[str, Any]]:
    """How many submissions show each known mistake, the commonest first."""
    counts: Counter[tuple[str, str]] = Counter()
    for student in graded:
        counts.update(
            {
                (test["number"], own["cause"])
                for test, own in _tests(student)
                if own["cause"]
            }
        )
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"exercise": exercise, "text": text, "count": count}
        for (exercise, text), count in ordered[:MOST_CAUSES]
    ]


def _tests(student: Student) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    tests, own = student.content["tests"], student.extra["instructor"]
    return list(zip(tests, own, strict=True))


def _exercise(
    exercise: str, graded: Sequence[Student], titles: Mapping[str, str]
) -> dict[str, Any]:
    categories: Counter[str] = Counter()
    complete, scores, most = 0, [], 0.0
    for student in graded:
        own = [
            outcome for test, outcome in _tests(student) if test["number"] == exercise
        ]
        failed = [told["category"] for told in own if told["category"]]
        categories.update(failed)
        complete += bool(own) and not failed
        points = student.extra["exercises"].get(exercise)
        if points:
            scores.append(points["score"])
            most = points["max_score"]
    return {
        "exercise": exercise,
        "title": titles.get(exercise, ""),
        "percent": round(100 * complete / max(len(scores), 1)),
        "mean": f"{statistics.fmean(scores):.1f}" if scores else "–",
        "most": format_points(most),
        "category": max(
            categories, key=lambda cause: (categories[cause], cause), default="–"
        ),
    }


def _problems(students: Sequence[Student]) -> list[dict[str, str]]:
    rows = []
    for student in students:
        told = [*student.notes, student.later[1], ", ".join(student.troubles)]
        text = (
            " ".join(filter(None, told)) if student.is_graded else student.extra["why"]
        )
        if text:
            rows.append(
                {"name": student.extra["name"], "link": student.link, "text": text}
            )
    return rows


def _row(student: Student) -> dict[str, Any]:
    return {
        "name": student.extra["name"],
        "link": student.link,
        "percent": round(100 * student.share, 1),
        "score": format_points(student.content["score"]),
        "most": format_points(student.extra["max_score"]),
        "status": student.status,
    }


def write_class_report(
    out: Path,
    titles: Mapping[str, str],
    level: str,
    current: Collection[str] | None = None,
    unwritten: Mapping[str, dict[str, Any]] | None = None,
) -> Path | None:
    """Write grades.csv and index.html from all results in a folder.

    Args:
        out, current, unwritten: as read_class's.
        titles: exercise -> what it is called.
        level: of the sandbox.

    Returns:
        Where the table of before is kept, if it was another.
    """
    students = read_class(out, current, unwritten)
    table = render_csv(students).encode("utf-8", "replace")
    kept = keep_other(out / CSV, table, out / REPLACED / CSV)
    write_atomically(out / CSV, table)
    write_atomically(out / PAGE, render_class(students, titles, level))
    return kept
