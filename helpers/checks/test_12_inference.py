"""Visible checks of step 12: candidates, the best of a level, and NMS with a limit."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from helpers.checks.answers import expect_parts
from helpers.checks.exercises import exercise
from helpers.checks.expect import (
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
    find_cause,
)
from helpers.checks.inputs import tensor

# Probabilities of three classes at five locations, and of centerness there.
CLASSES = [
    [0.04, 0.36, 0.9],
    [0.5, 0.02, 0.4],
    [0.2, 0.16, 0.01],
    [0.01, 0.02, 0.25],
    [0.01, 0.01, 0.01],
]
CENTERNESS = [[0.81], [0.04], [0.64], [0.25], [0.9]]
THRESHOLD = 0.3
# Place, class and score of each candidate.
ON_SCORE = [(0, 1, 0.54), (0, 2, 0.853815), (2, 0, 0.357771), (2, 1, 0.32)]
ON_CLASS = [(0, 1, 0.54), (0, 2, 0.853815), (1, 0, 0.141421), (1, 2, 0.126491)]
BEST_ON_SCORE, BEST_ON_CLASS = ON_SCORE[1:3], ON_CLASS[1:3]
FALSE_SCORES = {
    "the square root is missing": [(0, 2, 0.729)],
    "the centerness is not part of the score": [
        (0, 1, 0.6),
        (0, 2, 0.948683),
        (1, 0, 0.707107),
        (1, 2, 0.632456),
        (2, 0, 0.447214),
        (2, 1, 0.4),
        (3, 2, 0.5),
    ],
    "the class probability alone is the score": [
        (0, 1, 0.36),
        (0, 2, 0.9),
        (1, 0, 0.5),
        (1, 2, 0.4),
    ],
    "softmax is taken instead of sigmoid": [
        (0, 2, 0.871232),
        (2, 0, 0.595903),
        (2, 1, 0.520147),
        (3, 2, 0.478578),
        (4, 0, 0.547723),
        (4, 1, 0.547723),
        (4, 2, 0.547723),
    ],
    "the class probability is returned, not the score": [
        (0, 1, 0.36),
        (0, 2, 0.9),
        (2, 0, 0.2),
        (2, 1, 0.16),
    ],
}
OF_CANDIDATES = ("places", "classes", "scores")
OF_BOXES = ("boxes", "classes", "scores")
Rows = Sequence[tuple[float, ...]]


def config(student: Any, **choices: Any) -> Any:
    """A config with these choices, made where the student's code runs."""
    return student.fcos_published.FCOSConfig(**choices)


def candidates(student: Any, version: Any, threshold: float = THRESHOLD) -> Any:
    """What is found among the five locations."""
    return student.fcos_published.find_candidates(
        torch.logit(tensor(student, CLASSES)),
        torch.logit(tensor(student, CENTERNESS)),
        threshold,
        version,
    )


def expect_rows(found: Any, right: Rows, what: str, causes: Mapping[str, Rows]) -> None:
    """Places, classes and scores are these, in this order."""
    expect_parts(found, OF_CANDIDATES, what)
    scores = expect_tensor(found[2], f"{what}: scores").double()
    if scores.dim() != 1:
        expect_tensor(found[2], f"{what}: scores", shape=(len(right),))
    parts = [
        expect_tensor(
            part, f"{what}: {name}", shape=tuple(scores.shape), dtype=torch.int64
        )
        for part, name in zip(found[:2], OF_CANDIDATES, strict=False)
    ]
    rows = torch.stack((*parts, scores), dim=1).double()
    _expect_table(rows, right, what, "place,class,score", "candidate", causes)


def _expect_table(
    rows: torch.Tensor,
    right: Rows,
    what: str,
    names: str,
    place: str,
    causes: Mapping[str, Rows],
) -> None:
    """A table with these rows; the number of rows is said first."""
    width = names.count(",") + 1
    known = {
        cause: torch.tensor(wrong).double().reshape(-1, width)
        for cause, wrong in causes.items()
    }
    expected = torch.tensor(right).double().reshape(-1, width)
    if rows.shape != expected.shape:
        cause = find_cause(rows, known, atol=1e-4, rtol=0)
        many = "boxes" if place == "box" else f"{place}s"
        expect_equal(len(rows), len(right), f"{what}: number of {many}", cause)
    if find_cause(rows, known, atol=1e-4, rtol=0) is None:
        mine, true = (torch.tensor(sorted(each.tolist())) for each in (rows, expected))
        if torch.allclose(mine, true, atol=1e-4):
            known["the order is not the one asked for"] = rows
    expect_close(
        rows, expected, what, names=names, place=place, causes=known, atol=1e-4
    )


@exercise("12.1")
def test_candidates_by_hand(student: Any) -> None:
    """Each class whose score is above the threshold, by place and class."""
    version = config(student, threshold_on="score", multi_label=True)
    causes: dict[str, Rows] = {
        "the threshold is held against the class probability; this config says score": (
            ON_CLASS
        ),
        "only the best class of a location is taken; this config says multi_label": (
            BEST_ON_SCORE
        ),
        "place and class are exchanged": [
            (place, row, score) for row, place, score in ON_SCORE
        ],
        "the classes are counted from 1": [
            (row, place + 1, score) for row, place, score in ON_SCORE
        ],
        **FALSE_SCORES,
    }
    found = candidates(student, version)
    expect_rows(found, ON_SCORE, "find_candidates, threshold 0.3 on score", causes)


@exercise("12.1")
def test_candidates_with_the_threshold_on_the_class(student: Any) -> None:
    """The class probability decides, and the score is still that of both."""
    version = config(student, threshold_on="class", multi_label=True)
    causes: dict[str, Rows] = {
        "the threshold is held against the score; this config says class": ON_SCORE,
        "the square root is missing": [
            (row, place, score**2) for row, place, score in ON_CLASS
        ],
        "the score is the class probability; the centerness belongs to it, too": (
            FALSE_SCORES["the class probability alone is the score"]
        ),
        "only the best class of a location is taken; this config says multi_label": (
            BEST_ON_CLASS
        ),
    }
    found = candidates(student, version)
    expect_rows(found, ON_CLASS, "find_candidates, threshold 0.3 on class", causes)


@exercise("12.1")
def test_candidates_of_the_best_class_only(student: Any) -> None:
    """Without multi_label a location has one candidate at most."""
    several = (
        "several classes of a location are taken; this config says multi_label off"
    )
    first = "the first class that passes is taken, not the best"
    for name, right, all_of_them in (
        ("score", BEST_ON_SCORE, ON_SCORE),
        ("class", BEST_ON_CLASS, ON_CLASS),
    ):
        version = config(student, threshold_on=name, multi_label=False)
        causes: dict[str, Rows] = {several: all_of_them, first: all_of_them[::2]}
        found = candidates(student, version)
        what = f"find_candidates, threshold 0.3 on {name}, best class only"
        expect_rows(found, right, what, causes)


@exercise("12.1")
def test_candidates_are_above_the_threshold(student: Any) -> None:
    """A score that is equal to the threshold is no candidate."""
    find = student.fcos_published.find_candidates
    zero = tensor(student, [[0.0]])  # probability 0.5, centerness 0.5, score 0.5
    for name in ("score", "class"):
        found = find(zero, zero, 0.5, config(student, threshold_on=name))
        what = f"find_candidates of one location, p = c = {name} = threshold = 0.5"
        expect_parts(found, OF_CANDIDATES, what)
        count = len(expect_tensor(found[2], what).flatten())
        below = find(zero, zero, 0.4999, config(student, threshold_on=name))
        taken = len(expect_tensor(below[2], what).flatten()) if count == 1 else 0
        cause = "what is equal to the threshold passes (> and not >=)"
        expect_equal(count, 0, f"{what}: candidates", cause if taken == 1 else None)


@exercise("12.1")
def test_candidates_when_nothing_passes(student: Any) -> None:
    """Empty answers of the usual shapes, and logits that are as they were."""
    version = config(student)
    logits, centers = (
        torch.logit(tensor(student, rows)) for rows in (CLASSES, CENTERNESS)
    )
    found, after = student.after_call(
        student.fcos_published.find_candidates, logits, centers, 0.99, version
    )
    what = "find_candidates when nothing passes"
    expect_rows(found, [], what, {})
    for before, now in zip((logits, centers), after[:2], strict=True):
        expect_true(
            torch.equal(before.cpu(), now.cpu()),
            "find_candidates: the logits after the call",
            "they were changed",
            "the logits are changed in place; make new tensors",
        )


# A level of four locations with two classes. Of its eight scores five are above 0.3.
POINTS = [[12.0, 12.0], [20.0, 12.0], [44.0, 20.0], [60.0, 36.0]]
LEVEL_CLASSES = [[0.01, 0.02], [0.64, 0.36], [0.2, 0.9], [0.5, 0.02]]
LEVEL_CENTERNESS = [[0.9], [0.81], [0.64], [0.49]]
DISTANCES = [[1.0, 1, 1, 1], [4.0, 2, 6, 8], [10.0, 24, 30, 6], [5.0, 5, 5, 5]]
# x1, y1, x2, y2, class, score, best first.
FOUND = [
    (34.0, -4.0, 74.0, 26.0, 1, 0.758947),
    (16.0, 10.0, 26.0, 20.0, 0, 0.72),
    (16.0, 10.0, 26.0, 20.0, 1, 0.54),
    (55.0, 31.0, 65.0, 41.0, 0, 0.494975),
    (34.0, -4.0, 74.0, 26.0, 0, 0.357771),
]
IN_ORDER = [FOUND[index] for index in (1, 2, 4, 0, 3)]  # as 12.1 gives them
BOX_NAMES = "x1,y1,x2,y2,class,score"


def decode(student: Any, threshold: float = THRESHOLD, **choices: Any) -> Any:
    """The boxes of that level."""
    return student.fcos_published.decode_level(
        tensor(student, POINTS),
        torch.logit(tensor(student, LEVEL_CLASSES)),
        tensor(student, DISTANCES),
        torch.logit(tensor(student, LEVEL_CENTERNESS)),
        threshold,
        config(student, **choices),
    )


def expect_boxes(
    found: Any, right: Rows, what: str, causes: Mapping[str, Rows]
) -> None:
    """Boxes, classes and scores are these, in this order."""
    expect_parts(found, OF_BOXES, what)
    scores = expect_tensor(found[2], f"{what}: scores").double()
    if scores.dim() != 1:
        expect_tensor(found[2], f"{what}: scores", shape=(len(right),))
    count = len(scores)
    boxes = expect_tensor(found[0], f"{what}: boxes", shape=(count, 4)).double()
    classes = expect_tensor(
        found[1], f"{what}: classes", shape=(count,), dtype=torch.int64
    ).double()
    rows = torch.cat((boxes, classes[:, None], scores[:, None]), dim=1)
    _expect_table(rows, right, what, BOX_NAMES, "box", causes)


@exercise("12.2")
def test_level_keeps_the_best_of_its_candidates(student: Any) -> None:
    """Three of five, best first, each with the box of its own location."""
    what = "decode_level, top_k = 3 of each level"
    causes: dict[str, Rows] = {
        "top_k is not applied": FOUND,
        "the first candidates are taken, not the best": IN_ORDER[:3],
        "boxes are taken at a candidate's number, not at its place": [
            (55.0, 31, 65, 41, 1, 0.758947),
            (11.0, 11, 13, 13, 0, 0.72),
            (16.0, 10, 26, 20, 1, 0.54),
        ],
        "the boxes are clipped already; that comes later": [
            (max(row[0], 0.0), max(row[1], 0.0), *row[2:]) for row in FOUND[:3]
        ],
        "the sign of left and top is wrong": [
            (54.0, 44.0, 74.0, 26.0, 1, 0.758947),
            (24.0, 14.0, 26.0, 20.0, 0, 0.72),
            (24.0, 14.0, 26.0, 20.0, 1, 0.54),
        ],
    }
    found = decode(student, top_k=3, top_k_of="level")
    expect_boxes(found, FOUND[:3], what, causes)


@exercise("12.2")
def test_level_keeps_all_where_the_limit_is_of_the_image(student: Any) -> None:
    """A limit of the whole image is not for this function, and 0 is no limit."""
    unsorted: dict[str, Rows] = {
        "the candidates are not sorted by score": IN_ORDER,
    }
    found = decode(student, top_k=3, top_k_of="image")
    cut: dict[str, Rows] = {"the limit of the image is applied to the level": FOUND[:3]}
    what = "decode_level, top_k = 3 of the image"
    expect_boxes(found, FOUND, what, {**unsorted, **cut})
    found = decode(student, top_k=0, top_k_of="level")
    what = "decode_level, top_k = 0 of each level"
    none: dict[str, Rows] = {"a limit of 0 is taken for no box; it is all": []}
    expect_boxes(found, FOUND, what, {**unsorted, **none})


@exercise("12.2")
def test_level_with_fewer_candidates_than_the_limit(student: Any) -> None:
    """Five candidates, a limit of 1,000: all five."""
    what = "decode_level, top_k = 1000"
    with expect_runs(
        what,
        "topk is asked for more than there are",
        lambda: decode(student, top_k=3),
        kinds=("RuntimeError", "IndexError"),
    ):
        found = decode(student, top_k=1000)
    expect_boxes(found, FOUND, what, {})


@exercise("12.2")
def test_level_when_nothing_passes(student: Any) -> None:
    """No candidate: empty answers of the usual shapes."""
    what = "decode_level when nothing passes"
    found = decode(student, threshold=0.99)
    expect_parts(found, OF_BOXES, what)
    for part, name, shape in zip(found, OF_BOXES, ((0, 4), (0,), (0,)), strict=True):
        expect_tensor(part, f"{what}: {name}", shape=shape)


# In no order. The second overlaps the first by 2/3; the third is the first again, of
# another class, as the fifth covers the fourth.
HEAP = [
    (0.0, 0.0, 10.0, 10.0, 0, 0.85),
    (2.0, 0.0, 12.0, 10.0, 0, 0.9),
    (0.0, 0.0, 10.0, 10.0, 1, 0.7),
    (30.0, 40.0, 50.0, 45.0, 0, 0.8),
    (30.0, 40.0, 50.0, 46.0, 1, 0.5),
]
LEFT = [HEAP[index] for index in (1, 3, 2, 4)]
BY_SCORE = [HEAP[index] for index in (1, 0, 3, 2, 4)]


def suppressed(student: Any, rows: Rows, threshold: float, **choices: Any) -> Any:
    """What is left of these boxes."""
    table = tensor(student, rows).reshape(-1, 6)
    found = (table[:, :4], table[:, 4].long(), table[:, 5])
    return student.fcos_published.suppress(found, threshold, config(student, **choices))


@exercise("12.3")
def test_suppress_by_hand(student: Any) -> None:
    """One box of each heap, for each class, best first; at the threshold given."""
    causes: dict[str, Rows] = {
        "NMS is run across classes; boxes of different classes must not meet": [
            LEFT[0],
            LEFT[1],
        ],
        "NMS is not run": BY_SCORE,
    }
    found = suppressed(student, HEAP, 0.5)
    expect_boxes(found, LEFT, "suppress at IoU 0.5", causes)
    found = suppressed(student, HEAP, 0.75)
    causes = {"the threshold is not the one that was given": LEFT}
    expect_boxes(found, BY_SCORE, "suppress at IoU 0.75", causes)


@exercise("12.3")
def test_suppress_keeps_the_best_so_many(student: Any) -> None:
    """At most max_detections of the whole image, after NMS; 0 is all."""
    causes: dict[str, Rows] = {
        "the limit is applied before NMS, so that some of it is lost there": LEFT[:2],
        "more than max_detections come out: the limit is for the whole image": LEFT,
        "the last ones are kept, not the best": LEFT[1:],
    }
    found = suppressed(student, HEAP, 0.5, max_detections=3)
    expect_boxes(found, LEFT[:3], "suppress, max_detections = 3", causes)
    found = suppressed(student, HEAP, 0.5, max_detections=0)
    what = "suppress, max_detections = 0"
    expect_boxes(found, LEFT, what, {"a limit of 0 is taken for no box; it is all": []})


@exercise("12.3")
def test_suppress_with_equal_scores(student: Any) -> None:
    """With keep_ties all that score as the last one come out, else not."""
    scores = (0.8, 0.9, 0.8, 0.7, 0.8)
    apart = [
        (40.0 * place, 0, 40.0 * place + 10, 10, place % 2, score)
        for place, score in enumerate(scores)
    ]
    cut = "what scores as much as the last one is cut; keep_ties is on"
    kept = "what scores as much as the last one stays; keep_ties is off"
    above = "only what scores more than the last one stays"
    for most, keep_ties, right, causes in (
        (2, True, 4, {2: cut, 1: above}),
        (2, False, 2, {4: kept}),
        (4, True, 4, {5: "the score after the last one is taken for the last one's"}),
    ):
        found = suppressed(
            student, apart, 0.5, max_detections=most, keep_ties=keep_ties
        )
        case = f"suppress, max_detections = {most}, keep_ties "
        case += f"{'on' if keep_ties else 'off'}, of scores 0.9, 0.8, 0.8, 0.8, 0.7"
        expect_parts(found, OF_BOXES, case)
        got = expect_tensor(found[2], f"{case}: scores").flatten().tolist()
        expect_equal(len(got), right, f"{case}: boxes", causes.get(len(got)))
        best = sorted(scores, reverse=True)[:right]
        expect_equal([round(each, 4) for each in got], best, f"{case}: scores")
    found = suppressed(student, apart, 0.5, max_detections=50, keep_ties=True)
    what = "suppress of five boxes, max_detections = 50, keep_ties on"
    expect_parts(found, OF_BOXES, what)
    count = len(expect_tensor(found[2], what))
    expect_equal(count, 5, f"{what}: number of boxes")


@exercise("12.3")
def test_suppress_without_any_box(student: Any) -> None:
    """No box in, no box out, in the usual shapes; with keep_ties, too."""
    for keep_ties in (False, True):
        what = f"suppress of no box, keep_ties {'on' if keep_ties else 'off'}"
        with expect_runs(
            what,
            "the last score is asked for where there is none",
            lambda keep_ties=keep_ties: suppressed(  # type: ignore[misc]
                student, HEAP, 0.5, keep_ties=keep_ties
            ),
            kinds=("IndexError",),
        ):
            found = suppressed(student, [], 0.5, keep_ties=keep_ties)
        expect_parts(found, OF_BOXES, what)
        shapes = ((0, 4), (0,), (0,))
        for part, name, shape in zip(found, OF_BOXES, shapes, strict=True):
            expect_tensor(part, f"{what}: {name}", shape=shape)
