"""Step 4: locations, and which true box each is responsible for."""

import math

import torch

from grader_tests.oracles import slow

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
RANGES = {"p3": (0.0, 64.0), "p4": (64.0, 128.0), "p5": (128.0, math.inf)}
IMAGE = (211, 333)  # height, width
NUM_BOXES = 14
NUM_PADDING = 3
NUM_CLASSES = 5
OFF_GRID = 1 / 16
LEAST_DIFFERENCE = 10.0  # of areas in square pixels
MOST_ROWS, MOST_COLUMNS = 5, 9


def make(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Grids, distances, candidates, choices and matches."""
    return {
        **make_locations(generator),
        **make_distances(generator),
        **make_choices(generator),
        **make_matches(generator),
    }


def locations(height: int, width: int, stride: float) -> torch.Tensor:
    """(H * W, 2) of (x, y), row by row."""
    points = [
        [stride * (j + 0.5), stride * (i + 0.5)]
        for i in range(height)
        for j in range(width)
    ]
    return torch.tensor(points, dtype=torch.float64)


def make_locations(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """A grid for each level; always more columns than rows."""
    made = {}
    for level, stride in STRIDES.items():
        rows = int(torch.randint(2, MOST_ROWS, (1,), generator=generator))
        columns = int(torch.randint(MOST_ROWS, MOST_COLUMNS, (1,), generator=generator))
        made[f"locations.{level}.size"] = torch.tensor([rows, columns])
        made[f"locations.{level}.expected"] = locations(rows, columns, stride)
    return made


def make_distances(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Points and boxes of which most do not hold the point."""
    points = (slow.random(generator, 9, 2, high=60.0) * 8).round() / 8
    boxes = slow.random_boxes(generator, 6, 61, 37)
    table = [
        [slow.distances(point, b) for b in boxes.tolist()] for point in points.tolist()
    ]
    return {
        "distances.random.points": points,
        "distances.random.boxes": boxes,
        "distances.random.expected": torch.tensor(table, dtype=torch.float64),
    }


def make_choices(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Distances for is_candidate; tables of candidates and areas for the choice."""
    ltrb = (slow.random(generator, 30, 5, 4, low=-12.0, high=150.0) * 8).round() / 8
    made = {"candidates.random.ltrb": ltrb}
    for level, (low, high) in RANGES.items():
        rows = [
            [min(distances) > 0 and low < max(distances) <= high for distances in row]
            for row in ltrb.tolist()
        ]
        made[f"candidates.random.{level}"] = torch.tensor(rows)
    is_candidate = slow.random(generator, 40, 6) < 0.25
    is_candidate[0] = False
    is_candidate[1] = True
    areas = slow.random(generator, 6, low=20.0, high=900.0).round()
    areas[4] = areas[1]  # two boxes of one size
    picked = []
    for row in is_candidate.tolist():
        indices = [index for index, is_in in enumerate(row) if is_in]
        picked.append(min(indices, key=lambda i: float(areas[i]), default=-1))
    made["pick.random.is_candidate"] = is_candidate
    made["pick.random.areas"] = areas
    made["pick.random.expected"] = torch.tensor(picked)
    return made


def boxes_of_clear_areas(
    generator: torch.Generator, width: float, height: float
) -> torch.Tensor:
    """(NUM_BOXES, 4) with no two areas nearly alike and no distance on a border.

    Locations are at whole pixels and these edges are not, so no distance is 0, 64 or
    128; those cases have tests of their own.
    """
    while True:
        boxes = slow.random_boxes(generator, NUM_BOXES, width, height)
        boxes[0] = torch.tensor([11.0, 9, 325, 205])  # large: a box for p5
        boxes[1] = torch.tensor([20.0, 30, 190, 130])  # and one for p4
        boxes = boxes + OFF_GRID
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sort().values
        if float(areas.diff().min()) > LEAST_DIFFERENCE:
            return boxes


def make_matches(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """True boxes with padding between them, and the row of every location."""
    height, width = IMAGE
    boxes = boxes_of_clear_areas(generator, width, height)
    classes = torch.randint(0, NUM_CLASSES, (NUM_BOXES,), generator=generator)
    rows = torch.cat((boxes, classes[:, None].double()), dim=1)
    padding = torch.full((NUM_PADDING, 5), slow.BACKGROUND, dtype=torch.float64)
    order = torch.randperm(NUM_BOXES + NUM_PADDING, generator=generator)
    rows = torch.cat((rows, padding))[order]
    made = {"match.random.rows": rows}
    background = [slow.BACKGROUND] * 5
    for level, stride in STRIDES.items():
        points = locations(-(-height // stride), -(-width // stride), stride)
        found = [
            slow.match(point, RANGES[level], rows.tolist()) for point in points.tolist()
        ]
        matched = [rows[i].tolist() if i >= 0 else background for i in found]
        made[f"match.points.{level}"] = points
        made[f"match.expected.{level}"] = torch.tensor(matched, dtype=torch.float64)
    return made
