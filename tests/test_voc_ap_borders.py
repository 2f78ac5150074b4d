"""VOC's average precision: nothing there, what must not matter, and bad input."""

import dataclasses
import math

import numpy as np
import pytest

from core.command import CourseError
from helpers.evaluation.types import Detections, GroundTruth
from helpers.evaluation.voc_ap import (
    evaluate_voc,
)
from tests.made_detections import found, made_data, truth

NAMES = ("cat", "dog", "bird")
# The code and a hand-made number differ by a few roundings of float64.
EXACT = {"rel": 1e-12, "abs": 1e-12}


def test_no_detections_at_all_give_zero():
    """Objects that nobody looked for are missed, not left out."""
    truths = [truth("a"), truth("b", [[0, 0, 20, 10]])]
    for detections in ([], [found("a"), found("b")]):
        result = evaluate_voc(detections, truths, NAMES)
        assert (result.map_area, result.map_11) == (0.0, 0.0)
        assert math.isnan(result.classes[1].ap_area)


def test_no_ground_truth_at_all_gives_nan():
    """Without any object there is no recall, so there is no figure either."""
    for truths in ([], [truth("a")], [truth("a", [[0, 0, 9, 5]], difficult=[True])]):
        detections = [found("a", [[60, 0, 69, 5]], [0.9])] if truths else []
        result = evaluate_voc(detections, truths, NAMES)
        assert math.isnan(result.map_area)
        assert math.isnan(result.map_11)


def test_classes_without_objects_are_left_out_of_the_mean():
    """Their detections are counted, but a mean of nothing is not 0."""
    truths = [truth("a", [[0, 0, 20, 10]], [0])]
    boxes = [[0, 0, 20, 10], [0, 0, 20, 10]]
    result = evaluate_voc([found("a", boxes, [0.9, 0.8], [0, 2])], truths, NAMES)
    assert result.map_area == 1.0
    assert result.classes[2].num_detections == 1
    assert math.isnan(result.classes[2].ap_area)


def test_images_without_detections_count():
    """Leaving them out of the detections changes nothing: their objects are missed."""
    truths = [truth("a"), truth("b", [[0, 0, 20, 10]]), truth("c", [[0, 0, 20, 10]])]
    detection = found("b", [[0, 0, 20, 10]], [0.9])
    short = evaluate_voc([detection], truths, ["cat"])
    full = evaluate_voc([found("a"), detection, found("c")], truths, ["cat"])
    assert short.map_area == full.map_area == 0.5


def shuffled(entry: Detections) -> Detections:
    order = np.argsort(np.arange(len(entry.boxes)) * 7 % 5, kind="stable")
    return Detections(
        entry.image_id, entry.boxes[order], entry.scores[order], entry.classes[order]
    )


def test_order_of_images_and_detections_does_not_matter():
    """Only scores order detections; no two are alike here."""
    detections, truths = made_data()
    plain = evaluate_voc(detections, truths, NAMES)
    other = [shuffled(entry) for entry in detections[::-1]]
    again = evaluate_voc(other, truths[3:] + truths[:3], NAMES)
    assert again.map_area == plain.map_area
    assert again.map_11 == plain.map_11


def test_only_the_order_of_scores_matters():
    """Scores of any size give the same AP, as long as their order stays."""
    detections, truths = made_data()
    other = [
        dataclasses.replace(detection, scores=detection.scores**3 * 50 - 7)
        for detection in detections
    ]
    plain = evaluate_voc(detections, truths, NAMES)
    assert evaluate_voc(other, truths, NAMES).map_area == plain.map_area


def test_wrong_detection_below_all_others_does_not_raise_ap():
    """A false positive at the end of the list cannot help, one at the top must harm."""
    detections, truths = made_data()
    plain = evaluate_voc(detections, truths, NAMES).classes[0]
    for score, compare in ((-1.0, "same"), (2.0, "less")):
        wrong = np.array([[900.0, 900, 910, 930]])
        first = detections[0]
        more = Detections(
            first.image_id,
            np.concatenate((first.boxes, wrong)),
            np.append(first.scores, score),
            np.append(first.classes, 0),
        )
        own = evaluate_voc([more, *detections[1:]], truths, NAMES).classes[0]
        assert (own.ap_area < plain.ap_area) == (compare == "less")
        assert own.ap_area <= plain.ap_area
        assert own.ap_11 <= plain.ap_11


def test_evaluation_leaves_its_inputs_alone():
    """Boxes, scores and classes are the same afterwards."""
    detections, truths = made_data(num_images=8)
    evaluate_voc(detections, truths, NAMES)
    fresh_detections, fresh_truths = made_data(num_images=8)
    fresh = (*fresh_detections, *fresh_truths)
    for after, before in zip((*detections, *truths), fresh, strict=True):
        np.testing.assert_equal(dataclasses.asdict(after), dataclasses.asdict(before))


def test_detections_of_an_unknown_image_are_named():
    """Detections of another data set would all be silently wrong."""
    with pytest.raises(CourseError, match="'b', which is not in the ground truth"):
        evaluate_voc([found("b")], [truth("a")], ["cat"])


def test_an_image_listed_twice_is_refused():
    """Twice in the detections or in the ground truth."""
    for detections, truths in (
        ([found("a"), found("a")], [truth("a")]),
        ([], [truth("a"), truth("a")]),
    ):
        with pytest.raises(CourseError, match="listed twice"):
            evaluate_voc(detections, truths, ["cat"])


def test_class_numbers_beyond_the_list_are_named():
    """A class that no name belongs to would be left out without a word."""
    boxes = [[0, 0, 20, 10]]
    with pytest.raises(CourseError, match="image 'a' has the class number 1, but"):
        evaluate_voc([], [truth("a", boxes, [1])], ["cat"])
    with pytest.raises(CourseError, match="class number -1"):
        evaluate_voc([found("a", boxes, [0.5], [-1])], [truth("a")], ["cat"])


@pytest.mark.parametrize(
    ("boxes", "scores", "classes"),
    [
        (np.zeros((2, 5)), np.zeros(2), np.zeros(2, int)),
        (np.zeros(4), np.zeros(1), np.zeros(1, int)),
        (np.zeros((2, 4)), np.zeros(3), np.zeros(2, int)),
        (np.zeros((2, 4)), np.zeros(2), np.zeros((2, 1), int)),
        (np.full((2, 4), np.nan), np.zeros(2), np.zeros(2, int)),
        (np.zeros((2, 4)), np.array([0.5, np.inf]), np.zeros(2, int)),
    ],
)
def test_detections_that_do_not_fit_name_the_image(boxes, scores, classes):
    """Wrong shapes, nan and infinity are refused where they appear."""
    with pytest.raises(CourseError, match="image photo7"):
        Detections("photo7", boxes, scores, classes)


def test_ground_truth_that_does_not_fit_names_the_image():
    """As for detections."""
    with pytest.raises(CourseError, match="true boxes of image photo7: difficult"):
        GroundTruth(
            "photo7", np.zeros((2, 4)), np.zeros(2, int), np.zeros(3, bool), (9, 7)
        )
