"""Pictures of notebooks 8 and 9, and the stored answers of a trained detector."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from assignment.common import class_spec_nms, nms
from assignment.one_stage_detector import FCOS
from core.command import CourseError
from data_scripts.make_shapes import make_shapes
from helpers.data.voc import VOC2007DetectionTiny
from helpers.evaluation.types import Detections, GroundTruth
from helpers.evaluation.voc_ap import evaluate_voc
from helpers.lessons import live, predictions, scoring, suppression

NAMES = ("cross", "ring")
# One image: two true boxes, and a detection of each kind, the best score first.
TRUTH = GroundTruth(
    "a",
    np.array([[0.0, 0, 20, 10], [30, 0, 50, 10]]),
    np.array([0, 1]),
    np.array([False, False]),
    (40, 60),
)
FOUND = Detections(
    "a",
    np.array(
        [
            [0.0, 0, 20, 10],  # correct
            [1, 0, 20, 10],  # double
            [0, 0, 19, 10],  # says "ring" of the cross
            [40, 0, 60, 10],  # IoU 1/3 with the ring
            [0, 30, 10, 40],  # nothing is here
        ]
    ),
    np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
    np.array([0, 0, 1, 1, 0]),
)


def test_judge_names_each_kind_of_mistake():
    """One detection of each kind; the ring was found by none."""
    judged, missed = scoring.judge([FOUND], [TRUTH])
    assert [detection.kind for detection in judged] == list(scoring.KINDS)
    assert missed == 1


def test_judge_of_image_without_objects():
    """All detections of an empty image are background."""
    empty = GroundTruth(
        "a", np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), (40, 60)
    )
    judged, missed = scoring.judge([FOUND], [empty])
    assert {detection.kind for detection in judged} == {"background"}
    assert missed == 0


def test_keep_above_keeps_every_image():
    """An image without detections stays in the list."""
    (kept,) = scoring.keep_above([FOUND], 0.95)
    assert len(kept.boxes) == 0
    (kept,) = scoring.keep_above([FOUND], 0.65)
    assert kept.scores.tolist() == [0.9, 0.8, 0.7]


def test_pictures_of_evaluation_are_drawn():
    """Each plot of notebook 9 is a figure."""
    result = evaluate_voc([FOUND], [TRUTH], NAMES)
    judged, missed = scoring.judge([FOUND], [TRUTH])
    recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])
    for figure in (
        scoring.draw_curve(recall, precision),
        scoring.draw_class_curves(result),
        scoring.make_score_picture(result)(0.99),
        scoring.draw_thresholds([FOUND], [TRUTH], NAMES),
        scoring.draw_kinds(judged, missed),
    ):
        assert isinstance(figure, Figure)


def test_stored_candidates_become_fewer_by_nms():
    """The heap of notebook 8 has many boxes for each object."""
    found = predictions.stored_candidates(0)
    kept = class_spec_nms(found.boxes, found.scores, found.classes, 0.5)
    assert len(found.boxes) > 50 > len(kept)


@pytest.mark.parametrize("number", [0, 1])
def test_stored_answers_fit_inference(number):
    """The stored outputs of the head give the stored boxes before NMS."""
    found = predictions.stored_candidates(number)
    answers = predictions.stored_answers(number)
    detector = FCOS(7, 16, [16], backbone="tiny").eval()
    size = 8 * 1024  # larger than any box, so that none is clipped on the far side
    boxes, classes, scores = detector.inference(
        torch.zeros(1, 3, size, size), *answers, test_score_thresh=0.2
    )
    best = int(found.scores.argmax())
    # Logits are stored with two digits, boxes with one.
    torch.testing.assert_close(scores[0], found.scores[best], atol=0.01, rtol=0)
    torch.testing.assert_close(boxes[0], found.boxes[best], atol=0.2, rtol=0)
    assert int(classes[0]) == int(found.classes[best])


def test_pictures_of_suppression_are_drawn():
    """Each picture of notebook 8 is drawn from the stored answers."""
    found = predictions.stored_candidates(1)
    image = torch.zeros(3, 128, 176)
    draw = suppression.make_threshold_picture(image, found, class_spec_nms)
    for figure in (
        suppression.draw_heap(image, found),
        suppression.draw_three(),
        draw(threshold=0.4),
        suppression.draw_apart(found),
        suppression.draw_trust(predictions.stored_scores()),
    ):
        assert isinstance(figure, Figure)
    three = (found.boxes[:3], found.classes[:3], found.scores[:3])
    picture = suppression.draw_detections(
        image, three, predictions.stored_class_names()
    )
    assert isinstance(suppression.draw_sheet([picture, picture]), Image.Image)
    assert "kept" in suppression.compare_speed(nms, number=50)


def test_find_detector_says_that_there_is_no_run(monkeypatch, tmp_path, capsys):
    """Without a run of notebook 7 the stored detections take its place."""
    monkeypatch.setattr(live, "ROOT", tmp_path)
    assert predictions.find_detector("shapes") is None
    assert "no run of notebook 7" in capsys.readouterr().out


def test_find_detections_of_stored_shapes(tmp_path):
    """The stored detections belong to the shapes as they are drawn by default."""
    folder = tmp_path / "shapes"
    make_shapes(folder, train=1, val=3)
    dataset = VOC2007DetectionTiny(folder, "val", image_size=128)
    found, truths = predictions.find_detections(None, dataset, limit=3)
    assert [detection.image_id for detection in found] == [
        truth.image_id for truth in truths
    ]
    picture = scoring.draw_judged(dataset, 0, found[0], truths[0])
    assert isinstance(picture, Figure)
    judged, _ = scoring.judge(found, truths)
    worst = scoring.draw_worst(dataset, found, judged, "background")
    assert isinstance(worst, Image.Image)
    image, boxes, _, scores = predictions.stored_detections(dataset, 0, 0.3)
    assert image.shape[0] == 3 and len(boxes) == len(scores)
    dataset.class_names = ("aeroplane",)
    with pytest.raises(CourseError, match="only detections of the drawn shapes"):
        predictions.find_detections(None, dataset)
