"""Stretch goals at the end of the notebooks: `stretch.check("giou", giou)` tries yours.

Each goal is a function of your own, written in a cell. It is held against torchvision
or against the formula itself, on inputs that are not square.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision import ops

from core.command import CourseError

Function = Callable[..., Any]
STRIDE = 8
LOCATIONS = torch.tensor([[12.0, 4.0], [20.0, 12.0], [44.0, 20.0], [4.0, 28.0]])
BOXES = torch.tensor([[2.0, 1, 60, 40], [0, 0, 24, 16], [-10, 6, 30, 50]])
OTHERS = torch.tensor([[2.0, 1, 60, 40], [70, 3, 90, 80], [12, 2, 40, 9]])
DISTANCES = torch.tensor([[0.5, 1.0, 2.0, 0.25], [3.0, 0.0, 1.5, 4.0]])
SCORES = torch.tensor([0.9, 0.8, 0.75, 0.6, 0.5])
MANY = torch.tensor(
    [[0.0, 0, 30, 20], [2, 1, 31, 20], [1, 0, 29, 21], [60, 5, 90, 30], [61, 5, 91, 30]]
)
CLASSES = torch.tensor([0, 0, 1, 2, 2])


def check(name: str, function: Function) -> None:
    """Try a stretch goal, and say how it went.

    Args:
        name: of the goal, as its notebook calls it.
        function: yours.

    Raises:
        CourseError: there is no such goal.
    """
    if name not in GOALS:
        raise CourseError(f"there is no stretch goal {name!r}; take {', '.join(GOALS)}")
    for arguments, expected in GOALS[name]():
        shown = ", ".join(map(_short, arguments))
        try:
            answer = function(*arguments)
            if answer is None:
                print(f"[ ] {name}: replace the dots by your code")
                return
            found = torch.as_tensor(answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            print(f"[ ] {name}({shown}) raises {type(error).__name__}: {error}")
            return
        expected = torch.as_tensor(expected)
        if found.shape != expected.shape:
            print(
                f"[ ] {name}({shown}): the shape is {tuple(found.shape)}, "
                f"expected {tuple(expected.shape)}"
            )
            return
        if not torch.allclose(found.double(), expected.double(), atol=1e-4):
            print(
                f"[ ] {name}({shown}) is {_short(found)}, expected {_short(expected)}"
            )
            return
    print(f"[x] {name}: right in all {len(list(GOALS[name]()))} cases. Well done!")


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor) and value.numel() > 4:
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"an array {value.shape}"
    if isinstance(value, torch.Tensor):
        return str([round(each, 4) for each in value.flatten().tolist()])
    return f"{value:.4g}" if isinstance(value, float) else str(value)


Cases = list[tuple[tuple[Any, ...], Any]]


def _giou() -> Cases:
    pairs = [(BOXES, OTHERS), (BOXES[:1], OTHERS), (BOXES[:0], OTHERS)]
    return [(pair, ops.generalized_box_iou(*pair)) for pair in pairs]


def _p6_size() -> Cases:
    halve = nn.Conv2d(1, 1, kernel_size=3, stride=2, padding=1)
    found: Cases = []
    for height, width in ((800, 1066), (128, 192), (150, 211), (33, 65)):
        p5 = torch.zeros(1, 1, math.ceil(height / 32), math.ceil(width / 32))
        found.append(((height, width), tuple(halve(p5).shape[-2:])))
    return found


def _bias_for() -> Cases:
    return [((p,), math.log(p / (1 - p))) for p in (0.01, 0.5, 0.001, 0.9)]


def _is_central() -> Cases:
    found: Cases = []
    for radius in (1.5, 0.5):
        middle = (BOXES[:, :2] + BOXES[:, 2:]) / 2
        off = (LOCATIONS[:, None] - middle[None]).abs()
        near = (off < radius * STRIDE).all(dim=2)
        found.append(((LOCATIONS, BOXES, STRIDE, radius), near))
    return found


def _apply_exp() -> Cases:
    found: Cases = []
    for scale in (1.0, 0.5):
        reach = STRIDE * torch.exp(scale * DISTANCES)
        boxes = torch.cat(
            (LOCATIONS[:2] - reach[:, :2], LOCATIONS[:2] + reach[:, 2:]), 1
        )
        found.append(((DISTANCES, LOCATIONS[:2], STRIDE, scale), boxes))
    return found


def _giou_loss() -> Cases:
    target = DISTANCES.flip(0) + 0.5

    def boxes(ltrb: torch.Tensor) -> torch.Tensor:
        return torch.cat((-ltrb[:, :2], ltrb[:, 2:]), dim=1)

    pairs = [(DISTANCES + 0.1, target), (target, target)]
    return [
        (pair, ops.generalized_box_iou_loss(boxes(pair[0]), boxes(pair[1])))
        for pair in pairs
    ]


def _rate_at() -> Cases:
    found: Cases = []
    for step in (0, 50, 100, 550, 1000):
        rise = min(1.0, step / 100)
        fall = 0.5 * (1 + math.cos(math.pi * max(0, step - 100) / 900))
        found.append(((step, 100, 1000), rise * fall))
    return found


def _nms_of_each_class() -> Cases:
    return [
        (
            (MANY, SCORES, CLASSES, threshold),
            ops.batched_nms(MANY, SCORES, CLASSES, threshold),
        )
        for threshold in (0.5, 0.99)
    ]


def _average_precision_101() -> Cases:
    found: Cases = []
    for correct, objects in (((1, 1, 0, 1, 0, 0, 1), 4), ((0, 1), 3)):
        hits = np.cumsum(correct)
        recall, precision = hits / objects, hits / np.arange(1, len(correct) + 1)
        heights = [
            max(precision[recall >= point - 1e-9], default=0.0)
            for point in np.linspace(0, 1, 101)
        ]
        found.append(((recall, precision), float(np.mean(heights))))
    return found


def _soft_nms() -> Cases:
    found: Cases = []
    for boxes, scores in (
        (MANY, SCORES),
        (MANY, SCORES.flip(0)),
        (MANY[:1], SCORES[:1]),
    ):
        left, kept = scores.clone(), torch.zeros(len(scores), dtype=torch.bool)
        for _ in scores:
            best = int(left.masked_fill(kept, -1.0).argmax())
            kept[best] = True
            shrink = 1 - ops.box_iou(boxes[best : best + 1], boxes)[0]
            left = torch.where(kept, left, left * shrink)
        found.append(((boxes, scores), left))
    return found


def _count_above() -> Cases:
    return [((SCORES, t), int((t <= SCORES).sum())) for t in (0.5, 0.75, 0.95, 0.0)]


def _shrinks_to() -> Cases:
    return [
        ((channels, layers), (0.01 * math.sqrt(9 * channels / 2)) ** layers)
        for channels, layers in ((64, 1), (64, 4), (256, 4), (128, 2))
    ]


def _diou() -> Cases:
    cases = ((0.5, 3.0, 10.0), (0.0, 40.0, 50.0), (1.0, 0.0, 7.0))
    return [(case, case[0] - (case[1] / case[2]) ** 2) for case in cases]


# Name of a goal -> its arguments and the right answers.
GOALS: dict[str, Callable[[], Cases]] = {
    "count_above": _count_above,
    "giou": _giou,
    "p6_size": _p6_size,
    "bias_for": _bias_for,
    "is_central": _is_central,
    "apply_exp": _apply_exp,
    "giou_loss": _giou_loss,
    "rate_at": _rate_at,
    "nms_of_each_class": _nms_of_each_class,
    "average_precision_101": _average_precision_101,
    "shrinks_to": _shrinks_to,
    "diou": _diou,
    "soft_nms": _soft_nms,
}
