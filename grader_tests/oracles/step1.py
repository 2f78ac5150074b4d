"""Step 1, boxes: iou."""

import torch
from torchvision import ops

from grader_tests.oracles import slow


def make(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Boxes and their IoU; a slow loop and torchvision must agree on it."""
    made = {}
    for case, (rows, columns) in {"random": (7, 5), "one": (1, 6)}.items():
        boxes1 = slow.random_boxes(generator, rows, 61, 37)
        boxes2 = slow.random_boxes(generator, columns, 61, 37)
        boxes2[0] = boxes1[0] + torch.tensor([1, 0, 2, 1])  # at least these two meet
        expected = slow.iou_table(boxes1, boxes2)
        torch.testing.assert_close(ops.box_iou(boxes1, boxes2), expected)
        made[f"iou.{case}.boxes1"] = boxes1
        made[f"iou.{case}.boxes2"] = boxes2
        made[f"iou.{case}.expected"] = expected
    return made
