"""Step 10: the convolutions of a stem, their group norm, and their first weights."""

import math
from collections.abc import Callable
from functools import partial

import torch

from grader_tests.head_parts import NO_PADDING, ONE_WIDTH
from grader_tests.oracles.step10 import STEM_GROUPS, STEM_IN, STEM_WIDTHS
from grader_tests.published_parts import (
    apply_layers,
    expect_trained,
    layers_of,
    make_stem,
    stored_layers,
    with_spread_weights,
    write_layers,
)
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_inputs_kept,
    expect_same_size,
    give,
    named_if_random,
    spread,
)
from helpers.checks.again import copied, expect_own_weights, is_same
from helpers.checks.answers import expect_state
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
    expect_true,
)

MAKE, START = "make_stem", "start_stem"
NO_NORM = "group norm is missing, or has no weights"
NORM_OF_ZERO = "with norm_groups 0 there is no norm"
BATCH_NORM = "batch norm, which looks at all images of a batch; group norm looks at one"
NORM_FIRST = "group norm stands before its convolution"
NO_BIAS = "a convolution has no bias"
EVERY_IN = "every convolution takes in_channels; it takes what the last one gives"
MISSING = "convolutions of the stem are missing"
NORM_ONCE = "each convolution has a group norm of its own behind it"
NORM_AFTER = "group norm stands behind the ReLU; it stands before it"
NO_RELU = "the ReLUs are missing"
NO_LAST_RELU = "the last ReLU is missing"
RELU_ONLY_LAST = "only the last convolution has a ReLU behind it"
OTHER_THAN_RELU = "another function than ReLU follows a convolution"
BORDER = "the border is filled with other numbers than 0"
NOT_APPLIED = "group norm is not used"
ONE_GROUP = "all channels are one group; norm_groups says how many there are"
OWN_GROUPS = "each channel is a group of its own; norm_groups says how many there are"
GROUP_SIZE = "norm_groups channels are a group; it is the number of groups"
BATCH_TOO = "the mean is taken over all images; group norm looks at each alone"
FEW_CHANNELS = "right for few channels, wrong for many"
GROUPS_BUILT_IN = "right for 32 groups of 32 channels, not for fewer"
SHARED = "a layer is used twice; each has weights of its own"
SHARED_CALLS = "two stems share layers; each needs new ones"
VARIANCE = "0.01 is the standard deviation, not the variance"
DEVIATION = 0.01
OWN = "PyTorch's own first values are left"
ADDED = "the old weights are still in the new ones; draw them anew"
SCALED = "the old weights are multiplied by a number; draw them anew"
REPEATED = "many weights are the same number; each is drawn for itself"
CONSTANT = "all weights of a convolution are the same number; draw them"
NOT_ZERO = "the mean of the weights is not 0"
BIASES_DRAWN = "the biases are drawn, too; they start at 0"
LEFT = "the weights stay as they were before"
EVENLY = "drawn evenly, not from a normal distribution"
ALIKE = "two channels start alike; draw all weights of a layer"
LAYERS_ALIKE = "one layer starts as a copy of another; draw the weights of each"
STEMS_ALIKE = "two stems start alike: do not set the random generator back"
BIASES_SET = "biases stay as they were before"
NORM_CHANGED = "the weights of group norm are others afterwards; they stay as they are"


def expect_stem(stem, in_channels: int, widths: list[int], has_norm: bool) -> None:
    """Convolutions and norms in their order, by the shapes of their weights."""
    state = expect_state(stem.state_dict(), MAKE)
    is_of_batches = any("running" in name for name in state)
    expect_true(not is_of_batches, MAKE, "it keeps means of batches", BATCH_NORM)
    got = [
        (tuple(state[f"{name}.weight"].shape), f"{name}.bias" in state)
        for name in layers_of(state)
        if f"{name}.weight" in state
    ]
    before = [in_channels, *widths]
    right: list[tuple[tuple[int, ...], bool]] = []
    for width, inputs in zip(widths, before, strict=False):
        right.append(((width, inputs, 3, 3), True))
        right += [((width,), True)] * has_norm
    cause = cause_of_layers(state, got, right)
    expect_equal(got, right, f"{MAKE}: weights, and whether there is a bias", cause)


def cause_of_layers(state, got, right) -> str | None:
    """What is wrong with the layers of a stem."""
    kernels, right_kernels = (
        [shape for shape, _ in layers if len(shape) == 4] for layers in (got, right)
    )
    norms, right_norms = (
        [shape for shape, _ in layers if len(shape) == 1] for layers in (got, right)
    )
    if kernels != right_kernels:
        return cause_of_kernels(kernels, right_kernels)
    if norms and not right_norms:
        return NORM_OF_ZERO
    if right_norms and not norms:
        return NO_NORM
    if len(norms) < len(right_norms):
        return NORM_ONCE
    if any(len(shape) == 4 and not has_bias for shape, has_bias in got):
        return NO_BIAS
    if len(norms) == len(right_norms) and len(got[0][0]) == 1:
        return NORM_FIRST
    return None


def cause_of_kernels(got, right) -> str | None:
    """What is wrong with the convolutions of a stem."""
    first = right[0][1]
    if [shape[:2] for shape in got] == [shape[:2] for shape in right]:
        return "the convolutions are not 3x3"
    if len(got) > 1 and got == [(out, first, 3, 3) for out, *_ in right]:
        return EVERY_IN
    if got == [(out, out, 3, 3) for out, *_ in right]:
        return ONE_WIDTH
    return MISSING if got and got == right[: len(got)] else None


def test_stem_has_a_convolution_for_each_width(student):
    """Convolution and group norm for each of one, two and three widths."""
    for widths, groups in (([6], 3), ([4, 6], 2), ([8, 4, 12], 4)):
        with expect_runs(
            f"{MAKE} with {groups} groups",
            GROUPS_BUILT_IN,
            partial(make_stem, student, 3, [32], 32),
        ):
            stem = make_stem(student, 3, list(widths), groups)
        expect_stem(stem, 3, widths, True)


def test_stem_without_groups_has_no_norm(student):
    """norm_groups 0: convolutions and ReLUs alone, which keep what they say."""
    for widths in ([5], [4, 6], [3, 5, 2]):
        stem = make_stem(student, 2, widths, 0)
        expect_stem(stem, 2, widths, False)
        with_spread_weights(stem, MAKE)
        state = expect_state(stem.state_dict(), MAKE)
        layers = stored_layers_of(state)
        given = spread(2, 2, 5, 6, low=-2.0, high=2.0)
        expect_answer(student, stem, layers, given, 0)


def stored_layers_of(state):
    """The layers of a state, on the CPU."""
    return [
        {kind: state[f"{name}.{kind}"].cpu() for kind in ("weight", "bias")}
        for name in layers_of(state)
    ]


def expect_answer(student, stem, layers, given, groups: int, expected=None) -> None:
    """What comes out of a stem, in training and in evaluation."""
    right = apply_layers(given.double(), layers, groups)
    expected = right if expected is None else expected
    wrong = partial(apply_layers, given.double(), layers, groups)
    width = layers[-1]["bias"].shape[0]
    causes: dict[str, Callable[[], torch.Tensor]] = {
        NO_RELU: partial(wrong, "norm"),
        NO_LAST_RELU: partial(without_last_relu, given.double(), layers, groups),
        RELU_ONLY_LAST: lambda: wrong("norm").relu(),
        **{
            f"{OTHER_THAN_RELU}: {name}": partial(wrong, f"norm {name}")
            for name in ("leaky", "gelu", "silu", "elu")
        },
        **{
            f"{BORDER}, {border}": partial(wrong, "norm relu", border)
            for border in ("replicate", "circular", "reflect")
        },
    }
    if groups:
        causes |= {
            NORM_AFTER: partial(wrong, "relu norm"),
            NOT_APPLIED: partial(wrong, "relu"),
            ONE_GROUP: partial(apply_layers, given.double(), layers, 1),
            OWN_GROUPS: partial(apply_layers, given.double(), layers, 0),
        }
        if width % groups == 0 and width // groups != groups:
            causes[GROUP_SIZE] = partial(groups_of_size, given.double(), layers, groups)
        causes[BATCH_TOO] = partial(over_all_images, given.double(), layers, groups)
        causes[BATCH_NORM] = partial(over_all_images, given.double(), layers, 0)
    for mode in (stem.train, stem.eval):
        mode()
        got = stem(give(student, given))
        with named_if_random(stem, give(student, given)):
            # float32 sums of some 50 terms, normalised
            expect_close(got, expected.float(), MAKE, causes=causes, atol=1e-4)


def without_last_relu(given, layers, groups: int) -> torch.Tensor:
    """A stem whose last convolution ends without a ReLU."""
    last = max(place for place, own in enumerate(layers) if own["weight"].dim() == 4)
    x = apply_layers(given, layers[:last], groups)
    return apply_layers(x, layers[last:], groups, "norm")


def groups_of_size(given, layers, size: int) -> torch.Tensor:
    """A stem whose groups have so many channels."""
    x = given
    for place in range(0, len(layers), 2):
        pair = layers[place : place + 2]
        x = apply_layers(x, pair, pair[0]["bias"].shape[0] // size)
    return x


def over_all_images(given, layers, groups: int) -> torch.Tensor:
    """A stem whose norm takes the images of a batch for one wide image.

    Args:
        groups: of channels; 0 makes each channel a group.
    """
    x = given
    for place in range(0, len(layers), 2):
        convolution, norm = layers[place : place + 2]
        x = apply_layers(x, [convolution], 0, "")
        batch, channels, rows, columns = x.shape
        wide = x.transpose(0, 1).reshape(1, channels, batch * rows, columns)
        weight, bias = norm["weight"].double(), norm["bias"].double()
        wide = torch.nn.functional.group_norm(wide, groups or channels, weight, bias)
        x = wide.reshape(channels, batch, rows, columns).transpose(0, 1).relu()
    return x


def test_stem_equals_a_slow_loop(student):
    """Convolution, group norm, ReLU, twice: given weights, two images, two groups."""
    cases = load_cases("step10", "stem")
    stem = make_stem(student, STEM_IN, list(STEM_WIDTHS), STEM_GROUPS)
    layers = stored_layers(cases["weights"], "")
    state = expect_state(stem.state_dict(), MAKE)
    write_layers(state, "", layers, MAKE)
    stem.load_state_dict(state)
    maps = cases["maps"]
    given, expected = maps["given"], maps["expected"]
    expect_answer(student, stem, layers, given, STEM_GROUPS, expected)
    expect_answer(student, stem, layers, given[1:], STEM_GROUPS, expected[1:])
    expect_trained(student, stem, give(student, given), MAKE)


def test_stem_normalises_any_number_of_groups(student):
    """One group of eight channels, four of two, eight of one; 64 channels."""

    def normalises(widths: list[int], groups: int) -> None:
        stem = make_stem(student, 3, widths, groups)
        expect_stem(stem, 3, widths, True)
        with_spread_weights(stem, MAKE)
        layers = stored_layers_of(expect_state(stem.state_dict(), MAKE))
        expect_answer(student, stem, layers, spread(2, 3, 3, 4, low=-2.0), groups)

    for groups in (1, 4, 8):
        normalises([8, 8], groups)
    for groups in (4, 32):
        with expect_as_usual(FEW_CHANNELS, partial(normalises, [8], 4)):
            normalises([64], groups)


def test_stem_keeps_the_size_of_a_map(student):
    """13 x 20 stays 13 x 20, with group norm and without."""
    given = give(student, spread(1, 4, 13, 20))
    for groups in (0, 2):
        for widths in ([6], [4, 6]):
            answer = make_stem(student, 4, widths, groups)(given)
            causes = {-2 * len(widths): NO_PADDING, -2: NO_PADDING}
            expect_same_size(answer, given, MAKE, causes)
            expect_tensor(answer, MAKE, shape=(1, widths[-1], 13, 20))


def test_stem_has_weights_of_its_own(student):
    """No layer is used twice, and none is in another stem."""
    for groups in (2, 0):
        stems = [make_stem(student, 4, [4, 4], groups) for _ in range(2)]
        for stem in stems:
            expect_stem(stem, 4, [4, 4], bool(groups))
        expect_own_weights(MAKE, stems, SHARED, SHARED_CALLS)


def test_stem_leaves_the_list_of_widths_alone(student):
    """A list of five widths has five entries afterwards, and gives five layers."""
    widths = [4, 2, 6, 2, 4]
    expect_inputs_kept(
        student,
        MAKE,
        student.fcos_published.make_stem,
        *(3, list(widths), 2),
        check=lambda stem: expect_stem(stem, 3, widths, True),
    )


START_IN, START_WIDTHS = 24, [48, 32, 16, 16, 16]


def started(student, how: str, groups: int = 8):
    """The numbers of a stem whose weights were drawn, those from before, and the stem.

    Before, all its numbers are others than those that it must have afterwards.
    """
    stem = make_stem(student, START_IN, list(START_WIDTHS), groups)
    with_spread_weights(stem, MAKE)
    before = expect_state(stem.state_dict(), MAKE)
    student.fcos_published.start_stem(stem, how)
    return expect_state(stem.state_dict(), START), copied(before), stem


def kernels_of(state) -> dict[str, torch.Tensor]:
    """Name -> weight of each convolution, float64 on the CPU."""
    kernels = {
        name: value.double().cpu() for name, value in state.items() if value.dim() == 4
    }
    message = f"{len(kernels)} convolutions, expected {len(START_WIDTHS)}"
    expect_true(len(kernels) == len(START_WIDTHS), START, message)
    return kernels


def expect_deviation(student, how: str, groups: int, causes) -> None:
    """Mean 0, and the deviation, of each convolution's weights.

    Args:
        causes: (fan in, fan out, first fan in) -> known mistake -> its deviation.
    """
    state, before, _ = started(student, how, groups)
    kernels = kernels_of(state)
    first = next(iter(kernels.values()))[0].numel()
    for name, weight in kernels.items():
        fan_in, fan_out = weight[0].numel(), weight[:, 0].numel()
        right, wrong = causes(fan_in, fan_out, first)
        expect_drawn_anew(weight, before[name].double().cpu(), name)
        deviations = {OWN: 1 / math.sqrt(3 * fan_in), **wrong}
        # The error of a deviation from n draws is 1 / sqrt(2 n) of it; six of these.
        tolerance = 6 / math.sqrt(2 * weight.numel())
        expect_close(
            weight.std(),
            torch.tensor(right, dtype=torch.float64),
            f"{START}, {how!r}: standard deviation of {name}",
            causes={
                cause: torch.tensor(value, dtype=torch.float64)
                for cause, value in deviations.items()
            },
            atol=0,
            rtol=tolerance,
        )
        limit = 6 * right / math.sqrt(weight.numel())
        mean = float(weight.mean())
        message = f"the mean is {mean:.5f}, expected 0"
        expect_true(abs(mean) < limit, f"{START}: mean of {name}", message, NOT_ZERO)
        # Of 2,000 normal draws some are; even ones end at 1.73 deviations.
        reach = float(weight.abs().max()) / right
        message = f"no weight is further from 0 than {reach:.2f} deviations"
        expect_true(reach > 2.2, f"{START}: weights of {name}", message, EVENLY)


def expect_drawn_anew(weight: torch.Tensor, old: torch.Tensor, name: str) -> None:
    """Nothing of the old weights is in the new ones, which are different numbers."""
    what = f"{START}: weights of {name}"
    is_left = torch.equal(weight, old)
    expect_true(not is_left, what, "they are the same as before", LEFT)
    is_added = float((weight - old).std()) < float(old.std()) / 2
    expect_true(not is_added, what, "they are nearly the same as before", ADDED)
    both = torch.stack((weight.flatten(), old.flatten()))
    is_scaled = float(torch.corrcoef(both)[0, 1].abs()) > 0.5
    message = "they follow the numbers from before"
    expect_true(not is_scaled, what, message, SCALED)
    is_one = bool((weight == weight.flatten()[0]).all())
    expect_true(not is_one, what, "they are all the same number", CONSTANT)
    are_alike = torch.equal(weight, weight[:1].expand_as(weight))
    expect_true(not are_alike, what, "all channels have the same ones", ALIKE)
    different = len(weight.unique())
    message = f"{weight.numel()} weights, but {different} different numbers"
    expect_true(different > 0.9 * weight.numel(), what, message, REPEATED)


def small(fan_in: int, fan_out: int, first: int):
    """The deviation of "small", and those of known mistakes."""
    del fan_out, first
    return DEVIATION, {
        VARIANCE: math.sqrt(DEVIATION),
        'He\'s deviation for "small"': math.sqrt(2 / fan_in),
        "drawn evenly between -0.01 and 0.01": DEVIATION / math.sqrt(3),
    }


def he(fan_in: int, fan_out: int, first: int):
    """The deviation of "he", and those of known mistakes."""
    return math.sqrt(2 / fan_in), {
        'the deviation of "small" for "he"': DEVIATION,
        "fan_out is taken; fan_in is what keeps the numbers as large as they are": (
            math.sqrt(2 / fan_out)
        ),
        "Xavier's mean of fan_in and fan_out": math.sqrt(2 / (fan_in + fan_out)),
        "sqrt(1 / fan_in): the 2 for the ReLU is missing": math.sqrt(1 / fan_in),
        "the gain of a tanh": 5 / 3 / math.sqrt(fan_in),
        "fan_in counts the channels only; a number comes from 3 x 3 of each": (
            math.sqrt(2 / (fan_in / 9))
        ),
        "the root is missing: 2 / fan_in is the variance": 2 / fan_in,
        "the fan_in of the first convolution for all": math.sqrt(2 / first),
    }


def test_stem_starts_small(student):
    """All weights of the convolutions are drawn from N(0, .01)."""
    student.seed(11)
    for groups in (0, 8):
        expect_deviation(student, "small", groups, small)


def test_stem_starts_as_he_proposes(student):
    """N(0, sqrt(2 / fan_in)): each convolution by its own number of inputs."""
    student.seed(12)
    for groups in (8, 0):
        expect_deviation(student, "he", groups, he)


def test_stem_draws_all_its_weights(student):
    """No channel starts as another does, in no layer, and in no other stem."""
    for how in ("small", "he"):
        seen: dict[tuple[float, ...], tuple[int, str]] = {}
        for number in range(2):
            stem = make_stem(student, 6, [6, 6], 2)
            with_spread_weights(stem, MAKE)
            before = expect_state(stem.state_dict(), MAKE)
            student.fcos_published.start_stem(stem, how)
            state = expect_state(stem.state_dict(), START)
            for name, weight in state.items():
                if weight.dim() != 4:
                    continue
                same = bool((weight == before[name]).any())
                message = f"numbers of {name} are those from before"
                expect_true(not same, START, message, LEFT)
                old = before[name].double().cpu()
                expect_drawn_anew(weight.double().cpu(), old, name)
                for row in weight:
                    numbers = tuple(row.flatten().tolist())
                    own, layer = seen.get(numbers, (number, name))
                    cause = ALIKE if layer == name else LAYERS_ALIKE
                    cause = cause if own == number else STEMS_ALIKE
                    message = f"{name} is not drawn, but starts as another channel"
                    expect_true(numbers not in seen, START, message, cause)
                    seen[numbers] = number, name


def test_stem_starts_with_biases_of_zero(student):
    """Those of the convolutions; weight and bias of group norm stay as they are."""
    for how in ("small", "he"):
        state, before, stem = started(student, how)
        kernels_of(state)
        expect_trained(student, stem, give(student, spread(1, START_IN, 6, 5)), START)
        for name in layers_of(state):
            weight, bias = (f"{name}.{kind}" for kind in ("weight", "bias"))
            if state[weight].dim() == 1:
                for own in (weight, bias):
                    message = f"{own} is another"
                    same = is_same(before[own], state[own])
                    expect_true(same, START, message, NORM_CHANGED)
                continue
            expected = torch.zeros_like(before[bias])
            causes = {BIASES_SET: before[bias]}
            if len(state[bias].unique()) > 1 and not is_same(state[bias], before[bias]):
                causes[BIASES_DRAWN] = state[bias]
            what = f"{START}, {how!r}: first values of {bias}"
            expect_close(state[bias], expected, what, causes=causes, atol=0)


def expect_answers_when_started(student) -> None:
    """A stem takes maps from where it was when its weights were drawn."""
    given = give(student, spread(2, 4, 5, 7))
    for how in ("small", "he"):
        stem = make_stem(student, 4, [4, 6], 2)
        with_spread_weights(stem, MAKE)
        before = expect_state(stem.state_dict(), MAKE)
        student.fcos_published.start_stem(stem, how)
        for name, value in expect_state(stem.state_dict(), START).items():
            if value.dim() == 4:
                old = before[name].double().cpu()
                expect_drawn_anew(value.double().cpu(), old, name)
        what = f"a stem after {START}, {how!r}"
        expect_tensor(stem(given), what, shape=(2, 6, 5, 7))
