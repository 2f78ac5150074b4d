"""Visible checks of step 8: from predictions to detections."""

from typing import Any

import torch

from helpers.checks.answers import expect_parts
from helpers.checks.exercises import exercise
from helpers.checks.expect import (
    expect_close,
    expect_equal,
    expect_tensor,
    expect_true,
    find_cause,
)
from helpers.checks.inputs import levels, tensor

HEIGHT, WIDTH = 40, 64
THRESHOLD, NMS_THRESHOLD = 0.3, 0.5
PARTS = ("boxes", "classes", "scores")
LOCATIONS = {
    "p3": [[12.0, 12.0], [20.0, 12.0], [44.0, 20.0], [60.0, 36.0]],
    "p4": [[24.0, 24.0]],
    "p5": [[16.0, 16.0]],
}
# Probabilities of three classes, and of centerness.
CLASSES = {
    "p3": [[0.01, 0.9, 0.02], [0.02, 0.64, 0.01], [0.1, 0.2, 0.49], [0.9, 0.1, 0.1]],
    "p4": [[0.81, 0.3, 0.1]],
    "p5": [[0.01, 0.02, 0.01]],
}
CENTERNESS = {
    "p3": [[0.9], [0.81], [0.64], [0.04]],
    "p4": [[0.49]],
    "p5": [[0.9]],
}
# The second box is nearly the first, of its class; the third reaches over the border;
# the fourth has too little centerness; that of p4 overlaps the first by 0.64.
DELTAS = {
    "p3": [[1.0, 1, 1, 1], [2.0, 1, 0.25, 1], [2.0, 3, 4, 2], [1.0, 1, 1, 1]],
    "p4": [[1.25, 1.25, -0.25, -0.25]],
    "p5": [[0.1, 0.1, 0.1, 0.1]],
}
BOXES = [[4.0, 4, 20, 20], [4.0, 4, 24, 24], [28.0, 0, 64, 36]]
FOUND_CLASSES = [1, 0, 2]
SCORES = [0.9, 0.63, 0.56]
# What known mistakes find: (class, score, x1) of each detection.
RIGHT = [(1, 0.9, 4.0), (0, 0.63, 4.0), (2, 0.56, 28.0)]
WRONG_COUNTS = {
    "NMS is run across classes; boxes of different classes must not meet": [
        RIGHT[0],
        RIGHT[2],
    ],
    "NMS is not run": [*RIGHT, (1, 0.72, 4.0)],
    "the centerness is not part of the score": [
        (1, 0.948683, 4.0),
        (0, 0.948683, 52.0),
        (0, 0.9, 4.0),
        (2, 0.7, 28.0),
    ],
    "the class probability alone is the score": [
        (1, 0.9, 4.0),
        (0, 0.9, 52.0),
        (0, 0.81, 4.0),
        (2, 0.49, 28.0),
    ],
    "softmax is taken instead of sigmoid": [
        (1, 0.947079, 4.0),
        (2, 0.682031, 28.0),
        (1, 0.672521, 12.8),
        (0, 0.6595, 4.0),
    ],
    "a sigmoid is applied twice": [
        (1, 0.799909, 4.0),
        (1, 0.674166, 12.8),
        (2, 0.629975, 28.0),
        (0, 0.582352, 4.0),
    ],
    "scores below the threshold are kept": [
        *RIGHT,
        (0, 0.189737, 52.0),
        (1, 0.134164, 12.8),
    ],
    "low scores get the class -1 instead of being dropped": [
        *RIGHT,
        (-1, 0.189737, 52.0),
        (-1, 0.134164, 12.8),
    ],
    "low scores become -1 instead of being dropped": [
        *RIGHT,
        (0, -1.0, 52.0),
        (1, -1.0, 12.8),
    ],
}


def detect(
    student: Any,
    threshold: float = THRESHOLD,
    detector: Any = None,
    width: int = WIDTH,
) -> tuple[Any, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Detections, and the logits of classes and of centerness after the call."""
    if detector is None:
        detector = make_detector(student)
    images = torch.zeros(1, 3, HEIGHT, width, device=student.device)
    answers = (
        logits_of(student, CLASSES),
        {level: rows[None] for level, rows in levels(student, DELTAS).items()},
        logits_of(student, CENTERNESS),
    )
    found, (_, _, class_logits, _, center_logits) = student.after_call(
        detector.inference,
        images,
        levels(student, LOCATIONS),
        *answers,
        test_score_thresh=threshold,
        test_nms_thresh=NMS_THRESHOLD,
    )
    return found, class_logits, center_logits


def make_detector(student: Any) -> Any:
    """A small detector in eval mode."""
    detector = student.make_detector(3, 8, [8, 8])
    detector.eval()
    return detector


def logits_of(student: Any, probabilities: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Raw predictions (1, N, C) that give these probabilities."""
    return {
        level: torch.logit(tensor(student, rows))[None]
        for level, rows in probabilities.items()
    }


@exercise("8.2")
def test_inference_by_hand(student: Any) -> None:
    """Three of six boxes are found: one overlaps, two have low scores."""
    found, _, _ = detect(student)
    expect_parts(found, PARTS, "FCOS.inference")
    classes, scores = (expect_tensor(part, "FCOS.inference") for part in found[1:])
    count = len(scores)
    cause = _cause_of_count(found) if count != 3 else None
    expect_equal(count, 3, "FCOS.inference: number of boxes", cause)
    causes = {
        "the square root is missing": [0.81, 0.3969, 0.3136],
        "the centerness is not part of the score": [0.9, 0.81, 0.49],
        "the boxes are not in the order of their scores": [0.9, 0.56, 0.63],
        "the scores are logits; apply sigmoid": [2.197225, 0.704954, 0.267622],
    }
    expect_close(
        scores.float(),
        torch.tensor(SCORES),
        "FCOS.inference: scores",
        names="score",
        place="box",
        causes={cause: torch.tensor(values) for cause, values in causes.items()},
    )
    classes = expect_tensor(
        classes, "FCOS.inference: classes", shape=(count,), dtype=torch.int64
    )
    expect_equal(classes.tolist(), FOUND_CLASSES, "FCOS.inference: classes")


def _cause_of_count(found: Any) -> str | None:
    """The known mistake that finds just these, in whatever order."""
    boxes, classes, scores = (
        expect_tensor(part, "FCOS.inference").double() for part in found
    )
    if boxes.shape != (len(scores), 4) or classes.shape != scores.shape:
        return None
    rows = torch.stack((classes, scores, boxes[:, 0]), dim=1).tolist()
    got = torch.tensor(sorted(rows)).reshape(-1, 3)
    causes = {name: torch.tensor(sorted(rows)) for name, rows in WRONG_COUNTS.items()}
    return find_cause(got.double(), causes, atol=1e-3, rtol=0)


@exercise("8.2")
def test_inference_boxes_lie_in_the_image(student: Any) -> None:
    """Boxes are decoded with the stride of their level and clipped to (W, H)."""
    detector = make_detector(student)
    found, _, _ = detect(student, detector=detector)
    right = torch.tensor(BOXES)
    raw, exchanged, only_low, only_high = (right.clone() for _ in range(4))
    raw[2] = torch.tensor([28.0, -4, 76, 36])
    exchanged[2] = torch.tensor([28.0, 0, 40, 36])
    only_low[2] = torch.tensor([28.0, 0, 76, 36])
    only_high[2] = torch.tensor([28.0, -4, 64, 36])
    stride_of_p3 = right.clone()
    stride_of_p3[1] = torch.tensor([14.0, 14, 24, 24])
    expect_tensor(found[0], "FCOS.inference: boxes", shape=(3, 4))
    expect_close(
        found[0].float(),
        right,
        f"FCOS.inference: boxes in an image of H = {HEIGHT}, W = {WIDTH}",
        names="x1,y1,x2,y2",
        place="box",
        causes={
            "not clipped to the image": raw,
            "height and width are exchanged where the boxes are clipped": exchanged,
            "clipped at 0 only; the right and lower border are missing": only_low,
            "clipped at the right and lower border only": only_high,
            "every level takes the stride of p3": stride_of_p3,
        },
        atol=1.01,  # W - 1 and H - 1 as the border are fine, too
    )
    found, _, _ = detect(student, detector=detector, width=WIDTH - 8)
    expect_close(
        found[0].float(),
        right.clamp(max=WIDTH - 8),
        f"FCOS.inference: boxes in the next image, H = {HEIGHT}, W = {WIDTH - 8}",
        names="x1,y1,x2,y2",
        place="box",
        causes={"clipped to the size of the first image": right},
        atol=1.01,
    )


@exercise("8.2")
def test_inference_compares_boxes_of_all_levels(student: Any) -> None:
    """An object that two levels report is found once."""
    # Two locations of p3 and one of p4 see the box (4, 4, 36, 36), p5 sees nothing.
    locations = {"p3": [[20.0, 20.0], [12.0, 12.0]], "p4": [[24.0, 24.0]]}
    locations["p5"] = [[16.0, 16.0]]
    deltas = {"p3": [[2.0] * 4, [1.0, 1, 3, 3]], "p4": [[1.25, 1.25, 0.75, 0.75]]}
    deltas["p5"] = [[0.1] * 4]
    classes = {"p3": [[0.9], [0.8]], "p4": [[0.7]], "p5": [[0.01]]}
    detector = student.make_detector(1, 8, [8, 8])
    detector.eval()
    found = detector.inference(
        torch.zeros(1, 3, HEIGHT, WIDTH, device=student.device),
        levels(student, locations),
        logits_of(student, classes),
        {level: rows[None] for level, rows in levels(student, deltas).items()},
        logits_of(
            student, {level: [[0.9]] * len(rows) for level, rows in deltas.items()}
        ),
        test_score_thresh=THRESHOLD,
        test_nms_thresh=NMS_THRESHOLD,
    )
    expect_parts(found, PARTS, "FCOS.inference")
    boxes, scores = (expect_tensor(found[k], "FCOS.inference") for k in (0, 2))
    expect_tensor(boxes, "FCOS.inference: boxes", shape=(len(scores), 4))
    # The score of each box found, and where it begins.
    rows = torch.stack((scores, boxes[:, 0]), dim=1).double()
    causes = {
        "NMS runs within each level; boxes of different levels never meet": [
            [0.9, 4.0],
            [0.793725, 4.0],
        ],
        "NMS is not run": [[0.9, 4.0], [0.848528, 4.0], [0.793725, 4.0]],
        "every level takes the stride of p3": [[0.9, 4.0], [0.793725, 14.0]],
    }
    wrong = {name: torch.tensor(values) for name, values in causes.items()}
    cause = find_cause(rows, wrong, atol=1e-3, rtol=0)
    what = "FCOS.inference: number of boxes, of one object on p3 and on p4"
    expect_equal(len(scores), 1, what, cause)


@exercise("8.2")
def test_inference_when_nothing_passes(student: Any) -> None:
    """No score above the threshold: empty results of the usual shapes."""
    found, _, _ = detect(student, threshold=0.99)
    expect_parts(found, PARTS, "FCOS.inference")
    for got, name, shape in zip(found, PARTS, ((0, 4), (0,), (0,)), strict=True):
        expect_tensor(got, f"FCOS.inference: {name} when nothing passes", shape=shape)


@exercise("8.2")
def test_inference_leaves_the_predictions_alone(student: Any) -> None:
    """The predictions are the same afterwards."""
    _, class_logits, center_logits = detect(student)
    for got, rows in ((class_logits, CLASSES), (center_logits, CENTERNESS)):
        for level, before in logits_of(student, rows).items():
            expect_true(
                torch.equal(got[level], before),
                f"FCOS.inference: predictions of {level} after the call",
                "they were changed",
                "the predictions are changed in place; make new tensors",
            )
