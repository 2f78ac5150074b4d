"""VOC's average precision against slow loops, published numbers, and by hand."""

import numpy as np
import pytest

from helpers.evaluation.voc_ap import (
    average_precision_11,
    average_precision_area,
    box_iou,
    evaluate_voc,
    match_image,
)
from tests.made_detections import found, made_data, truth
from tests.padilla_example import DETECTIONS, PUBLISHED_11, PUBLISHED_AREA, TRUTHS
from tests.slow_voc import slow_11, slow_area, slow_curve

NAMES = ("cat", "dog", "bird")
# The code and a hand-made number differ by a few roundings of float64.
EXACT = {"rel": 1e-12, "abs": 1e-12}


@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
def test_voc_ap_equals_a_slow_loop(threshold, plus_one):
    """Empty images, difficult objects, duplicates: the same as the devkit's loop."""
    detections, truths = made_data()
    assert len(truths[0].boxes) == 0  # the empty image comes first
    result = evaluate_voc(detections, truths, NAMES, threshold, plus_one)
    areas, elevens = [], []
    for class_id, own in enumerate(result.classes):
        curve, total = slow_curve(detections, truths, class_id, threshold, plus_one)
        assert own.num_objects == total > 5
        assert own.recall.tolist() == pytest.approx(
            [recall for recall, _ in curve], **EXACT
        )
        assert own.precision.tolist() == pytest.approx(
            [precision for _, precision in curve], **EXACT
        )
        areas.append(slow_area(curve))
        elevens.append(slow_11(curve))
        assert own.ap_area == pytest.approx(areas[-1], **EXACT)
        assert own.ap_11 == pytest.approx(elevens[-1], **EXACT)
    assert result.map_area == pytest.approx(np.mean(areas), **EXACT)
    assert result.map_11 == pytest.approx(np.mean(elevens), **EXACT)
    assert 0.05 < result.map_area < 0.95  # neither all right nor all wrong


@pytest.mark.parametrize("threshold", sorted(PUBLISHED_AREA))
def test_voc_ap_equals_the_published_example(threshold):
    """15 boxes and 24 detections of a well-known example, boxes as pixel numbers."""
    result = evaluate_voc(DETECTIONS, TRUTHS, ["object"], threshold, plus_one=True)
    # The published figures have ten decimals.
    assert result.map_area == pytest.approx(PUBLISHED_AREA[threshold], abs=1e-10)
    if threshold != 0.1:  # see the next test
        assert result.map_11 == pytest.approx(PUBLISHED_11[threshold], abs=1e-10)


def test_published_eleven_points_miss_a_recall_that_is_met_exactly():
    """At IoU 0.1 nine of 15 are found: recall 0.6, but below NumPy's sixth step.

    The published .3333 leaves that point out (6 * 0.1 is 0.6000000000000001 in binary);
    with exact tenths it is .3689.
    """
    curve, _ = slow_curve(DETECTIONS, TRUTHS, 0, threshold=0.1, extra=1)
    rounded = slow_11(curve, np.linspace(0, 1, 11))
    assert rounded == pytest.approx(PUBLISHED_11[0.1], abs=1e-10)
    result = evaluate_voc(DETECTIONS, TRUTHS, ["object"], 0.1, plus_one=True)
    assert result.map_11 == pytest.approx(slow_11(curve), **EXACT)
    assert result.map_11 == pytest.approx(0.3689, abs=5e-5)


def test_voc_ap_without_the_last_pixel_is_another_number():
    """The same example with continuous edges: .2801 for .3372, so say which it is."""
    result = evaluate_voc(DETECTIONS, TRUTHS, ["object"], iou_threshold=0.1)
    assert result.map_area == pytest.approx(0.2801, abs=5e-5)


def test_voc_ap_of_four_detections_by_hand():
    """Right, wrong, right, wrong of three objects: both rules, worked out on paper."""
    truths = [
        truth("a", [[0, 0, 20, 10], [50, 0, 60, 30]]),
        truth("b", [[5, 5, 45, 25]]),
    ]
    detections = [
        found("a", [[0, 0, 20, 10], [90, 0, 99, 7]], [0.9, 0.8]),
        found("b", [[5, 5, 45, 21], [0, 60, 30, 70]], [0.7, 0.6]),  # IoU .8, and 0
    ]
    own = evaluate_voc(detections, truths, ["cat"]).classes[0]
    assert own.recall.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert own.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert own.scores.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert (own.num_objects, own.num_detections, own.num_correct) == (3, 4, 2)
    # area: 1/3 at height 1, 1/3 at 2/3; eleven: 0-.3 at 1 (4), .4-.6 at 2/3 (3)
    assert own.ap_area == pytest.approx(5 / 9, **EXACT)
    assert own.ap_11 == pytest.approx((4 + 3 * 2 / 3) / 11, **EXACT)


def test_curve_goes_through_all_images_by_score():
    """Scores .9 and .6 are of the first image, .8 and .7 of the second."""
    truths = [truth("a", [[0, 0, 20, 10]]), truth("b", [[5, 5, 45, 25]])]
    detections = [
        found("a", [[70, 0, 80, 9], [0, 0, 20, 10]], [0.6, 0.9]),
        found("b", [[70, 0, 80, 9], [5, 5, 45, 25]], [0.8, 0.7]),
    ]
    own = evaluate_voc(detections, truths, ["cat"]).classes[0]
    assert own.scores.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert own.recall.tolist() == [0.5, 0.5, 1, 1]
    assert own.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])


def test_eleven_points_count_a_recall_that_is_met_exactly():
    """3 of 10 objects reach the recall 0.3, whatever 3 * 0.1 is in binary."""
    for tenths in range(11):
        recall = np.array([tenths / 10])
        assert average_precision_11(recall, np.array([1.0])) == (tenths + 1) / 11


def test_area_fills_the_dips_of_precision():
    """Precision at a recall is the best at that recall or beyond."""
    recall, precision = np.array([0.25, 0.25, 0.5]), np.array([1.0, 0.5, 2 / 3])
    area = average_precision_area(recall, precision)
    assert area == pytest.approx(0.25 * 1 + 0.25 * 2 / 3, **EXACT)


def test_box_iou_with_the_last_pixel_by_hand():
    """Pixels 1 to 4 are four pixels wide with plus_one, three without."""
    a, b = np.array([[1.0, 1, 4, 2]]), np.array([[3.0, 1, 6, 2]])
    assert box_iou(a, b, plus_one=True)[0, 0] == pytest.approx(4 / 12)
    assert box_iou(a, b)[0, 0] == pytest.approx(1 / 5)


def test_box_iou_of_pixel_numbers_equals_that_of_edges():
    """The loader's x1 - 1, y1 - 1 makes the plain IoU equal to the devkit's."""
    pixels = np.array([[1.0, 3, 9, 20], [4, 5, 30, 11], [8, 2, 10, 40]])
    edges = pixels - [1, 1, 0, 0]
    plain, devkit = box_iou(edges, edges), box_iou(pixels, pixels, plus_one=True)
    np.testing.assert_allclose(plain, devkit, rtol=1e-15)


def test_box_iou_of_lines_and_points_is_zero():
    """Boxes without area give 0, not a division by zero."""
    boxes = np.array([[3.0, 1, 3, 9], [5, 5, 5, 5]])
    with np.errstate(all="raise"):
        assert not box_iou(boxes, boxes).any()


def test_overlap_of_exactly_the_threshold_is_right():
    """The devkit asks for at least 0.5, not for more."""
    truths = [truth("a", [[0, 0, 20, 10]])]
    detections = [found("a", [[0, 0, 20, 5]], [0.9])]
    assert evaluate_voc(detections, truths, ["cat"], 0.5).map_area == 1.0
    assert evaluate_voc(detections, truths, ["cat"], 0.500001).map_area == 0.0


def test_second_detection_of_one_object_is_wrong():
    """The better score takes the object, even where the other box fits better."""
    truths = [truth("a", [[0, 0, 20, 10]])]
    boxes = [[0, 0, 20, 10], [0, 0, 20, 8]]
    own = evaluate_voc([found("a", boxes, [0.4, 0.9])], truths, ["cat"]).classes[0]
    assert own.num_correct == 1
    assert own.precision.tolist() == [1.0, 0.5]


def test_detection_looks_at_its_nearest_object_only():
    """When that one is taken it is wrong, even if another object is near enough."""
    true_boxes = np.array([[0.0, 0, 20, 10], [0, 0, 20, 14]])
    boxes = np.array([[0.0, 0, 20, 10], [0, 0, 20, 11]])
    difficult = np.array([False, False])
    is_correct, is_ignored = match_image(boxes, true_boxes, difficult, 0.5, False)
    assert is_correct.tolist() == [True, False]
    assert not is_ignored.any()


def test_difficult_objects_count_neither_way():
    """Found once, twice or not at all, a difficult object changes no figure."""
    truths = [truth("a", [[0, 0, 20, 10], [40, 0, 50, 30]], difficult=[False, True])]
    right, hard = [0, 0, 20, 10], [40, 0, 50, 30]
    for boxes in ([right], [right, hard], [hard, hard, right]):
        detections = [found("a", boxes, [0.9 - 0.1 * i for i in range(len(boxes))])]
        own = evaluate_voc(detections, truths, ["cat"]).classes[0]
        assert (own.num_objects, own.ap_area, own.ap_11) == (1, 1.0, 1.0)
        assert (own.num_detections, own.num_correct) == (len(boxes), 1)
