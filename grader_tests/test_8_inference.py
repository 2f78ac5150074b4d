"""Step 8: from raw predictions to detections."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from grader_tests.detection_parts import (
    INFERENCE,
    NEAR,
    NOTHING_PASSES,
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
from grader_tests.oracles.plain_targets import plain_locations
from grader_tests.oracles.step8 import IMAGE_SIZES, THRESHOLDS
from grader_tests.tools import expect_inputs_kept, give, spread
from helpers.checks.expect import (
    OF_INPUTS,
    CheckError,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.student import Student

SIZE = (50, 90)  # (H, W): neither square nor a multiple of a stride
SEEN, HERE = 4, 18  # locations of p3 in such an image: (36, 4) and (52, 12)


def _check_case(
    student: Student, case: str, thresholds: str, model: Any = None
) -> None:
    raw, expected = read_raw(case)
    size, limits = IMAGE_SIZES[case], THRESHOLDS[thresholds]
    got = detect(student, raw, size, *limits, model)
    stored = expected[thresholds]
    is_stored = got.shape == stored.shape and bool(
        torch.isclose(got, stored, atol=1e-4).all()
    )
    if not is_stored:
        expect_detections(got, raw, size, *limits)


def test_inference_equals_a_slow_loop(student: Student) -> None:
    """A wide image with the usual thresholds: boxes, classes, scores, their order."""
    _check_case(student, "wide", "usual")


def test_inference_of_a_high_image(student: Student) -> None:
    """101 x 43 pixels, where x must be clipped to the smaller side; fewer levels."""
    _check_case(student, "high", "usual")
    raw, _ = read_raw("high")
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
    size = IMAGE_SIZES["high"]
    got = detect(student, fewer, size, 0.05, 0.8)
    what = f"{INFERENCE} of two levels"
    expect_detections(got, fewer, size, 0.05, 0.8, what=what)


def test_inference_with_strict_thresholds(student: Student) -> None:
    """Score above 0.6, overlap of at most 0.2: the thresholds given count."""
    _check_case(student, "wide", "strict")
    model = make_model(student)  # the same detector with other thresholds and images
    for case, thresholds in (("wide", "loose"), ("wide", "strict"), ("high", "usual")):
        _check_case(student, case, thresholds, model)
    raw = quiet_raw(90, 50)  # as many locations as in the wide one, in other places
    _see(raw, HERE, [3.0, -3.0, -3.0], [1.0, 1.0, 2.0, 1.0], 3.0)
    got = detect(student, raw, (90, 50), 0.3, 0.5, model)
    expect_detections(got, raw, (90, 50), 0.3, 0.5, what=f"{INFERENCE} once more")


def test_inference_with_loose_thresholds(student: Student) -> None:
    """Score above 0.05, overlap of at most 0.8: nearly everything stays; then 0."""
    _check_case(student, "high", "loose")
    raw, _ = read_raw("wide")
    got = detect(student, raw, SIZE, 0.0, 0.8)
    expect_detections(got, raw, SIZE, 0.0, 0.8, what=f"{INFERENCE} at a threshold of 0")
    raw = quiet_raw(*SIZE)
    _see(raw, SEEN, [-3.0, 2.0, -3.0], [0.25, 0.25, 0.5, 0.5], 1.0)
    _see(raw, HERE, [-9.0, -8.0, -9.0], [1.0, 1.0, 2.0, 1.0], -2.0)  # a score of .006
    got = detect(student, raw, SIZE, 0.004, 0.5)
    expect_detections(got, raw, SIZE, 0.004, 0.5, what=f"{INFERENCE} of a low score")


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
    expect_detections(detect(student, raw, SIZE, 0.5, 0.5), raw, SIZE, 0.5, 0.5)


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
    expected, cause = "ValueError", "the images are not counted"
    wrong = f"expected a ValueError, got {told.split()[0].rstrip(':')}"
    expect_true(
        told.startswith(expected), what, wrong, cause if told == "nothing" else None
    )


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
    for overlap in (0.0, 1.0):
        got = detect(student, raw, SIZE, 0.3, overlap)
        expect_detections(got, raw, SIZE, 0.3, overlap)


def test_inference_takes_the_default_thresholds(student: Student) -> None:
    """0.3 for the score and 0.5 for NMS where nothing is given."""
    raw, _ = read_raw("wide")
    answer = make_model(student).inference(*arguments(student, raw, (50, 90)))
    expect_detections(read_detections(answer), raw, (50, 90), 0.3, 0.5)
    expect_tensor(answer[1], f"classes of {INFERENCE}", dtype=torch.int64)


def test_inference_of_hundreds_of_detections(student: Student) -> None:
    """1,296 objects of 200 classes in a large image, none of which is left out."""
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
    large = number // 2
    classes[large], logits[large] = 199, 12.0
    points[large], deltas[large] = torch.tensor([520.0, 518]), 60.0
    cls_logits = torch.full((1, number, 200), -12.0)
    cls_logits[0, torch.arange(number), classes] = logits
    raw = Raw(
        {"p3": points},
        {"p3": cls_logits},
        {"p3": deltas[None]},
        {"p3": torch.full((1, number, 1), 12.0)},
    )
    got = detect(student, raw, size, 0.3, 0.5)
    expect_equal(len(got), number, f"number of detections of {INFERENCE}")
    sides = deltas.double() * 8
    boxes = torch.cat((points - sides[:, :2], points + sides[:, 2:]), dim=1)
    scores = (logits.double().sigmoid() / (1 + math.exp(-12))).sqrt()
    order = scores.argsort(descending=True)
    expected = torch.cat((boxes, classes[:, None], scores[:, None]), dim=1)[order]
    names = "x1,y1,x2,y2,class,score"
    place = "detection"
    expect_close(got, expected, INFERENCE, names=names, place=place, atol=NEAR)


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


def test_forward_in_eval_mode_is_inference_of_its_own_predictions(
    student: Student,
) -> None:
    """FCOS(image) needs no boxes and finds what inference finds in its predictions."""
    fcos, image = _ready(student)
    _check_case(student, "wide", "usual", fcos)
    predictions = predict(fcos, image)
    locations = plain_locations(64, 96)
    expected = fcos.inference(
        image,
        *(
            {level: give(student, values) for level, values in part.items()}
            for part in (locations, *predictions)
        ),
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
    numbers = []
    for score, overlap in ((0.0, 1.0), (0.2, 0.3), (1.0, 0.5)):
        answer = fcos(image, test_score_thresh=score, test_nms_thresh=overlap)
        numbers.append(len(read_detections(answer, "FCOS in eval mode")))
    cause = "the thresholds given do not reach inference"
    expect_true(
        numbers[0] > numbers[1] and numbers[2] == 0,
        "FCOS in eval mode",
        f"finds {numbers} objects with looser and stricter thresholds",
        cause if numbers == numbers[:1] * 3 and numbers[0] > 0 else None,
    )


def test_forward_in_eval_mode_leaves_the_normalizer(student: Student) -> None:
    """Only training counts foreground."""
    fcos, image = _ready(student)
    _check_case(student, "wide", "usual", fcos)
    before = normalizer_of(fcos)
    fcos(image, test_score_thresh=0.3, test_nms_thresh=0.5)
    expect_equal(normalizer_of(fcos), before, "FCOS._normalizer after inference")
