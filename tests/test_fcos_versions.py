"""Each published version of FCOS: where it looks, what it matches, what it loses.

The table says what the code of its authors does, apart from the values of our presets;
each cell is tried on numbers that tell it from its neighbours.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from assignment.fcos_published import STRIDES, PublishedFCOS
from assignment.published_losses import box_losses
from assignment.published_targets import match_batch, published_locations
from core.fcos_config import PRESETS, FCOSConfig
from grader_tests.oracles.plain_losses import centerness_loss, class_loss
from grader_tests.oracles.plain_matching import (
    matches,
)
from grader_tests.oracles.plain_training import (
    LOSSES,
    centerness_of,
    training_losses,
)
from grader_tests.targets_parts import stored_batch

BOTH, HIGH = ["p3", "p4"], ["p3"]
NONE: list[str] = []
EXACT, IN_EIGHTS = 1, 0  # which of 840 and 838.125 square pixels is the smallest
PAIR = [24.0, 40.0, 72.0, 24.0], [48.0, 32.0, 40.0, 56.0]  # distances, in pixels


@dataclass(frozen=True)
class Version:
    """What the published code does.

    Attributes:
        first: x of the first location of stride 8; spacing: pixels to the next one of
            a map of 13 columns on a padded image of 101 pixels.
        levels_of_64: that a box belongs to whose largest distance is 64 px.
        reach: a location so many pixels from its box's centre, and further, is
            background on stride 8; infinite without centre sampling.
        last: the largest distance that still belongs to the coarsest level.
        tie: the place of the box that is taken, of 840 and then 838.125 square pixels.
        box: loss of PAIR where the stride is 16.
        is_weighed: by centerness, whose sum then divides.
        divisors: of a batch of two images with 0, and then with 50 foreground places.
    """

    first: float
    spacing: float
    levels_of_64: list[str]
    reach: float
    last: float
    tie: int
    box: float
    is_weighed: bool
    divisors: tuple[float, float]


def _overlap(plus: float) -> tuple[float, float]:
    """IoU of PAIR with plus, and the empty part of its hull; by hand, in pixels."""
    # 96 x 64 and 88 x 88; 24 + 40 = 64 by 32 + 24 = 56 in common; 120 x 96 around.
    shared = 64.0 * 56
    union = 96 * 64 + 88 * 88 - shared
    hull = (48.0 + 72) * (40 + 56)
    return (shared + plus) / (union + plus), (hull - union) / hull


def _giou_in_strides() -> float:
    """With plus 1, which counts for more where a unit is 16 pixels."""
    shared, union = 4 * 3.5, 6 * 4 + 5.5 * 5.5 - 4 * 3.5
    return 1 - (shared + 1) / (union + 1) + _overlap(0)[1]


GIOU = 1 - _overlap(0)[0] + _overlap(0)[1]
L1_IN_STRIDES = 0.25 * (24 + 8 + 32 + 32) / 16
FOREGROUND = (1.0, 50.0)
EMA_300 = (270.0, 248.0)  # .9 * 300, then .9 * 270 + .1 * 50
EMA_150_AN_IMAGE = (270.0, 248.0)  # 2 * (.9 * 150), then 2 * (.9 * 135 + .1 * 25)
WHOLE = math.inf
NO_END = 1e8  # pixels, more than any image has
VERSIONS = {
    "paper2019": Version(
        4, 8, BOTH, WHOLE, 1e8, EXACT, -math.log(_overlap(1)[0]), True, FOREGROUND
    ),
    "authors_improved": Version(
        4, 8, BOTH, 12, 1e8, EXACT, _giou_in_strides(), True, FOREGROUND
    ),
    "detectron2": Version(4, 8, NONE, 12, NO_END, IN_EIGHTS, GIOU, False, EMA_300),
    "torchvision": Version(0, 7, NONE, 12, NO_END, IN_EIGHTS, GIOU, False, FOREGROUND),
    "cs771": Version(4, 8, BOTH, 12, 1000, EXACT, GIOU, False, FOREGROUND),
    "a4": Version(
        4, 8, HIGH, WHOLE, NO_END, EXACT, L1_IN_STRIDES, False, EMA_150_AN_IMAGE
    ),
    "course": Version(4, 8, HIGH, 12, NO_END, EXACT, GIOU, True, FOREGROUND),
}
every_version = pytest.mark.parametrize("name", VERSIONS)


def strides_of(config: FCOSConfig) -> dict[str, int]:
    """Of its levels."""
    return dict(list(STRIDES.items())[: config.num_levels])


def match_at(x: float, y: float, rows: list[list[float]], config: FCOSConfig) -> Any:
    """(levels, 5): what a location matches that stands on every level."""
    strides = strides_of(config)
    places = {level: torch.tensor([[x, y]]).float() for level in strides}
    return match_batch(places, strides, torch.tensor([rows]).float(), config)[0]


def make_fcos(config: FCOSConfig) -> PublishedFCOS:
    """A small detector whose head is not asked."""
    plain = replace(config, norm_groups=0, stem_start="small")
    return PublishedFCOS(3, 8, [8], backbone="tiny", version=plain).double()


def test_every_preset_stands_in_the_table():
    """A new version gets its row."""
    assert set(VERSIONS) == set(PRESETS)


@every_version
def test_locations_are_where_the_version_looks(name: str):
    """Offset and spacing, on a padded image that no stride divides."""
    version, config = VERSIONS[name], PRESETS[name]
    height, width = 75, 101
    strides = strides_of(config)
    sizes = {level: (-(-height // s), -(-width // s)) for level, s in strides.items()}
    like = torch.zeros((), dtype=torch.float64)
    got = published_locations(sizes, strides, (height, width), config, like)
    assert got["p3"][0].tolist() == [version.first, version.first]
    assert float(got["p3"][1, 0]) == version.first + version.spacing
    for level, (rows, columns) in sizes.items():
        down = across = strides[level]
        if version.spacing != 8:
            down, across = height // rows, width // columns
        start = version.first / 8 * strides[level]
        expected = [
            [start + across * j, start + down * i]
            for i in range(rows)
            for j in range(columns)
        ]
        assert got[level].tolist() == expected
        assert got[level].dtype == like.dtype


@every_version
@pytest.mark.parametrize("level", [0, 1])
def test_size_of_exactly_64_or_128_belongs_to_its_levels(name: str, level: int):
    """To two levels, to the finer one, or to none."""
    names = ["p3", "p4", "p5"]
    moved = dict(zip(names, names[level:], strict=False))
    limit = 64.0 * 2**level
    config = replace(PRESETS[name], centre_radius=0.0)
    rows = match_at(100, 50, [[90, 40, 100 + limit, 60, 1]], config)
    levels = [own for own, row in zip(STRIDES, rows, strict=False) if row[4] == 1]
    assert levels == [moved[own] for own in VERSIONS[name].levels_of_64]
    for size, own in ((limit - 1, names[level]), (limit + 1, names[level + 1])):
        rows = match_at(100, 50, [[90, 40, 100 + size, 60, 1]], config)
        found = [one for one, row in zip(STRIDES, rows, strict=False) if row[4] == 1]
        assert found == [own]


@every_version
def test_last_range_ends_where_the_version_says(name: str):
    """1,000 pixels in a homework, 1e8 in the authors' code, nowhere in the others."""
    last, config = VERSIONS[name].last, replace(PRESETS[name], centre_radius=0.0)
    for size in (999.0, 1000.0, 1001.0, 50_000.0):
        rows = match_at(100, 50, [[90, 40, 100 + size, 60, 1]], config)
        assert bool(rows[-1, 4] == 1) == (size <= last)
    assert config.last_limit == last


@every_version
def test_foreground_reaches_as_far_as_the_version_says(name: str):
    """1.5 strides from the centre, a square without its edge; or the whole box."""
    reach, config = VERSIONS[name].reach, PRESETS[name]
    for across, down in ((0, 0), (11.5, 11.5), (12, 0), (0, -12), (-20, 15)):
        row = match_at(100 + across, 50 + down, [[70, 26, 130, 74, 2]], config)[0]
        assert bool(row[4] == 2) == (max(abs(across), abs(down)) < reach)
    # Never outside of the box, however near the centre.
    assert match_at(104, 50, [[97, 47, 103, 53, 2]], config)[0, 4] == -1


@every_version
def test_smallest_box_is_told_as_the_version_tells_it(name: str):
    """By its area, or by 1e8 - area in float32, where numbers are 8 apart."""
    larger, smaller = [10.0, 10, 50, 31, 0], [10.0, 10, 51.90625, 30, 1]
    config = PRESETS[name]
    assert match_at(28, 20, [larger, smaller], config)[0, 4] == VERSIONS[name].tie
    assert match_at(28, 20, [smaller, larger], config)[0, 4] == 1
    clear = [10.0, 10, 51.625, 30, 1]  # 832.5
    assert match_at(28, 20, [larger, clear], config)[0, 4] == 1


@every_version
def test_box_loss_of_a_pair(name: str):
    """IoU, GIoU or L1, in pixels or strides, with what is added to areas."""
    config = PRESETS[name]
    unit = 16.0 if config.loss_unit == "stride" else 1.0
    pred, true = (torch.tensor([row], dtype=torch.float64) / unit for row in PAIR)
    got = float(box_losses(pred, true, config))
    assert got == pytest.approx(VERSIONS[name].box, rel=1e-6)


@every_version
def test_losses_are_divided_as_the_version_divides(name: str):
    """By the foreground, at least 1, or by its mean of images or batches."""
    version, fcos = VERSIONS[name], make_fcos(PRESETS[name])
    for count, divisor in zip((0, 50), version.divisors, strict=True):
        got = fcos.divisor(torch.tensor(count), 2)
        assert float(got) == pytest.approx(divisor, rel=1e-9)


@every_version
def test_losses_of_a_batch_equal_a_slow_loop(name: str):
    """Three images in float64, twice: all of targets, losses, weights and divisors."""
    config = PRESETS[name]
    batch, fcos = stored_batch(config), make_fcos(config)
    mean = config.first_divisor
    for _ in range(2):
        right = training_losses(batch, config, mean, exact=True)
        mean = right.mean
        outputs = [dict(output) for output in batch.outputs]
        got = fcos.training_losses(dict(batch.locations), outputs, batch.gt_boxes)
        for loss in LOSSES:
            # The mean of an image is a quotient of whole numbers, in float32.
            near = 1e-7 if config.divide_by == "per_image" else 1e-9
            assert float(got[loss]) == pytest.approx(float(right.losses[loss]), near)


@every_version
def test_boxes_are_weighed_as_the_version_weighs_them(name: str):
    """A mean by centerness whose weights add up to 1; or the sum by the divisor."""
    config, version = PRESETS[name], VERSIONS[name]
    batch, fcos = stored_batch(config), make_fcos(config)
    matched = matches(
        batch.locations, batch.strides, batch.gt_boxes, config, exact=True
    )
    losses, weights = [], []
    places = [
        (level, index, point)
        for level, points in batch.locations.items()
        for index, point in enumerate(points.tolist())
    ]
    for image, rows in enumerate(matched.tolist()):
        for (level, index, (x, y)), row in zip(places, rows, strict=True):
            if row[4] == -1:
                continue
            stride = batch.strides[level]
            true = torch.tensor([[x - row[0], y - row[1], row[2] - x, row[3] - y]])
            pred = batch.outputs[1][level][image, index][None]
            pred = pred * (stride if config.unit == "stride" else 1)
            unit = stride if config.loss_unit == "stride" else 1
            pair = pred / unit, true.double() / unit
            losses.append(float(box_losses(*pair, config)))
            weights.append(centerness_of(true[0].tolist()))
    weighed = sum(a * b for a, b in zip(losses, weights, strict=True)) / sum(weights)
    divisor = float(make_fcos(config).divisor(torch.tensor(len(losses)), 3))
    right = weighed if version.is_weighed else sum(losses) / divisor
    got = fcos.training_losses(
        dict(batch.locations), [*map(dict, batch.outputs)], batch.gt_boxes
    )
    assert float(got["loss_fcos_loc"]) == pytest.approx(right, rel=1e-6)


@every_version
def test_class_and_centerness_losses_are_never_weighed(name: str):
    """Focal loss with .25 and 2, and cross-entropy, by the divisor."""
    config = PRESETS[name]
    batch, fcos = stored_batch(config), make_fcos(config)
    matched = matches(
        batch.locations, batch.strides, batch.gt_boxes, config, exact=True
    )
    logits, quality = (
        torch.cat(list(batch.outputs[place].values()), dim=1) for place in (0, 2)
    )
    points = torch.cat(list(batch.locations.values()))
    targets = torch.full(matched.shape[:2], -1.0, dtype=torch.float64)
    for image, place in (matched[..., 4] != -1).nonzero().tolist():
        (x, y), row = points[place].tolist(), matched[image, place].tolist()
        ltrb = [x - row[0], y - row[1], row[2] - x, row[3] - y]
        targets[image, place] = centerness_of(ltrb)
    count = (matched[..., 4] != -1).sum()
    divisor = float(make_fcos(config).divisor(count, 3))
    got = fcos.training_losses(
        dict(batch.locations), [*map(dict, batch.outputs)], batch.gt_boxes
    )
    cls = float(class_loss(logits, matched[..., 4], alpha=0.25, gamma=2).sum())
    ctr = float(centerness_loss(quality[..., 0], targets).sum())
    assert float(got["loss_fcos_cls"]) == pytest.approx(cls / divisor, rel=1e-9)
    assert float(got["loss_fcos_ctr"]) == pytest.approx(ctr / divisor, rel=1e-9)
