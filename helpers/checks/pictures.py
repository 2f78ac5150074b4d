"""Your answer beside the expected one, where a picture says more than numbers.

Boxes XYXY in pixels; the expected values are those of the checks, found by hand.
"""

from collections.abc import Callable
from typing import Any

import torch
from matplotlib.figure import Figure

from core.time_limit import TimeLimitError, time_limit
from helpers.checks.inputs import (
    BOXES,
    LOCATIONS,
    MATCHED,
    STRIDES,
    levels,
    tensor,
)
from helpers.checks.picture_boxes import (
    TITLES,
    as_rows,
    draw_decoded,
    draw_deltas,
    draw_detections,
    draw_nms,
    frame,
    outline,
)
from helpers.show.style import (
    BLACK,
    BLUE,
    EXPECTED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    YOURS,
    make_figure,
)

Drawing = Callable[[Any], Figure]
LEVEL_MARKERS = {"p3": "o", "p4": "s", "p5": "^"}
BOX_COLOURS = (ORANGE, BLUE, GREEN, PURPLE)
DRAW_LIMIT_S = 10.0
STRIDE, ROWS, COLUMNS = 16, 3, 5  # of the picture of locations
# Of a box (2, 4, 50, 30) at stride 8, 4 rows and 6 columns; the first row is outside.
CENTERNESS = [
    [-1.0] * 6,
    [0.1390, 0.3420, 0.5164, 0.6132, 0.4278, 0.2520],
    [0.1648, 0.4056, 0.6124, 0.7272, 0.5073, 0.2988],
    [0.0602, 0.1481, 0.2236, 0.2655, 0.1852, 0.1091],
]


def draw_picture(number: str, student: Any) -> Figure | None:
    """The picture of an exercise, or None: it has none, or the code answers nothing.

    Args:
        number: of the exercise, "4.1".
        student: what checks see of the code.
    """
    draw = DRAWINGS.get(number)
    if draw is None:
        return None
    try:
        with time_limit(DRAW_LIMIT_S):
            return draw(student)
    # Whatever the code raises, the check has said it already.
    except (Exception, SystemExit, TimeLimitError):  # noqa: BLE001
        return None


def draw_locations(student: Any) -> Figure:
    """The way through all locations, in their order."""
    given = student.common.get_fpn_location_coords(
        {"p4": (1, 8, ROWS, COLUMNS)}, {"p4": STRIDE}
    )
    mine = as_rows(given["p4"], ROWS * COLUMNS, 2)
    middle = STRIDE // 2
    right = torch.tensor(
        [
            (middle + STRIDE * column, middle + STRIDE * row)
            for row in range(ROWS)
            for column in range(COLUMNS)
        ]
    ).double()
    figure, panels = make_figure(1, 2, height=3.2)
    width, height = STRIDE * COLUMNS, STRIDE * ROWS
    reach = max(float(mine.max()) + middle, width)
    for axes, title, points, colour in zip(
        panels, TITLES, (right, mine), (EXPECTED, YOURS), strict=True
    ):
        frame(axes, reach, max(float(mine[:, 1].max()) + middle, height), title)
        axes.set_xlabel("x")
        axes.set_ylabel("y")
        outline(axes, (0, 0, width, height), GREY)
        axes.plot(points[:, 0], points[:, 1], color=colour, linewidth=1.5)
        for index, (x, y) in enumerate(points.tolist()):
            style = {"boxstyle": "circle", "facecolor": "white", "edgecolor": colour}
            axes.text(
                x, y, str(index), ha="center", va="center", fontsize=8, bbox=style
            )
    figure.suptitle(f"Locations of H = {ROWS}, W = {COLUMNS}, stride {STRIDE}")
    return figure


def draw_matching(student: Any) -> Figure:
    """Each location in the colour of its box."""
    given = student.one_stage_detector.fcos_match_locations_to_gt(
        levels(student, LOCATIONS), STRIDES, tensor(student, BOXES)
    )
    mine = {
        level: as_rows(given[level], len(rows), 5) for level, rows in MATCHED.items()
    }
    right = {level: torch.tensor(rows).double() for level, rows in MATCHED.items()}
    boxes = BOXES[1:-1]
    figure, panels = make_figure(1, 2, height=3.8)
    for axes, title, matched in zip(panels, TITLES, (right, mine), strict=True):
        frame(axes, 230, 160, title)
        for box, colour in zip(boxes, BOX_COLOURS, strict=True):
            outline(axes, box, colour, linewidth=3)
        for level, points in LOCATIONS.items():
            for (x, y), row in zip(points, matched[level].tolist(), strict=True):
                colour = BOX_COLOURS[boxes.index(row)] if row in boxes else "white"
                axes.scatter(
                    [x],
                    [y],
                    s=70,
                    marker=LEVEL_MARKERS[level],
                    color=colour,
                    edgecolors=BLACK,
                    zorder=4,
                )
    figure.suptitle(
        "Each location has the colour of its box; white: background\n"
        "circles p3, squares p4, triangles p5"
    )
    return figure


def draw_centerness(student: Any) -> Figure:
    """Centerness at all locations of a small map."""
    right = torch.tensor(CENTERNESS)
    rows, columns = right.shape
    x = 8.0 * torch.arange(columns).repeat(rows) + 4
    y = 8.0 * torch.arange(rows).repeat_interleave(columns) + 4
    deltas = torch.stack((x - 2, y - 4, 50 - x, 30 - y), dim=1)
    deltas[:columns] = -1.0  # background
    given = student.one_stage_detector.fcos_make_centerness_targets(
        tensor(student, deltas.tolist())
    )
    mine = as_rows(given, rows * columns).reshape(rows, columns)
    figure, panels = make_figure(1, 2, height=3.2)
    for axes, title, values in zip(panels, TITLES, (right, mine), strict=True):
        axes.imshow(values.numpy(), cmap="cividis", vmin=-1, vmax=1)
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
        for row in range(rows):
            for column in range(columns):
                value = float(values[row, column])
                colour = "white" if value < 0 else "black"
                text = f"{value:.2f}"
                axes.text(column, row, text, color=colour, ha="center", va="center")
    figure.suptitle("Centerness in a box; the first row of locations is background")
    return figure


DRAWINGS: dict[str, Drawing] = {
    "4.1": draw_locations,
    "4.5": draw_matching,
    "5.1": draw_deltas,
    "5.2": draw_decoded,
    "5.3": draw_centerness,
    "8.1": draw_nms,
    "8.2": draw_detections,
}
