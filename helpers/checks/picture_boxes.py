"""Pictures of boxes: deltas, decoding, NMS, detections; yours beside the expected."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.checks import test_8_inference
from helpers.checks.expect import CheckError, expect_tensor
from helpers.checks.inputs import (
    HANDOUT_BOXES,
    HANDOUT_DELTAS,
    HANDOUT_LOCATIONS,
    tensor,
)
from helpers.show.style import (
    BLACK,
    EXPECTED,
    GREY,
    YOURS,
    make_figure,
)

TITLES = ("expected", "yours")
# Locations, deltas at stride 8, and the boxes that they give.
DECODED = (
    [[30.0, 40.0], [150.0, 40.0], [125.0, 150.0]],
    [[2.5, 3.125, 8.75, 9.375], [2.5, -2.5, 5.0, 6.25], [0.625, 6.25, 9.375, 6.25]],
    [[10.0, 15, 100, 115], [130.0, 40, 190, 90], [120.0, 100, 200, 200]],
)
# Groups of three and of two; in each the best overlaps the others by more than half.
CROWD = [
    [4.0, 4, 28, 24],
    [8.0, 6, 32, 26],
    [12.0, 9, 36, 28],
    [36.0, 30, 56, 42],
    [36.0, 30, 62, 46],
]
CROWD_SCORES, CROWD_KEPT = [0.7, 0.9, 0.6, 0.8, 0.5], (1, 3)


def as_rows(value: Any, *shape: int) -> torch.Tensor:
    """The student's answer as a tensor of this shape; CheckError if it is not."""
    return expect_tensor(value, "answer", shape=shape).double()


def frame(axes: Axes, width: float, height: float, title: str) -> None:
    """The coordinates of an image: y downwards, equal scales."""
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    axes.set_title(title)


def outline(axes: Axes, box: Sequence[float], colour: str, **line: Any) -> None:
    """A box on white ground."""
    x1, y1, x2, y2 = box[:4]
    style = {"fill": False, "edgecolor": colour, "linewidth": 2.0, **line}
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **style))


def corner_text(axes: Axes, box: Sequence[float], text: str, colour: str) -> None:
    """A text within the lower right corner of a box."""
    plate: dict[str, Any] = {"facecolor": "white", "edgecolor": colour, "pad": 1.5}
    place: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 9}
    axes.text(box[2], box[3], text, bbox=plate, clip_on=True, **place)


def draw_deltas(student: Any) -> Figure:
    """Distances from each location to the edges of its box, as arrows."""
    given = student.one_stage_detector.fcos_get_deltas_from_locations(
        tensor(student, HANDOUT_LOCATIONS), tensor(student, HANDOUT_BOXES), 8
    )
    mine = (as_rows(given, 3, 4) * 8).tolist()
    right = (torch.tensor(HANDOUT_DELTAS) * 8).tolist()
    figure, panels = make_figure(1, 3, height=3.6)
    for index, axes in enumerate(panels):
        box, (x, y) = HANDOUT_BOXES[index], HANDOUT_LOCATIONS[index]
        outline(axes, box, GREY)
        margin = 0.15 * (box[2] - box[0])
        axes.set_xlim(box[0] - margin, box[2] + margin)
        axes.set_ylim(box[3] + margin, box[1] - margin)
        axes.set_title(f"location {index}")
        for ltrb, colour, width in ((right, EXPECTED, 7), (mine, YOURS, 2.5)):
            left, top, to_right, bottom = ltrb[index]
            for dx, dy in ((-left, 0), (0, -top), (to_right, 0), (0, bottom)):
                axes.plot([x, x + dx], [y, y + dy], color=colour, linewidth=width)
        axes.scatter([x], [y], s=50, color="white", edgecolors=BLACK, zorder=4)
    figure.suptitle(
        "deltas x stride, from the location to the edges: expected wide (orange), "
        "yours narrow (blue)"
    )
    return figure


def draw_decoded(student: Any) -> Figure:
    """Boxes that come back from deltas, one of which is negative."""
    points, deltas, boxes = DECODED
    given = student.one_stage_detector.fcos_apply_deltas_to_locations(
        tensor(student, deltas), tensor(student, points), 8
    )
    figure = _two_panels(
        (boxes, as_rows(given, 3, 4).tolist()),
        (["0", "1", "2"], ["0", "1", "2"]),
        (215, 215),
        "Boxes from deltas; points: their locations. The top delta of 1 is negative",
    )
    for axes in figure.axes:
        x, y = zip(*points, strict=True)
        axes.scatter(x, y, s=30, color="white", edgecolors=BLACK)
    return figure


def _two_panels(
    boxes: tuple[Sequence[Any], Sequence[Any]],
    labels: tuple[Sequence[str], Sequence[str]],
    size: tuple[float, float],
    title: str,
) -> Figure:
    """Expected boxes beside yours, in an image of (W, H)."""
    figure, panels = make_figure(1, 2, height=3.8)
    for axes, name, rows, texts, colour in zip(
        panels, TITLES, boxes, labels, (EXPECTED, YOURS), strict=True
    ):
        frame(axes, *size, name)
        for box, text in zip(rows, texts, strict=False):
            outline(axes, box, colour)
            corner_text(axes, box, text, colour)
    figure.suptitle(title)
    return figure


def draw_nms(student: Any) -> Figure:
    """All boxes, those that should stay, and those that you keep."""
    boxes, scores = tensor(student, CROWD), tensor(student, CROWD_SCORES)
    given = student.common.nms(boxes, scores, 0.5)
    kept = [int(index) for index in expect_tensor(given, "answer").reshape(-1)]
    if any(not 0 <= index < len(CROWD) for index in kept):
        raise CheckError("wrong value", "nms", "an index is out of range")
    figure, panels = make_figure(1, 3, height=2.9)
    for axes, title, shown, colour in zip(
        panels,
        ("all boxes", *TITLES),
        (range(len(CROWD)), CROWD_KEPT, kept),
        (GREY, EXPECTED, YOURS),
        strict=True,
    ):
        frame(axes, 66, 50, title)
        for index in shown:
            outline(axes, CROWD[index], colour)
        for index in shown:
            corner_text(axes, CROWD[index], f"{CROWD_SCORES[index]}", colour)
    figure.suptitle("NMS with threshold 0.5; the numbers are scores")
    return figure


def draw_detections(student: Any) -> Figure:
    """What is found in the small example of the check."""
    found, _, _ = test_8_inference.detect(student)
    boxes = expect_tensor(found[0], "answer").reshape(-1, 4).tolist()
    scores = expect_tensor(found[2], "answer").reshape(-1).tolist()
    width, height = test_8_inference.WIDTH, test_8_inference.HEIGHT
    texts = [
        [f"{score:.2f}" for score in numbers]
        for numbers in (test_8_inference.SCORES, scores)
    ]
    figure = _two_panels(
        (test_8_inference.BOXES, boxes),
        (texts[0], texts[1]),
        (width + 14, height + 4),
        "Detections and their scores; the image ends at the dotted line",
    )
    for axes in figure.axes:
        outline(axes, (0, 0, width, height), GREY, linestyle=":", linewidth=1.5)
    return figure
