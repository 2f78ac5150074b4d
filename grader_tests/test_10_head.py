"""Step 10: what a head with group norm, scales and a power answers."""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

from grader_tests.oracles import slow
from grader_tests.oracles.step10 import (
    HEAD_GROUPS,
    HEAD_IN,
    HEAD_SIZES,
    HEAD_WIDTHS,
    LARGEST,
    NUM_CLASSES,
)
from grader_tests.oracles.step10 import distances as right_distances
from grader_tests.published_parts import (
    apply_layers,
    layers_of,
    make_head,
    stored_layers,
    with_spread_weights,
    write_head,
    write_layers,
)
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_dtype,
    expect_inputs_kept,
    expect_keys,
    give,
    named_if_random,
    spread,
)
from helpers.checks.again import KEPT, expect_own_answers
from helpers.checks.answers import expect_parts, expect_state
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_tensor,
    expect_true,
)

HEAD = "PublishedHead"
FORWARD = "PublishedHead.forward"
NAMES = ("class logits", "distances", "centerness logits")
PARTS = ("cls", "box", "ctr")
SIGMOID = "a sigmoid behind the predictor; its outputs are raw numbers"
RESHAPED = "reshape instead of permute: channels and places are mixed"
COLUMNS = "the columns are walked through before the rows"
OTHER_STEM = "the output comes from the other stem"
SWITCHED = "centerness_on is turned around, or one stem is taken whatever it says"
NO_SCALES = "the scale of the level is missing"
SCALE_AFTER = "the scale is applied behind the exponential; it is exp(scale * x)"
FIRST_SCALE = "the scale of one level is taken for all"
BY_PLACE = "scales are taken in the order of the levels; look each up by its name"
NAMES_BUILT_IN = "the names of the levels are built in"
SCALES_BUILT_IN = "there are no scales unless level_scales says so"
BEFORE_CONVOLUTION = "the scale is applied to the features of the box predictor"
SCALED_OTHERS = "only distances have a scale"
OUTPUT_BUILT_IN = "box_output says what makes the numbers distances; here it is another"
HELD = "large outputs end at a limit; nothing asks for one"
DETACHED = "a part is detached, or is one of an earlier call: no gradient passes it"
DTYPE = "numbers are in float32 on the way; keep the dtype of the maps"
HALF = "computed in 16 bits; distances are worked out in float32 at least"
ALL_ASKED = "right for all levels, and it crashes for some of them alone"
MEAN_SCALE = "the mean of all scales is taken"
TWICE = "the scale counts twice"
OF_BOTH = "centerness reads the mean of both stems"
NO_LIMIT = "a power has no limit; it is at most 1,000"
EVALUATION = "right in training, wrong in evaluation; both are alike"
NOT_PERMUTED = "not permuted: channels come before places"
NOT_FLATTENED = "neither permuted nor flattened"
EXCHANGED = "distances and centerness are exchanged"
CLASSES_LEFT_OUT = "at most some classes are answered; there may be any number"
UNIT = "the unit of the config changes the answer; the head has none"
FIRST_ONLY = "only the first levels of the dict are answered; answer all of them"


def filled_head(student, **choices):
    """A head with the stored weights and scales, and what is stored.

    Args:
        choices: of the config, beside the number of groups.
    """
    cases = load_cases("step10", "head")
    head = make_head(
        *(student, NUM_CLASSES, HEAD_IN, list(HEAD_WIDTHS), tuple(HEAD_SIZES)),
        **{"norm_groups": HEAD_GROUPS, **choices},
    )
    state = expect_state(head.state_dict(), HEAD)
    for part in ("stem_cls", "stem_box", "pred_cls", "pred_box", "pred_ctr"):
        layers = stored_layers(cases["weights"], f"{part}.")
        write_layers(state, f"{part}.", layers, f"{HEAD}: {part}")
    for level, scale in cases["scales"].items():
        name = f"scales.{level}"
        if name in state:
            state[name] = scale.to(state[name], copy=True)
    write_head(head, state)
    return head, cases


def give_features(student, features, dtype: torch.dtype = torch.float32):
    """Maps of all levels as the code under test gets them."""
    return {level: give(student, value, dtype) for level, value in features.items()}


def output_of(got, number: int, levels) -> dict:
    """One of the three dicts, with all levels."""
    output = expect_parts(got, NAMES, FORWARD)[number]
    if isinstance(output, dict) and 0 < len(output) < len(levels):
        is_first = set(output) == set(list(levels)[: len(output)])
        message = f"{len(output)} levels of {len(levels)}"
        expect_true(not is_first, FORWARD, message, FIRST_ONLY)
    expect_keys(output, list(levels), f"{FORWARD}: {NAMES[number]}")
    return output


def ask(student, number: int, **choices):
    """One output of a head with the stored weights, for all its levels."""
    head, cases = filled_head(student, **choices)
    features = give_features(student, cases["features"])
    return output_of(head(features), number, features), cases


def expect_rows(output, expected: dict[str, torch.Tensor], what: str) -> torch.Tensor:
    """The levels of an output one after the other, (B, N of all levels, channels).

    Args:
        expected: what is right, for each level (B, H * W, channels).
    """
    rows = []
    for level, right in expected.items():
        batch, places, channels = right.shape
        wrong: dict[str, tuple[int, ...]] = {
            NOT_PERMUTED: (batch, channels, places),
            EXCHANGED: (batch, places, {1: 4, 4: 1}.get(channels, 0)),
        }
        if (
            level in HEAD_SIZES
            and places == HEAD_SIZES[level][0] * HEAD_SIZES[level][1]
        ):
            wrong[NOT_FLATTENED] = (batch, channels, *HEAD_SIZES[level])
        given = tuple(getattr(output[level], "shape", ()))
        if given[:2] == (batch, places) and len(given) == 3 and 4 < given[2] < channels:
            wrong[CLASSES_LEFT_OUT] = given
        rows.append(
            expect_tensor(
                output[level],
                f"{what} of {level}",
                shape=(batch, places, channels),
                shape_causes=wrong,
            )
        )
    return torch.cat(rows, dim=1)


def joined(numbers: dict[str, torch.Tensor]) -> torch.Tensor:
    """The levels one after the other."""
    return torch.cat(list(numbers.values()), dim=1)


def mixed(cases, stored: str, level: str) -> dict[str, torch.Tensor]:
    """Known mistake -> an output whose places or channels are mixed."""
    rows, columns = HEAD_SIZES[level]
    right = cases[stored][level]
    grid = right.mT.reshape(*right.mT.shape[:2], rows, columns)
    return {
        RESHAPED: grid.reshape(right.shape),
        COLUMNS: grid.transpose(2, 3).flatten(2).mT,
    }


def of_other_stem(cases, part: str, stem: str, level: str) -> torch.Tensor:
    """A predictor's numbers on this stem, in float64."""
    weights = cases["weights"]
    layers = stored_layers(weights, f"{stem}.")
    x = apply_layers(cases["features"][level], layers, HEAD_GROUPS)
    weight, bias = (weights[f"pred_{part}.0.{kind}"] for kind in ("weight", "bias"))
    return F.conv2d(x, weight, bias, padding=1).flatten(2).mT


def test_published_head_class_logits(student):
    """Of given weights with group norm: raw, on three levels, without any scale."""
    head, cases = filled_head(student, level_scales=True, box_output="exp")
    features = give_features(student, cases["features"])
    got = output_of(head(features), 0, features)
    with named_if_random(head, features):
        expect_class_logits(got, cases)


def expect_class_logits(got, cases) -> None:
    """Class logits of the stored numbers."""
    what = f"{FORWARD}: class logits"
    expect_rows(got, cases["cls"], what)
    for level in HEAD_SIZES:
        right = cases["cls"][level]
        scale = cases["scales"][level]
        causes = {
            SIGMOID: right.sigmoid(),
            OTHER_STEM: partial(of_other_stem, cases, "cls", "stem_box", level),
            SCALED_OTHERS: right * scale,
            **mixed(cases, "cls", level),
        }
        # float32 sums of some 40 terms, normalised twice
        what = f"{FORWARD}: class logits of {level}"
        expect_close(got[level], right.float(), what, causes=causes, atol=1e-4)


def expect_box(got, cases, levels, choices) -> None:
    """Distances of the stored numbers, by loops.

    Args:
        levels: those that were asked for, in their order.
        choices: level_scales and box_output of the config.
    """
    how, has_scales = choices["box_output"], choices["level_scales"]
    scales = {level: float(value) for level, value in cases["scales"].items()}
    raw = {level: cases["box"][level] for level in levels}
    right = scales if has_scales else dict.fromkeys(scales, 1.0)
    ones = dict.fromkeys(scales, 1.0)

    def answer(by=right, numbers=raw, kind=how) -> torch.Tensor:
        """What these scales make of these numbers."""
        return joined(
            {
                level: right_distances(numbers[level], by[level], kind)
                for level in levels
            }
        )

    def on_other() -> torch.Tensor:
        stems = {level: of_other_stem(cases, "box", "stem_cls", level) for level in raw}
        return answer(numbers=stems)

    def mixed_up(cause: str) -> torch.Tensor:
        return answer(
            numbers={level: mixed(cases, "box", level)[cause] for level in raw}
        )

    def before_convolution() -> torch.Tensor:
        bias = cases["weights"]["pred_box.0.bias"]
        scaled = {level: scales[level] * (raw[level] - bias) + bias for level in raw}
        return answer(ones, scaled)

    def scale_after() -> torch.Tensor:
        powers = {level: right_distances(raw[level], 1.0, how) for level in raw}
        return joined({level: powers[level] * scales[level] for level in raw})

    causes: dict[str, Callable[[], torch.Tensor]] = {
        f"{OUTPUT_BUILT_IN} ({other})": partial(answer, kind=other)
        for other in ("raw", "relu", "exp")
        if other != how
    }
    causes[OTHER_STEM] = on_other
    causes |= {cause: partial(mixed_up, cause) for cause in (RESHAPED, COLUMNS)}
    if has_scales:
        first, *_, last = scales.values()
        mean = sum(scales.values()) / len(scales)
        causes |= {
            NO_SCALES: partial(answer, ones),
            BY_PLACE: partial(answer, dict(zip(levels, scales.values(), strict=False))),
            FIRST_SCALE: partial(answer, dict.fromkeys(scales, first)),
            f"{FIRST_SCALE} (the last)": partial(answer, dict.fromkeys(scales, last)),
            MEAN_SCALE: partial(answer, dict.fromkeys(scales, mean)),
            TWICE: partial(answer, {level: by**2 for level, by in scales.items()}),
            BEFORE_CONVOLUTION: before_convolution,
        }
        if how == "exp":
            causes[SCALE_AFTER] = scale_after
    else:
        causes[SCALES_BUILT_IN] = partial(answer, scales)
    what = f"{FORWARD}: distances, {how!r}"
    value = expect_rows(got, raw, what)
    expect_close(value, answer().float(), what, causes=causes, atol=1e-4, rtol=1e-4)


def test_published_head_distances(student):
    """The level's own scale, then power, positive part or nothing."""
    for how in ("exp", "relu", "raw"):
        choices = {"level_scales": True, "box_output": how}
        got, cases = ask(student, 1, **choices)
        expect_box(got, cases, HEAD_SIZES, choices)


def test_published_head_distances_without_scales(student):
    """level_scales is off: each scale is 1, and the head has none to look up."""
    for how in ("relu", "exp", "raw"):
        choices = {"level_scales": False, "box_output": how}
        with expect_runs(
            FORWARD,
            SCALES_BUILT_IN,
            partial(ask, student, 1, level_scales=True, box_output=how),
            ("AttributeError",),
        ):
            got, cases = ask(student, 1, **choices)
        expect_box(got, cases, HEAD_SIZES, choices)


def expect_centerness(got, cases, side: str) -> None:
    """Centerness logits of the stored numbers, on the stem that the config names."""
    other = {"box": "class", "class": "box"}[side]
    stored = cases[f"ctr_{side}"]
    expect_rows(got, stored, f"{FORWARD}: centerness logits")
    for level, right in stored.items():
        causes = {
            SWITCHED: cases[f"ctr_{other}"][level],
            OF_BOTH: (right + cases[f"ctr_{other}"][level]) / 2,
            SIGMOID: right.sigmoid(),
            SCALED_OTHERS: right * cases["scales"][level],
            **mixed(cases, f"ctr_{side}", level),
        }
        what = f"{FORWARD}: centerness logits of {level} on the stem {side!r}"
        expect_close(got[level], right.float(), what, causes=causes, atol=1e-4)


def test_published_head_centerness_on_the_box_stem(student):
    """centerness_on is "box", as since the journal version."""
    got, cases = ask(student, 2, centerness_on="box", level_scales=True)
    expect_centerness(got, cases, "box")


def test_published_head_centerness_on_the_class_stem(student):
    """centerness_on is "class", as in the conference version."""
    got, cases = ask(student, 2, centerness_on="class", level_scales=True)
    expect_centerness(got, cases, "class")


def test_published_head_looks_scales_up_by_name(student):
    """Levels in another order, only some of them, or of other names."""
    choices = {"level_scales": True, "box_output": "exp"}
    head, cases = filled_head(student, **choices)
    usual = give_features(student, cases["features"])

    def in_order() -> None:
        got = output_of(head(usual), 1, usual)
        expect_box(got, cases, usual, choices)

    for levels in (("p5", "p3", "p4"), ("p5", "p4"), ("p4",)):
        features = {level: usual[level] for level in levels}
        with expect_as_usual(BY_PLACE, in_order):
            with expect_runs(FORWARD, ALL_ASKED, in_order, ("KeyError",)):
                got = output_of(head(features), 1, features)
            expect_box(got, cases, features, choices)
    names = ("coarse", "p9", "fine")
    other = make_head(
        *(student, 2, 3, [4], names),
        **{**choices, "norm_groups": 0, "stem_start": "he"},
    )
    with_spread_weights(other, HEAD)
    features = maps_of(dict.fromkeys(names, (2, 3)), 3)
    expected = own_answers(other, "box", "exp", features, 0)
    with expect_runs(FORWARD, NAMES_BUILT_IN, in_order, ("KeyError",)):
        got = other(give_features(student, features))
    check_own(expected, how="exp")(got)


def maps_of(sizes, channels: int, batch: int = 2, large: float = 1.0):
    """A map of each size, float32 on the CPU."""
    return {
        level: spread(
            *(batch, channels, *size), low=-large, high=large, start=31 * place + 1
        ).float()
        for place, (level, size) in enumerate(sizes.items())
    }


def own_answers(head, side: str, how: str, features, groups: int):
    """What a head's own weights give, in float64: part -> level -> (B, H * W, C)."""
    state = expect_state(head.state_dict(), HEAD)
    state = {name: value.double().cpu() for name, value in state.items()}

    def layers(part: str):
        return [
            {kind: state[f"{name}.{kind}"] for kind in ("weight", "bias")}
            for name in layers_of(state, f"{part}.")
        ]

    found: dict[str, dict[str, torch.Tensor]] = {part: {} for part in PARTS}
    for level, x in features.items():
        stems = {
            stem: apply_layers(x.double().cpu(), layers(f"stem_{stem}"), groups)
            for stem in ("cls", "box")
        }
        on = {"cls": "cls", "box": "box", "ctr": "cls" if side == "class" else "box"}
        for part in PARTS:
            last = apply_layers(stems[on[part]], layers(f"pred_{part}"), 0, "")
            found[part][level] = slow.rows_of(last)
        scale = float(state.get(f"scales.{level}", 1.0))
        found["box"][level] = right_distances(found["box"][level], scale, how)
    return found


def check_own(
    expected, dtype: torch.dtype = torch.float32, near: float = 1e-5, how: str = ""
):
    """A check of three dicts; float32 has seven digits of the largest number.

    Args:
        how: "exp" if distances are powers, which have a limit.
    """

    def check(got) -> None:
        for number, part in enumerate(PARTS):
            what = f"{FORWARD}: {NAMES[number]}"
            output = output_of(got, number, expected[part])
            value = expect_rows(output, expected[part], what)
            for level in expected[part]:
                expect_dtype(output[level], dtype, f"{what} of {level}")
            right = joined(expected[part])
            causes = {HELD: value} if is_held(value, right) else {}
            if part == "box" and how == "exp" and is_unlimited(value, right):
                causes[NO_LIMIT] = value
            largest = max(1.0, float(right.abs().max()))
            atol = near * largest
            expect_close(
                value, right.to(dtype), what, causes=causes, atol=atol, rtol=10 * near
            )

    return check


def is_held(got: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether large numbers end at a limit, which others do not reach."""
    low, high = float(got.min()), float(got.max())
    if -1 < low < 1:  # rather a ReLU, or a power
        low = float(right.min())
    cut = (right.clamp(max=high), right.clamp(min=low), right.clamp(low, high))
    beyond = (right > high + 1) | (right < low - 1)
    is_like = any(
        torch.allclose(got.double(), one, rtol=1e-4, atol=1e-3) for one in cut
    )
    return is_like and len(right[beyond].unique()) >= 3


def is_unlimited(got: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether only those numbers are wrong that end at 1,000, and they are larger."""
    is_at_limit = right > LARGEST - 1e-3
    rest = ~is_at_limit
    is_like = torch.allclose(got[rest].double(), right[rest], rtol=1e-3, atol=1e-3)
    return is_like and bool((got[is_at_limit] > LARGEST - 1).all())


def expect_own(student, head, side: str, how: str, features, groups: int) -> None:
    """A head's own weights give these answers."""
    expected = own_answers(head, side, how, features, groups)
    check_own(expected, how=how)(head(give_features(student, features)))


def test_published_head_on_maps_of_any_size(student):
    """One class or 100, five levels in no order, maps of one place and of one row."""
    last = {"norm_groups": 2, "box_output": "exp", "level_scales": True}
    for classes, choices in (
        (1, {"norm_groups": 0, "box_output": "raw", "centerness_on": "class"}),
        (100, {"norm_groups": 0, "stem_start": "he", "box_output": "relu"}),
        (1, last),
    ):
        expect_any_size(student, classes, choices)
    with expect_as_usual(UNIT, partial(expect_any_size, student, 1, last)):
        expect_any_size(student, 1, {**last, "unit": "pixel"})


def expect_any_size(student, classes: int, choices) -> None:
    """What a head with these choices answers for maps of five sizes."""
    sizes = {"p6": (1, 1), "p3": (4, 3), "p7": (2, 1), "p4": (1, 5), "p5": (2, 2)}
    head = make_head(student, classes, 3, [8, 4], tuple(sorted(sizes)), **choices)
    with_spread_weights(head, HEAD, large=4.0)
    side, groups = choices.get("centerness_on", "box"), choices["norm_groups"]
    for batch in (1, 3):
        features = maps_of(sizes, 3, batch, large=5.0)
        expect_own(student, head, side, choices["box_output"], features, groups)


def test_published_head_of_a_batch_equals_its_single_images(student):
    """Images of a batch do not see each other, though they are normalised."""
    head, cases = filled_head(student, level_scales=True, box_output="raw")
    for b in (0, 1):
        alone = {level: value[b : b + 1] for level, value in cases["features"].items()}
        got = head(give_features(student, alone))
        for number, stored in enumerate(("cls", "box", "ctr_box")):
            output = output_of(got, number, alone)
            for level in alone:
                right = cases[stored][level]
                if stored == "box":
                    right = right * cases["scales"][level]
                what = f"{FORWARD}: {NAMES[number]} of one image"
                causes = {KEPT: right[:b]} if b else {}
                expected = right[b : b + 1].float()
                expect_close(output[level], expected, what, causes=causes, atol=1e-4)


def test_published_head_answers_each_call(student):
    """Maps of the same shapes and sums, in training and in evaluation."""
    choices = {"norm_groups": 2, "box_output": "exp", "level_scales": True}
    head = make_head(student, 3, 4, [4, 4], ("p3", "p4"), **choices)
    with_spread_weights(head, HEAD)
    sizes = {"p3": (3, 5), "p4": (2, 3)}
    usual = {
        level: (value * 8).round() / 8 for level, value in maps_of(sizes, 4).items()
    }
    cases = [
        (
            (give_features(student, features),),
            check_own(own_answers(head, "box", "exp", features, 2)),
        )
        for features in (
            usual,
            {level: value.flip(0) for level, value in usual.items()},
            {level: value.roll(1, dims=3) for level, value in usual.items()},
        )
    ]
    head.train()
    expect_own_answers(head, *cases)
    head.eval()

    def in_training() -> None:
        head.train()
        expect_own_answers(head, *cases)

    with expect_as_usual(EVALUATION, in_training):
        expect_own_answers(head, *cases)


def test_published_head_leaves_the_features_alone(student):
    """The dict of the FPN and its maps are the same after the call."""
    choices = {"level_scales": True, "box_output": "relu"}
    head, cases = filled_head(student, **choices)
    features = give_features(student, cases["features"])

    def check(got) -> None:
        expect_box(output_of(got, 1, features), cases, features, choices)

    expect_inputs_kept(student, FORWARD, head, features, check=check)


def test_published_head_follows_the_dtype(student):
    """A head of float64 answers in float64; one of bfloat16 has float32 distances."""
    levels = ("p3", "p4")
    choices = {"norm_groups": 2, "box_output": "exp", "level_scales": True}

    def in_dtype(dtype: torch.dtype, near: float) -> None:
        head = make_head(student, 3, 4, [4, 4], levels, **choices)
        with_spread_weights(head, HEAD)
        if dtype != torch.float32:
            head.to(dtype)
        features = maps_of({"p3": (3, 5), "p4": (2, 3)}, 4)
        expected = own_answers(head, "box", "exp", features, 2)
        got = head(give_features(student, features, dtype))
        check_own(expected, dtype, near)(got)

    with expect_as_usual(DTYPE, partial(in_dtype, torch.float32, 1e-5)):
        in_dtype(torch.float64, 1e-12)
    expect_half(student, levels, choices)


def expect_half(student, levels, choices) -> None:
    """Distances of known numbers from a head of bfloat16.

    The box predictor has weights of 0: its output is its bias, which 16 bits hold.
    """
    head = make_head(student, 3, 4, [4, 4], levels, **choices)
    state = expect_state(head.state_dict(), HEAD)
    # Eight binary digits each, as bfloat16 has; their products have more.
    numbers = torch.tensor([129 / 256, 211 / 64, 175 / 32, 60.0])
    scale = 207 / 256
    names = layers_of(state, "pred_box.")
    state[f"{names[0]}.weight"] = torch.zeros_like(state[f"{names[0]}.weight"])
    state[f"{names[0]}.bias"] = numbers.to(state[f"{names[0]}.bias"], copy=True)
    state["scales.p3"] = torch.full_like(state["scales.p3"], scale)
    write_head(head, state)
    head.to(torch.bfloat16)
    features = maps_of({"p3": (2, 3)}, 4)
    got = head(give_features(student, features, torch.bfloat16))
    output = output_of(got, 1, features)["p3"]
    what = f"{FORWARD}: distances of a head of bfloat16"
    value = expect_tensor(output, what, shape=(2, 6, 4))
    expect_dtype(output, torch.float32, what)
    right = right_distances(numbers, scale, "exp").float().expand(2, 6, 4)
    is_near = torch.allclose(value, right, rtol=0.1)
    causes = {HALF: value} if is_near else None
    expect_close(output, right, what, causes=causes, rtol=1e-5)


def test_published_head_sends_each_gradient_back(student):
    """From each output of a level to its predictor, stem, scale and map."""
    for side in ("box", "class"):
        choices = {"level_scales": True, "box_output": "exp"}
        head, cases = filled_head(student, centerness_on=side, **choices)
        head.train(side == "box")
        features = give_features(student, cases["features"])
        on = "stem_cls" if side == "class" else "stem_box"
        parts = (
            ("pred_cls.", "stem_cls."),
            ("pred_box.", "stem_box.", "scales.p4"),
            ("pred_ctr.", f"{on}."),
        )
        for number, own in enumerate(parts):
            answer, (of_maps,), of_head = student.gradients(
                head, features, inputs=(0,), module=head, part=(number, "p4")
            )
            output = output_of(answer, number, features)
            if number == 0:
                expect_class_logits(output, cases)
            elif number == 1:
                expect_box(output, cases, features, choices)
            else:
                expect_centerness(output, cases, side)
            arrivals = {f"{name} of the features": name == "p4" for name in of_maps}
            arrivals |= {name: name.startswith(own) for name in of_head}
            found = {
                f"{name} of the features": value for name, value in of_maps.items()
            }
            found |= of_head
            for name, must in arrivals.items():
                arrives = found[name] is not None and bool(found[name].abs().sum() > 0)
                what = f"{FORWARD}: gradient of {NAMES[number]} of p4"
                message = f"{'none' if must else 'one'} arrives at {name}"
                cause = DETACHED if must else None
                expect_true(arrives == must, what, message, cause)
