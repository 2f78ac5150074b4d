"""What the tests of inference share: predictions in, detections out, known mistakes."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from grader_tests.oracles.plain_detect import ACCEPTED, How, Raw, plain_inference
from grader_tests.oracles.plain_targets import STRIDES, plain_locations
from grader_tests.references import load_cases
from grader_tests.tools import give
from helpers.checks.expect import (
    CheckError,
    any_of,
    expect_close,
    expect_runs,
    expect_tensor,
)
from helpers.checks.student import Student

INFERENCE = "FCOS.inference"
NOTHING_PASSES = "no score above the threshold crashes"
BOXES_ALONE = "classes or scores are not filtered along with the boxes"
KNOWN_MISTAKES: Mapping[str, How] = {
    "the score is not square-rooted": How(root=False),
    "the centerness is left out of the score": How(centerness=False),
    "the class probability alone is the score": How(centerness=False, root=False),
    "softmax instead of sigmoid": How(activation="softmax"),
    "a sigmoid is applied twice": How(activation="twice"),
    "low scores are kept": How(threshold="keep"),
    "low scores are relabelled instead of dropped": How(threshold="relabel"),
    "low scores become -1 instead of being dropped": How(threshold="score"),
    "boxes are clipped behind NMS, which must see the clipped ones": How(
        late_clip=True
    ),
    "boxes are clipped to (H, W) instead of (W, H)": How(clip="HW"),
    "boxes are clipped at 0 only": How(clip="low"),
    "boxes are clipped at the far side only": How(clip="high"),
    "boxes are not clipped to the image": How(clip="no"),
    "NMS runs across classes": How(across_classes=True),
    "NMS runs within each level; boxes of different levels never meet": How(
        per_level=True
    ),
    "NMS is left out": How(suppress=False),
    "the detections are not sorted by score": How(order="location"),
    "one stride for all levels": How(stride=8.0),
    "deltas are not multiplied by the stride": How(stride=1.0),
    "negative deltas are not clipped to 0": How(negative=True),
    "classes are not filtered by the threshold": How(mixed_up="classes"),
    "scores are not filtered by the threshold": How(mixed_up="scores"),
}
MOST = (20, 50, 100, 200, 300, 500, 1000)
# An image, its (H, W), and the thresholds of score and overlap.
Given = tuple[Raw, tuple[int, int], float, float]
# Pixels: float32 numbers up to some hundreds, moved apart by class in NMS and not back
NEAR = 1e-3


def make_model(student: Student) -> Any:
    """A detector in eval mode; inference uses nothing of it but its strides."""
    student.seed(0)
    fcos = student.make_detector(3, 8, [8, 8])
    fcos.eval()
    return fcos


def read_raw(case: str) -> tuple[Raw, dict[str, torch.Tensor]]:
    """Stored predictions of step 8, and the expected detections by name."""
    stored = load_cases("step8", "inference")[case]
    parts = {
        part: {level: stored[f"{part}-{level}"] for level in STRIDES}
        for part in Raw._fields
    }
    expected = {
        name.removeprefix("expected-"): tensor
        for name, tensor in stored.items()
        if name.startswith("expected-")
    }
    return Raw(**parts), expected


def quiet_raw(height: int, width: int, num_classes: int = 3) -> Raw:
    """Predictions of an image on which nothing is seen: all logits are -12."""
    locations = {k: v.float() for k, v in plain_locations(height, width).items()}

    def full(value: float, channels: int) -> dict[str, torch.Tensor]:
        return {
            level: torch.full((1, len(points), channels), value)
            for level, points in locations.items()
        }

    return Raw(locations, full(-12.0, num_classes), full(1.0, 4), full(-12.0, 1))


def arguments(
    student: Student,
    raw: Raw,
    size: tuple[int, int],
    dtype: torch.dtype = torch.float32,
    *,
    images: int = 1,
) -> list[Any]:
    """What FCOS.inference gets: an image of that (H, W), then the predictions."""
    levels = [
        {level: give(student, part, dtype) for level, part in values.items()}
        for values in raw
    ]
    empty = torch.zeros(images, 3, *size, device=student.device, dtype=dtype)
    return [empty, *levels]


def read_detections(answer: Any, what: str = INFERENCE) -> torch.Tensor:
    """(D, 6) float64 of x1, y1, x2, y2, class, score."""
    if answer is None:
        raise CheckError("not implemented", what, "returned None")
    if not isinstance(answer, list | tuple) or len(answer) != 3:
        raise CheckError("wrong type", what, "expected boxes, classes and scores")
    boxes = expect_tensor(answer[0], f"boxes of {what}")
    found = len(boxes)
    expect_tensor(boxes, f"boxes of {what}", shape=(found, 4))
    columns = [boxes.double()]
    for part, name in zip(answer[1:], ("classes", "scores"), strict=True):
        part = expect_tensor(part, f"{name} of {what}")
        if part.dim() != 1 or len(part) != found:
            raise CheckError(
                "wrong shape",
                f"{name} of {what}",
                f"expected shape {(found,)}, got {tuple(part.shape)}",
                BOXES_ALONE if part.dim() == 1 and len(part) > found else None,
            )
        columns.append(part.double()[:, None])
    return torch.cat(columns, dim=1)


def detect(
    student: Student,
    raw: Raw,
    size: tuple[int, int],
    score_threshold: float,
    nms_threshold: float,
    model: Any = None,
) -> torch.Tensor:
    """The student's detections for these predictions, (D, 6); by a new detector."""
    model = make_model(student) if model is None else model
    given = arguments(student, raw, size)
    with expect_runs(INFERENCE):
        answer = model.inference(
            *given, test_score_thresh=score_threshold, test_nms_thresh=nms_threshold
        )
    return read_detections(answer)


def _same(got: torch.Tensor, expected: torch.Tensor) -> bool:
    if got.shape != expected.shape:
        return False
    return bool(torch.isclose(got, expected, atol=NEAR, rtol=1e-4).all())


def _answers(
    raw: Raw, size: tuple[int, int], thresholds: tuple[float, float], how: How
) -> Iterator[torch.Tensor]:
    """What a mistake gives, with the image's end and its last pixel as the border."""
    for inset in (0.0, 1.0):
        yield plain_inference(raw, size, *thresholds, how._replace(inset=inset))


def _no_more_than(got: torch.Tensor, right: list[torch.Tensor]) -> Iterator[str]:
    """Whether these are the best ones, as many as a limit lets through."""
    for most in MOST:
        if any(len(all_) > most and _same(got, all_[:most]) for all_ in right):
            yield f"no more than the {most} best go on"


def expect_detections(
    got: torch.Tensor,
    raw: Raw,
    size: tuple[int, int],
    score_threshold: float,
    nms_threshold: float,
    *,
    what: str = INFERENCE,
    causes: Mapping[str, Given] | None = None,
) -> None:
    """Detections are those of the slow loop, in one of the accepted ways.

    Args:
        got: (D, 6).
        raw: the predictions.
        size: (H, W) of the image in pixels.
        score_threshold, nms_threshold: as given to the student.
        what: for the message.
        causes: known mistake -> what it would have been right for.
    """
    thresholds = score_threshold, nms_threshold
    right = [plain_inference(raw, size, *thresholds, how) for how in ACCEPTED]
    if any(_same(got, candidate) for candidate in right):
        return
    cause = any_of(
        [
            *_no_more_than(got, right),
            *(
                name
                for name, how in KNOWN_MISTAKES.items()
                if any(
                    _same(got, wrong) for wrong in _answers(raw, size, thresholds, how)
                )
            ),
            *(
                name
                for name, given in (causes or {}).items()
                if any(_same(got, plain_inference(*given, how)) for how in ACCEPTED)
            ),
        ]
    )
    if len(got) != len(right[0]):
        raise CheckError(
            "wrong value",
            what,
            f"expected {len(right[0])} detections, got {len(got)}",
            cause,
        )
    try:
        names = "x1,y1,x2,y2,class,score"
        expect_close(got, right[0], what, names=names, place="detection", atol=NEAR)
    except CheckError as error:
        error.cause = cause
        raise
