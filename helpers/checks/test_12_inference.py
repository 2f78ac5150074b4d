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
    "the score is not square-rooted": [(0, 2, 0.729)],
    "the threshold is for the product, not for its root": [(0, 2, 0.853815)],
    "the centerness is left out of the score": [
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
    "softmax instead of sigmoid": [
        (0, 2, 0.871232),
        (2, 0, 0.595903),
        (2, 1, 0.520147),
        (3, 2, 0.478578),
        (4, 0, 0.547723),
        (4, 1, 0.547723),
        (4, 2, 0.547723),
    ],
    "a sigmoid of the class is applied twice": [
        (0, 0, 0.642728),
        (0, 1, 0.690741),
        (0, 2, 0.75886),
        (2, 0, 0.593206),
        (2, 1, 0.587831),
        (2, 2, 0.567098),
        (3, 0, 0.354436),
        (3, 1, 0.355317),
        (3, 2, 0.374892),
        (4, 0, 0.672495),
        (4, 1, 0.672495),
        (4, 2, 0.672495),
    ],
    "a sigmoid of the centerness is applied twice": [
        (0, 1, 0.499159),
        (0, 2, 0.789239),
        (1, 0, 0.504975),
        (1, 2, 0.451663),
        (2, 0, 0.361871),
        (2, 1, 0.323667),
        (3, 2, 0.374892),
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
    orders: dict[str, Rows] = {
        "candidates come best first, not place by place": _sorted(right, -1, -1),
        "candidates come class by class, not place by place": _sorted(right, 1),
    }
    wrong = {**causes, **{name: rows for name, rows in orders.items() if rows != right}}
    _expect_table(rows, right, what, "place,class,score", "candidate", wrong)


def _sorted(rows: Rows, column: int, sign: int = 1) -> Rows:
    """The rows by one column, equal ones in their order."""
    return sorted(rows, key=lambda row: sign * row[column])


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
    expect_close(
        rows, expected, what, names=names, place=place, causes=known, atol=1e-4
    )


@exercise("12.1")
def test_candidates_by_hand(student: Any) -> None:
    """Each class whose score is above the threshold, by place and class."""
    version = config(student, threshold_on="score", multi_label=True)
    causes: dict[str, Rows] = {
        "threshold_on is taken for the other one": ON_CLASS,
        "multi_label is taken for the other one": BEST_ON_SCORE,
        "place and class are exchanged": [
            (place, row, score) for row, place, score in ON_SCORE
        ],
        "classes begin at 1, not at 0": [
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
        "threshold_on is taken for the other one": ON_SCORE,
        "the score is not square-rooted": [
            (row, place, score**2) for row, place, score in ON_CLASS
        ],
        "multi_label is taken for the other one": BEST_ON_CLASS,
    }
    alone = "the class probability alone is the score"
    causes[alone] = FALSE_SCORES[alone]
    found = candidates(student, version)
    expect_rows(found, ON_CLASS, "find_candidates, threshold 0.3 on class", causes)


@exercise("12.1")
def test_candidates_of_the_best_class_only(student: Any) -> None:
    """Without multi_label a location has one candidate at most."""
    several = "multi_label is taken for the other one"
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
        cause = None
        if count == 1:  # true only if a little more keeps it out
            near = [
                len(find(zero, zero, limit, config(student, threshold_on=name))[2])
                for limit in (0.4999, 0.5001)
            ]
            cause = (
                "a score of exactly the threshold passes" if near == [1, 0] else None
            )
        expect_equal(count, 0, f"{what}: candidates", cause)


@exercise("12.1")
def test_candidates_when_nothing_passes(student: Any) -> None:
    """Empty answers of the usual shapes, and logits that are as they were."""
    version = config(student)
    logits, centers = (
        torch.logit(tensor(student, rows)) for rows in (CLASSES, CENTERNESS)
    )
    given = (logits.clone(), centers.clone())
    found, after = student.after_call(
        student.fcos_published.find_candidates, logits, centers, 0.99, version
    )
    what = "find_candidates when nothing passes"
    expect_rows(found, [], what, {})
    for before, now in zip(given, after[:2], strict=True):
        expect_true(
            torch.equal(before.cpu(), now.cpu()),
            "find_candidates: the logits after the call",
            "they were changed",
            "the input is changed in place; work on a copy",
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
    """Two of five, best first, each with the box of its own location."""
    what = "decode_level, top_k = 2 of each level"
    causes: dict[str, Rows] = {
        "top_k limits no level": FOUND,
        "so many locations go on, with all their classes": [
            FOUND[index] for index in (0, 1, 2, 4)
        ],
        "so many of each class go on, not of the level": FOUND[:4],
        "the first candidates go on, not the best": IN_ORDER[:2],
        "the least sure comes first": FOUND[:2:-1],
        "boxes are taken at a candidate's number, not at its place": [
            (55.0, 31, 65, 41, 1, 0.758947),
            (11.0, 11, 13, 13, 0, 0.72),
        ],
        "boxes are clipped at 0; that comes later": [
            (max(row[0], 0.0), max(row[1], 0.0), *row[2:]) for row in FOUND[:2]
        ],
        "the sign of left and top is wrong": [
            (54.0, 44.0, 74.0, 26.0, 1, 0.758947),
            (24.0, 14.0, 26.0, 20.0, 0, 0.72),
        ],
    }
    found = decode(student, top_k=2, top_k_of="level")
    expect_boxes(found, FOUND[:2], what, causes)


@exercise("12.2")
def test_level_keeps_all_where_the_limit_is_of_the_image(student: Any) -> None:
    """A limit of the whole image is not for this function, and 0 is no limit."""
    unsorted: dict[str, Rows] = {
        "candidates are not sorted by score": IN_ORDER,
        "the least sure comes first": FOUND[::-1],
    }
    always = "top_k limits each level, whatever top_k_of says"
    found = decode(student, top_k=2, top_k_of="image")
    what = "decode_level, top_k = 2 of the image"
    expect_boxes(found, FOUND, what, {**unsorted, always: FOUND[:2]})
    found = decode(student, top_k=0, top_k_of="level")
    what = "decode_level, top_k = 0 of each level"
    none: dict[str, Rows] = {"top_k = 0 lets none through; it is all": []}
    expect_boxes(found, FOUND, what, {**unsorted, **none})


@exercise("12.2")
def test_level_with_fewer_candidates_than_the_limit(student: Any) -> None:
    """Five candidates, a limit of 1,000: all five."""
    what = "decode_level, top_k = 1000"
    with expect_runs(
        what,
        "a level of fewer candidates than top_k crashes",
        lambda: decode(student, top_k=2),
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
# another class, as the fifth covers the fourth; the last lies apart.
HEAP = [
    (0.0, 0.0, 10.0, 10.0, 0, 0.89),
    (2.0, 0.0, 12.0, 10.0, 0, 0.9),
    (0.0, 0.0, 10.0, 10.0, 1, 0.88),
    (30.0, 40.0, 50.0, 45.0, 0, 0.8),
    (30.0, 40.0, 50.0, 46.0, 1, 0.5),
    (70.0, 0.0, 80.0, 10.0, 1, 0.6),
]
LEFT = [HEAP[index] for index in (1, 2, 3, 5, 4)]
BY_SCORE = [HEAP[index] for index in (1, 0, 2, 3, 5, 4)]
IN_ORDER_GIVEN = [HEAP[index] for index in (1, 2, 3, 4, 5)]


def moved(rows: Rows, far: float) -> Rows:
    """The same boxes elsewhere."""
    return [tuple(each + far for each in row[:4]) + tuple(row[4:]) for row in rows]


def suppressed(student: Any, rows: Rows, threshold: float, **choices: Any) -> Any:
    """What is left of these boxes."""
    table = tensor(student, rows).reshape(-1, 6)
    found = (table[:, :4], table[:, 4].long(), table[:, 5])
    return student.fcos_published.suppress(found, threshold, config(student, **choices))


@exercise("12.3")
def test_suppress_by_hand(student: Any) -> None:
    """One box of each heap, for each class, best first; at the threshold given."""
    causes: dict[str, Rows] = {
        "NMS runs across classes": [HEAP[index] for index in (1, 3, 5)],
        "NMS is left out": BY_SCORE,
        "what stays is in the order given, not best first": IN_ORDER_GIVEN,
        "what stays comes class by class, not best first": [
            HEAP[index] for index in (1, 3, 2, 5, 4)
        ],
    }
    found = suppressed(student, HEAP, 0.5)
    expect_boxes(found, LEFT, "suppress at IoU 0.5", causes)
    found = suppressed(student, moved(HEAP, 3.0), 0.75)
    causes = {"the NMS threshold is not looked at": moved(LEFT, 3.0)}
    expect_boxes(found, moved(BY_SCORE, 3.0), "suppress at IoU 0.75", causes)


@exercise("12.3")
def test_suppress_keeps_the_best_so_many(student: Any) -> None:
    """At most max_detections of the whole image, after NMS; 0 is all."""
    causes: dict[str, Rows] = {
        "the best are taken before NMS, not behind it": LEFT[:1],
        "so many of each class stay, not of the image": LEFT[:4],
        "max_detections is not looked at": LEFT,
        "the last ones stay, not the best": LEFT[-2:],
    }
    found = suppressed(student, HEAP, 0.5, max_detections=2)
    expect_boxes(found, LEFT[:2], "suppress, max_detections = 2", causes)
    found = suppressed(student, moved(HEAP, 5.0), 0.5, max_detections=0)
    none: dict[str, Rows] = {"max_detections = 0 lets none through; it is all": []}
    expect_boxes(found, moved(LEFT, 5.0), "suppress, max_detections = 0", none)


@exercise("12.3")
def test_suppress_with_equal_scores(student: Any) -> None:
    """With keep_ties all that score as the last one come out, else not."""
    scores = (0.8, 0.7, 0.9, 0.8, 0.8)
    apart = [
        (40.0 * place, 0.0, 40.0 * place + 10, 10.0, place % 2, score)
        for place, score in enumerate(scores)
    ]
    twin = (80.0, 0.0, 90.0, 10.0, 0, 0.85)  # of the best, so that NMS removes it
    dropped = "ties do not come out though keep_ties is set"
    always = "ties come out though keep_ties is not set"
    of_next = "ties are those of the first that is left out, not of the last one"
    for number, (most, keep_ties, right, causes) in enumerate(
        (
            (2, True, 4, {2: dropped}),
            (2, False, 2, {4: always}),
            (4, True, 4, {5: of_next}),
            (50, True, 5, {}),
        )
    ):
        given = moved([*apart, twin], 2.0 * number)
        found = suppressed(
            student, given, 0.5, max_detections=most, keep_ties=keep_ties
        )
        case = f"suppress, max_detections = {most}, keep_ties "
        case += (
            f"{'on' if keep_ties else 'off'}, of scores 0.9, 0.8, 0.8, 0.8, 0.7 left"
        )
        expect_parts(found, OF_BOXES, case)
        got = expect_tensor(found[2], f"{case}: scores").flatten().tolist()
        # The best of those given, of which equal ones may stand in any order.
        expected = sorted(scores, reverse=True)[: len(got)]
        is_best = [round(each, 4) for each in got] == expected
        first = expect_tensor(found[0], f"{case}: boxes").flatten()[:1].tolist()
        is_own = first == [given[2][0]]
        cause = causes.get(len(got)) if is_best and is_own else None
        expect_equal(len(got), right, f"{case}: boxes", cause)
        expect_true(is_best, f"{case}: scores", f"expected {expected}, got {got}")


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
