"""What is compared with torchvision: two images with true boxes, and a difference."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from core.command import CourseError
from core.field_types import read_choice

NUM_CLASSES = 7
BODIES = ("resnet18", "resnet34", "resnet50", "tiny")


@dataclass(frozen=True)
class Scene:
    """Two images of different sizes and their true boxes, in float64.

    Attributes:
        images: (3, H, W) each; the shorter sides are equal, so that torchvision resizes
            neither.
        boxes: for each image (M, 5) of (x1, y1, x2, y2, class). One is for each of
            five levels, one with a location where a level's range ends, two whose areas
            differ by less than 1e8 - area can say, and many small ones.
    """

    images: tuple[torch.Tensor, ...]
    boxes: tuple[torch.Tensor, ...]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(H, W) of each image."""
        return [(image.shape[1], image.shape[2]) for image in self.images]

    @property
    def batch(self) -> torch.Tensor:
        """The images (B, 3, H, W), padded with 0 at right and bottom to 32 pixels."""
        height, width = (
            32 * math.ceil(max(size[side] for size in self.sizes) / 32)
            for side in (0, 1)
        )
        batch = self.images[0].new_zeros(len(self.images), 3, height, width)
        for place, image in enumerate(self.images):
            batch[place, :, : image.shape[1], : image.shape[2]] = image
        return batch

    @property
    def padded_boxes(self) -> torch.Tensor:
        """(B, M, 5), with rows of -1."""
        return nn.utils.rnn.pad_sequence(
            list(self.boxes), batch_first=True, padding_value=-1.0
        )


def make_scene(side: int = 512) -> Scene:
    """The images are noise of several sizes, so that no two places look alike.

    Args:
        side: the shorter one of each image in pixels; a smaller one leaves the coarsest
            levels without a true box.
    """
    part = side / 512
    generator = torch.Generator().manual_seed(0)
    images = []
    for height, width in ((side * 15 // 8, side), (side, side * 19 // 16)):
        image = torch.zeros(1, 3, height, width, dtype=torch.float64)
        for cells in (3, 9, 40, 200):
            noise = torch.randn(1, 3, cells, cells, generator=generator).double()
            image += nn.functional.interpolate(noise, (height, width), mode="bilinear")
        images.append(image[0])
    first = [
        (16, 24, 128, 120, 2),  # 64 pixels from (64, ...): where p3 ends, and p4 begins
        (200, 40, 240, 90, 0),  # p3
        (300, 100, 460, 190, 3),  # p4
        (40, 300, 250, 560, 1),  # p5
        (20, 200, 500, 780, 4),  # p6
        (6, 20, 506, 950, 6),  # p7
        (400, 700, 500, 780, 2),
        (400, 700, 500 - 5e-11, 780, 5),
    ]
    small = [
        (x - 4, y - 5, x + 6, y + 4, (x // 8 + y // 8) % NUM_CLASSES)
        for x in range(24, 600, 32)
        for y in range(40, 500, 64)
    ]
    second = [(50, 60, 130, 110, 3), (30, 40, 580, 470, 1), *small]
    scale = torch.tensor([part, part, part, part, 1.0], dtype=torch.float64)
    boxes = tuple(
        torch.tensor(rows, dtype=torch.float64) * scale for rows in (first, second)
    )
    return Scene(tuple(images), boxes)


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest; infinite where the shapes differ, or a number is no number."""
    if ours.shape != theirs.shape:
        return math.inf
    apart = (ours - theirs).abs()
    if apart.isnan().any():  # it would be lost among others, as max() takes it for less
        return math.inf
    return float(apart.max()) if apart.numel() else 0.0


def read_changes(texts: Sequence[str], config: type) -> dict[str, Any]:
    """Choices of a config by name, of "NAME=VALUE".

    Args:
        config: its dataclass.

    Raises:
        CourseError: there is no such choice, or the value is none of it.
    """
    known = {field.name: field.type for field in dataclasses.fields(config)}
    changes = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise CourseError(f"--set {name}: choose one of {', '.join(known)}")
        changes[name] = read_choice(name, known[name], value)
    return changes
