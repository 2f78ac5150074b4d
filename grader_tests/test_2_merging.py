"""Step 2: the top-down path of the feature pyramid alone, on made-up maps."""

import torch

from grader_tests.pyramid_parts import (
    LEVELS,
    OUT_CHANNELS,
    images_of,
    levels_of,
    make_pyramid,
)
from grader_tests.references import load_cases
from grader_tests.tools import (
    expect_inputs_kept,
    expect_keys,
    give,
    named_if_random,
    spread,
)
from helpers.checks.again import expect_own_answers
from helpers.checks.answers import MOST_NUMBERS, expect_state
from helpers.checks.expect import (
    expect_close,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.inputs import make_transparent

MULTIPLIED = "maps are multiplied; the map of the level above is added"
SUBTRACTED = "a map is subtracted; the map of the level above is added"
# Sizes of c3, c4, c5; each half of the one before, rounded up.
SIZES = (
    ((17, 20), (9, 10), (5, 5)),
    ((17, 24), (9, 12), (5, 6)),
    ((2, 3), (1, 2), (1, 1)),
)
NAMES = ("c3", "c4", "c5")
STRAIGHT = "p5 is enlarged straight to p3; what p3 adds must come from p4"
NEGATIVE = "negative numbers are lost on the way"
BY_PLACE = "the maps are taken in the order of the dict; take them by their names"
HELD = "large sums end at a limit; nothing asks for one"
PART_ONLY = "the map from above lies on a part of the level; enlarge it to the whole"
MIRRORED = "the enlarged map is mirrored"
SIDE_BY_SIDE = "copies of the map from above lie side by side; enlarge it instead"
AVERAGED = "the map from above is the same at all places; enlarge it, place by place"
DETACHED = (
    "a map is detached, or is one of an earlier call: no gradient goes back to it"
)
GROWTH = 2.01  # doubled inputs of a sum of convolutions give at most twice as much


def features_of(student, fpn, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Positive maps with the channels that this pyramid's backbone gives."""
    maps = fpn.backbone(images)
    expect_keys(maps, ["c3", "c4", "c5"], "DetectorBackboneWithFPN.backbone")
    features = {}
    for name, feature_map in maps.items():
        shape = expect_tensor(feature_map, f"backbone: {name}").shape
        is_map = len(shape) == 4 and feature_map.numel() <= MOST_NUMBERS
        expect_true(is_map, f"backbone: {name}", f"is no map: {tuple(shape)}")
        features[name] = give(student, spread(*shape, start=1 + shape[1]))
    return features


def channels_of(student, fpn) -> list[int]:
    """Channels of c3, c4 and c5 of this pyramid's backbone."""
    maps = features_of(student, fpn, images_of(student, 1, 32, 32))
    return [maps[name].shape[1] for name in NAMES]


def term_numbers() -> torch.Tensor:
    """Twelve numbers of at least 1 that are others in each term."""
    points = load_cases("step4", "distances")["random"]["points"]
    return 1 + points.flatten()[:12].float()


def constant_maps(student, channels, values, sizes) -> dict[str, torch.Tensor]:
    """Maps that say one number for each image, in no usual order.

    Args:
        values: (B, 3), for c3, c4, c5.
    """
    maps = {
        name: give(student, values[:, i, None, None, None]).expand(
            -1, channels[i], *sizes[i]
        )
        for i, name in enumerate(NAMES)
    }
    return {name: maps[name].contiguous() for name in ("c4", "c5", "c3")}


def expect_sums(got, values: torch.Tensor, sizes) -> None:
    """p5 is c5, p4 is c4 + c5, p3 is c3 + c4 + c5; at every place of every image."""
    expect_keys(got, LEVELS, "merge_levels")
    c3, c4, c5 = values.unbind(dim=1)
    wrong = {
        "nothing comes from the level above": (c3, c4, c5),
        "c4's lateral, and not the merged map, is passed on to p3": (
            c3 + c4,
            c4 + c5,
            c5,
        ),
        STRAIGHT: (c3 + c5, c4 + c5, c5),
        "p4 gets nothing from above": (c3 + c4, c4, c5),
        "c5 reaches p3 twice, over p4 and straight": (c3 + c4 + 2 * c5, c4 + c5, c5),
        "what comes from above counts half": (
            c3 + (c4 + c5 / 2) / 2,
            c4 + c5 / 2,
            c5,
        ),
        "p4 is halved; it is the sum of two maps": (c3 + c4 + c5, (c4 + c5) / 2, c5),
        "the larger of two maps is taken; the map of the level above is added": (
            c3.maximum(c4.maximum(c5)),
            c4.maximum(c5),
            c5,
        ),
        "the way goes from fine to coarse": (c3, c3 + c4, c3 + c4 + c5),
        "the maps are averaged where they should be added": (
            (c3 + (c4 + c5) / 2) / 2,
            (c4 + c5) / 2,
            c5,
        ),
        NEGATIVE: ((c3 + (c4 + c5).relu()).relu(), (c4 + c5).relu(), c5),
        f"{NEGATIVE} from p5 to p4": (c3 + c4 + c5.relu(), c4 + c5.relu(), c5),
        f"{NEGATIVE} down": (c3 + (c4 + c5.relu()).relu(), c4 + c5.relu(), c5),
    }
    expected = torch.stack((c3 + c4 + c5, c4 + c5, c5), dim=1)
    found, is_part = [], False
    for i, level in enumerate(LEVELS):
        shape = (len(values), OUT_CHANNELS, *sizes[i])
        value = expect_tensor(got[level], f"merge_levels: {level}", shape=shape)
        # Compared at all places, and shown at one.
        right = expected[:, i, None, None, None].expand(shape)
        is_off = ~torch.isclose(value, right, atol=1e-3, rtol=1e-4)
        is_part |= level == "p4" and _is_right_in_corner_only(is_off, sizes[2])
        first = is_off.flatten(1).float().argmax(dim=1, keepdim=True)
        found.append(value.flatten(1).gather(1, first))
    got = torch.cat(found, dim=1)
    causes = {cause: torch.stack(maps, dim=1) for cause, maps in wrong.items()}
    limit = got.abs().amax(dim=0)
    causes[HELD] = torch.minimum(torch.maximum(expected, -limit), limit)
    expect_close(
        got,
        expected,
        "merge_levels of maps that are one number each",
        inputs={"c3, c4, c5": values},
        names="p3,p4,p5",
        place="image",
        causes={PART_ONLY: got} if is_part else causes,
        atol=1e-3,
        rtol=1e-4,
    )


def _is_right_in_corner_only(is_off: torch.Tensor, size: tuple[int, int]) -> bool:
    """Whether a level is right where a map of that size covers it, nowhere else."""
    rows, columns = size
    corner = torch.zeros_like(is_off)
    corner[..., :rows, :columns] = True
    return bool((is_off == ~corner).all()) and not bool(corner.all())


def expect_right_sums(student) -> None:
    """More than shapes: the numbers of one batch of small maps are right.

    Where other layers stand between the convolutions, no numbers are known; there, each
    level must follow its own map.
    """
    fpn = make_pyramid(student)
    channels, sizes = channels_of(student, fpn), SIZES[1]
    values = term_numbers().reshape(4, 3)
    maps = constant_maps(student, channels, values, sizes)
    if make_transparent(fpn):
        with expect_runs(
            "merge_levels of maps in no usual order",
            BY_PLACE,
            lambda: fpn.merge_levels({name: maps[name] for name in NAMES}),
        ):
            got = fpn.merge_levels(maps)
        expect_sums(got, values, sizes)
        return
    before = fpn.merge_levels(maps)
    expect_keys(before, LEVELS, "merge_levels")
    for name, level in zip(NAMES, LEVELS, strict=True):
        changed = maps | {name: give(student, spread(*maps[name].shape))}
        after = fpn.merge_levels(changed)
        expect_keys(after, LEVELS, "merge_levels")
        message = f"{level} stays the same when {name} changes"
        same = torch.allclose(before[level].cpu(), after[level].cpu(), atol=1e-6)
        expect_true(not same, "merge_levels", message)


def test_merge_levels_of_known_numbers(student):
    """Layers that change nothing add up 1, 10, 100 to 111, 110, 100; below 0, too."""
    expect_right_sums(student)
    fpn = make_pyramid(student)
    channels = channels_of(student, fpn)
    if not make_transparent(fpn):
        return
    signs = torch.tensor([[1.0, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, -1]])
    numbers = torch.tensor([1.0, 10, 100]) * signs * term_numbers()[0]
    values = torch.cat((numbers, numbers * 1e4))

    def case(batch, sizes):
        maps = constant_maps(student, channels, batch, sizes)

        def check(got) -> None:
            with named_if_random(fpn.merge_levels, maps):
                expect_sums(got, batch, sizes)

        return (maps,), check

    cases = [
        case(batch, sizes)
        for batch, sizes in (
            (values, SIZES[0]),
            (values.flip(0), SIZES[0]),
            *((values, sizes) for sizes in SIZES[1:]),
        )
    ]
    for mode in (fpn.eval, fpn.train):
        mode()
        expect_own_answers(fpn.merge_levels, *cases)


def test_merge_levels_brings_each_place_to_its_own(student):
    """One place of c5, which is 5 x 5, is seen in p4 and p3 at that place alone."""
    expect_right_sums(student)
    fpn = make_pyramid(student)
    channels, sizes = channels_of(student, fpn), SIZES[0]
    if not make_transparent(fpn):
        return
    values = torch.zeros(25, 3)
    maps = constant_maps(student, channels, values, sizes)
    maps["c5"] = torch.eye(25).reshape(25, 1, 5, 5).repeat(1, channels[2], 1, 1)
    got = fpn.merge_levels({name: give(student, value) for name, value in maps.items()})
    expect_keys(got, LEVELS, "merge_levels")
    for level, (rows, columns) in reversed(list(zip(LEVELS, sizes, strict=True))):
        what = f"merge_levels: {level}"
        shape = (25, OUT_CHANNELS, rows, columns)
        value = expect_tensor(got[level], what, shape=shape)[:, 0]
        lost = first_lost(value)
        message = f"{level} does not show row {lost // 5}, column {lost % 5}"
        expect_true(lost == 25, what, message, cause_of_places(value))


def first_lost(value: torch.Tensor) -> int:
    """Index of the first place of c5 that a level, (25, H, W), does not show; or 25."""
    rows, columns = value.shape[1:]
    row = (torch.arange(rows) + 0.5) * 5 / rows - 0.5
    column = (torch.arange(columns) + 0.5) * 5 / columns - 0.5
    for index in range(25):
        # In steps of c5 from its place; smooth ways of enlarging reach further.
        off = (row - index // 5).abs()[:, None].maximum((column - index % 5).abs())
        own, far = value[index][off < 0.5], value[index][off >= 2]
        if not (float(own.max()) > 0.5 and bool((far.abs() < 0.2).all())):
            return index
    return 25


def cause_of_places(value: torch.Tensor) -> str | None:
    """What a level, (25, H, W), shows instead of the places of c5."""
    rows, columns = value.shape[1:]
    places = torch.eye(25).reshape(25, 5, 5)
    if any(first_lost(value.flip(dims)) == 25 for dims in ((1,), (2,), (1, 2))):
        return MIRRORED
    if torch.equal(value, places.repeat(1, 4, 4)[:, :rows, :columns]):
        return SIDE_BY_SIDE
    if bool(value.any()) and torch.equal(value, value[:, :1, :1].expand_as(value)):
        return AVERAGED
    return None


def test_merge_levels_sends_each_gradient_back(student):
    """From each level alone, to its own map and to all that are above it."""
    fpn = make_pyramid(student)
    features = features_of(student, fpn, images_of(student, 2, 64, 96))
    for i, level in enumerate(LEVELS):
        _, (gradients,), _ = student.gradients(
            fpn.merge_levels, features, inputs=(0,), part=(level,)
        )
        for j, name in enumerate(NAMES):
            gradient = gradients[name]
            arrives = gradient is not None and bool(gradient.abs().sum() > 0)
            message = f"from {level} a gradient {'arrives' if arrives else 'is lost'}"
            cause = None
            if not arrives and follows(student, fpn, features, name, level):
                cause = DETACHED
            what = f"merge_levels: gradient of {name}"
            expect_true(arrives == (j >= i), what, message, cause)


def follows(student, fpn, features, name: str, level: str) -> bool:
    """Whether a level answers otherwise when this map is another."""
    other = features | {name: give(student, spread(*features[name].shape))}
    size = features[f"c{level[1]}"].shape[2:]
    before, after = (
        expect_tensor(
            fpn.merge_levels(dict(maps))[level],
            f"merge_levels: {level}",
            shape=(2, OUT_CHANNELS, *size),
        )
        for maps in (features, other)
    )
    return not torch.allclose(before, after, atol=1e-6)


def test_merge_levels_keeps_places(student):
    """A spot in the upper left corner of c5 shows in the upper left part of p3."""
    fpn = make_pyramid(student)
    features = features_of(student, fpn, images_of(student, 1, 192, 256))
    before = levels_of(fpn.merge_levels(features), "merge_levels", 192, 256)
    features["c5"] = features["c5"].clone()
    features["c5"][:, :, 0, 0] += 10
    after = levels_of(fpn.merge_levels(features), "merge_levels", 192, 256)
    for level in LEVELS:
        change = (after[level] - before[level]).detach().abs()[0].sum(dim=0)
        rows, columns = change.shape
        near = change[: rows // 2, : columns // 2].mean()
        far = change.mean() - near / 4
        message = f"{level} changes in other places than c5"
        expect_true(float(near) > float(far), "merge_levels", message, None)


def with_positive_weights(fpn):
    """The same pyramid; what its layers add up can only grow with their inputs."""
    state = expect_state(fpn.state_dict(), "DetectorBackboneWithFPN")
    for name, value in state.items():
        if name.endswith(("weight", "bias")) and not name.startswith("backbone."):
            state[name] = value.abs()
    fpn.load_state_dict(state)
    return fpn


def test_merge_levels_adds(student):
    """With positive weights, doubled maps give at most twice as much: no products."""
    fpn = with_positive_weights(make_pyramid(student))
    features = features_of(student, fpn, images_of(student, 1, 64, 96))
    answers = [
        levels_of(
            fpn.merge_levels(
                {name: times * feature_map for name, feature_map in features.items()}
            ),
            "merge_levels",
            64,
            96,
        )
        for times in (0, 1, 2)
    ]
    for level in LEVELS:
        nothing, once, twice = (
            float(answer[level].detach().sum()) for answer in answers
        )
        is_sum = abs(twice - nothing) <= GROWTH * abs(once - nothing) + 1e-3
        cause = None if is_sum else _product(student, features, level)
        message = f"{level} grows by more than its inputs do"
        expect_true(is_sum, "merge_levels", message, cause)
    expect_right_sums(student)


def _product(student, features: dict[str, torch.Tensor], level: str) -> str | None:
    """The cause, if a map from above that is 0 makes this level 0 as well."""
    fpn = with_positive_weights(make_pyramid(student))
    state = expect_state(fpn.state_dict(), "DetectorBackboneWithFPN")
    for name, value in state.items():
        if name.endswith("bias") and not name.startswith("backbone."):
            state[name] = torch.zeros_like(value)
    fpn.load_state_dict(state)
    empty = {**features, "c5": torch.zeros_like(features["c5"])}
    answer = levels_of(fpn.merge_levels(empty), "merge_levels", 64, 96)[level]
    return MULTIPLIED if not bool(answer.any()) else None


def test_merge_levels_subtracts_nothing(student):
    """With positive weights, a spot that grows in c5 grows in p4 and p3, too."""
    fpn = with_positive_weights(make_pyramid(student))
    features = features_of(student, fpn, images_of(student, 1, 192, 256))
    before = levels_of(fpn.merge_levels(features), "merge_levels", 192, 256)
    features["c5"] = features["c5"].clone()
    features["c5"][:, :, :2, :2] += 10
    after = levels_of(fpn.merge_levels(features), "merge_levels", 192, 256)
    for level in LEVELS:
        # Against the mean, since a normalisation may keep the sum as it was.
        change = (after[level] - before[level]).detach()[0].sum(dim=0)
        rows, columns = change.shape[0] // 6 * 2, change.shape[1] // 8 * 2
        at_spot = change[:rows, :columns].mean()
        message = f"{level} does not grow where c5 grows"
        cause = SUBTRACTED if float(at_spot) < min(0.0, float(change.mean())) else None
        grows = float(at_spot) > float(change.mean())
        cause = cause if float(at_spot) < 0 else None
        expect_true(grows, "merge_levels", message, cause)


def test_merge_levels_leaves_its_inputs_alone(student):
    """The maps of the backbone are the same after the call."""
    fpn = make_pyramid(student)
    features = features_of(student, fpn, images_of(student, 1, 64, 96))
    expect_inputs_kept(student, "merge_levels", fpn.merge_levels, features)
    expect_right_sums(student)
