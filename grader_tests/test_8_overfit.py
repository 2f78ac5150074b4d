"""The whole works: a few drawn images are learned, and found again elsewhere.

Coloured rectangles on black, each class a colour. The same drawings mirrored are images
that the detector has not seen. A right detector finds nearly all of both; one that puts
its predictions elsewhere than its targets learns at best the training images by heart.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from grader_tests.detection_parts import read_detections
from grader_tests.head_parts import fill_parts
from grader_tests.learned_wrong import cause_of_learning_wrong
from grader_tests.oracles.plain_detect import plain_iou
from grader_tests.tools import spread
from helpers.checks.answers import expect_state
from helpers.checks.expect import CheckError
from helpers.checks.student import Student

HEIGHT, WIDTH = 64, 96
# x1, y1, x2, y2, class; every class is there, and boxes of both size ranges in use
SCENES = (
    ((8, 6, 34, 50, 0), (52, 30, 92, 56, 1)),
    ((40, 4, 90, 24, 2), (10, 34, 32, 62, 1)),
    ((60, 8, 84, 60, 0), (4, 16, 46, 34, 2)),
    ((30, 10, 58, 58, 1),),
)
COLOURS = ((2.0, -1.5, -1.5), (-1.5, 2.0, -1.5), (-1.5, -1.5, 2.0))
CHANNELS = 32
SEED, STEPS, LEARNING_RATE = 1, 80, 3e-3
SPACING = 1000  # so that no two convolutions begin alike
SCORE_THRESHOLD, NMS_THRESHOLD, FOUND_IOU = 0.3, 0.5, 0.5
# Of 7 objects. Ten seeds of a right detector found 7 and at least 6 mirrored, with at
# most 14 detections; known mistakes found at most 5, or 3 mirrored with 26 detections.
LEAST_SEEN, LEAST_UNSEEN, MOST_DETECTIONS = 6, 5, 20

Scene = Sequence[tuple[int, int, int, int, int]]


class Score(NamedTuple):
    """What was found on some images.

    Attributes:
        found: classes of the drawn objects that were found, each once.
        missed: classes of those that were not.
        detections: number of detections.
    """

    found: list[int]
    missed: list[int]
    detections: int


def _begin(student: Student) -> Any:
    """A detector with two convolutions in each stem, which start large enough.

    With N(0, 0.01) in both of them 80 steps are too few, and heads that take one width
    only are told so in 3.1 and not here.
    """
    student.seed(SEED)
    fcos = student.make_detector(len(COLOURS), CHANNELS, [CHANNELS, CHANNELS])
    state = expect_state(fcos.pred_net.state_dict(), "FCOS.pred_net")
    for number, (name, old) in enumerate(state.items()):
        if name.startswith("stem_") and old.dim() == 4:
            limit = math.sqrt(6 / old[0].numel())  # He et al., 2015
            start = 1 + SPACING * number
            new = spread(*old.shape, low=-limit, high=limit, start=start)
            state[name] = new.to(old)
    fill_parts(fcos.pred_net, state)
    return fcos


def draw(scene: Scene) -> torch.Tensor:
    """(3, H, W) float32."""
    image = torch.zeros(3, HEIGHT, WIDTH)
    for x1, y1, x2, y2, class_id in scene:
        image[:, y1:y2, x1:x2] = torch.tensor(COLOURS[class_id])[:, None, None]
    return image


def mirrored(scene: Scene) -> Scene:
    """Left and right exchanged."""
    return [
        (WIDTH - x2, y1, WIDTH - x1, y2, class_id) for x1, y1, x2, y2, class_id in scene
    ]


def padded_boxes(scenes: Sequence[Scene]) -> torch.Tensor:
    """(B, M, 5) with rows of -1 where an image has fewer boxes."""
    gt_boxes = torch.full((len(scenes), max(map(len, scenes)) + 1, 5), -1.0)
    for number, scene in enumerate(scenes):
        gt_boxes[number, : len(scene)] = torch.tensor(scene, dtype=torch.float32)
    return gt_boxes


def _find(student: Student, fcos: Any, scenes: Sequence[Scene]) -> Score:
    """Detect on each image; an object is found by a box of its class around it."""
    found: list[int] = []
    missed: list[int] = []
    detections = 0
    for scene in scenes:
        answer = fcos(
            draw(scene)[None].to(student.device, copy=True),
            test_score_thresh=SCORE_THRESHOLD,
            test_nms_thresh=NMS_THRESHOLD,
        )
        found_here = read_detections(answer, "FCOS after training")
        detections += len(found_here)
        rows = found_here[: MOST_DETECTIONS + 1].tolist()  # with more it is lost anyhow
        for *box, class_id in scene:
            hit = any(
                row[4] == class_id and plain_iou(row[:4], box) > FOUND_IOU
                for row in rows
            )
            (found if hit else missed).append(class_id)
    return Score(found, missed, detections)


def _is_good(score: Score, least: int) -> bool:
    return len(score.found) >= least and score.detections <= MOST_DETECTIONS


def test_fcos_finds_what_it_was_trained_on(student: Student) -> None:
    """80 steps on four drawn images; then the objects are found, mirrored too."""
    fcos = _begin(student)
    images = torch.stack([draw(scene) for scene in SCENES]).to(
        student.device, copy=True
    )
    gt_boxes = padded_boxes(SCENES).to(student.device, copy=True)
    student.train(fcos, images, gt_boxes, STEPS, LEARNING_RATE)
    fcos.eval()
    seen = _find(student, fcos, SCENES)
    unseen = _find(student, fcos, [mirrored(scene) for scene in SCENES])
    if _is_good(seen, LEAST_SEEN) and _is_good(unseen, LEAST_UNSEEN):
        return
    lines = [
        f"{name}: {len(score.found)} of {len(score.found + score.missed)} objects "
        f"found with {score.detections} detections"
        for name, score in (("training images", seen), ("mirrored images", unseen))
    ]
    raise CheckError(
        "wrong value",
        "FCOS after training",
        "does not find what it was trained on",
        cause_of_learning_wrong(student),
        lines,
    )
