"""Step 10: the convolutions of p6 and p7, and the two maps that they give."""

from functools import partial

import torch
from torch.nn import functional as F
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from grader_tests.published_parts import expect_module, expect_trained, layers_of
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_dtype,
    expect_inputs_kept,
    expect_keys,
    give,
    named_if_random,
    spread,
)
from helpers.checks.again import expect_own_answers, expect_own_weights
from helpers.checks.answers import expect_state
from helpers.checks.expect import (
    CheckError,
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_tensor,
    expect_true,
)

MAKE, ADD = "make_top_layers", "add_top_levels"
TOP = ("p6", "p7")
GIVEN = ("p3", "p4", "p5")
LEVELS = (*GIVEN, *TOP)
NO_BIAS = "a convolution has no bias"
NOT_3X3 = "the convolutions are not 3x3"
NAMES = "the layers are called p6 and p7, and there are no others"
EACH_ALONE = "an output channel sees one channel alone; it sees all channels"
SOME_ALONE = "an output channel sees some channels alone; it sees all channels"
POOLED_LAYER = "the map is pooled after a convolution; a stride of 2 makes it smaller"
FIRST_IMAGE = "the first image alone is answered"
NOT_GIVEN_BACK = "p3, p4 and p5 are left out"
POOLED = "p6 is p5 with places left out; its own layer makes it"
CHANNELS = "both convolutions keep the number of channels, whatever it is"
NO_STRIDE = "the stride is missing: a map keeps its size"
NO_PADDING = "the padding is missing: a map of 3 x 3 kernels loses its border"
BOTH = "neither stride nor padding: a map loses only its border"
BORDER = "the border is filled with other numbers than 0"
NEGATIVE = "a layer changes negative numbers; it is a convolution and nothing else"
SHARED = "p6 and p7 share a weight; each convolution has its own"
SHARED_CALLS = "two calls share layers; each needs new ones"
P6_CHANGED = "p6 comes out as ReLU(p6); only p7 is made from that"
P7_OF_P6 = "p7 is made from p6 as it is; take ReLU(p6)"
P7_OF_RELU6 = "p7 is made from a ReLU that ends at a limit"
P7_OF_P5 = "p7 is made from p5; it is made from ReLU(p6)"
P6_OF_P4, P6_OF_P3 = (f"p6 is made from {level}, not from p5" for level in ("p4", "p3"))
P5_CHANGED = "p6 is made from ReLU(p5); take p5 as it is"
SWAPPED = "the layers of p6 and p7 are exchanged"
ONE_LAYER = "one layer makes both p6 and p7"
AFTER_P7 = "a ReLU after p7, which may be negative"
OTHER_LEVELS = "p3, p4 and p5 come out as they came in"
DETACHED = "a map is detached, or is one of an earlier call: no gradient passes it"
HALF_PRECISION = "numbers are in float32 on the way; keep the dtype of the maps"


def make_top(student, channels: int):
    """The layers of 10.1 where the student's code runs."""
    made = student.fcos_published.make_top_layers(channels)
    return expect_module(made, MAKE, student.device)


def filled_top(student, weights, dtype: torch.dtype = torch.float32):
    """The layers of 10.1 with known weights: "p6.weight" and so on."""
    layers = make_top(student, weights["p6.bias"].shape[0])
    if dtype != torch.float32:
        layers.to(dtype)
    state = expect_state(layers.state_dict(), MAKE)
    for level in TOP:
        names = layers_of(state, f"{level}.")
        for kind in ("weight", "bias"):
            place = f"{names[0]}.{kind}" if names else level
            value = weights[f"{level}.{kind}"]
            if place not in state or state[place].shape != value.shape:
                shapes = {name: tuple(own.shape) for name, own in state.items()}
                message = f"{level}: other weights than expected: {shapes}"
                raise CheckError("wrong shape", MAKE, message)
            state[place] = value.to(state[place], copy=True)
    layers.load_state_dict(state)
    return layers


def test_top_layers_are_two_convolutions(student):
    """p6 and p7: 3x3 with a bias, from any number of channels to as many."""
    for channels in (3, 40, 1, 320):
        state = expect_state(make_top(student, channels).state_dict(), MAKE)
        shapes = {
            level: [
                tuple(value.shape)
                for name, value in state.items()
                if name.startswith(f"{level}.")
            ]
            for level in TOP
        }
        names = sorted({name.partition(".")[0] for name in state})
        expect_equal(names, list(TOP), f"{MAKE}: its layers", NAMES)
        right = [(channels, channels, 3, 3), (channels,)]
        weights = [shape for own in shapes.values() for shape in own if len(shape) == 4]
        cause = None
        if [own[:1] for own in shapes.values()] == [own for own in shapes.values()]:
            cause = NO_BIAS if weights == [right[0]] * 2 else None
        if len(weights) == 2 and any(shape[2:] != (3, 3) for shape in weights):
            cause = NOT_3X3
        elif channels > 1 and weights == [(channels, 1, 3, 3)] * 2:
            cause = EACH_ALONE
        elif all(is_grouped(shape, channels) for shape in weights):
            cause = SOME_ALONE if weights else cause
        elif any(shape[:2] != (channels, channels) for shape in weights):
            cause = CHANNELS
        expected = dict.fromkeys(TOP, right)
        expect_equal(shapes, expected, f"{MAKE}({channels}): weights", cause)


def is_grouped(shape: tuple[int, ...], channels: int) -> bool:
    """Whether all channels come out, and each is made from a part of them."""
    return shape[0] == channels > shape[1] and channels % shape[1] == 0


def test_top_layers_halve_a_map(student):
    """Height and width are halved and rounded up: 13 x 20 becomes 7 x 10."""
    layers = make_top(student, 2)
    for level in TOP:
        for height, width in ((13, 20), (6, 3), (1, 1), (1, 8)):
            got = layers[level](give(student, spread(2, 2, height, width, low=-1.0)))
            wrong = {}
            if min(height, width) > 4:
                wrong = {
                    NO_STRIDE: (2, 2, height, width),
                    NO_PADDING: (2, 2, (height - 1) // 2, (width - 1) // 2),
                    BOTH: (2, 2, height - 2, width - 2),
                }
            shape = (2, 2, -(-height // 2), -(-width // 2))
            what = f"{MAKE}: {level} of a map of {height} x {width}"
            expect_tensor(got, what, shape=shape, shape_causes=wrong)


def test_top_layers_equal_a_slow_loop(student):
    """Each layer alone, with given weights, on a map of both signs."""
    cases = load_cases("step10", "top")
    weights = cases["weights"]
    layers = filled_top(student, weights)
    for level, given in (
        ("p6", cases["features"]["p5"]),
        ("p7", -cases["expected"]["p6"]),
    ):
        weight, bias = (weights[f"{level}.{kind}"] for kind in ("weight", "bias"))
        convolve = partial(F.conv2d, weight=weight, bias=bias, stride=2)
        right = cases["expected"]["p6"] if level == "p6" else convolve(given, padding=1)
        causes = {
            BORDER + f", {how}": partial(filled_border, given, convolve, how)
            for how in ("reflect", "replicate", "circular")
        }
        whole = F.conv2d(given, weight, bias, padding=1)
        causes[POOLED_LAYER] = F.max_pool2d(whole, 2, ceil_mode=True)
        causes[NEGATIVE] = partial(convolve, given.relu(), padding=1)
        causes[f"{NEGATIVE} before or behind it"] = right.relu()
        got = layers[level](give(student, given))
        # float32 sums of 27 products
        expect_close(got, right.float(), f"{MAKE}: {level}", causes=causes, atol=1e-5)
        expect_trained(student, layers[level], give(student, given), f"{MAKE}: {level}")


def filled_border(given: torch.Tensor, convolve, how: str) -> torch.Tensor:
    """A convolution of a map with a border of its own numbers."""
    return convolve(F.pad(given, (1, 1, 1, 1), mode=how))


def test_top_layers_share_no_weights(student):
    """What is written into p6 is not in p7, and in no layer of another call."""
    made = [make_top(student, 4) for _ in range(2)]
    expect_own_weights(MAKE, made, SHARED, SHARED_CALLS)
    test_top_layers_halve_a_map(student)


def give_levels(student, features, dtype: torch.dtype = torch.float32):
    """A dict of maps as the code under test gets it."""
    return {level: give(student, value, dtype) for level, value in features.items()}


def right_levels(features, weights) -> dict[str, torch.Tensor]:
    """All five levels in float64, from torch's own convolution."""
    maps = {level: value.double() for level, value in features.items()}
    p6 = convolution(maps["p5"], weights, "p6")
    return {**maps, "p6": p6, "p7": convolution(p6.relu(), weights, "p7")}


def convolution(x: torch.Tensor, weights, level: str) -> torch.Tensor:
    """The layer of a level, in float64."""
    weight, bias = (weights[f"{level}.{kind}"].double() for kind in ("weight", "bias"))
    return F.conv2d(x.double(), weight, bias, stride=2, padding=1)


def expect_levels(
    got,
    features,
    weights,
    expected=None,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    levels=LEVELS,
) -> None:
    """The three levels that came in, and p6 and p7.

    Args:
        expected: {"p6", "p7"}; worked out with torch's own convolution by default.
        levels: whose numbers are compared.
    """
    if isinstance(got, dict):
        message = f"{', '.join(TOP)} alone come out"
        expect_true(set(got) != set(TOP), ADD, message, NOT_GIVEN_BACK)
    expect_keys(got, list(LEVELS), ADD)
    right = {**right_levels(features, weights), **(expected or {})}
    p5, p6 = right["p5"], right["p6"]
    wrong = {level: {OTHER_LEVELS: right[level].relu()} for level in GIVEN}
    wrong["p6"] = {
        P6_CHANGED: p6.relu(),
        POOLED: p5[:, :, ::2, ::2],
        P5_CHANGED: convolution(p5.relu(), weights, "p6"),
        P6_OF_P4: convolution(right["p4"], weights, "p6"),
        P6_OF_P3: convolution(right["p3"], weights, "p6"),
        SWAPPED: convolution(p5, weights, "p7"),
    }
    wrong["p7"] = {
        P7_OF_P6: convolution(p6, weights, "p7"),
        P7_OF_RELU6: convolution(p6.clamp(0, 6), weights, "p7"),
        P7_OF_P5: convolution(p5, weights, "p7"),
        AFTER_P7: right["p7"].relu(),
        ONE_LAYER: convolution(p6.relu(), weights, "p6"),
    }
    for level in levels:
        shapes = {
            cause: tuple(value.shape)
            for cause, value in wrong[level].items()
            if value.shape != right[level].shape
        }
        shapes[FIRST_IMAGE] = (1, *right[level].shape[1:])
        what, dtype = f"{ADD}: {level}", features["p5"].dtype
        shape = tuple(right[level].shape)
        expect_tensor(got[level], what, shape=shape, shape_causes=shapes)
        expect_dtype(got[level], dtype, what)
        expect_close(
            got[level],
            right[level].to(dtype),
            what,
            causes=wrong[level],
            atol=atol,
            rtol=rtol,
        )


def expect_stored(student, levels) -> None:
    """These levels, of given weights and maps."""
    cases = load_cases("step10", "top")
    weights, features = cases["weights"], cases["features"]
    assert bool((cases["expected"]["p6"] < 0).any())
    layers = filled_top(student, weights)
    call, given = student.fcos_published.add_top_levels, give_levels(student, features)
    got = call(given, layers)
    features = {level: value.float() for level, value in features.items()}
    with named_if_random(call, given, layers):
        expect_levels(got, features, weights, cases["expected"], levels=levels)


def test_top_levels_p6_equals_a_slow_loop(student):
    """p6 of p5, negative at some places; p3, p4 and p5 as they were."""
    expect_stored(student, LEVELS[:4])


def test_top_levels_equal_a_slow_loop(student):
    """p6 and p7 of given weights and maps."""
    expect_stored(student, LEVELS)


def top_of_torchvision(channels: int):
    """The block of torchvision with weights that are others in each channel."""
    block = LastLevelP6P7(channels, channels).double()
    state = {
        name: spread(*value.shape, low=-0.8, high=0.7, start=11 * number)
        for number, (name, value) in enumerate(block.state_dict().items(), start=1)
    }
    block.load_state_dict(state)
    return block, state


def test_top_levels_equal_torchvision(student):
    """An image of 416 x 608 pixels, and one so small that p5 is a single place."""
    block, weights = top_of_torchvision(5)
    layers = filled_top(student, weights)
    for batch, height, width in ((1, 52, 76), (3, 4, 4), (2, 3, 9)):
        sizes = [(-(-height // by), -(-width // by)) for by in (1, 2, 4)]
        features = {
            level: spread(batch, 5, *size, low=-3.0, high=3.0, start=place).float()
            for place, (level, size) in enumerate(zip(GIVEN, sizes, strict=True))
        }
        with torch.no_grad():
            maps = [features[level].double() for level in GIVEN]
            (*_, p6, p7), names = block(maps, maps[0], list(GIVEN))
        assert names[-2:] == list(TOP)
        given = give_levels(student, features)
        got = student.fcos_published.add_top_levels(given, layers)
        expect_levels(got, features, weights, {"p6": p6, "p7": p7}, atol=1e-4)


def test_top_levels_leaves_its_inputs_alone(student):
    """The dict that was given has three levels afterwards, with the same numbers."""
    cases = load_cases("step10", "top")
    weights = cases["weights"]
    features = {level: value.float() for level, value in cases["features"].items()}
    layers = filled_top(student, weights)
    expect_inputs_kept(
        student,
        ADD,
        student.fcos_published.add_top_levels,
        *(give_levels(student, features), layers),
        check=partial(
            expect_levels, features=features, weights=weights, levels=LEVELS[:4]
        ),
    )


def test_top_levels_answer_each_call(student):
    """Maps of the same shapes and sums, in any order of the dict; large numbers."""
    _, weights = top_of_torchvision(3)
    layers = filled_top(student, weights)
    sizes = {"p5": (3, 4), "p3": (12, 16), "p4": (6, 8)}
    # Eighths, whose sums float32 holds exactly in any order.
    usual = {
        level: (spread(2, 3, *size, low=-9.0, high=9.0) * 8).round().float() / 8
        for level, size in sizes.items()
    }
    cases = [
        (
            (give_levels(student, features), layers),
            partial(
                expect_levels,
                features=features,
                weights=weights,
                atol=1e-5 * float(features["p5"].abs().max()),
            ),
        )
        for features in (
            usual,
            {level: value.flip(0) for level, value in usual.items()},
            {level: value.roll(1, dims=3) for level, value in usual.items()},
            {level: value * 1e4 for level, value in usual.items()},
        )
    ]
    expect_own_answers(student.fcos_published.add_top_levels, *cases)


def test_top_levels_follow_the_dtype(student):
    """Maps and layers of float64 give p6 and p7 in float64, with all its digits."""
    _, weights = top_of_torchvision(3)

    def check(dtype: torch.dtype, atol: float) -> None:
        layers = filled_top(student, weights, dtype)
        features = {level: spread(1, 3, 5, 6, low=-1.0).to(dtype) for level in GIVEN}
        given = give_levels(student, features, dtype)
        got = student.fcos_published.add_top_levels(given, layers)
        expect_levels(got, features, weights, atol=atol, rtol=atol)

    with expect_as_usual(HALF_PRECISION, lambda: check(torch.float32, 1e-5)):
        check(torch.float64, 1e-12)


def test_top_levels_send_each_gradient_back(student):
    """From p7 through p6 to p5 and both layers; from p6 not to p7's layer."""
    cases = load_cases("step10", "top")
    layers = filled_top(student, cases["weights"])
    given = give_levels(student, cases["features"])
    for level, reached in (("p6", ("p6",)), ("p7", TOP), ("p3", ())):
        answer, (of_maps,), of_layers = student.gradients(
            *(student.fcos_published.add_top_levels, given, layers),
            inputs=(0,),
            module=layers,
            part=(level,),
        )
        features = {name: value.float() for name, value in cases["features"].items()}
        expect_levels(answer, features, cases["weights"], cases["expected"])
        from_p5 = bool(reached)
        must = {name: name == ("p5" if from_p5 else level) for name in GIVEN}
        must |= {
            name: name.startswith(reached) if reached else False for name in of_layers
        }
        for name, value in {**of_maps, **of_layers}.items():
            arrives = value is not None and bool(value.abs().sum() > 0)
            message = f"{'none' if must[name] else 'one'} arrives at {name}"
            cause = DETACHED if must[name] else None
            what = f"{ADD}: gradient of {level}"
            expect_true(arrives == must[name], what, message, cause)
