"""Do the boxes lie to one side of their objects? What mAP at IoU 0.5 hardly shows.

A detector whose locations, strides or padding are wrong by half a cell still overlaps
most large objects enough. Its boxes all err in the same direction, though, where those
of a right detector err in every direction alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helpers.evaluation.types import Detections, GroundTruth
from helpers.evaluation.voc_ap import box_iou

MIN_IOU = 0.3  # lower than for AP, so that a shifted box is still known as its object's
LARGE_SHIFT = 0.04  # of a side; right detectors of this course stay below a half of it
FEW_BOXES = 50  # the median of fewer says little


@dataclass(frozen=True)
class BoxShift:
    """How detected boxes lie against their objects, the median over all found objects.

    Attributes:
        right: centre's distance to the right, in widths of the true box; negative is
            to the left.
        down: centre's distance downwards, in heights of the true box.
        num_boxes: found objects.
    """

    right: float
    down: float
    num_boxes: int


def median_box_shift(
    detections: Sequence[Detections], ground_truths: Sequence[GroundTruth]
) -> BoxShift:
    """The shift of the best detection of each object.

    Args:
        detections: as for evaluate_voc.
        ground_truths: as for evaluate_voc; difficult objects do not count.

    Returns:
        nan for both directions where no object was found.
    """
    detections_of = {entry.image_id: entry for entry in detections}
    shifts = [np.empty((0, 2))]
    for truth in ground_truths:
        if truth.image_id in detections_of:
            shifts.append(_shifts_in_image(detections_of[truth.image_id], truth))
    together = np.concatenate(shifts)
    if len(together) == 0:
        return BoxShift(float("nan"), float("nan"), 0)
    right, down = np.median(together, axis=0)
    return BoxShift(float(right), float(down), len(together))


def _shifts_in_image(found: Detections, truth: GroundTruth) -> np.ndarray:
    """(P, 2): right in widths and down in heights, for each object that was found."""
    boxes, classes = truth.boxes[~truth.difficult], truth.classes[~truth.difficult]
    if len(boxes) == 0 or len(found.boxes) == 0:
        return np.empty((0, 2))
    fits = (box_iou(boxes, found.boxes) >= MIN_IOU) & (
        classes[:, None] == found.classes[None, :]
    )
    best = np.where(fits, found.scores[None, :], -np.inf).argmax(axis=1)
    is_found = fits.any(axis=1)
    boxes, chosen = boxes[is_found], found.boxes[best[is_found]]
    centre_shift = (chosen[:, :2] + chosen[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2
    return centre_shift / (boxes[:, 2:] - boxes[:, :2])


def shift_line(shift: BoxShift) -> str:
    """One sentence for people, with a hint where the shift is too large for chance."""
    if shift.num_boxes == 0:
        return "shift of the boxes: no object was found"
    text = (
        f"shift of the boxes (median of {shift.num_boxes:,}): "
        f"{100 * shift.right:+.1f} % of the width to the right, "
        f"{100 * shift.down:+.1f} % of the height down"
    )
    largest = max(abs(shift.right), abs(shift.down))
    if largest > LARGE_SHIFT and shift.num_boxes >= FEW_BOXES:
        text += (
            "\n  Most boxes err to one side: check the locations (half a cell? x and "
            "y?), the strides, and how the backbone pads"
        )
    return text
