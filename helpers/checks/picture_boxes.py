"""Pictures of boxes: deltas, decoding, NMS, detections; yours beside the expected."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.checks import test_8_inference, test_8_nms
from helpers.checks.expect import CheckError, expect_tensor
from helpers.checks.inputs import (
    HANDOUT_BOXES,
    HANDOUT_DELTAS,
    HANDOUT_LOCATIONS,
    tensor,
)
from helpers.lessons.style import (
    BLACK,
    EXPECTED,
    GREY,
    YOURS,
    add_box,
    add_text,
    make_figure,
)

TITLES = ("expected", "yours")


def as_rows(value: Any, *shape: int) -> torch.Tensor:
    """The student's answer as a tensor of this shape; CheckError if it is not."""
    return expect_tensor(value, "answer", shape=shape).double()


def frame(axes: Axes, width: float, height: float, title: str) -> None:
    """The coordinates of an image: y downwards, equal scales."""
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    axes.set_title(title)


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
        add_box(axes, box, GREY)
        margin = 0.15 * (box[2] - box[0])
        axes.set_xlim(box[0] - margin, box[2] + margin)
        axes.set_ylim(box[3] + margin, box[1] - margin)
        axes.set_title(f"location {index}")
        for ltrb, color, width in ((right, EXPECTED, 7), (mine, YOURS, 2.5)):
            left, top, to_right, bottom = ltrb[index]
            for dx, dy in ((-left, 0), (0, -top), (to_right, 0), (0, bottom)):
                axes.plot([x, x + dx], [y, y + dy], color=color, linewidth=width)
        axes.scatter([x], [y], s=50, color="white", edgecolors=BLACK, zorder=4)
    figure.suptitle(
        "deltas x stride, from the location to the edges: expected wide (orange), "
        "yours narrow (blue)"
    )
    return figure


def draw_decoded(student: Any) -> Figure:
    """Boxes that come back from deltas."""
    given = student.one_stage_detector.fcos_apply_deltas_to_locations(
        tensor(student, HANDOUT_DELTAS), tensor(student, HANDOUT_LOCATIONS), 8
    )
    return _two_panels(
        (torch.tensor(HANDOUT_BOXES)[:, :4].tolist(), as_rows(given, 3, 4).tolist()),
        ["0", "1", "2"],
        (215, 215),
        "Boxes from deltas",
    )


def _two_panels(
    boxes: tuple[Sequence[Any], Sequence[Any]],
    labels: Sequence[str],
    size: tuple[float, float],
    title: str,
) -> Figure:
    """Expected boxes beside yours, in an image of (W, H)."""
    figure, panels = make_figure(1, 2, height=3.8)
    for axes, name, rows, color in zip(
        panels, TITLES, boxes, (EXPECTED, YOURS), strict=True
    ):
        frame(axes, *size, name)
        for index, box in enumerate(rows):
            add_box(axes, box, color)
            label = labels[index] if index < len(labels) else "?"
            add_text(axes, box[0] + 1, box[1] + 1, label, color)
    figure.suptitle(title)
    return figure


def draw_nms(student: Any) -> Figure:
    """All boxes, those that should stay, and those that you keep."""
    boxes, scores = test_8_nms.BOXES, test_8_nms.SCORES
    given = student.common.nms(tensor(student, boxes), tensor(student, scores), 0.5)
    kept = [int(index) for index in expect_tensor(given, "answer").reshape(-1)]
    if any(not 0 <= index < len(boxes) for index in kept):
        raise CheckError("wrong value", "nms", "an index is out of range")
    figure, panels = make_figure(1, 3, height=3.6)
    for axes, title, shown, color in zip(
        panels,
        ("all boxes", *TITLES),
        (range(len(boxes)), (1, 3), kept),
        (GREY, EXPECTED, YOURS),
        strict=True,
    ):
        frame(axes, 54, 48, title)
        for index in shown:
            add_box(axes, boxes[index], color)
            x = boxes[index][0] + (0 if index == 3 else 6 * index)
            add_text(axes, x, boxes[index][3] + 2, f"{scores[index]}", color)
    figure.suptitle("NMS with threshold 0.5; the numbers are scores")
    return figure


def draw_detections(student: Any) -> Figure:
    """What is found in the small example of the check."""
    found, _, _ = test_8_inference.detect(student)
    boxes = expect_tensor(found[0], "answer").reshape(-1, 4).tolist()
    scores = expect_tensor(found[2], "answer").reshape(-1).tolist()
    expected = [f"{each:.2f}" for each in test_8_inference.SCORES]
    size = (test_8_inference.WIDTH + 14, test_8_inference.HEIGHT + 2)
    figure = _two_panels(
        (test_8_inference.BOXES, boxes), expected, size, "Detections and their scores"
    )
    for axes in figure.axes:
        image = (0, 0, test_8_inference.WIDTH, test_8_inference.HEIGHT)
        add_box(axes, image, GREY, linewidth=1, linestyle=":")
    for text, score in zip(figure.axes[1].texts, scores, strict=False):
        text.set_text(f"{score:.2f}")
    return figure
