"""Step 3: the shared head."""

import math
from functools import partial

import torch
from torch.nn import functional as F

from grader_tests.oracles.step3 import IN_CHANNELS, NUM_CLASSES, STEM_CHANNELS
from grader_tests.references import load_cases
from grader_tests.tools import expect_inputs_kept, expect_keys, give, spread
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
    not_implemented,
)

PARTS = ("stem_cls", "stem_box", "pred_cls", "pred_box", "pred_ctr")
ONE_WIDTH = "the stem works only when all its widths are equal"
SHARED_STEM = "both branches use one stem"
NO_BIAS = "the bias of pred_cls is not set"
NO_PADDING = "a convolution makes maps smaller; 3x3 needs padding 1"
DEVIATION = 0.01
PRIOR_BIAS = -math.log(99)


def make_head(student, *args):
    """A head where the student's code runs."""
    with expect_runs("FCOSPredictionNetwork", ONE_WIDTH):
        head = student.one_stage_detector.FCOSPredictionNetwork(*args)
    if student.device.type != "cpu":
        head.to(str(student.device))
    return head


def parameters_of(head) -> dict[str, list[str]]:
    """Part -> the names of its weights in order, as state_dict has them."""
    state = head.state_dict()
    return {
        part: [
            name
            for name, value in state.items()
            if name.startswith(f"{part}.") and value.dim() == 4
        ]
        for part in PARTS
    }


def expect_weights(head, part: str, shapes: list[tuple[int, ...]]) -> None:
    """The convolutions of a part of the head, in order."""
    state = head.state_dict()
    got = [tuple(state[name].shape) for name in parameters_of(head)[part]]
    cause = None
    if not got:
        cause = "layers in a plain list; only nn.Sequential and its like are trained"
    elif len(got) == len(shapes) and [g[2:] for g in got] != [s[2:] for s in shapes]:
        cause = "the convolutions are not 3x3"
    elif [g[0] for g in got] == [s[0] for s in shapes]:
        cause = ONE_WIDTH
    elif got == shapes[: len(got)]:
        cause = "convolutions of the stem are missing"
    expect_equal(got, shapes, f"FCOSPredictionNetwork: weights of {part}", cause)


def filled_head(student):
    """A head with the stored weights, and the features and outputs that belong to it.

    Returns:
        The head, case -> name -> tensor; see oracles/step3.py.
    """
    cases = load_cases("step3", "head")
    head = make_head(student, NUM_CLASSES, IN_CHANNELS, list(STEM_CHANNELS))
    state = head.state_dict()
    for part, names in parameters_of(head).items():
        is_stem = part.startswith("stem")
        for number, name in enumerate(names):
            stored = f"{part}.{number}" if is_stem else part
            bias = name.removesuffix("weight") + "bias"
            for own, kind in ((name, "weight"), (bias, "bias")):
                value = cases["weights"].get(f"{stored}.{kind}")
                if value is None or own not in state or state[own].shape != value.shape:
                    shapes = {key: tuple(each.shape) for key, each in state.items()}
                    message = f"{own} is missing or of another shape: {shapes}"
                    raise CheckError(
                        "wrong shape", f"FCOSPredictionNetwork: {part}", message
                    )
                state[own] = value.to(state[own])
    head.load_state_dict(state)
    return head, cases


def give_features(student, cases) -> dict[str, torch.Tensor]:
    """The stored features of all levels."""
    return {name: give(student, value) for name, value in cases["features"].items()}


def outputs_of(student, head, features):
    """The three dicts of a head; lists and tuples are alike."""
    outputs = head(features)
    what = "FCOSPredictionNetwork.forward"
    if outputs is None:
        raise not_implemented(what)
    expect_true(
        isinstance(outputs, list | tuple) and len(outputs) == 3,
        what,
        "expected three dicts: class logits, deltas, centerness logits",
    )
    for each in outputs:
        expect_keys(each, list(features), what)
    return outputs


def wrong_answer(cases, level: str, output: str, mistake: str) -> torch.Tensor:
    """What a head with a known mistake says at a level, (B, H * W, channels)."""
    weights = cases["weights"]
    stem = "stem_cls" if output == "cls" else "stem_box"
    if mistake == "other stem":
        stem = "stem_box" if output == "cls" else "stem_cls"
    x = cases["features"][level]
    for number in range(len(STEM_CHANNELS)):
        name = f"{stem}.{number}"
        x = F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
        x = x if mistake == "no relu in stem" else x.relu()
    name = f"pred_{output}"
    x = F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
    if mistake == "reshape":
        return x.reshape(len(x), -1, x.shape[1])
    if mistake == "columns first":
        return x.transpose(2, 3).flatten(2).mT
    after = {"relu": torch.relu, "sigmoid": torch.sigmoid, "exp": torch.exp}
    return after.get(mistake, lambda same: same)(x).flatten(2).mT


CAUSES = {
    "a ReLU after the predictor; its outputs are raw numbers": "relu",
    "a sigmoid after the predictor; its outputs are raw numbers": "sigmoid",
    "an exponential after the predictor; its outputs are raw numbers": "exp",
    "reshape instead of permute: channels and places are mixed": "reshape",
    "the columns are walked through before the rows": "columns first",
    "the ReLUs of the stem are missing": "no relu in stem",
}


def expect_output(student, number: int, output: str, other_stem: str) -> None:
    """One of the three outputs, on all levels, for a batch of two."""
    head, cases = filled_head(student)
    features = give_features(student, cases)
    got = outputs_of(student, head, features)[number]
    mistakes = {**CAUSES, other_stem: "other stem"}
    for level in features:
        # float32 sums of some 45 terms, three layers deep
        expect_close(
            got[level],
            cases[output][level].float(),
            f"FCOSPredictionNetwork.forward: {output} of {level}",
            causes={
                cause: partial(wrong_answer, cases, level, output, mistake)
                for cause, mistake in mistakes.items()
            },
            atol=1e-4,
        )


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
    for num_classes, widths in ((7, [4, 6]), (1, [5])):
        head = make_head(student, num_classes, 3, widths)
        for part, channels in (("cls", num_classes), ("box", 4), ("ctr", 1)):
            expect_weights(head, f"pred_{part}", [(channels, widths[-1], 3, 3)])


def test_head_stems_have_weights_of_their_own(student):
    """What is written into one stem is not found in the other."""
    head = make_head(student, 4, 3, [5, 5])
    state = head.state_dict()
    for number, name in enumerate(state):
        state[name] = torch.full_like(state[name], float(number))
    head.load_state_dict(state)
    after = head.state_dict()
    own = sum(bool(torch.equal(after[name], state[name])) for name in state)
    message = f"{len(state) - own} of {len(state)} parameters are used twice"
    expect_true(own == len(state), "FCOSPredictionNetwork", message, SHARED_STEM)


def test_head_weights_start_with_deviation_one_hundredth(student):
    """All weights are drawn from N(0, 0.01)."""
    student.seed(11)
    state_of = make_head(student, 90, 64, [96, 80])
    state, names = state_of.state_dict(), parameters_of(state_of)
    for name in [each for part in PARTS for each in names[part]]:
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
    head = make_head(student, 7, 16, [24, 12])
    state, names = head.state_dict(), parameters_of(head)
    for name in [each for part in PARTS for each in names[part] if part != "pred_cls"]:
        bias = name.removesuffix("weight") + "bias"
        got = state.get(bias)
        expect_true(got is not None, "FCOSPredictionNetwork", f"{bias} is missing")
        expected = torch.zeros_like(state[bias])
        cause = "the prior is for the class predictor alone"
        wrong = {cause: torch.full_like(expected, PRIOR_BIAS)}
        expect_close(state[bias], expected, f"first values of {bias}", causes=wrong)


def test_head_class_bias_says_one_percent(student):
    """The bias of pred_cls is -ln((1 - 0.01) / 0.01), whose sigmoid is 0.01."""
    head = make_head(student, 7, 16, [24, 12])
    values = {
        NO_BIAS: 0.0,
        "the sign of the bias is wrong: the sigmoid of +ln 99 is 0.99": -PRIOR_BIAS,
        "the bias is the probability itself": 0.01,
        "ln 100 instead of ln 99": -math.log(100),
    }
    got = head.state_dict().get("pred_cls.bias")
    expect_true(got is not None, "FCOSPredictionNetwork", "no pred_cls.bias", NO_BIAS)
    is_default = bool((got.abs() <= 1 / math.sqrt(9 * 12)).all())
    causes = {cause: torch.full((7,), value) for cause, value in values.items()}
    if is_default:
        causes[NO_BIAS] = got
    expected = torch.full((7,), PRIOR_BIAS)
    expect_close(got, expected, "first values of pred_cls.bias", causes=causes)


def test_head_class_logits(student):
    """Class logits of given weights, on three levels that are wider than high."""
    expect_output(student, 0, "cls", "class logits come from the stem of the boxes")


def test_head_box_deltas(student):
    """Deltas of given weights, raw, on three levels."""
    expect_output(student, 1, "box", "deltas come from the stem of the classes")


def test_head_centerness_logits(student):
    """Centerness logits of given weights; they read the stem of the boxes."""
    cause = "centerness comes from the stem of the classes, not of the boxes"
    expect_output(student, 2, "ctr", cause)


def test_head_outputs_have_a_row_for_each_location(student):
    """(B, H * W, K), (B, H * W, 4) and (B, H * W, 1)."""
    head = make_head(student, 6, 3, [4])
    sizes = {"p3": (5, 7), "p4": (3, 4), "p5": (2, 2)}
    features = {
        level: give(student, spread(2, 3, *size, low=-1.0))
        for level, size in sizes.items()
    }
    outputs = outputs_of(student, head, features)
    for each, channels in zip(outputs, (6, 4, 1), strict=True):
        for level, (rows, columns) in sizes.items():
            places = rows * columns
            wrong = {
                "not permuted: channels come before places": (2, channels, places),
                "not flattened": (2, rows, columns, channels),
                "neither permuted nor flattened": (2, channels, rows, columns),
                "the last dimension of 1 is missing": (2, places),
                "images and places are mixed": (2 * places, channels),
            }
            what = f"FCOSPredictionNetwork.forward: {level}"
            shape = (2, places, channels)
            expect_tensor(each[level], what, shape=shape, shape_causes=wrong)


def test_head_answers_at_every_location(student):
    """One answer for each place of a map, those at its edges included."""
    widths, height, width = [4, 6], 11, 14
    head = make_head(student, 5, 3, widths)
    features = {"p4": give(student, spread(1, 3, height, width))}
    outputs = outputs_of(student, head, features)
    convolutions = len(widths) + 1
    for got, channels in zip(outputs, (5, 4, 1), strict=True):
        # Without padding each 3x3 convolution takes a row and a column off each edge.
        lost = [2 * number for number in (1, convolutions - 1, convolutions)]
        counts = [(height - each) * (width - each) for each in lost]
        expect_tensor(
            got["p4"],
            f"FCOSPredictionNetwork.forward: {channels} channels",
            shape=(1, height * width, channels),
            shape_causes={
                f"{NO_PADDING} ({name})": (1, count, channels)
                for name, count in zip(
                    ("predictor", "stem", "all"), counts, strict=True
                )
            },
        )


def test_head_takes_any_levels(student):
    """One level alone, with another name, gets the answers that it gets among three."""
    head, cases = filled_head(student)
    outputs_of(student, head, give_features(student, cases))  # what fails here, too,
    features = {"p6": give(student, cases["features"]["p4"])}  # is no matter of names
    with expect_runs("a head on one level", "the names of the levels are built in"):
        outputs = outputs_of(student, head, features)
    for got, name in zip(outputs, ("cls", "box", "ctr"), strict=True):
        expected = cases[name]["p4"].float()
        expect_close(got["p6"], expected, f"{name} of one level alone", atol=1e-4)


def test_head_of_a_batch_equals_its_single_images(student):
    """Images of a batch do not see each other."""
    head, cases = filled_head(student)
    features = give_features(student, cases)
    for b in range(2):
        alone = {level: value[b : b + 1] for level, value in features.items()}
        outputs = outputs_of(student, head, alone)
        for got, name in zip(outputs, ("cls", "box", "ctr"), strict=True):
            for level in alone:
                expected = cases[name][level][b : b + 1].float()
                expect_close(got[level], expected, f"{name} of one image", atol=1e-4)


def test_head_trains_all_its_layers(student):
    """A gradient arrives at every parameter."""
    head, cases = filled_head(student)
    features = give_features(student, cases)
    _, _, gradients = student.gradients(head, features, module=head)
    expect_true(bool(gradients), "FCOSPredictionNetwork", "it has no parameters")
    for name, gradient in gradients.items():
        arrives = gradient is not None and bool(gradient.abs().sum() > 0)
        cause = f"{name.split('.')[0]} is used without gradient or not at all"
        message = f"no gradient arrives at {name}"
        expect_true(arrives, "FCOSPredictionNetwork.forward", message, cause)


def test_head_leaves_the_features_alone(student):
    """The maps of the FPN are the same after the call."""
    head, cases = filled_head(student)
    features = give_features(student, cases)
    expect_inputs_kept(student, "FCOSPredictionNetwork.forward", head, features)
