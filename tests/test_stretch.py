"""Each stretch goal takes a right answer, and says what is wrong with another."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch

from assignment.common import iou, nms
from core.command import CourseError
from helpers.lessons import stretch

ROOT = Path(__file__).resolve().parent.parent


def giou(one, two):
    """As one would write it on top of 1.1."""
    overlap = iou(one, two)
    low = torch.minimum(one[:, None, :2], two[None, :, :2])
    high = torch.maximum(one[:, None, 2:], two[None, :, 2:])
    around = (high - low).prod(dim=2)
    sizes = (one[:, 2:] - one[:, :2]).prod(1)[:, None] + (two[:, 2:] - two[:, :2]).prod(
        1
    )
    union = sizes / (1 + overlap)
    return overlap - (around - union) / around


def giou_loss(one, two):
    """The boxes lie around one point."""
    boxes = [torch.cat((-each[:, :2], each[:, 2:]), dim=1) for each in (one, two)]
    return 1 - giou(*boxes).diagonal()


def each_class(boxes, scores, classes, threshold):
    """Within each class, then all by score."""
    kept = []
    for number in classes.unique():
        own = (classes == number).nonzero()[:, 0]
        kept.append(own[nms(boxes[own], scores[own], threshold)])
    joined = torch.cat(kept)
    return joined[scores[joined].argsort(descending=True)]


def central(locations, boxes, stride, radius):
    """A loop."""
    found = torch.zeros(len(locations), len(boxes), dtype=torch.bool)
    for i, (x, y) in enumerate(locations.tolist()):
        for j, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            far = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2))
            found[i, j] = far < radius * stride
    return found


def ap_101(recall, precision):
    """A loop over the points."""
    total = 0.0
    for point in range(101):
        there = [
            p for r, p in zip(recall, precision, strict=True) if r >= point / 100 - 1e-9
        ]
        total += max(there, default=0.0)
    return total / 101


def soft(boxes, scores):
    """A loop over a list of what is left."""
    new, left = scores.tolist(), list(range(len(scores)))
    overlap = iou(boxes, boxes)
    while left:
        best = max(left, key=lambda place: new[place])
        left.remove(best)
        for other in left:
            new[other] *= 1 - float(overlap[best, other])
    return torch.tensor(new)


def rate(step, warmup, total):
    """Up in a line, down in half a cosine."""
    if step < warmup:
        return step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


RIGHT: dict[str, Callable[..., Any]] = {
    "count_above": lambda scores, least: (scores >= least).sum(),
    "giou": giou,
    "p6_size": lambda h, w: ((-(-h // 32) + 1) // 2, (-(-w // 32) + 1) // 2),
    "bias_for": lambda prior: -math.log((1 - prior) / prior),
    "is_central": central,
    "apply_exp": lambda d, at, stride, scale: (
        torch.cat((at, at), 1)
        + torch.tensor([-1, -1, 1, 1]) * stride * (scale * d).exp()
    ),
    "giou_loss": giou_loss,
    "rate_at": rate,
    "nms_of_each_class": each_class,
    "average_precision_101": ap_101,
    "soft_nms": soft,
    "diou": lambda iou, distance, diagonal: iou - distance**2 / diagonal**2,
    "shrinks_to": lambda channels, layers: (0.0001 * 4.5 * channels) ** (layers / 2),
}


@pytest.mark.parametrize("name", stretch.GOALS)
def test_right_answer_is_taken(name: str, capsys: pytest.CaptureFixture):
    """Written in another way than the check's own."""
    stretch.check(name, RIGHT[name])
    assert capsys.readouterr().out.startswith(f"[x] {name}: right in all ")


@pytest.mark.parametrize("name", stretch.GOALS)
@pytest.mark.parametrize("way", ["nothing", "shape", "value", "crash"])
def test_other_answers_are_not(name: str, way: str, capsys: pytest.CaptureFixture):
    """One line each, never a traceback."""

    def function(*arguments):
        if way == "nothing":
            return None
        if way == "crash":
            raise ZeroDivisionError("division by zero")
        answer = torch.as_tensor(RIGHT[name](*arguments)).double()
        return (
            answer[None].expand(3, *answer.shape) if way == "shape" else answer + 0.01
        )

    stretch.check(name, function)
    said = capsys.readouterr().out
    assert said.startswith(f"[ ] {name}") and said.count("\n") == 1
    words = {
        "nothing": "dots",
        "shape": "shape",
        "value": "expected",
        "crash": "raises",
    }
    assert words[way] in said


def test_each_notebook_has_a_goal_of_its_own():
    """And no goal is without a notebook."""
    used = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        (cell,) = [cell for cell in cells if cell.id == "stretch-try"]
        (text,) = [cell.source for cell in cells if cell.id == "stretch-goal"]
        (name,) = [name for name in RIGHT if f'check("{name}"' in cell.source]
        assert f"`{name}`" in text.splitlines()[0]
        used.append(name)
    assert used == list(stretch.GOALS)


def test_unknown_goal_is_one_sentence():
    """It names those that there are."""
    with pytest.raises(CourseError, match="no stretch goal 'iou'; take count_above"):
        stretch.check("iou", np.sum)
