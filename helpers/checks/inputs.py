"""Inputs that several checks and their pictures share; boxes XYXY in pixels."""

from typing import Any

import torch

from helpers.checks.answers import expect_state

STRIDES = {"p3": 8, "p4": 16, "p5": 32}

# Three levels of a picture of 230 x 160 pixels, a few locations each.
LOCATIONS = {
    "p3": [[12.0, 12.0], [44.0, 20.0], [44.0, 60.0], [100.0, 60.0]],
    "p4": [[24.0, 24.0], [88.0, 56.0], [120.0, 72.0]],
    "p5": [[80.0, 48.0], [16.0, 16.0]],
}
NUM_CLASSES = 8  # of the boxes below
PADDING = [-1.0, -1.0, -1.0, -1.0, -1.0]
LARGE = [60.0, 40.0, 220.0, 150.0, 7.0]
MIDDLE = [0.0, 0.0, 100.0, 80.0, 0.0]  # of class 0, which is no background
SMALL = [8.0, 8.0, 60.0, 44.0, 4.0]
TINY = [4.0, 4.0, 36.0, 28.0, 2.0]  # lies in SMALL, which lies in MIDDLE
# Padding may stand anywhere, and the smallest box is not the first one.
BOXES = [PADDING, LARGE, MIDDLE, SMALL, TINY, PADDING]
# Found by hand: who is inside, whose largest distance fits, who is smallest.
MATCHED = {
    "p3": [TINY, SMALL, MIDDLE, PADDING],
    "p4": [MIDDLE, MIDDLE, LARGE],
    "p5": [LARGE, PADDING],
}

# What FCOS should answer at LOCATIONS, of all levels one after the other; by hand.
TARGET_CLASSES = [row[4] for rows in MATCHED.values() for row in rows]
TARGET_DELTAS = [
    [1.0, 1, 3, 2],
    [4.5, 1.5, 2, 3],
    [5.5, 7.5, 7, 2.5],
    [-1.0] * 4,  # p3
    [1.5, 1.5, 4.75, 3.5],
    [5.5, 3.5, 0.75, 1.5],
    [3.75, 2, 6.25, 4.875],  # p4
    [0.625, 0.25, 4.375, 3.1875],
    [-1.0] * 4,  # p5
]
TARGET_CENTERNESS = [
    0.408248,
    0.471405,
    0.511766,
    -1.0,
    0.367884,
    0.241747,
    0.496139,
    0.105851,
    -1.0,
]

# The boxes and points of the handout that this course grew from.
HANDOUT_BOXES = [
    [10.0, 15, 100, 115, 1],
    [30.0, 20, 40, 30, 1],
    [120.0, 100, 200, 200, 1],
]
HANDOUT_LOCATIONS = [[30.0, 40], [32.0, 29], [125.0, 150]]
HANDOUT_DELTAS = [
    [2.5, 3.125, 8.75, 9.375],
    [0.25, 1.125, 1.0, 0.125],
    [0.625, 6.25, 9.375, 6.25],
]


def tensor(
    student: Any, values: Any, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """A tensor where the student's code is to work."""
    return torch.tensor(values, dtype=dtype, device=student.device)


def levels(student: Any, values: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The same for each level."""
    return {level: tensor(student, rows) for level, rows in values.items()}


def wrong_signs(ltrb: torch.Tensor) -> dict[str, torch.Tensor]:
    """Known mistake -> distances (..., 4) of which one has the wrong sign."""
    return {
        f"the sign of {name} is wrong": ltrb * (1 - 2 * torch.eye(4)[place])
        for place, name in enumerate(("left", "top", "right", "bottom"))
    }


def make_fcos(student: Any) -> Any:
    """A small detector for the classes of BOXES, ready to train."""
    detector = student.make_detector(NUM_CLASSES, 8, [8, 8])
    detector.train()
    return detector


def two_images(student: Any) -> torch.Tensor:
    """True boxes of an image with four objects, and of one without: (2, 6, 5)."""
    return tensor(student, [BOXES, [PADDING] * len(BOXES)])


def make_transparent(pyramid: Any) -> bool:
    """Laterals take the mean of their channels, output convolutions change nothing.

    Returns:
        Whether that was possible: with other layers between, it is not.
    """
    state = expect_state(pyramid.state_dict(), "DetectorBackboneWithFPN")
    for name, old in state.items():
        if not name.startswith("fpn_params."):
            continue
        if old.dim() == 4 and old.shape[2:] == (1, 1):
            state[name] = torch.full_like(old, 1 / old.shape[1])
        elif old.dim() == 4:
            state[name] = torch.zeros_like(old)
            state[name][:, :, 1, 1] = torch.eye(old.shape[0], device=old.device)
        elif name.endswith("bias"):
            state[name] = torch.zeros_like(old)
        else:
            return False
    pyramid.load_state_dict(state)
    return True
