"""Step 3: what the shared head answers."""

from functools import partial

import torch
from torch.nn import functional as F

from grader_tests.head_parts import (
    NO_PADDING,
    fill_parts,
    make_head,
    parameters_of,
)
from grader_tests.oracles import slow
from grader_tests.oracles.step3 import IN_CHANNELS, NUM_CLASSES, STEM_CHANNELS
from grader_tests.references import load_cases
from grader_tests.tools import expect_inputs_kept, expect_keys, give, spread
from helpers.checks.again import KEPT, expect_own_answers
from helpers.checks.answers import expect_state
from helpers.checks.expect import (
    CheckError,
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_tensor,
    expect_true,
    not_implemented,
)

SOME = 3  # different numbers; fewer may be cut by chance
OUTPUTS = ("class logits", "deltas", "centerness logits")
FORWARD = "FCOSPredictionNetwork.forward"
DETACHED = "a part is detached, or is one of an earlier call: no gradient passes it"


def filled_head(student):
    """A head with the stored weights, and the features and outputs that belong to it.

    Returns:
        The head, case -> name -> tensor; see oracles/step3.py.
    """
    cases = load_cases("step3", "head")
    head = make_head(student, NUM_CLASSES, IN_CHANNELS, list(STEM_CHANNELS))
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for part, names in parameters_of(head).items():
        is_stem = part.startswith("stem")
        for number, name in enumerate(names):
            stored = f"{part}.{number}" if is_stem else part
            bias = name.removesuffix("weight") + "bias"
            for own, kind in ((name, "weight"), (bias, "bias")):
                value = cases["weights"].get(f"{stored}.{kind}")
                if value is None or own not in state or state[own].shape != value.shape:
                    shapes = {key: tuple(weight.shape) for key, weight in state.items()}
                    message = f"{own} is missing or of another shape: {shapes}"
                    raise CheckError(
                        "wrong shape", f"FCOSPredictionNetwork: {part}", message
                    )
                state[own] = value.to(state[own])
    fill_parts(head, state)
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
    for output in outputs:
        expect_keys(output, list(features), what)
    return outputs


def expect_right(student) -> None:
    """The stored answers: more than shapes."""
    head, cases = filled_head(student)
    features = {
        level: give(student, value) for level, value in cases["features"].items()
    }
    check_stored(cases, *features)(head(features))


def check_stored(cases, *levels: str):
    """A check of the three outputs on these levels."""

    def check(got) -> None:
        expect_true(
            isinstance(got, list | tuple) and len(got) == 3, FORWARD, "no three dicts"
        )
        for output, name in zip(got, ("cls", "box", "ctr"), strict=True):
            expect_keys(output, list(levels), FORWARD)
            for level in levels:
                expected = cases[name][level].float()
                what = f"{FORWARD}: {name} of {level}"
                expect_close(output[level], expected, what, atol=1e-4)

    return check


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


SIGMOID = "a sigmoid after the predictor; its outputs are raw numbers"
HELD = "large outputs end at a limit; nothing asks for one"
FIRST_ONLY = "only the first levels of the dict are answered; answer all of them"
BY_PLACE = "answers change with the order of the levels in the dict; go by their names"
CAUSES = {
    "a ReLU after the predictor; its outputs are raw numbers": "relu",
    SIGMOID: "sigmoid",
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
    head = make_head(student, 6, 3, [3, 3])
    sizes = {"p3": (5, 7), "p4": (3, 4), "p5": (2, 2)}
    features = {
        level: give(student, spread(2, 3, *size, low=-1.0))
        for level, size in sizes.items()
    }
    outputs = outputs_of(student, head, features)
    for output, channels in zip(outputs, (6, 4, 1), strict=True):
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
            expect_tensor(output[level], what, shape=shape, shape_causes=wrong)
    expect_right(student)


def test_head_answers_at_every_location(student):
    """One answer for each place of a map, those at its edges included."""
    widths, height, width = [4, 4], 11, 14
    head = make_head(student, 5, 4, widths)
    sizes = {"p3": (22, 28), "p4": (height, width), "p5": (6, 7)}
    features = {
        level: give(student, spread(1, 4, *size)) for level, size in sizes.items()
    }
    outputs = outputs_of(student, head, features)
    convolutions = len(widths) + 1
    for got, channels in zip(outputs, (5, 4, 1), strict=True):
        # Without padding each 3x3 convolution takes a row and a column off each edge.
        lost = [2 * number for number in (1, convolutions - 1, convolutions)]
        counts = [(height - border) * (width - border) for border in lost]
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
    expect_right(student)


def test_head_takes_any_levels(student):
    """One level alone, with another name, gets the answers that it gets among three."""
    head, cases = filled_head(student)
    features = {"p6": give(student, cases["features"]["p4"])}
    with expect_runs(
        "a head on one level",
        "the names of the levels are built in",
        lambda: outputs_of(student, head, give_features(student, cases)),
        ("KeyError",),
    ):
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
                what, causes = f"{name} of one image", {}
                if b:
                    causes[KEPT] = cases[name][level][:b]
                expect_close(got[level], expected, what, causes=causes, atol=1e-4)


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
    expect_inputs_kept(
        student, FORWARD, head, features, check=check_stored(cases, *features)
    )


def with_large_weights(student, num_classes: int, widths: list[int]):
    """A head whose outputs are in the thousands."""
    head = make_head(student, num_classes, 3, widths)
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for start, (name, value) in enumerate(state.items()):
        numbers = spread(*value.shape, low=-1.0, start=1 + 7 * start)
        state[name] = 20 * numbers.to(value)
    head.load_state_dict(state)
    return head


def right_outputs(head, features) -> list[dict[str, torch.Tensor]]:
    """What the head's own weights give, in float64; see wrong_answer."""
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    state = {name: value.cpu() for name, value in state.items()}
    names = parameters_of(head)

    def apply(part: str, x: torch.Tensor, is_stem: bool) -> torch.Tensor:
        for name in names[part]:
            bias = state[name.removesuffix("weight") + "bias"].double()
            x = F.conv2d(x, state[name].double(), bias, padding=1)
            x = x.relu() if is_stem else x
        return x

    return [
        {
            level: slow.rows_of(
                apply(f"pred_{name}", apply(f"stem_{stem}", x.double(), True), False)
            )
            for level, x in features.items()
        }
        for name, stem in (("cls", "cls"), ("box", "box"), ("ctr", "box"))
    ]


def check_outputs(expected):
    """A check of three dicts; float32 has seven digits of the largest number."""

    def check(got) -> None:
        expect_true(
            isinstance(got, list | tuple) and len(got) == 3, FORWARD, "no three dicts"
        )
        for output, right in zip(got, expected, strict=True):
            expect_first_and_last(output, list(right))
            is_held = is_cut(output, right)
            for level, values in right.items():
                largest = float(values.abs().max())
                what = f"{FORWARD}: {level}"
                causes = (
                    {HELD: output[level]} if is_held else {SIGMOID: values.sigmoid()}
                )
                near = 1e-5 * largest
                expect_close(
                    output[level], values.float(), what, causes=causes, atol=near
                )

    return check


def expect_first_and_last(output, levels: list[str]) -> None:
    """All levels, and not the first ones only."""
    if isinstance(output, dict) and 0 < len(output) < len(levels):
        is_first = set(output) == set(levels[: len(output)])
        message = f"there is no {levels[-1]}"
        expect_true(not is_first, FORWARD, message, FIRST_ONLY)
    expect_keys(output, levels, FORWARD)


def is_cut(output, right: dict[str, torch.Tensor]) -> bool:
    """Whether the large numbers of all levels end at a limit, some different ones."""
    values = [expect_tensor(output[level], f"{FORWARD}: {level}") for level in right]
    if [value.shape for value in values] != [value.shape for value in right.values()]:
        return False
    got = torch.cat([value.flatten().double() for value in values])
    true = torch.cat([value.flatten() for value in right.values()])
    low, high = got.min(), got.max()
    if -1 < low < 1:  # rather a ReLU, or a sigmoid
        low = true.min()
    cut = (true.clamp(max=high), true.clamp(min=low), true.clamp(low, high))
    beyond = true[(true < low - 1) | (true > high + 1)]
    is_like = any(torch.allclose(got, one, rtol=1e-4, atol=1e-3) for one in cut)
    return is_like and len(beyond.unique()) >= SOME


def test_head_on_maps_of_any_size(student):
    """One class, five levels in no order, maps of one place and of one row."""
    sizes = {"p6": (1, 1), "p3": (4, 3), "p7": (2, 1), "p4": (1, 5), "p5": (2, 2)}
    head = with_large_weights(student, 1, [4, 4])
    for batch in (1, 3):
        features = {
            level: give(student, spread(batch, 3, *size, low=-9.0, high=9.0))
            for level, size in sizes.items()
        }
        expected = right_outputs(
            head, {level: value.cpu() for level, value in features.items()}
        )
        with expect_as_usual(BY_PLACE, partial(check_sorted, head, features, expected)):
            check_outputs(expected)(head(features))


def check_sorted(head, features, expected) -> None:
    """The same maps, with the levels in the order of their names."""
    names = sorted(features)
    right = [{name: output[name] for name in names} for output in expected]
    check_outputs(right)(head({name: features[name] for name in names}))


def test_head_answers_each_call(student):
    """Maps of the same shapes and sums, in training and in evaluation."""
    head = with_large_weights(student, 5, [5, 5])
    usual = {
        level: (spread(2, 3, *size, low=-1.0) * 8).round() / 8
        for level, size in {"p3": (3, 5), "p4": (2, 3)}.items()
    }
    features = (
        usual,
        {level: value.flip(0) for level, value in usual.items()},
        {level: value.roll(1, dims=3) for level, value in usual.items()},
    )
    cases = [
        (
            ({level: give(student, value) for level, value in maps.items()},),
            check_outputs(right_outputs(head, maps)),
        )
        for maps in features
    ]
    for mode in (head.eval, head.train):
        mode()
        expect_own_answers(head, *cases)


def test_head_sends_each_gradient_back(student):
    """From each output of a level: to its predictor, its stem and this level's map."""
    head, cases = filled_head(student)
    features = give_features(student, cases)
    parts = (
        ("pred_cls", "stem_cls"),
        ("pred_box", "stem_box"),
        ("pred_ctr", "stem_box"),
    )
    for number, own in enumerate(parts):
        _, (of_maps,), of_head = student.gradients(
            head, features, inputs=(0,), module=head, part=(number, "p4")
        )
        expect_true(bool(of_head), FORWARD, "it has no parameters")
        arrivals = {f"{name} of the features": name == "p4" for name in of_maps}
        arrivals |= {name: name.startswith(own) for name in of_head}
        found = {f"{name} of the features": value for name, value in of_maps.items()}
        found |= of_head
        for name, must in arrivals.items():
            arrives = found[name] is not None and bool(found[name].abs().sum() > 0)
            what = f"{FORWARD}: gradient of {OUTPUTS[number]} of p4"
            message = f"{'none' if must else 'one'} arrives at {name}"
            expect_true(arrives == must, what, message, DETACHED if must else None)
