"""Step 12: NMS within each class, the best of the rest, and the whole chain."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from grader_tests.oracles.plain_inference import (
    DEFAULT,
    Choices,
    Row,
    Stay,
    plain_detect,
    plain_suppress,
)
from grader_tests.oracles.step12 import IMAGE_SIZES, NUM_CLASSES, PADDED, STRIDES
from grader_tests.published_detection_parts import (
    OF_REST,
    SUPPRESS,
    exchanged,
    expect_right,
    expect_table,
    give_found,
    make_version,
    read_found,
    read_found_of,
    read_images,
    rest_check,
    table_of,
)
from grader_tests.tools import expect_inputs_kept, give
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import expect_equal, expect_runs, expect_true
from helpers.checks.student import Student

NO_BOX = "no box at all crashes"
FEWER = "fewer boxes than max_detections crash"
THRESHOLD = "the NMS threshold is not looked at"
ZERO = "an NMS threshold of 0 is not taken as 0"
NEARLY_EQUAL = "scores that are nearly equal count as equal"
DETECTOR = "the whole detector, from the head's outputs to detections"
NAMES = "x1,y1,x2,y2,class,score"
DISTANCES = 2  # their place in a Level
SIZE_OF_ALL = "boxes are clipped to the whole batch, not to each image"


def _suppress(
    student: Student, rows: Sequence[Row], nms_threshold: float, choices: Choices
) -> Any:
    version = make_version(student, choices)
    found = give_found(student, rows)
    return student.fcos_published.suppress(found, nms_threshold, version)


def _check(
    student: Student,
    rows: Sequence[Row],
    nms_threshold: float,
    choices: Choices = DEFAULT,
    **named: Any,
) -> None:
    check = rest_check(rows, nms_threshold, choices, **named)
    ask_other = partial(_suppress, student, exchanged(rows), nms_threshold, choices)
    answer = _suppress(student, rows, nms_threshold, choices)
    expect_right(answer, check, ask_other if len(rows) > 1 else None)


def _of_scores(scores: Sequence[float], classes: Sequence[int]) -> list[Row]:
    """Boxes that do not touch one another."""
    return [
        (20.0 * i, 3.0, 20.0 * i + 12, 10.0 + i, float(k), score)
        for i, (score, k) in enumerate(zip(scores, classes, strict=True))
    ]


def test_suppress_without_boxes(student: Student) -> None:
    """Nothing in, nothing out: (0, 4), (0,) int64, (0,); and one box stays."""
    some = read_found("some")
    for choices in (Choices(), Choices(keep_ties=True), Choices(max_detections=0)):
        what = f"{SUPPRESS} of no box"
        with expect_runs(what, NO_BOX, partial(_check, student, some, 0.6, choices)):
            answer = _suppress(student, [], 0.6, choices)
        expect_equal(len(read_found_of(answer, what)), 0, f"boxes of {what}")
        _check(student, some[:1], 0.6, choices)
    _check(student, some, 0.6)


def test_suppress_by_hand(student: Student) -> None:
    """A cat and a dog may share a place; two cats may not, if 2/3 of them overlaps."""
    cat, dog = 0.0, 4.0
    rows = [
        (0.0, 0, 10, 4, cat, 0.5),
        (2.0, 0, 12, 4, dog, 0.7),
        (2.0, 0, 12, 4, cat, 0.75),  # IoU 2/3 with the first
        (30.0, 8, 34, 10, cat, 0.25),
    ]
    right = [rows[2], rows[1], rows[3]]
    loop = plain_suppress(rows, 0.6, Choices())
    expect_equal([*map(list, loop)], [*map(list, right)], "the slow loop")
    _check(student, rows, 0.6)
    _check(student, rows, 0.7)
    rows.append((11.0, 1, 20, 4, cat, 0.375))  # IoU 3/64 with the third
    _check(student, rows, 0.0, causes={ZERO: partial(_rest_of, rows, 0.6)})


def test_suppress_equals_a_slow_loop(student: Student) -> None:
    """40 and 120 boxes of three classes, at both thresholds that were published."""
    for case in ("some", "crowd"):
        rows = read_found(case)
        for threshold in (0.6, 0.5):
            kept = {THRESHOLD: partial(_rest_of, rows, 1.1 - threshold)}
            _check(student, rows, threshold, causes=kept)


def _rest_of(rows: Sequence[Row], nms_threshold: float) -> torch.Tensor:
    return table_of(plain_suppress(rows, nms_threshold, Choices()), 6)


def test_suppress_keeps_the_best(student: Student) -> None:
    """At most max_detections of the image come out, of what NMS leaves."""
    rows = read_found("crowd")
    for number in (20, 8, 1, 5_000):
        choices = Choices(max_detections=number)
        with expect_runs(
            SUPPRESS,
            FEWER,
            lambda: _check(student, rows, 0.5, Choices(max_detections=20)),
        ):
            _check(student, rows, 0.5, choices)


def test_suppress_without_a_limit(student: Student) -> None:
    """max_detections = 0 is all; 1,050 boxes that do not touch stay."""
    rows = _of_scores(
        [(i * 577 % 1050 + 1) / 1100 for i in range(1050)],
        [i * 7 % 201 for i in range(1050)],
    )
    _check(student, rows, 0.5, Choices(max_detections=0))
    _check(student, rows, 0.5, DEFAULT)
    _check(student, rows[:50], 0.5, Choices(max_detections=0, keep_ties=True))


def test_suppress_keeps_ties_if_asked(student: Student) -> None:
    """Who scores as much as the last one comes out as well, with keep_ties."""
    nearly = 0.5 - 2**-14
    scores = [0.5, 0.75, nearly, 0.25, 0.5, 0.875, 0.5, 0.125]
    rows = _of_scores(scores, [0, 1, 0, 0, 2, 0, 1, 1])
    expect_equal(
        [
            row[5]
            for row in plain_suppress(
                rows, 0.6, Choices(max_detections=3, keep_ties=True)
            )
        ],
        [0.875, 0.75, 0.5, 0.5, 0.5],
        "the slow loop",
    )
    for number in (3, 4):
        _check_ties(student, rows, Choices(max_detections=number, keep_ties=True))
        _check_ties(student, rows, Choices(max_detections=number))
    for number in (5, 6, 7, 8, 30):  # the last one has no equal; all come out
        _check_ties(student, rows, Choices(max_detections=number, keep_ties=True))


def _check_ties(student: Student, rows: Sequence[Row], choices: Choices) -> None:
    """The scores; which of several equal boxes come first, or stay, is free."""

    def scores(stay: Stay) -> torch.Tensor:
        return table_of(plain_suppress(rows, 0.6, choices, stay), 6)[:, 5:]

    right = scores(Stay())
    wrong: dict[str, Callable[[], torch.Tensor]] = {
        said: (lambda stay=stay: scores(stay))  # type: ignore[misc]
        for said, stay in OF_REST.items()
    }
    wrong[NEARLY_EQUAL] = partial(_rest_of_rounded, rows, choices)
    what = f"{SUPPRESS} of equal scores"

    def check(answer: Any) -> None:
        expect_table(read_found_of(answer, what)[:, 5:], right, what, "score", wrong)

    answer = _suppress(student, rows, 0.6, choices)
    ask_other = partial(_suppress, student, exchanged(rows), 0.6, choices)
    expect_right(answer, check, ask_other)
    got = read_found_of(answer, what)
    given = table_of(rows, 6)
    seen = (got[:, None] - given).abs().amax(dim=2) < 1e-3
    is_whole = bool((seen.sum(dim=1) == 1).all() and (seen.sum(dim=0) <= 1).all())
    expect_true(is_whole, what, "a row is none of those given, or comes twice")


def _rest_of_rounded(rows: Sequence[Row], choices: Choices) -> torch.Tensor:
    """The scores where those count as equal that are so in three digits."""
    rounded = [(*row[:5], round(row[5], 3)) for row in rows]
    return table_of(plain_suppress(rounded, 0.6, choices), 6)[:, 5:]


def test_suppress_takes_any_order(student: Student) -> None:
    """Boxes come in any order, and go out best first."""
    rows = read_found("some")
    for given in (sorted(rows, key=lambda row: row[5]), rows[::-1]):
        _check(student, given, 0.6)
        _check(student, given, 0.6, Choices(max_detections=5))
    best_first = sorted(rows, key=lambda row: -row[5])
    _check(student, best_first, 0.6)


def test_suppress_keeps_nothing(student: Student) -> None:
    """Each call answers its own inputs, and leaves them as they are."""
    rows, choices = read_found("some"), Choices(max_detections=15)
    # of the same numbers of boxes and the same sums
    other = exchanged(rows)
    version = make_version(student, choices)
    call = student.fcos_published.suppress
    cases = [
        ((give_found(student, one), 0.6, version), rest_check(one, 0.6, choices))
        for one in (rows, other, read_found("crowd")[:40])
    ]
    expect_own_answers(call, *cases)
    check = rest_check(rows, 0.6, choices)
    given = give_found(student, rows)
    expect_inputs_kept(student, SUPPRESS, call, given, 0.6, version, check=check)


def _detector(student: Student, choices: Choices, clip_to: str) -> Any:
    """A detector of five levels whose head is not asked."""
    version = make_version(student, choices, clip_to=clip_to, norm_groups=4)
    student.seed(0)
    make = student.fcos_published.PublishedFCOS
    detector = make(NUM_CLASSES, 8, [8], "tiny", version).to(student.device)
    detector.eval()
    return detector, version


def _check_chain(
    student: Student, choices: Choices, clip_to: str, thresholds: tuple[float, float]
) -> None:
    """From what the head says of a batch of two images to the detections of each."""
    detector, version = _detector(student, choices, clip_to)
    images, inset = read_images(), float(clip_to == "pixel")
    points = {name: give(student, own.points) for name, own in images[0].items()}
    outputs = [
        {
            name: torch.stack([give(student, levels[name][part]) for levels in images])
            / (STRIDES[name] if part == DISTANCES else 1)
            for name in points
        }
        for part in (1, DISTANCES, 3)
    ]
    for place, (levels, size) in enumerate(zip(images, IMAGE_SIZES, strict=True)):
        given = levels, size, thresholds, choices
        right = table_of(plain_detect(*given, inset=inset), 6)
        wrong = {
            SIZE_OF_ALL: lambda levels=levels: table_of(
                plain_detect(levels, PADDED, thresholds, choices, inset=inset), 6
            ),
        }
        found = detector.decode(place, size, points, outputs, thresholds[0])
        answer = student.fcos_published.suppress(found, thresholds[1], version)
        got = read_found_of(answer, DETECTOR)
        expect_table(got, right, DETECTOR, NAMES, wrong)


def test_detections_of_five_levels(student: Student) -> None:
    """Two images of different sizes in a batch, as torchvision detects in them."""
    _check_chain(student, Choices(top_k=40, max_detections=30), "edge", (0.2, 0.6))


def test_detections_as_of_2019(student: Student) -> None:
    """The threshold is for p alone, ties come out, boxes end at the last pixel."""
    choices = Choices(threshold_on="class", keep_ties=True, top_k=50, max_detections=40)
    _check_chain(student, choices, "pixel", (0.05, 0.6))


def test_detections_of_part_one(student: Student) -> None:
    """The best class of a location alone, no top-k, everything comes out."""
    choices = Choices(multi_label=False, top_k=0, max_detections=0)
    _check_chain(student, choices, "edge", (0.3, 0.5))


def test_detections_of_a_limit_over_all_levels(student: Student) -> None:
    """The best of all levels together go into NMS."""
    choices = Choices(top_k=60, top_k_of="image", max_detections=30)
    _check_chain(student, choices, "edge", (0.05, 0.6))
