"""Non-maximum suppression against hand, slow loops and torchvision."""

import pytest
import torch
from torchvision import ops

from assignment.common import (
    class_spec_nms,
    iou,
    nms,
)
from grader_tests.oracles.slow import iou as slow_iou
from tests.plain_numbers import spread, spread_boxes


def slow_nms(boxes, scores, threshold):
    """Best first; kept unless a kept box overlaps more than the threshold."""
    kept = []
    order = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    rows = boxes.tolist()
    for i in order:
        if all(slow_iou(rows[i], rows[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


def test_nms_without_boxes_gives_no_index():
    """Shape (0,), int64: what indexing with it expects."""
    keep = nms(torch.zeros(0, 4), torch.zeros(0))
    assert keep.shape == (0,)
    assert keep.dtype == torch.int64


def test_nms_keeps_a_single_box():
    """One box has no rival, even with a negative score."""
    keep = nms(torch.tensor([[1.0, 2, 9, 4]]), torch.tensor([-3.0]), 0.0)
    assert keep.tolist() == [0]
    assert keep.dtype == torch.int64


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_nms_equals_a_slow_loop(threshold):
    """80 boxes in a 60 x 40 image, so that many overlap."""
    boxes, scores = spread_boxes(80, 60, 40), spread(80, low=-2, high=2, start=500)
    keep = nms(boxes, scores, threshold)
    assert keep.tolist() == slow_nms(boxes, scores, threshold)


def test_nms_keeps_boxes_that_overlap_by_exactly_the_threshold():
    """4 of 8 pixels shared is IoU 0.5 exactly, which is not more than 0.5."""
    boxes = torch.tensor([[0.0, 0, 4, 2], [0.0, 0, 4, 1]])
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert nms(boxes, scores, 0.4999).tolist() == [0]


def test_nms_of_equal_scores_keeps_the_first_box():
    """Equal scores keep their order, so the result does not depend on chance."""
    boxes = torch.tensor([[0.0, 0, 8, 2], [20.0, 0, 25, 2], [0.0, 0, 8, 2]])
    assert nms(boxes, torch.full((3,), 0.5), 0.5).tolist() == [0, 1]


def test_nms_keeps_boxes_without_area():
    """A box without area overlaps nothing, not even its twin."""
    boxes = torch.tensor([[3.0, 1, 3, 7], [3.0, 1, 3, 7], [0.0, 0, 8, 9]])
    assert nms(boxes, torch.tensor([0.3, 0.2, 0.9]), 0.5).tolist() == [2, 0, 1]


def test_nms_leaves_its_inputs_alone():
    """Neither boxes nor scores change."""
    boxes, scores = spread_boxes(30, 40, 30), spread(30, start=9)
    before = boxes.clone(), scores.clone()
    nms(boxes, scores)
    assert torch.equal(boxes, before[0])
    assert torch.equal(scores, before[1])


def seed_like_boxes() -> tuple[torch.Tensor, torch.Tensor]:
    """5,000 boxes with whole coordinates, as the original notebook draws them."""
    boxes = (100 * spread(5000, 4)).round().float()
    boxes[:, 2:] += boxes[:, :2] + 1
    return boxes, spread(5000, low=-3, high=3, start=91).float()


def test_nms_differs_from_torchvision_by_less_than_one_percent():
    """The original notebook's measure, the mean over its three thresholds."""
    boxes, scores = seed_like_boxes()
    differences = []
    for threshold in (0.3, 0.5, 0.7):
        ours = set(nms(boxes, scores, threshold).tolist())
        theirs = ops.nms(boxes, scores, threshold).tolist()
        differences.append(1 - len(ours.intersection(theirs)) / len(theirs))
    assert sum(differences) / 3 < 0.01


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_nms_differs_from_torchvision_only_after_an_exact_tie(threshold):
    """Whole numbers give IoUs of exactly 3/10; rounding decides about those alone."""
    boxes, scores = seed_like_boxes()
    ours = nms(boxes, scores, threshold).tolist()
    odd = set(ours) ^ set(ops.nms(boxes, scores, threshold).tolist())
    if odd:
        first = max(odd, key=lambda i: float(scores[i]))
        better = [i for i in ours if scores[i] > scores[first]]
        overlaps = iou(boxes[[first]].double(), boxes[better].double())
        assert ((overlaps - threshold).abs() < 1e-12).any(), "not a tie"
    # A little above the threshold nothing ties, and all 5,000 boxes agree.
    nudged = threshold + 1e-5
    assert torch.equal(nms(boxes, scores, nudged), ops.nms(boxes, scores, nudged))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_nms_equals_torchvision_where_there_are_no_ties(threshold):
    """With fractions for coordinates both keep the same boxes in the same order."""
    boxes = spread_boxes(3000, 130, 90)
    scores = spread(3000, low=-3, high=3, start=13)
    assert torch.equal(nms(boxes, scores, threshold), ops.nms(boxes, scores, threshold))


def test_class_spec_nms_suppresses_within_a_class_only():
    """The same place may hold a cat and a dog, but not two cats."""
    boxes = torch.tensor([[0.0, 0, 9, 4], [0.0, 0, 9, 4], [1.0, 0, 9, 4]])
    scores = torch.tensor([0.5, 0.9, 0.7])
    assert class_spec_nms(boxes, scores, torch.tensor([0, 3, 3])).tolist() == [1, 0]


def test_class_spec_nms_keeps_classes_apart_where_boxes_leave_the_image():
    """Also boxes with negative coordinates must not reach those of the next class."""
    boxes = torch.tensor([[-40.0, -20, 2, 1], [-40.0, -20, 2, 1]])
    scores = torch.tensor([0.5, 0.9])
    assert class_spec_nms(boxes, scores, torch.tensor([1, 0])).tolist() == [1, 0]


def test_class_spec_nms_without_boxes_gives_no_index():
    """No box, no class, no index."""
    none = torch.zeros(0, dtype=torch.int64)
    keep = class_spec_nms(torch.zeros(0, 4), torch.zeros(0), none)
    assert keep.shape == (0,)
    assert keep.dtype == torch.int64


def test_class_spec_nms_equals_torchvision():
    """400 boxes of 6 classes; classes as whole floats do as well."""
    boxes, scores = spread_boxes(400, 120, 70), spread(400, start=41)
    classes = torch.arange(400) * 5 % 6
    expected = ops.batched_nms(boxes, scores, classes, 0.4)
    assert torch.equal(class_spec_nms(boxes, scores, classes, 0.4), expected)
    assert torch.equal(class_spec_nms(boxes, scores, classes.double(), 0.4), expected)
