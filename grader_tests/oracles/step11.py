"""Step 11: centre sampling, targets of a batch, boxes that overlap, three losses."""

import torch

from core.fcos_config import FCOSConfig
from grader_tests.oracles import slow
from grader_tests.oracles.plain_matching import (
    STRIDES,
    is_near,
    matches,
)

HEIGHT, WIDTH = 40, 72  # of the padded images; large boxes reach beyond
NUM_CLASSES = 3
NUM_PAIRS = 12
RADII = (12.0, 24.0)  # of two levels
OFF_GRID = 1 / 16  # no location is on the edge of a box
LEAST_DIFFERENCE = 10.0  # of areas, so that 1e8 - area tells them apart in float32
# One box for each level from p4 on: its largest distance fits, its centre is near.
LARGE = (
    [-60.0, -40.0, 110.0, 80.0],
    [-130.0, -90.0, 180.0, 150.0],
    [-300.0, -200.0, 350.0, 270.0],
    [-600.0, -500.0, 700.0, 560.0],
)
CLASSES = (1.0, 0.0, 2.0, 1.0, 0.0, 2.0)
Reference = dict[str, torch.Tensor]


def make(generator: torch.Generator) -> Reference:
    """Everything of this step, as "function.case.name"."""
    return {
        **make_near(generator),
        **make_pairs(generator),
        **make_batch(generator),
    }


def all_locations(strides: dict[str, int]) -> dict[str, torch.Tensor]:
    """For each level (n, 2) of (x, y) in the middle of its cells, row by row."""
    return {
        level: torch.tensor(
            [
                [stride * (j + 0.5), stride * (i + 0.5)]
                for i in range(-(-HEIGHT // stride))
                for j in range(-(-WIDTH // stride))
            ],
            dtype=torch.float64,
        )
        for level, stride in strides.items()
    }


def make_near(generator: torch.Generator) -> Reference:
    """Locations of two levels, and boxes of three images."""
    coarse = slow.random(generator, 12, 2, high=70.0).round()
    fine = slow.random(generator, 12, 2, high=70.0).round()
    radius = torch.tensor([radius for radius in RADII for _ in range(12)]).double()
    points = torch.cat((fine, coarse))
    boxes = torch.stack([slow.random_boxes(generator, 5, 70, 50) for _ in range(3)])
    table = [
        [
            [is_near(point, box, reach) for box in image]
            for point, reach in zip(points.tolist(), radius.tolist(), strict=True)
        ]
        for image in boxes.tolist()
    ]
    return {
        "is_near_centre.batch.locations": points,
        "is_near_centre.batch.boxes": boxes,
        "is_near_centre.batch.radius": radius,
        "is_near_centre.batch.expected": torch.tensor(table),
    }


def make_pairs(generator: torch.Generator) -> Reference:
    """Distances of predicted and true boxes; no two are equal."""
    shape = (NUM_PAIRS, 4)
    pred = (slow.random(generator, *shape, low=0.5, high=30.0) * 8).round() / 8
    true = (slow.random(generator, *shape, low=0.5, high=30.0) * 8).round() / 8
    return {"pairs.random.pred": pred + OFF_GRID, "pairs.random.true": true}


def _gt_boxes(generator: torch.Generator) -> torch.Tensor:
    """Three images: boxes of all levels, none, some between padding."""
    gt_boxes = torch.full((3, 7, 5), slow.BACKGROUND, dtype=torch.float64)
    large = torch.tensor(LARGE, dtype=torch.float64)
    moved = slow.random(generator, 4, 4, low=-4.0, high=4.0)
    large += (moved * 8).round() / 8
    small = slow.random_boxes(generator, 4, WIDTH, HEIGHT)
    first = torch.stack((large[3], small[0], large[0], large[1], small[1], large[2]))
    gt_boxes[0, [0, 1, 2, 4, 5, 6], :4] = first + OFF_GRID
    gt_boxes[0, [0, 1, 2, 4, 5, 6], 4] = torch.tensor(CLASSES).double()
    last = torch.stack((small[2], large[1] - 3, small[3], large[0] + 2))
    gt_boxes[2, [1, 3, 4, 6], :4] = last + OFF_GRID
    gt_boxes[2, [1, 3, 4, 6], 4] = torch.tensor([2.0, 0, 1, 0]).double()
    return gt_boxes


def _is_clear(gt_boxes: torch.Tensor) -> bool:
    """All levels have a match, of small boxes too; no two areas are nearly alike."""
    matched = matches(all_locations(STRIDES), STRIDES, gt_boxes, FCOSConfig())
    sizes = [len(points) for points in all_locations(STRIDES).values()]
    is_used = [bool((own[..., 4] != -1).any()) for own in matched.split(sizes, dim=1)]
    number = len(matched[0, :, 4][matched[0, :, 4] != -1].unique())
    for rows in gt_boxes:
        boxes = rows[rows[:, 4] != -1]
        areas = (boxes[:, 2:4] - boxes[:, :2]).prod(dim=1).sort().values
        if len(areas) and float(areas.diff().min()) < LEAST_DIFFERENCE:
            return False
    return all(is_used) and number == NUM_CLASSES


def make_batch(generator: torch.Generator) -> Reference:
    """True boxes of three images, and what a head may say of them."""
    gt_boxes = _gt_boxes(generator)
    while not _is_clear(gt_boxes):
        gt_boxes = _gt_boxes(generator)
    made = {"batch.gt_boxes": gt_boxes}
    made = {f"training_losses.{name}": value for name, value in made.items()}
    for level, points in all_locations(STRIDES).items():
        for name, channels, low, high in (
            ("cls", NUM_CLASSES, -3.0, 2.0),
            ("box", 4, 0.25, 6.0),
            ("ctr", 1, -2.0, 3.0),
        ):
            shape = (3, len(points), channels)
            values = slow.random(generator, *shape, low=low, high=high)
            # Float32 holds them exactly, so that a float64 loop may read them.
            made[f"training_losses.{name}.{level}"] = values.float()
    return made
