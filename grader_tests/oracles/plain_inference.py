"""Inference as published: slow float64 loops, right and with each known mistake.

Source: Tian et al., "FCOS", 2019 and 2020, section 4, and the code of its versions.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from grader_tests.oracles.plain_detect import plain_nms

# A location's place, a class, the score.
Candidate = tuple[int, int, float]
# x1, y1, x2, y2, class, score.
Row = tuple[float, ...]


class Choices(NamedTuple):
    """The choices of a version at which its inference looks.

    The names and the defaults are those of core/fcos_config.py, which has the text.
    """

    threshold_on: str = "score"
    multi_label: bool = True
    top_k: int = 1000
    top_k_of: str = "level"
    max_detections: int = 100
    keep_ties: bool = False


class Level(NamedTuple):
    """What the head says of a level of one image; distances in pixels.

    Attributes:
        points: (N, 2) of (x, y).
        cls_logits: (N, K).
        distances: (N, 4) left, top, right, bottom.
        ctr_logits: (N, 1).
    """

    points: torch.Tensor
    cls_logits: torch.Tensor
    distances: torch.Tensor
    ctr_logits: torch.Tensor


class Slip(NamedTuple):
    """What a mistake changes; the defaults are right.

    Attributes:
        root: whether the score is the root of the product.
        activation: "sigmoid", "softmax" or "twice" a sigmoid, of the class logits.
        centerness: "sigmoid", "twice", or "none": it is left out.
        is_low: whether it is the product, not its root, that must pass the threshold.
        at_least: whether a score of exactly the threshold passes.
        other_threshold: threshold_on is taken for the other one.
        other_number: multi_label is taken for the other one.
        first_class: number of the first class.
        by: "place"; candidates come by "class", or by "score".
        low: what becomes of low scores: "drop", "relabel" as class -1, or the "score"
            becomes -1.
        turned: place and class are taken the wrong way out of a flattened index.
        limit: the best "of level" go on, "of class": of each class, "first": by place,
            "of place": so many locations with all their classes; "never" or "always":
            top_k_of is not looked at.
        order: "score", "place", or "rising".
        unsorted: the "boxes", "points", "distances" or "classes" that stay in the order
            of the places.
        sides: "right"; "turned": top and bottom are exchanged; "negative": distances
            below 0 stay so; "inside": right and bottom do.
    """

    root: bool = True
    activation: str = "sigmoid"
    centerness: str = "sigmoid"
    is_low: bool = False
    at_least: bool = False
    other_threshold: bool = False
    other_number: bool = False
    first_class: int = 0
    by: str = "place"
    low: str = "drop"
    turned: bool = False
    limit: str = "of level"
    order: str = "score"
    unsorted: str = ""
    sides: str = "right"


class Stay(NamedTuple):
    """What a mistake changes of what stays; the defaults are right.

    Attributes:
        across_classes: NMS does not look at the class.
        suppress: whether there is NMS at all.
        limit: "behind" NMS, "before" it, "of class": of each class, "never", or "none":
            max_detections = 0 keeps none.
        ties: "" is as asked; "none" or "all" is otherwise; "next": those that score as
            much as the first that is left out come out.
        order: "score", "given" or "class"; "input": NMS takes them as they are given.
    """

    across_classes: bool = False
    suppress: bool = True
    limit: str = "behind"
    ties: str = ""
    order: str = "score"


DEFAULT = Choices()
RIGHT, STAY = Slip(), Stay()


def _sigmoid(x: float) -> float:
    if x < -700:
        return 0.0
    return 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))


def _softmax(logits: Sequence[float]) -> list[float]:
    powers = [math.exp(logit - max(logits)) for logit in logits]
    return [power / sum(powers) for power in powers]


def plain_candidates(
    cls_logits: torch.Tensor,
    ctr_logits: torch.Tensor,
    threshold: float,
    choices: Choices,
    slip: Slip = RIGHT,
) -> list[Candidate]:
    """The candidates of a level, in the order of the places and classes."""
    on_class = (choices.threshold_on == "class") != slip.other_threshold
    many = choices.multi_label != slip.other_number
    found: list[Candidate] = []
    rows = zip(cls_logits.tolist(), ctr_logits.tolist(), strict=True)
    for place, (logits, (centerness_logit,)) in enumerate(rows):
        likely = [_sigmoid(logit) for logit in logits]
        if slip.activation == "softmax":
            likely = _softmax(logits)
        elif slip.activation == "twice":
            likely = [_sigmoid(value) for value in likely]
        centerness = _sigmoid(centerness_logit)
        if slip.centerness == "twice":
            centerness = _sigmoid(centerness)
        products = [
            p * (1 if slip.centerness == "none" else centerness) for p in likely
        ]
        best = max(range(len(products)), key=lambda k: (products[k], -k))
        for class_id, (p, product) in enumerate(zip(likely, products, strict=True)):
            score = math.sqrt(product) if slip.root else product
            asked = p if on_class else product if slip.is_low else score
            passes = asked >= threshold if slip.at_least else asked > threshold
            passes = passes and (many or class_id == best)
            if passes:
                found.append((place, class_id + slip.first_class, score))
            elif slip.low == "relabel":
                found.append((place, -1, score))
            elif slip.low == "score":
                found.append((place, class_id, -1.0))
    if slip.turned:
        width = cls_logits.shape[1]
        flat = [(place * width + class_id, score) for place, class_id, score in found]
        found = [(index % width, index // width, score) for index, score in flat]
    if slip.by == "class":
        found.sort(key=lambda one: (one[1], one[0]))
    elif slip.by == "score":
        found.sort(key=lambda one: -one[2])
    return found


def plain_level(
    level: Level, threshold: float, choices: Choices, slip: Slip = RIGHT
) -> list[Row]:
    """The best candidates of a level, as boxes, best first."""
    found = plain_candidates(
        level.cls_logits, level.ctr_logits, threshold, choices, slip
    )
    order = sorted(range(len(found)), key=lambda i: -found[i][2])
    is_limited = choices.top_k > 0 and {
        "never": False,
        "always": True,
    }.get(slip.limit, choices.top_k_of == "level")
    if is_limited and slip.limit == "first":
        order = [i for i in order if i < choices.top_k]
    elif is_limited and slip.limit in ("of class", "of place"):
        column = 1 if slip.limit == "of class" else 0
        keys = [int(found[i][column]) for i in order]
        first = {key: n for n, key in enumerate(dict.fromkeys(keys))}
        seen: dict[int, int] = {}
        chosen = []
        for index, key in zip(order, keys, strict=True):
            seen[key] = seen.get(key, 0) + 1
            if (seen[key] if column else first[key] + 1) <= choices.top_k:
                chosen.append(index)
        order = chosen
    elif is_limited:
        order = order[: choices.top_k]
    if slip.order == "place":
        order.sort()
    elif slip.order == "rising":
        order.reverse()
    by_place = sorted(order)

    def of(what: str) -> list[Candidate]:
        both = slip.unsorted == "boxes" and what in ("points", "distances")
        is_unsorted = both or slip.unsorted == what
        return [found[i] for i in (by_place if is_unsorted else order)]

    columns = zip(
        of("points"), of("distances"), of("classes"), of("scores"), strict=True
    )
    return [
        (*_box(level, point[0], sides[0], slip.sides), float(named[1]), scored[2])
        for point, sides, named, scored in columns
    ]


def _box(level: Level, point: int, place: int, how: str) -> list[float]:
    x, y = level.points[point].tolist()
    given = level.distances[place].tolist()
    left, top, right, bottom = [max(side, 0) for side in given]
    if how == "negative":
        left, top, right, bottom = given
    elif how == "inside":
        right, bottom = given[2:]
    elif how == "turned":
        top, bottom = bottom, top
    return [x - left, y - top, x + right, y + bottom]


def plain_suppress(
    rows: Sequence[Row], nms_threshold: float, choices: Choices, stay: Stay = STAY
) -> list[Row]:
    """What stays of the rows, best first."""
    number = choices.max_detections or len(rows)
    is_limited = stay.limit != "never"
    if stay.limit == "none" and not choices.max_detections:
        number = 0
    given = sorted(range(len(rows)), key=lambda i: -rows[i][5])
    if stay.limit == "before":
        given = given[:number]
    groups: dict[float | None, list[int]] = {}
    for index in given:
        groups.setdefault(None if stay.across_classes else rows[index][4], []).append(
            index
        )
    kept = []
    for own in groups.values():
        boxes, scores = [rows[i][:4] for i in own], [rows[i][5] for i in own]
        if stay.order == "input":
            scores = [-float(i) for i in own]
        limit = nms_threshold if stay.suppress else math.inf
        chosen = [own[i] for i in plain_nms(boxes, scores, limit)]
        kept += chosen[:number] if stay.limit == "of class" else chosen
    kept.sort(key=lambda i: (0 if stay.order == "input" else -rows[i][5], i))
    if is_limited and stay.limit != "of class" and len(kept) > number:
        with_ties = (choices.keep_ties or stay.ties == "all") and stay.ties != "none"
        last = rows[kept[number - 1]][5] if number else math.inf
        if stay.ties == "next":
            last = rows[kept[number]][5]
        kept = [
            index
            for rank, index in enumerate(kept)
            if rank < number or (with_ties and rows[index][5] >= last)
        ]
    if stay.order == "given":
        kept.sort()
    elif stay.order == "class":
        kept.sort(key=lambda i: (rows[i][4], -rows[i][5]))
    return [rows[i] for i in kept]


def plain_decode(
    levels: Mapping[str, Level],
    size: tuple[int, int],
    threshold: float,
    choices: Choices,
    *,
    inset: float = 0.0,
) -> list[Row]:
    """One image's candidates of all levels, clipped.

    Args:
        size: (H, W) of the image in pixels.
        inset: 0 clips to (W, H), 1 to the last pixel.
    """
    rows = [
        row for own in levels.values() for row in plain_level(own, threshold, choices)
    ]
    height, width = size[0] - inset, size[1] - inset
    clipped: list[Row] = [
        (
            *(
                min(max(value, 0.0), height if place % 2 else width)
                for place, value in enumerate(row[:4])
            ),
            *row[4:],
        )
        for row in rows
    ]
    clipped.sort(key=lambda row: -row[5])
    if choices.top_k_of == "image" and choices.top_k:
        clipped = clipped[: choices.top_k]
    return clipped


def plain_detect(
    levels: Mapping[str, Level],
    size: tuple[int, int],
    thresholds: tuple[float, float],
    choices: Choices,
    *,
    inset: float = 0.0,
) -> list[Row]:
    """One image's detections; `thresholds` are those of score and NMS."""
    found = plain_decode(levels, size, thresholds[0], choices, inset=inset)
    return plain_suppress(found, thresholds[1], choices)
