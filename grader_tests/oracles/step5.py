"""Step 5: deltas, boxes from deltas, and centerness."""

import torch

from grader_tests.oracles import slow

STRIDES = (8, 16, 20)


def make(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Locations in boxes and their deltas; predicted deltas and their boxes."""
    made = {}
    for stride in STRIDES:
        boxes = slow.random_boxes(generator, 9, 141, 97)
        share = slow.random(generator, 9, 2, low=0.1, high=0.9)
        points = boxes[:, :2] + share * (boxes[:, 2:] - boxes[:, :2])
        points = (points * 64).round() / 64  # exact in float32
        rows = zip(points.tolist(), boxes.tolist(), strict=True)
        ltrb = [
            [distance / stride for distance in slow.distances(point, b)]
            for point, b in rows
        ]
        case = f"deltas.stride{stride}"
        made[f"{case}.points"] = points
        made[f"{case}.boxes"] = boxes
        made[f"{case}.expected"] = torch.tensor(ltrb, dtype=torch.float64)
        made.update(make_boxes(generator, stride))
    deltas = slow.random(generator, 40, 4, low=0.05, high=9.0)
    values = [slow.centerness(distances) for distances in deltas.tolist()]
    made["centerness.random.deltas"] = deltas
    made["centerness.random.expected"] = torch.tensor(values, dtype=torch.float64)
    return made


def make_boxes(generator: torch.Generator, stride: int) -> dict[str, torch.Tensor]:
    """What boxes come of predicted deltas, of which some are negative."""
    deltas = slow.random(generator, 9, 4, low=-2.0, high=5.0)
    points = slow.random(generator, 9, 2, low=2.0, high=90.0)
    boxes = []
    for (x, y), row in zip(points.tolist(), deltas.tolist(), strict=True):
        left, top, right, bottom = (max(delta, 0.0) * stride for delta in row)
        boxes.append([x - left, y - top, x + right, y + bottom])
    case = f"apply.stride{stride}"
    return {
        f"{case}.deltas": deltas,
        f"{case}.points": points,
        f"{case}.expected": torch.tensor(boxes, dtype=torch.float64),
    }
