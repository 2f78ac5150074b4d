"""Step 3: the layers of the shared head, and their first values."""

import math

import torch

from grader_tests.head_parts import (
    NO_PADDING,
    ONE_WIDTH,
    PARTS,
    make_head,
    parameters_of,
)
from grader_tests.tools import expect_inputs_kept, expect_same_size, give, spread
from helpers.checks.again import expect_unshared
from helpers.checks.answers import expect_state, weights_in_common
from helpers.checks.expect import expect_close, expect_equal, expect_true

SHARED_STEM = "both branches use one stem"
SHARED_LAYER = "a layer is used twice; each convolution has weights of its own"
SHARED_HEADS = "two heads share layers; each needs new ones"
OTHER_CLASSES = "pred_cls has num_classes channels, however few or many they are"
ROWS_ALIKE = "two channels of a layer start alike; draw all weights of a layer"
LAYERS_ALIKE = "one layer starts as a copy of another; draw the weights of each"
HEADS_ALIKE = "two heads start alike: do not set the random generator back"
PRIOR_OF_CLASSES = "the prior is 0.01 for any number of classes, not 1 / num_classes"
NO_BIAS = "the bias of pred_cls is not set"
DEVIATION = 0.01
PRIOR_BIAS = -math.log(99)


def expect_weights(head, part: str, shapes: list[tuple[int, ...]]) -> None:
    """The convolutions of a part of the head, in order."""
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    got = [tuple(state[name].shape) for name in parameters_of(head)[part]]
    cause = None
    if not got:
        cause = "layers in a plain list, which PyTorch does not see, or another name"
    elif len(got) == len(shapes) and [shape[2:] for shape in got] != [
        shape[2:] for shape in shapes
    ]:
        cause = "the convolutions are not 3x3"
    elif got == [(out, out, 3, 3) for out, *_ in shapes]:
        cause = ONE_WIDTH
    elif len(got) > 1 and got == [(out, shapes[0][1], 3, 3) for out, *_ in shapes]:
        cause = "every convolution takes in_channels; it takes what the last one gives"
    elif part == "pred_cls" and got == [(20, *shapes[0][1:])]:
        cause = "the number of classes is built in"
    elif part == "pred_cls" and [shape[1:] for shape in got] == [shapes[0][1:]]:
        cause = OTHER_CLASSES
    elif got == shapes[: len(got)]:
        cause = "convolutions of the stem are missing"
    expect_equal(got, shapes, f"FCOSPredictionNetwork: weights of {part}", cause)


def test_head_stems_have_as_many_convolutions_as_asked_for(student):
    """Two and three 3x3 convolutions in each stem, all as wide as the pyramid."""
    for width, number in ((4, 2), (5, 3)):
        head = make_head(student, 7, width, [width] * number)
        for part in ("stem_cls", "stem_box"):
            expect_weights(head, part, [(width, width, 3, 3)] * number)


def test_head_stems_have_a_convolution_for_each_width(student):
    """3x3 convolutions from width to width, for one, two and three entries."""
    for widths in ([5], [4, 6], [6, 4, 5]):
        head = make_head(student, 7, 3, widths)
        before = [3, *widths]
        shapes = [(w, b, 3, 3) for b, w in zip(before, widths, strict=False)]
        for part in ("stem_cls", "stem_box"):
            expect_weights(head, part, shapes)


def test_head_predictors_have_their_channels(student):
    """K classes, 4 distances and 1 centerness, on the last width of the stem."""
    for num_classes, widths in ((7, [4, 4]), (1, [6, 6])):
        head = make_head(student, num_classes, widths[0], widths)
        for part, channels in (("cls", num_classes), ("box", 4), ("ctr", 1)):
            expect_weights(head, f"pred_{part}", [(channels, widths[-1], 3, 3)])


def test_head_layers_keep_the_size_of_a_map(student):
    """Neither a stem nor a predictor makes a map of 13 x 20 larger or smaller."""
    head = make_head(student, 5, 4, [4, 4])
    given = give(student, spread(2, 4, 13, 20))
    for stem, predictors in (("cls", ["cls"]), ("box", ["box", "ctr"])):
        # Two convolutions without padding take two rows off each edge, one of them one.
        causes = {-4: NO_PADDING, -2: NO_PADDING}
        answer = getattr(head, f"stem_{stem}")(given)
        what = f"FCOSPredictionNetwork.stem_{stem}"
        expect_same_size(answer, given, what, causes)
        for name in predictors:
            what = f"FCOSPredictionNetwork.pred_{name}"
            expect_same_size(getattr(head, f"pred_{name}")(answer), given, what, causes)


def weights_of(head) -> list[str]:
    """The names of all weights; each part has one."""
    names = parameters_of(head)
    missing = [part for part in PARTS if not names[part]]
    message = f"no weights in {', '.join(missing)}"
    expect_true(not missing, "FCOSPredictionNetwork", message)
    return [name for part in PARTS for name in names[part]]


def test_head_stems_have_weights_of_their_own(student):
    """Neither the numbers of one stem nor their places are found in another one."""
    heads = [make_head(student, 4, 5, [5, 5]) for _ in range(2)]
    weights_of(heads[0])
    for names in weights_in_common(heads[0], "FCOSPredictionNetwork"):
        # Other names may stand for the same weight; within the five parts it is one.
        own = [name for name in names if name.partition(".")[0] in PARTS]
        parts = {name.partition(".")[0] for name in own}
        cause = SHARED_STEM if parts == {"stem_cls", "stem_box"} else SHARED_LAYER
        message = f"{', '.join(own)} are one and the same"
        expect_true(len(own) < 2, "FCOSPredictionNetwork", message, cause)
    expect_unshared("FCOSPredictionNetwork", heads, SHARED_HEADS)
    expect_drawn(make_head(student, 4, 5, [5, 5]) for _ in range(2))


def expect_drawn(heads) -> None:
    """No output channel starts as another of the same size does, in any layer."""
    seen: dict[tuple[float, ...], tuple[int, str]] = {}
    for number, head in enumerate(heads):
        state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
        for name in weights_of(head):
            for weight in state[name]:
                numbers = tuple(weight.flatten().tolist())
                what = f"first values of {name}"
                message = "they are not drawn, but those of another channel"
                cause = None
                if numbers in seen:
                    before, layer = seen[numbers]
                    cause = ROWS_ALIKE if layer == name else LAYERS_ALIKE
                    cause = cause if before == number else HEADS_ALIKE
                expect_true(numbers not in seen, what, message, cause)
                seen[numbers] = number, name


def test_head_leaves_the_list_of_widths_alone(student):
    """A list of six widths has six entries afterwards, and gives six layers."""
    widths = [3] * 6
    expect_inputs_kept(
        student,
        "FCOSPredictionNetwork",
        student.one_stage_detector.FCOSPredictionNetwork,
        *(150, 3, widths),
        check=lambda head: expect_head(head, 150, 3, [3] * 6),
    )


def expect_head(head, num_classes: int, in_channels: int, widths: list[int]) -> None:
    """The convolutions of all parts, and the prior."""
    before = [in_channels, *widths]
    shapes: list[tuple[int, ...]] = [
        (w, b, 3, 3) for b, w in zip(before, widths, strict=False)
    ]
    for part in ("stem_cls", "stem_box"):
        expect_weights(head, part, shapes)
    for part, channels in (("cls", num_classes), ("box", 4), ("ctr", 1)):
        expect_weights(head, f"pred_{part}", [(channels, widths[-1], 3, 3)])
    bias = expect_state(head.state_dict(), "FCOSPredictionNetwork").get("pred_cls.bias")
    expected = torch.full((num_classes,), PRIOR_BIAS)
    causes = {PRIOR_OF_CLASSES: torch.full((num_classes,), -math.log(num_classes - 1))}
    what = f"pred_cls.bias of {num_classes} classes"
    expect_close(bias, expected, what, causes=causes)


def test_head_weights_start_with_deviation_one_hundredth(student):
    """All weights are drawn from N(0, 0.01)."""
    student.seed(11)
    head = make_head(student, 90, 64, [64, 64])
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for name in weights_of(head):
        weight = state[name].double()
        fan_in = weight[0].numel()
        causes = {
            "0.01 is the standard deviation, not the variance": 0.1,
            "PyTorch's own first values are left": 1 / math.sqrt(3 * fan_in),
            "drawn evenly between -0.01 and 0.01": DEVIATION / math.sqrt(3),
        }
        # The error of a deviation from n draws is 1 / sqrt(2 n) of it; six of these.
        tolerance = 6 / math.sqrt(2 * weight.numel())
        expect_close(
            weight.std(),
            torch.tensor(DEVIATION, dtype=torch.float64),
            f"standard deviation of {name}",
            causes={
                cause: torch.tensor(value, dtype=torch.float64)
                for cause, value in causes.items()
            },
            atol=0,
            rtol=tolerance,
        )
        limit = 6 * DEVIATION / math.sqrt(weight.numel())
        mean = float(weight.mean())
        message = f"the mean is {mean:.5f}, expected 0"
        expect_true(abs(mean) < limit, f"mean of {name}", message)


def test_head_biases_start_at_zero(student):
    """All but that of the class predictor."""
    head = make_head(student, 7, 16, [16, 16])
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for name in weights_of(head):
        if name.startswith("pred_cls"):
            continue
        bias = name.removesuffix("weight") + "bias"
        got = state.get(bias)
        expect_true(got is not None, "FCOSPredictionNetwork", f"{bias} is missing")
        expected = torch.zeros_like(state[bias])
        cause = "the prior is for the class predictor alone"
        wrong = {cause: torch.full_like(expected, PRIOR_BIAS)}
        expect_close(state[bias], expected, f"first values of {bias}", causes=wrong)


def test_head_class_bias_says_one_percent(student):
    """The bias of pred_cls is -ln((1 - 0.01) / 0.01), whose sigmoid is 0.01."""
    head = make_head(student, 7, 16, [16, 16])
    values = {
        NO_BIAS: 0.0,
        "the sign of the bias is wrong: the sigmoid of +ln 99 is 0.99": -PRIOR_BIAS,
        "the bias is the probability itself": 0.01,
        "ln 100 instead of ln 99": -math.log(100),
    }
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    got = state.get("pred_cls.bias")
    expect_true(got is not None, "FCOSPredictionNetwork", "no pred_cls.bias", NO_BIAS)
    is_drawn = bool((got != got.flatten()[0]).any())  # as PyTorch does, within limits
    is_default = is_drawn and bool((got.abs() <= 1 / math.sqrt(9 * 16)).all())
    causes = {cause: torch.full((7,), value) for cause, value in values.items()}
    if is_default:
        causes[NO_BIAS] = got
    expected = torch.full((7,), PRIOR_BIAS)
    expect_close(got, expected, "first values of pred_cls.bias", causes=causes)
