"""Each published version of FCOS detects as its table of constants says.

The table is written down here once more, from the papers and the published code; each
version's config is held against float64 loops that get the values of this table.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from assignment.fcos_published import PublishedFCOS
from assignment.published_inference import Found, suppress
from core.fcos_config import PRESETS, FCOSConfig
from grader_tests.oracles.plain_inference import (
    Choices,
    Level,
    Row,
    plain_decode,
    plain_detect,
    plain_suppress,
)
from grader_tests.tools import spread

NUM_CLASSES = 4
SIZE, PADDED = (88, 150), (96, 160)  # (H, W) of the image, and with its padding
STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}


@dataclass(frozen=True)
class Version:
    """What a version's inference does.

    Attributes:
        choices: for the slow loops.
        score_threshold, nms_threshold: where none are given.
        levels: how many there are.
        in_strides: whether the head answers in strides, not in pixels.
        inset: 1 if boxes end at the last pixel.
    """

    choices: Choices
    score_threshold: float
    nms_threshold: float = 0.6
    levels: int = 5
    in_strides: bool = True
    inset: float = 0.0


AUTHORS = Choices(threshold_on="class", keep_ties=True)
VERSIONS = {
    "paper2019": Version(AUTHORS, 0.05, in_strides=False, inset=1.0),
    "authors_improved": Version(AUTHORS, 0.05, inset=1.0),
    "detectron2": Version(Choices(), 0.2),
    "torchvision": Version(Choices(), 0.2),
    "cs771": Version(Choices(), 0.1),
    "a4": Version(
        Choices(multi_label=False, top_k=0, max_detections=0), 0.3, 0.5, levels=3
    ),
    "course": Version(Choices(top_k_of="image"), 0.05, levels=3),
}
# Another value of each choice, which must show.
OTHERS = {
    "threshold_on": lambda old: "score" if old == "class" else "class",
    "multi_label": lambda old: not old,
    "top_k": lambda old: 999 if old else 1000,
    "top_k_of": lambda old: "image" if old == "level" else "level",
    "max_detections": lambda old: 90 if old else 100,
    "keep_ties": lambda old: not old,
    "clip_to": lambda old: "edge" if old == "pixel" else "pixel",
    "unit": lambda old: "stride" if old == "pixel" else "pixel",
    "score_threshold": lambda old: old + 0.05,
    "nms_threshold": lambda old: 0.5 if old == 0.6 else 0.6,
}
# What cannot show: without a limit there is no level's or image's one, and no last one.
UNSEEN = {("a4", "top_k_of"), ("a4", "keep_ties")}
EACH = pytest.mark.parametrize("name", VERSIONS)


def make_levels(version: Version, numbers: dict[str, int], low: float) -> dict:
    """So many locations of each level, whose class logits begin at `low`."""
    levels = {}
    for name, stride in list(STRIDES.items())[: version.levels]:
        number, start = numbers[name], 1000 * stride
        where = spread(number, 2, start=start) * torch.tensor([PADDED[1], PADDED[0]])
        cls = spread(number, NUM_CLASSES, low=low, high=3.0, start=start + 1)
        sides = spread(number, 4, low=-0.3, high=1.5, start=start + 2) * stride
        ctr = spread(number, 1, low=-3.0, high=3.0, start=start + 3)
        levels[name] = Level(where, cls, sides, ctr)
    return levels


def make_few(version: Version) -> dict[str, Level]:
    """Fewer than come out at most, so that the least sure one is seen."""
    numbers = {"p3": 16, "p4": 10, "p5": 6, "p6": 3, "p7": 2}
    return make_levels(version, numbers, low=-9.0)


def make_many(version: Version) -> dict[str, Level]:
    """More than a thousand candidates on p3, whatever the version asks of them."""
    numbers = {"p3": 2500, "p4": 60, "p5": 20, "p6": 4, "p7": 1}
    return make_levels(version, numbers, low=-1.0)


def make_crowd() -> list[Row]:
    """The hundredth best of 130 boxes scores as 12 others; three pairs have IoU 5/9."""
    rows: list[Row] = []
    for place in range(130):
        x, y = 20.0 * (place % 13), 12.0 * (place // 13)
        score = (200 - (93 if 93 <= place < 106 else place)) / 250
        rows.append((x, y, x + 14, y + 6, float(place % NUM_CLASSES), score))
    for place in (3, 8, 40):
        x1, y1, x2, y2, class_id, score = rows[place]
        rows.append((x1 + 4, y1, x2 + 4, y2, class_id, score - 1 / 500))
    return rows


def table_of(rows: list[Row]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)


def table_of_found(found: Found) -> torch.Tensor:
    boxes, classes, scores = found
    return torch.cat((boxes, classes[:, None], scores[:, None]), dim=1)


def expected_of(version: Version) -> list[torch.Tensor]:
    """What comes out of few candidates, goes into NMS of many, stays of a crowd."""
    choices, inset = version.choices, version.inset
    thresholds = version.score_threshold, version.nms_threshold
    few = plain_detect(make_few(version), SIZE, thresholds, choices, inset=inset)
    many = plain_decode(make_many(version), SIZE, thresholds[0], choices, inset=inset)
    rest = plain_suppress(make_crowd(), thresholds[1], choices)
    return [table_of(rows) for rows in (few, many, rest)]


def answers_of(config: FCOSConfig, version: Version) -> list[torch.Tensor]:
    """The same of a detector with this config, and thresholds of its own."""
    detector: Any = PublishedFCOS(NUM_CLASSES, 32, [32], "tiny", config)
    few, many = (
        [
            {
                level: own[part][None]
                / (STRIDES[level] if part == 2 and version.in_strides else 1)
                for level, own in make(version).items()
            }
            for part in (1, 2, 3)
        ]
        for make in (make_few, make_many)
    )
    points, many_points = (
        {level: own.points for level, own in make(version).items()}
        for make in (make_few, make_many)
    )
    detector.backbone.forward = lambda images: {}
    detector.pred_net.forward = lambda features: few
    detector.locations = lambda features, images: points
    images = torch.zeros(1, 3, *PADDED, dtype=torch.float64)
    (found,) = detector.detect(images, image_sizes=[SIZE])
    into_nms = detector.decode(0, SIZE, many_points, many, config.score_threshold)
    crowd = table_of(make_crowd())
    given = crowd[:, :4], crowd[:, 4].long(), crowd[:, 5]
    rest = suppress(given, config.nms_threshold, config)
    return [table_of_found(each) for each in (found, into_nms, rest)]


def is_same(got: torch.Tensor, right: torch.Tensor) -> bool:
    return got.shape == right.shape and torch.allclose(got, right, rtol=0, atol=1e-9)


def test_every_preset_is_in_the_table():
    assert set(VERSIONS) == set(PRESETS)


@EACH
def test_version_detects_as_its_constants_say(name):
    """Threshold, top-k, classes of a location, NMS, limit, ties, border, units."""
    version = VERSIONS[name]
    right = expected_of(version)
    assert 20 < len(right[0]) < 100
    assert len(right[1]) >= 1000
    for got, expected in zip(answers_of(PRESETS[name], version), right, strict=True):
        assert is_same(got, expected)


@EACH
def test_each_constant_of_a_version_shows(name):
    """With one constant changed something else comes out."""
    version = VERSIONS[name]
    right = expected_of(version)
    for choice, other in OTHERS.items():
        value = other(getattr(PRESETS[name], choice))
        config = dataclasses.replace(PRESETS[name], **{choice: value})
        got = answers_of(config, version)
        same = all(map(is_same, got, right))
        assert same == ((name, choice) in UNSEEN), choice
