"""Step 2: the top-down path of the feature pyramid alone, on made-up maps."""

import torch

from grader_tests.pyramid_parts import LEVELS, images_of, levels_of, make_pyramid
from grader_tests.tools import expect_inputs_kept, expect_keys, give, spread
from helpers.checks.answers import MOST_NUMBERS, expect_state
from helpers.checks.expect import expect_tensor, expect_true

MULTIPLIED = "maps are multiplied; the map of the level above is added"
SUBTRACTED = "a map is subtracted; the map of the level above is added"
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
        expect_true(grows, "merge_levels", message, cause)


def test_merge_levels_leaves_its_inputs_alone(student):
    """The maps of the backbone are the same after the call."""
    fpn = make_pyramid(student)
    features = features_of(student, fpn, images_of(student, 1, 64, 96))
    expect_inputs_kept(student, "merge_levels", fpn.merge_levels, features)
