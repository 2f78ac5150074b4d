"""Inputs and expected values for targets and losses of a batch."""

import torch

from grader_tests.oracles import slow
from grader_tests.oracles.plain_targets import (
    plain_locations,
    plain_targets,
    stack_targets,
)

Reference = dict[str, torch.Tensor]
HEIGHT, WIDTH = 136, 200  # neither square nor a multiple of 16
NUM_CLASSES = 4
PADDING = -1.0


def _gt_boxes(generator: torch.Generator) -> torch.Tensor:
    """Three images: boxes of all sizes, none at all, one between padding."""
    gt_boxes = torch.full((3, 6, 5), PADDING, dtype=torch.float64)
    large = torch.tensor([[3.0, 2.0, 195.5, 131.25], [20.0, 10.0, 110.5, 97.0]])
    small = slow.random_boxes(generator, 3, 90, 60)
    gt_boxes[0, :5, :4] = torch.cat((large, small + 0.0625))
    gt_boxes[0, :5, 4] = torch.tensor([1.0, 0.0, 3.0, 0.0, 2.0])
    gt_boxes[2, 3, :4] = slow.random_boxes(generator, 1, 120, 100)[0] + 24.0625
    gt_boxes[2, 3, 2:4] += 20.0
    gt_boxes[2, 3, 4] = 0.0
    return gt_boxes


def make(generator: torch.Generator) -> Reference:
    """Everything of this step, as "function.case.name"."""
    gt_boxes = _gt_boxes(generator)
    locations = plain_locations(HEIGHT, WIDTH)
    targets = stack_targets([plain_targets(locations, rows) for rows in gt_boxes])
    made = {"make_targets.batch.gt_boxes": gt_boxes}
    made.update(
        {
            f"make_targets.batch.{name}": values
            for name, values in targets._asdict().items()
        }
    )
    for level, points in locations.items():
        made[f"make_targets.locations.{level}"] = points

    for name, channels, low, high in (
        ("cls", NUM_CLASSES, -4.0, 3.0),
        ("box", 4, -0.5, 4.0),
        ("ctr", 1, -3.0, 3.0),
    ):
        per_level = {
            level: slow.random(generator, 3, len(points), channels, low=low, high=high)
            for level, points in locations.items()
        }
        for level, values in per_level.items():
            # float32 in the file: what a head answers, and half the size
            made[f"training_losses.{name}.{level}"] = values.float()
    return made
