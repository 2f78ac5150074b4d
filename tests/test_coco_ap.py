"""COCO's average precision against pycocotools, the reference, and numbers by hand."""

import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from core.command import CourseError
from helpers.evaluation.coco_ap import NAMES, evaluate_coco
from helpers.evaluation.types import Detections
from tests.made_detections import found, made_data, numbers, truth

CLASSES = ("cat", "dog", "bird")
# Both compute the same float64 sums, in an order of their own.
EXACT = {"rel": 1e-12, "abs": 1e-12, "nan_ok": True}


def pycocotools_figures(detections, truths, num_classes):
    """(summary, class_ap) of pycocotools, as evaluate_coco returns them."""
    image_numbers = {entry.image_id: i for i, entry in enumerate(truths, start=1)}
    dataset = COCO()
    dataset.dataset = {
        "images": [{"id": i} for i in image_numbers.values()],
        "categories": [{"id": k} for k in range(num_classes)],
        "annotations": [
            {
                "image_id": image_numbers[entry.image_id],
                "category_id": int(class_id),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": int(difficult),
            }
            for entry in truths
            for (x1, y1, x2, y2), class_id, difficult in zip(
                entry.boxes.tolist(), entry.classes, entry.difficult, strict=True
            )
        ],
    }
    for i, annotation in enumerate(dataset.dataset["annotations"], start=1):
        annotation["id"] = i
    dataset.createIndex()
    rows = [
        [image_numbers[entry.image_id], x1, y1, x2 - x1, y2 - y1, score, class_id]
        for entry in detections
        for (x1, y1, x2, y2), score, class_id in zip(
            entry.boxes.tolist(), entry.scores, entry.classes, strict=True
        )
    ]
    evaluation = COCOeval(dataset, dataset.loadRes(np.array(rows)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    values = [
        math.nan if value == -1 else float(value) for value in evaluation.stats[:6]
    ]
    per_class = evaluation.eval["precision"][:, :, :, 0, 2]
    class_ap = [
        math.nan if (own := per_class[:, :, k]).max() == -1 else float(own.mean())
        for k in range(num_classes)
    ]
    return values, class_ap


def assert_equals_pycocotools(detections, truths, num_classes=3):
    """Summary and classes agree; returns the result."""
    names = [f"class {k}" for k in range(num_classes)]
    result = evaluate_coco(detections, truths, names)
    values, class_ap = pycocotools_figures(detections, truths, num_classes)
    assert tuple(result.summary) == NAMES
    assert list(result.summary.values()) == pytest.approx(values, **EXACT)
    assert list(result.class_ap) == pytest.approx(class_ap, **EXACT)
    return result


def test_coco_ap_equals_pycocotools_on_made_data():
    """Empty images, difficult objects as crowd, objects of all sizes, duplicates."""
    detections, truths = made_data(num_images=40)
    assert any(entry.difficult.any() for entry in truths)
    assert len(truths[0].boxes) == 0  # the empty image comes first
    result = assert_equals_pycocotools(detections, truths)
    assert all(0.05 < value < 0.95 for value in result.summary.values())


def test_coco_ap_equals_pycocotools_beyond_100_detections():
    """Only the 100 best of a class and image count: found 101st is missed."""
    box = [20.0, 30, 120, 90]
    wrong = [[200.0, 100 + i % 50, 230, 190] for i in range(100)]
    truths = [truth("a"), truth("b", [box])]
    others = numbers(100, low=0.2, high=0.9)
    early, late = [*others, 0.99], [*others, 0.01]  # the right box comes last
    first = assert_equals_pycocotools([found("b", [*wrong, box], early)], truths, 1)
    last = assert_equals_pycocotools([found("b", [*wrong, box], late)], truths, 1)
    assert first.summary["AP"] == 1.0
    assert last.summary["AP"] == 0.0
    # Behind 100 detections of another class, it is still the first of its own.
    classes = [1] * 100 + [0]
    other = [found("b", [*wrong, box], late, classes)]
    assert assert_equals_pycocotools(other, truths, 2).summary["AP"] == 1.0


def test_coco_ap_of_made_detections_beyond_100_an_image():
    """150 detections of three classes in each image."""
    truths = made_data(num_images=6)[1]
    detections = []
    for number, entry in enumerate(truths):
        shift = numbers(150, 4, low=-30, high=30, start=50 * number + 1)
        start = np.resize(entry.boxes, (150, 4)) if len(entry.boxes) else 60.0
        boxes = start + shift + [0, 0, 70, 70]
        scores = numbers(150, start=50 * number + 9)
        classes = np.arange(150) % 3
        detections.append(Detections(entry.image_id, boxes, scores, classes))
    assert_equals_pycocotools(detections, truths)


def test_coco_ap_by_hand():
    """One of two objects, with IoU .8: seven of ten thresholds, half the recall."""
    truths = [truth("a"), truth("b", [[0, 0, 100, 50], [150, 60, 220, 200]])]
    detections = [found("b", [[0, 0, 100, 40]], [0.9])]
    result = assert_equals_pycocotools(detections, truths, 1)
    half = 51 / 101  # recalls 0, .01, ... .5 of the 101
    assert result.summary["AP50"] == pytest.approx(half)
    assert result.summary["AP75"] == pytest.approx(half)
    assert result.summary["AP"] == pytest.approx(half * 7 / 10)  # .5, .55, ... .8
    assert math.isnan(result.summary["APs"])  # no object below 32 x 32 pixels
    assert result.summary["APm"] == pytest.approx(7 / 10)  # 100 x 50 is below 96 x 96
    assert result.summary["APl"] == 0.0  # 70 x 140 is above, and was missed


def test_detections_of_a_difficult_object_count_neither_way():
    """Found once, twice or not at all, a difficult object changes no figure."""
    right, hard = [0.0, 0, 100, 50], [150.0, 60, 220, 200]
    truths = [truth("a"), truth("b", [right, hard], difficult=[False, True])]
    for boxes in ([right], [hard, right], [hard, hard, right]):
        detections = [found("b", boxes, [0.9 - 0.1 * i for i in range(len(boxes))])]
        assert assert_equals_pycocotools(detections, truths, 1).summary["AP"] == 1.0


def test_no_detections_give_zero_where_there_are_objects():
    """As a detection that is wrong everywhere gives: 0 for what exists, else nan."""
    truths = [truth("a"), truth("b", [[0, 0, 20, 10]], [1])]
    wrong = [found("a", [[0, 0, 20, 10]], [0.5], [1])]
    expected = assert_equals_pycocotools(wrong, truths)
    for detections in ([], [found("a"), found("b")]):
        result = evaluate_coco(detections, truths, CLASSES)
        assert result.summary == pytest.approx(expected.summary, nan_ok=True)
        assert result.class_ap == pytest.approx(expected.class_ap, nan_ok=True)
    assert expected.summary["AP"] == expected.summary["APs"] == 0.0
    assert math.isnan(expected.summary["APl"])


@pytest.mark.parametrize(
    ("box", "sizes"),
    [([5, 3, 21, 67], {"APs", "APm"}), ([5, 3, 77, 131], {"APm", "APl"})],
)
@pytest.mark.parametrize("is_found", [True, False])
def test_object_on_the_border_of_two_sizes_is_of_both(box, sizes, is_found):
    """16 x 64 is 32^2 pixels, 72 x 128 is 96^2, whether anything is found or not."""
    detections = [found("a", [box], [0.9], [0])] if is_found else []
    result = evaluate_coco(detections, [truth("a", [box], [0])], ["cat"])
    figures = {name: result.summary[name] for name in ("APs", "APm", "APl")}
    there = {name for name, value in figures.items() if not np.isnan(value)}
    assert there == sizes
    assert all(figures[name] == pytest.approx(float(is_found)) for name in sizes)


def test_no_ground_truth_gives_nan():
    """Nothing to be found, no figure; with and without images and detections."""
    for truths in ([], [truth("a")], [truth("a", [[0, 0, 9, 5]], difficult=[True])]):
        for detections in ([], [found("a", [[60, 0, 69, 5]], [0.9])][: len(truths)]):
            result = evaluate_coco(detections, truths, CLASSES)
            assert all(math.isnan(value) for value in result.summary.values())
            assert all(math.isnan(value) for value in result.class_ap)


def test_images_without_detections_count():
    """Their objects are missed, whether the image is listed or not."""
    box = [0.0, 0, 100, 50]
    truths = [truth("a"), truth("b", [box]), truth("c", [box])]
    short = assert_equals_pycocotools([found("c", [box], [0.9])], truths, 1)
    assert short.summary["AP"] == pytest.approx(51 / 101)


def test_evaluation_prints_nothing(capfd):
    """The library's own table would hide the course's."""
    detections, truths = made_data(num_images=8)
    evaluate_coco(detections, truths, CLASSES)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_coco_names_what_does_not_fit():
    """The same checks as for VOC's AP."""
    with pytest.raises(CourseError, match="not in the ground truth"):
        evaluate_coco([found("b")], [truth("a")], CLASSES)
    with pytest.raises(CourseError, match="class number 3"):
        evaluate_coco([], [truth("a", [[0, 0, 9, 5]], [3])], CLASSES)
