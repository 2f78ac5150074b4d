"""Step 8: from raw predictions to detections."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch

from grader_tests.detection_parts import (
    INFERENCE,
    MOST,
    NEAR,
    NOTHING_PASSES,
    Given,
    arguments,
    detect,
    expect_detections,
    make_model,
    quiet_raw,
    read_detections,
    read_raw,
)
from grader_tests.detector_parts import (
    GT_BOXES,
    fill_head,
    losses_of,
    make_fcos,
    make_images,
    normalizer_of,
    predict,
)
from grader_tests.oracles.plain_detect import Raw
from grader_tests.oracles.plain_targets import STRIDES, plain_locations
from grader_tests.oracles.step8 import IMAGE_SIZES, THRESHOLDS
from grader_tests.tools import expect_inputs_kept, give, spread
from helpers.checks.again import KEPT
from helpers.checks.expect import (
    OF_INPUTS,
    CheckError,
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
    find_cause,
)
from helpers.checks.student import Student

SIZE = (50, 90)  # (H, W): neither square nor a multiple of a stride
SEEN, HERE = 4, 18  # locations of p3 in such an image: (36, 4) and (52, 12)
OTHER_ORDER = (
    "levels in another order are answered otherwise; look all up by the level's name"
)
ONE_LOCATION = "right for a level of two locations, wrong for one of a single location"
NOT_GIVEN = (
    "a level is asked for that the dicts do not have; go through those they have"
)
THRESHOLDS_KEPT = "the thresholds are those of an earlier call; keep nothing"
SIZE_KEPT = "boxes are clipped to the size of an earlier image; keep nothing"
LOCATIONS_KEPT = "the locations are those of an earlier image; keep nothing"


def _check_case(
    student: Student,
    case: str,
    thresholds: str,
    model: Any = None,
    causes: Mapping[str, Given] | None = None,
) -> None:
    raw, expected = read_raw(case)
    size, limits = IMAGE_SIZES[case], THRESHOLDS[thresholds]
    got = detect(student, raw, size, *limits, model)
    stored = expected[thresholds]
    is_stored = got.shape == stored.shape and bool(
        torch.isclose(got, stored, atol=1e-4).all()
    )
    if not is_stored:
        expect_detections(got, raw, size, *limits, causes=causes)


def test_inference_equals_a_slow_loop(student: Student) -> None:
    """A wide image with the usual thresholds: boxes, classes, scores, their order."""
    _check_case(student, "wide", "usual")


def test_inference_of_a_high_image(student: Student) -> None:
    """101 x 43 pixels, where x must be clipped to the smaller side; other levels."""
    _check_case(student, "high", "usual")
    raw, _ = read_raw("high")
    size = IMAGE_SIZES["high"]

    def check(given: Raw, what: str) -> None:
        got = detect(student, given, size, 0.05, 0.8)
        what = f"{INFERENCE} of {what}"
        expect_detections(got, given, size, 0.05, 0.8, what=what)

    usual = partial(check, raw, "three levels")
    up, down = list(STRIDES), list(STRIDES)[::-1]
    for orders in ([down] * 4, [up, down, up, down]):
        with _as_usual(OTHER_ORDER, usual):
            check(_in_order(raw, orders), "three levels in another order")
    with _as_usual(ONE_LOCATION, partial(check, _first_of_p5(raw, 2), "two")):
        check(_first_of_p5(raw, 1), "a level of one location")
    # Two levels, one of which has a single location; each dict in its own order
    fewer = Raw(
        {"p5": raw.locations["p5"][:1], "p4": raw.locations["p4"]},
        *(
            {level: part[level][:, : 1 if level == "p5" else None] for level in order}
            for part, order in zip(
                raw[1:], (("p4", "p5"), ("p5", "p4"), ("p4", "p5")), strict=True
            )
        ),
    )
    with expect_runs(INFERENCE, NOT_GIVEN, usual, ("KeyError",)):
        check(fewer, "two levels")


@contextmanager
def _as_usual(cause: str, usual: Callable[[], None]) -> Iterator[None]:
    """An unusual case, which crashes or is answered wrongly for the same reason."""
    with expect_as_usual(cause, usual), expect_runs(INFERENCE, cause, usual):
        yield


def _in_order(raw: Raw, orders: Sequence[Sequence[str]]) -> Raw:
    """The same levels, those of each dict in an order of its own."""
    return Raw(
        *(
            {level: part[level] for level in order}
            for part, order in zip(raw, orders, strict=True)
        )
    )


def _first_of_p5(raw: Raw, count: int) -> Raw:
    """Without the other locations of the coarsest level."""
    locations = {**raw.locations, "p5": raw.locations["p5"][:count]}
    return Raw(locations, *({**part, "p5": part["p5"][:, :count]} for part in raw[1:]))


def test_inference_with_strict_thresholds(student: Student) -> None:
    """Score above 0.6, overlap of at most 0.2: the thresholds given count."""
    _check_case(student, "wide", "strict")
    model = make_model(student)  # the same detector with other thresholds and images
    (wide, _), (high, _) = read_raw("wide"), read_raw("high")
    loose, usual = THRESHOLDS["loose"], THRESHOLDS["usual"]
    _check_case(student, "wide", "loose", model)
    smaller = (48, 88)  # the border of the one before leaves each box some area
    got = detect(student, wide, smaller, *usual, model)
    kept: dict[str, Given] = {
        THRESHOLDS_KEPT: (wide, smaller, *loose),
        SIZE_KEPT: (wide, IMAGE_SIZES["wide"], *usual),
    }
    expect_detections(got, wide, smaller, *usual, causes=kept)
    kept = {
        THRESHOLDS_KEPT: (high, IMAGE_SIZES["high"], *loose),
        SIZE_KEPT: (high, IMAGE_SIZES["wide"], *usual),
    }
    _check_case(student, "high", "usual", model, kept)
    kept = {KEPT: (wide, IMAGE_SIZES["wide"], *loose)}
    _check_case(student, "wide", "strict", model, kept)
    raw = quiet_raw(90, 50)  # as many locations as in the wide one, in other places
    _see(raw, HERE, [3.0, -3.0, -3.0], [1.0, 1.0, 2.0, 1.0], 3.0)
    got = detect(student, raw, (90, 50), 0.3, 0.5, model)
    elsewhere = raw._replace(locations=wide.locations)
    kept = {LOCATIONS_KEPT: (elsewhere, (90, 50), 0.3, 0.5)}
    what = f"{INFERENCE} once more"
    expect_detections(got, raw, (90, 50), 0.3, 0.5, what=what, causes=kept)


def test_inference_with_loose_thresholds(student: Student) -> None:
    """Score above 0.05, overlap of at most 0.8: nearly everything stays; then less."""
    _check_case(student, "high", "loose")
    raw = quiet_raw(*SIZE)
    _see(raw, SEEN, [-3.0, 2.0, -3.0], [0.25, 0.25, 0.5, 0.5], 1.0)
    _see(raw, HERE, [-9.0, -8.0, -9.0], [1.0, 1.0, 2.0, 1.0], -2.0)  # a score of .006
    got = detect(student, raw, SIZE, 0.004, 0.5)
    causes: dict[str, Given] = {
        "low scores never pass, whatever the threshold is": (raw, SIZE, 0.05, 0.5)
    }
    what = f"{INFERENCE} of a low score"
    expect_detections(got, raw, SIZE, 0.004, 0.5, what=what, causes=causes)
    raw, _ = read_raw("wide")
    got = detect(student, raw, SIZE, 0.0, 0.8)
    causes = {"a score threshold of 0 is not taken as 0": (raw, SIZE, 0.3, 0.8)}
    what = f"{INFERENCE} at a threshold of 0"
    expect_detections(got, raw, SIZE, 0.0, 0.8, what=what, causes=causes)


def _see(
    raw: Raw, place: int, logits: list[float], deltas: list[float], centerness: float
) -> None:
    """Let one location of p3 see something."""
    raw.cls_logits["p3"][0, place] = torch.tensor(logits)
    raw.deltas["p3"][0, place] = torch.tensor(deltas)
    raw.ctr_logits["p3"][0, place] = centerness


def test_inference_score_is_the_root_of_class_times_centerness(
    student: Student,
) -> None:
    """The sigmoids of ln 9 and ln(2/3) are 0.9 and 0.4; sqrt(0.36) = 0.6."""
    raw = quiet_raw(*SIZE)
    _see(raw, SEEN, [-2.0, math.log(9), 0.0], [1.0, 0.25, 2.0, 1.0], math.log(2 / 3))
    got = detect(student, raw, SIZE, 0.2, 0.5)
    expect_equal(len(got), 1, f"number of detections of {INFERENCE}")
    expect_close(
        got[0, 5],
        torch.tensor(0.6, dtype=torch.float64),
        f"score of {INFERENCE}",
        causes={
            "the score is not square-rooted": torch.tensor(0.36),
            "the class probability alone is the score": torch.tensor(0.9),
            "the centerness is left out of the score": torch.tensor(math.sqrt(0.9)),
            "the mean instead of the root of the product": torch.tensor(0.65),
        },
    )
    expect_detections(got, raw, SIZE, 0.2, 0.5)


def test_inference_drops_low_scores(student: Student) -> None:
    """Two places are seen; one score is above the threshold, the other below."""
    raw = quiet_raw(*SIZE)
    _see(raw, SEEN, [-3.0, 2.0, -3.0], [1.0, 0.25, 2.0, 1.0], 2.0)
    _see(raw, HERE + 30, [-3.0, -3.0, -1.0], [1.0, 1.0, 1.0, 1.0], 0.0)
    got = detect(student, raw, SIZE, 0.5, 0.5)
    try:
        expect_detections(got, raw, SIZE, 0.5, 0.5)
    except CheckError as error:
        if error.cause is None and bool((got[:, 5] < 0.5 - NEAR).any()):
            are_minus_one = bool((got[:, 5] == -1).any())
            done = "become -1 instead of being dropped" if are_minus_one else "are kept"
            error.cause = f"low scores {done}"
        raise


def test_inference_where_nothing_passes_is_empty(student: Student) -> None:
    """Nothing is seen: empty tensors (0, 4), (0,), (0,), classes int64."""
    model = make_model(student)
    given = arguments(student, quiet_raw(*SIZE), SIZE)
    raw = quiet_raw(*SIZE)
    _see(raw, HERE, [2.0, 0.0, 0.0], [1.0, 1.0, 2.0, 1.0], 4.0)
    with expect_runs(
        INFERENCE, NOTHING_PASSES, lambda: detect(student, raw, SIZE, 0.5, 0.5)
    ):
        answer = model.inference(*given, test_score_thresh=0.5, test_nms_thresh=0.5)
    expect_equal(len(answer), 3, f"length of what {INFERENCE} returns")
    names, shapes = ("boxes", "classes", "scores"), ((0, 4), (0,), (0,))
    for part, name, shape in zip(answer, names, shapes, strict=True):
        dtype = torch.int64 if name == "classes" else torch.float32
        expect_tensor(part, f"{name} where nothing is seen", shape=shape, dtype=dtype)
    _check_case(student, "wide", "usual")


def test_inference_of_two_images_is_refused(student: Student) -> None:
    """A batch of two ends in a ValueError; one image does not."""
    raw, model = quiet_raw(*SIZE), make_model(student)
    both = Raw(raw.locations, *(_twice(part) for part in raw[1:]))
    _check_case(student, "wide", "usual", model)
    what = f"{INFERENCE} of two images"
    try:
        model.inference(*arguments(student, both, SIZE, images=2))
    except CheckError as error:
        if error.category != "exception":
            raise
        told = error.message
    except Exception as error:  # noqa: BLE001 - in one process it comes as it is
        told = type(error).__name__
    else:
        told = "nothing"
    wrong = f"expected a ValueError, got {told.split()[0].rstrip(':')}"
    cause = "it ends in another exception; raise a ValueError"
    if told == "nothing":
        cause = "the images are not counted"
    expect_true(told.startswith("ValueError"), what, wrong, cause)


def _twice(levels: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {level: torch.cat((part, part)) for level, part in levels.items()}


def test_inference_clips_boxes_to_the_image(student: Student) -> None:
    """A 50 x 90 image: the box ends at (90, 50), not at (50, 90)."""
    raw = quiet_raw(*SIZE)
    _see(raw, HERE, [3.0, -3.0, -3.0], [9.0, 9.0, 99.0, 99.0], 3.0)
    expect_detections(detect(student, raw, SIZE, 0.3, 0.5), raw, SIZE, 0.3, 0.5)


def test_inference_keeps_two_classes_at_one_place(student: Student) -> None:
    """NMS runs within each class: equal boxes of classes 0 and 2 both stay; at 0, 1."""
    raw = quiet_raw(*SIZE)
    _see(raw, HERE, [2.0, -3.0, -3.0], [1.0, 1.0, 2.0, 1.0], 4.0)
    # one place to the right, so l is one stride more and r one less
    _see(raw, HERE + 1, [-3.0, -3.0, 3.0], [2.0, 1.0, 1.0, 1.0], 4.0)
    _see(raw, HERE + 2, [-3.0, -3.0, 2.5], [3.0, 1.0, 0.0, 1.0], 4.0)
    expect_detections(detect(student, raw, SIZE, 0.3, 0.5), raw, SIZE, 0.3, 0.5)
    # to the right of it: touches, and covers a little
    _see(raw, HERE + 4, [-3.0, -3.0, 2.25], [2.0, 1.0, 1.0, 1.0], 4.0)
    _see(raw, HERE + 5, [-3.0, -3.0, 1.75], [1.25, 1.0, 1.0, 1.0], 4.0)
    causes: dict[str, Given] = {
        "an overlap threshold of 0 is not taken as 0": (raw, SIZE, 0.3, 0.5)
    }
    got = detect(student, raw, SIZE, 0.3, 0.0)
    expect_detections(got, raw, SIZE, 0.3, 0.0, causes=causes)
    expect_detections(detect(student, raw, SIZE, 0.3, 1.0), raw, SIZE, 0.3, 1.0)


def test_inference_takes_the_default_thresholds(student: Student) -> None:
    """0.3 for the score and 0.5 for NMS where nothing is given."""
    raw, _ = read_raw("wide")
    answer = make_model(student).inference(*arguments(student, raw, (50, 90)))
    expect_detections(read_detections(answer), raw, (50, 90), 0.3, 0.5)
    expect_tensor(answer[1], f"classes of {INFERENCE}", dtype=torch.int64)


def test_inference_of_hundreds_of_detections(student: Student) -> None:
    """1,296 objects of 202 classes in a large image, none of which is left out."""
    side, size = 36, (1040, 1050)
    number = side**2
    steps = 28.0 * torch.arange(side) + 14
    points = torch.cartesian_prod(steps, steps)
    classes = torch.arange(number) * 7 % 199
    # Two objects at places that differ by 1,000, as their classes do by one
    points[0], points[-1] = torch.tensor([20.0, 20]), torch.tensor([1020.0, 1020])
    classes[0], classes[-1] = 1, 0
    logits = 4 * (torch.arange(number) * 577 % number) / number - 2
    deltas = torch.full((number, 4), 0.5)
    deltas[::5] = 0.03125  # half a pixel wide
    # Three large ones at one place, which nothing else is as sure of
    large = torch.arange(3) + number // 2
    classes[large], logits[large] = large - large[0] + 199, torch.tensor([12.0, 6.5, 6])
    points[large] = torch.tensor([520.0, 518])
    deltas[large] = torch.tensor([[60.0], [50], [40]])
    cls_logits = torch.full((1, number, 202), -12.0)
    cls_logits[0, torch.arange(number), classes] = logits
    raw = Raw(
        {"p3": points},
        {"p3": cls_logits},
        {"p3": deltas[None]},
        {"p3": torch.full((1, number, 1), 12.0)},
    )
    got = detect(student, raw, size, 0.3, 0.5)
    sides = deltas.double() * 8
    scores = (logits.double().sigmoid() / (1 + math.exp(-12))).sqrt()
    order = scores.argsort(descending=True)

    def table(sides: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        boxes = torch.cat((points - sides[:, :2], points + sides[:, 2:]), dim=1)
        return torch.cat((boxes, classes[:, None], scores[:, None]), dim=1)[order]

    expected = table(sides, classes)
    weaker = 0 if logits[0] < logits[-1] else number - 1
    fewer = {f"no more than the {most} best go on": expected[:most] for most in MOST}
    fewer["small boxes are dropped"] = expected[sides[order, 0] >= 0.5]
    fewer["boxes of two classes meet in NMS; move them further apart"] = expected[
        order != weaker
    ]
    limit = float(got[:, :4].max()) if len(got) else math.inf
    if limit < float(expected[:, :4].max()) - 1:
        came = torch.isclose(expected[:, 5:], got[None, :, 5], rtol=0, atol=1e-5)
        cut = expected.clone()
        cut[:, :4] = cut[:, :4].clamp(max=limit)
        fewer["boxes end within the image, at a limit"] = cut[came.any(dim=1)]
    what = f"number of detections of {INFERENCE}"
    expect_equal(len(got), number, what, find_cause(got, fewer, NEAR, 1e-4))
    what = f"scores of {INFERENCE}"
    expect_close(got[:, 5], expected[:, 5], what, place="detection", atol=NEAR)

    def capped() -> torch.Tensor:
        """Boxes that are no larger than the largest one that was found."""
        return table(sides.clamp(max=float((got[:, 2] - got[:, 0]).max()) / 2), classes)

    expect_close(
        got,
        expected,
        INFERENCE,
        names="x1,y1,x2,y2,class,score",
        place="detection",
        causes={
            "deltas above a limit end at that limit; nothing asks for one": capped,
            "class numbers are kept in 8 bits": table(sides, classes.to(torch.int8)),
        },
        atol=NEAR,
    )


def test_inference_of_a_single_class(student: Student) -> None:
    """With K = 1 every detection is of class 0."""
    raw = quiet_raw(*SIZE, num_classes=1)
    _see(raw, HERE, [2.0], [1.0, 1.0, 2.0, 1.0], 4.0)
    _see(raw, HERE + 3, [1.5], [0.5, 1.0, 1.5, 2.0], 1.0)
    expect_detections(detect(student, raw, SIZE, 0.3, 0.5), raw, SIZE, 0.3, 0.5)


def test_inference_leaves_the_predictions_alone(student: Student) -> None:
    """A second call with the same logits must find the same."""
    raw, _ = read_raw("wide")
    given = arguments(student, raw, (50, 90))
    model = make_model(student)
    model.train()  # inference does not look at it

    def check(answer: Any) -> None:
        expect_detections(read_detections(answer), raw, (50, 90), 0.3, 0.5)

    call = model.inference
    expect_inputs_kept(student, INFERENCE, call, *given, 0.3, 0.5, check=check)


def _ready(student: Student) -> tuple[Any, torch.Tensor]:
    """A detector in eval mode that sees something nearly everywhere, and an image."""
    fcos, images = make_fcos(student), make_images(student)
    losses_of(fcos, images, GT_BOXES)  # batch norm gets to know the images

    def value(name: str, old: torch.Tensor) -> torch.Tensor:
        if name == "pred_box.bias":
            return torch.tensor([1.0, 1.5, 2.0, 1.25]).to(old.dtype)
        return spread(*old.shape, low=-0.5, high=0.5, start=7).to(old.dtype)

    fill_head(student, fcos, value)
    fcos.eval()
    return fcos, images[:1]


def _own_predictions(
    student: Student, fcos: Any, image: torch.Tensor
) -> list[dict[str, torch.Tensor]]:
    """Locations of an image, and what the detector's head answers there."""
    return [
        {level: give(student, values) for level, values in part.items()}
        for part in (plain_locations(64, 96), *predict(fcos, image))
    ]


def test_forward_in_eval_mode_is_inference_of_its_own_predictions(
    student: Student,
) -> None:
    """FCOS(image) needs no boxes and finds what inference finds in its predictions."""
    fcos, image = _ready(student)
    _check_case(student, "wide", "usual", fcos)
    expected = fcos.inference(
        image,
        *_own_predictions(student, fcos, image),
        test_score_thresh=0.2,
        test_nms_thresh=0.6,
    )
    right = read_detections(expected)
    limits = {"test_score_thresh": 0.2, "test_nms_thresh": 0.6}
    with expect_runs(
        "FCOS in eval mode",
        "boxes are needed in eval mode",
        lambda: fcos(image, give(student, GT_BOXES[:1]), **limits),
        (*OF_INPUTS, "TypeError", "AttributeError"),
    ):
        answer = fcos(image, **limits)
    got = read_detections(answer, "FCOS in eval mode")
    expect_true(len(right) > 0, INFERENCE, "finds nothing in these predictions")
    expect_equal(len(got), len(right), "number of detections of FCOS in eval mode")
    expect_close(got, right, "FCOS in eval mode", atol=1e-2)  # of pixels


def test_forward_in_eval_mode_takes_thresholds(student: Student) -> None:
    """test_score_thresh and test_nms_thresh reach inference."""
    fcos, image = _ready(student)
    _check_case(student, "wide", "usual", fcos)
    what = "FCOS in eval mode"
    numbers = _numbers(partial(fcos, image))
    if _follow(numbers):
        return
    cause = None
    if numbers == numbers[:1] * 3 and numbers[0] > 0:
        with suppress(Exception):
            given = _own_predictions(student, fcos, image)
            if _follow(_numbers(partial(fcos.inference, image, *given))):
                cause = "the thresholds given do not reach inference"
    message = f"finds {numbers} objects with looser and stricter thresholds"
    expect_true(False, what, message, cause)


def _numbers(call: Callable[..., Any]) -> list[int]:
    """How many objects are found with loose, strict and the strictest thresholds."""
    numbers = []
    for score, overlap in ((0.0, 1.0), (0.2, 0.3), (1.0, 0.5)):
        answer = call(test_score_thresh=score, test_nms_thresh=overlap)
        numbers.append(len(read_detections(answer, "FCOS in eval mode")))
    return numbers


def _follow(numbers: list[int]) -> bool:
    return numbers[0] > numbers[1] and numbers[2] == 0


def test_forward_in_eval_mode_leaves_the_normalizer(student: Student) -> None:
    """Only training counts foreground."""
    fcos, image = _ready(student)
    _check_case(student, "wide", "usual", fcos)
    before = normalizer_of(fcos)
    fcos(image, test_score_thresh=0.3, test_nms_thresh=0.5)
    expect_equal(normalizer_of(fcos), before, "FCOS._normalizer after inference")
