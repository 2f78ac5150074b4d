"""NMS and inference as slow float64 loops, right and with each known mistake.

Source: Girshick et al., "R-CNN", 2014, section 2.2; Tian et al., "FCOS", 2019.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from grader_tests.oracles.plain_targets import STRIDES

Box = Sequence[float]


def plain_iou(a: Box, b: Box, *, plus: float = 0.0) -> float:
    """Intersection over union of two XYXY boxes; `plus` 1 is the known mistake."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + plus)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + plus)
    area_a = (a[2] - a[0] + plus) * (a[3] - a[1] + plus)
    area_b = (b[2] - b[0] + plus) * (b[3] - b[1] + plus)
    shared = width * height
    union = area_a + area_b - shared
    return shared / union if union > 0 else 0.0


def plain_nms(
    boxes: Sequence[Box],
    scores: Sequence[float],
    threshold: float,
    overlap: Callable[[Box, Box], float] = plain_iou,
) -> list[int]:
    """Indices of the kept boxes, best first."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[index], boxes[k]) <= threshold for k in kept):
            kept.append(index)
    return kept


class Raw(NamedTuple):
    """Raw predictions for one image, each level name -> tensor.

    Attributes:
        locations: (N, 2) of (x, y).
        cls_logits: (1, N, K).
        deltas: (1, N, 4).
        ctr_logits: (1, N, 1).
    """

    locations: Mapping[str, torch.Tensor]
    cls_logits: Mapping[str, torch.Tensor]
    deltas: Mapping[str, torch.Tensor]
    ctr_logits: Mapping[str, torch.Tensor]


class How(NamedTuple):
    """What a mistake changes; the defaults are right.

    Attributes:
        root: whether the score is the root of the product.
        centerness: whether the score has the centerness in it.
        activation: "sigmoid", "softmax" or "twice" a sigmoid, of the class logits.
        threshold: "drop", "keep" or "relabel" (as class -1) the low scores, or set
            the "score" to -1.
        clip: where x and y are clipped: "WH", "HW", "low", "high" or "no".
        inset: 1 clips to W - 1 and H - 1.
        late_clip: boxes are clipped behind NMS.
        drop_empty: boxes without area are no detections.
        across_classes: NMS does not look at the class.
        per_level: NMS does not compare boxes of different levels.
        suppress: whether there is NMS at all.
        order: "score" or "location".
        stride: of all levels; 0 means each level its own.
        negative: whether negative deltas are taken as they are.
        mixed_up: "classes" or "scores" that were not filtered by the threshold.
    """

    root: bool = True
    centerness: bool = True
    activation: str = "sigmoid"
    threshold: str = "drop"
    clip: str = "WH"
    inset: float = 0.0
    late_clip: bool = False
    drop_empty: bool = False
    across_classes: bool = False
    per_level: bool = False
    suppress: bool = True
    order: str = "score"
    stride: float = 0.0
    negative: bool = False
    mixed_up: str = ""


RIGHT = How()
# Also right: the last pixel as the end of the image, and no boxes without area.
ACCEPTED = (
    RIGHT,
    How(inset=1.0),
    How(drop_empty=True),
    How(inset=1.0, drop_empty=True),
)


class Candidate(NamedTuple):
    """A location's answer: its box (4 numbers), its class, its score, its level."""

    box: tuple[float, ...]
    class_id: int
    score: float
    level: str


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _clip(
    box: Box, height: float, width: float, how: How
) -> tuple[float, float, float, float]:
    ends = {"HW": (height, width)}.get(how.clip, (width, height))
    low = -math.inf if how.clip in ("high", "no") else 0.0
    clipped = []
    for place, value in enumerate(box):
        high = ends[place % 2] - how.inset
        high = math.inf if how.clip in ("low", "no") else high
        clipped.append(min(max(value, low), high))
    x1, y1, x2, y2 = clipped
    return x1, y1, x2, y2


def _candidate(
    raw: Raw, level: str, n: int, size: tuple[int, int], how: How
) -> Candidate:
    logits = raw.cls_logits[level][0, n].double()
    class_id = int(logits.argmax())
    probability = _sigmoid(float(logits[class_id]))
    if how.activation == "softmax":
        probability = float(logits.softmax(dim=0)[class_id])
    elif how.activation == "twice":
        probability = _sigmoid(probability)
    centerness = _sigmoid(float(raw.ctr_logits[level][0, n, 0]))
    score = probability * (centerness if how.centerness else 1.0)
    x, y = raw.locations[level][n].double().tolist()
    stride = how.stride or STRIDES[level]
    ltrb = [
        (v if how.negative else max(v, 0.0)) * stride
        for v in raw.deltas[level][0, n].double().tolist()
    ]
    box = (x - ltrb[0], y - ltrb[1], x + ltrb[2], y + ltrb[3])
    if not how.late_clip:
        box = _clip(box, *size, how)
    return Candidate(box, class_id, math.sqrt(score) if how.root else score, level)


def candidates(raw: Raw, size: tuple[int, int], how: How = RIGHT) -> list[Candidate]:
    """The answer of every location, before any threshold; `size` is (H, W)."""
    return [
        _candidate(raw, level, n, size, how)
        for level in STRIDES
        if level in raw.locations
        for n in range(len(raw.locations[level]))
    ]


def plain_inference(
    raw: Raw,
    size: tuple[int, int],
    score_threshold: float,
    nms_threshold: float,
    how: How = RIGHT,
) -> torch.Tensor:
    """(D, 6) float64 detections: x1, y1, x2, y2, class, score; best first."""
    every = candidates(raw, size, how)
    kept = every
    if how.threshold == "drop":
        kept = [candidate for candidate in every if candidate.score > score_threshold]
    elif how.threshold == "relabel":
        kept = [
            candidate
            if candidate.score > score_threshold
            else candidate._replace(class_id=-1)
            for candidate in every
        ]
    elif how.threshold == "score":
        kept = [
            candidate
            if candidate.score > score_threshold
            else candidate._replace(score=-1.0)
            for candidate in every
        ]
    if how.mixed_up == "classes":
        kept = [
            candidate._replace(class_id=other.class_id)
            for candidate, other in zip(kept, every, strict=False)
        ]
    if how.mixed_up == "scores":
        kept = [
            candidate._replace(score=other.score)
            for candidate, other in zip(kept, every, strict=False)
        ]
    if how.drop_empty:
        kept = [
            candidate
            for candidate in kept
            if candidate.box[2] > candidate.box[0]
            and candidate.box[3] > candidate.box[1]
        ]

    def group_of(candidate: Candidate) -> tuple[int | None, str | None]:
        return (
            None if how.across_classes else candidate.class_id,
            candidate.level if how.per_level else None,
        )

    chosen: list[int] = []
    for group in set(map(group_of, kept)):
        own = [i for i, candidate in enumerate(kept) if group_of(candidate) == group]
        scores = [kept[i].score for i in own]
        limit = nms_threshold if how.suppress else math.inf
        found = plain_nms([kept[i].box for i in own], scores, limit)
        chosen += [own[i] for i in found]
    chosen.sort()
    if how.order == "score":
        chosen.sort(key=lambda i: -kept[i].score)
    if how.late_clip:
        kept = [
            candidate._replace(box=_clip(candidate.box, *size, how))
            for candidate in kept
        ]
    rows = [(*kept[i].box, kept[i].class_id, kept[i].score) for i in chosen]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
