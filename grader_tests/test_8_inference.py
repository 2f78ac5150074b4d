"""Step 8: from raw predictions to detections."""

import math
from typing import Any

import torch

from grader_tests.detection_parts import (
    INFERENCE,
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
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.student import Student

SIZE = (50, 90)  # (H, W): neither square nor a multiple of a stride
SEEN, HERE = 4, 18  # locations of p3 in such an image: (36, 4) and (52, 12)


def _check_case(student: Student, case: str, thresholds: str) -> None:
    raw, expected = read_raw(case)
    size, limits = IMAGE_SIZES[case], THRESHOLDS[thresholds]
    got = detect(student, raw, size, *limits)
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
    """101 x 43 pixels, where x must be clipped to the smaller side."""
    _check_case(student, "high", "usual")


def test_inference_with_strict_thresholds(student: Student) -> None:
    """Score above 0.6, overlap of at most 0.2: the thresholds given count."""
    _check_case(student, "wide", "strict")


def test_inference_with_loose_thresholds(student: Student) -> None:
    """Score above 0.05, overlap of at most 0.8: nearly everything stays."""
    _check_case(student, "high", "loose")


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


def test_inference_clips_boxes_to_the_image(student: Student) -> None:
    """A 50 x 90 image: the box ends at (90, 50), not at (50, 90)."""
    raw = quiet_raw(*SIZE)
    _see(raw, HERE, [3.0, -3.0, -3.0], [9.0, 9.0, 99.0, 99.0], 3.0)
    expect_detections(detect(student, raw, SIZE, 0.3, 0.5), raw, SIZE, 0.3, 0.5)


def test_inference_keeps_two_classes_at_one_place(student: Student) -> None:
    """NMS runs within each class: equal boxes of classes 0 and 2 both stay."""
    raw = quiet_raw(*SIZE)
    _see(raw, HERE, [2.0, -3.0, -3.0], [1.0, 1.0, 2.0, 1.0], 4.0)
    # one place to the right, so l is one stride more and r one less
    _see(raw, HERE + 1, [-3.0, -3.0, 3.0], [2.0, 1.0, 1.0, 1.0], 4.0)
    _see(raw, HERE + 2, [-3.0, -3.0, 2.5], [3.0, 1.0, 0.0, 1.0], 4.0)
    expect_detections(detect(student, raw, SIZE, 0.3, 0.5), raw, SIZE, 0.3, 0.5)


def test_inference_takes_the_default_thresholds(student: Student) -> None:
    """0.3 for the score and 0.5 for NMS where nothing is given."""
    raw, _ = read_raw("wide")
    answer = make_model(student).inference(*arguments(student, raw, (50, 90)))
    expect_detections(read_detections(answer), raw, (50, 90), 0.3, 0.5)


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
    expect_inputs_kept(student, INFERENCE, model.inference, *given, 0.3, 0.5)


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
    before = normalizer_of(fcos)
    fcos(image, test_score_thresh=0.3, test_nms_thresh=0.5)
    expect_equal(normalizer_of(fcos), before, "FCOS._normalizer after inference")
