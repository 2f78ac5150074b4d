"""Visible checks of step 11: a true box for every location of every image."""

from functools import partial
from typing import Any

import torch

from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_runs, expect_tensor
from helpers.checks.inputs import (
    BOXES,
    LARGE,
    LOCATIONS,
    MATCHED,
    MIDDLE,
    PADDING,
    SMALL,
    STRIDES,
    TINY,
    levels,
    tensor,
    two_images,
)

# What other rules give at LOCATIONS; by hand, as MATCHED.
OTHER_RULES = {
    "a location need not lie in the box; it must": [
        *[TINY, TINY, TINY, PADDING],
        *[MIDDLE, TINY, TINY],
        *[LARGE, LARGE],
    ],
    "the ranges of the levels are not looked at": [
        *[TINY, SMALL, MIDDLE, LARGE],
        *[TINY, MIDDLE, LARGE],
        *[MIDDLE, TINY],
    ],
    "of several candidates another one than the smallest is taken": [
        *[SMALL, MIDDLE, MIDDLE, PADDING],
        *[MIDDLE, MIDDLE, LARGE],
        *[LARGE, PADDING],
    ],
}


@exercise("11.2")
def test_match_batch_by_hand(student: Any) -> None:
    """Two images, three levels, the whole box: the boxes that were found in 4.5."""
    version = student.fcos_published.FCOSConfig(
        num_levels=3, centre_radius=0.0, range_ends="high"
    )
    got = student.fcos_published.match_batch(
        levels(student, LOCATIONS), STRIDES, two_images(student), version
    )
    right = torch.tensor([row for rows in MATCHED.values() for row in rows])
    what = "match_batch of two images, radius 0"
    number = len(right)
    got = expect_tensor(
        got,
        what,
        shape=(2, number, 5),
        shape_causes={
            "the images are not kept apart": (2 * number, 5),
            "the whole row of the box is needed, with its class": (2, number, 4),
            "the rows, not the indices of the boxes": (2, number),
        },
    )
    is_box = right[:, 4:] >= 0
    points = torch.tensor([point for rows in LOCATIONS.values() for point in rows])
    expect_close(
        got[0],
        right,
        f"{what}: the first image",
        inputs={"location": points},
        names="x1,y1,x2,y2,class",
        place="location",
        causes={
            **{rule: torch.tensor(rows) for rule, rows in OTHER_RULES.items()},
            "background is 0 instead of -1": torch.where(is_box, right, 0),
            "background gets the last box of the image, which index -1 reads": (
                torch.where(is_box, right, torch.tensor(TINY))
            ),
            "boxes of class 0 are taken for padding": torch.where(
                right[:, 4:] == 0, -1, right
            ),
        },
    )
    expect_close(
        got[1],
        torch.full_like(right, -1),
        f"{what}: the second image, without any box",
        names="x1,y1,x2,y2,class",
        place="location",
        causes={"it repeats the first image": right},
    )


# A wide box with the centre (64, 36), and a thin one with the centre (52, 30).
WIDE, THIN = [8.0, 16, 120, 56, 3], [50.0, 0, 54, 60, 0]
AROUND = {
    "p3": [[53.0, 31], [44, 28], [60, 36], [64, 50], [64, 46]],
    "p4": [[44.0, 40], [96, 40]],
}
AROUND_MATCHED = [THIN, PADDING, WIDE, PADDING, WIDE, WIDE, PADDING]
AROUND_CAUSES = {
    "background gets the last box of the image, which index -1 reads": [
        *[THIN, THIN, WIDE, THIN, WIDE],
        *[WIDE, THIN],
    ],
    "locations far from the centre are taken, too, as with a radius of 0": [
        *[THIN, PADDING, WIDE, WIDE, WIDE],
        *[WIDE, WIDE],
    ],
    "centre_radius is taken for pixels; it counts strides": [THIN, *[PADDING] * 6],
    "centre_radius is ignored: the radius is always one stride": [
        *[THIN, PADDING, WIDE, PADDING, PADDING],
        *[PADDING, PADDING],
    ],
    "every level takes the radius of p3": [
        *[THIN, PADDING, WIDE, PADDING, WIDE],
        *[PADDING, PADDING],
    ],
    "every level takes the radius of p4": [
        *[THIN, PADDING, WIDE, WIDE, WIDE],
        *[WIDE, PADDING],
    ],
    "near the centre is not enough; a location must lie in the box, too": [
        *[THIN, THIN, WIDE, PADDING, WIDE],
        *[WIDE, PADDING],
    ],
}


@exercise("11.2")
def test_match_batch_samples_the_centre(student: Any) -> None:
    """Inside the box, and less than 1.5 strides of the level from its centre."""
    version = student.fcos_published.FCOSConfig(
        num_levels=3, centre_radius=1.5, range_ends="high"
    )
    strides = {level: STRIDES[level] for level in AROUND}
    got = student.fcos_published.match_batch(
        levels(student, AROUND), strides, tensor(student, [[WIDE, THIN]]), version
    )
    expect_close(
        got,
        torch.tensor([AROUND_MATCHED]),
        "match_batch with centre_radius 1.5, centres (64, 36) and (52, 30)",
        names="x1,y1,x2,y2,class",
        place="image, location",
        causes={cause: torch.tensor([rows]) for cause, rows in AROUND_CAUSES.items()},
    )


# Choices of the config -> whether p3, p4 take a box whose largest distance is 64.
ENDS: list[tuple[dict[str, Any], list[bool]]] = [
    ({"range_ends": "high"}, [True, False]),
    ({"range_ends": "both"}, [True, True]),
    ({"range_ends": "none"}, [False, False]),
    ({"range_ends": "high", "range_scale": 0.5}, [False, True]),
    (
        {"range_ends": "high", "range_scale": 0.5, "last_limit": 63.0},
        [False, False],
    ),
]


@exercise("11.2")
def test_match_batch_takes_the_choices_of_the_config(student: Any) -> None:
    """Ends, scale and last limit of the ranges, and what is the smallest box."""
    module = student.fcos_published
    points = levels(student, {"p3": [[64.0, 20]], "p4": [[64.0, 20]]})
    strides = {"p3": 8, "p4": 16}
    got = []
    for choices, _ in ENDS:
        version = module.FCOSConfig(num_levels=3, centre_radius=0.0, **choices)
        box = tensor(student, [[[0.0, 0, 100, 40, 1]]])
        what = f"match_batch with {choices}"
        rows = module.match_batch(points, strides, box, version)
        got.append(expect_tensor(rows, what, shape=(1, 2, 5))[0, :, 4] >= 0)
    right = torch.tensor([is_taken for _, is_taken in ENDS])
    always_high, no_scale, no_limit = right.clone(), right.clone(), right.clone()
    always_high[:3] = torch.tensor([True, False])
    no_scale[3:] = torch.tensor([True, False])
    no_limit[4] = torch.tensor([False, True])
    expect_close(
        torch.stack(got),
        right,
        "match_batch, largest distance 64, with "
        + "; ".join(str(choices) for choices, _ in ENDS),
        names="p3,p4",
        place="choice",
        causes={
            "range_ends is not looked at": always_high,
            "range_scale is not looked at": no_scale,
            "last_limit is not looked at": no_limit,
        },
    )
    # 40001 and 40000 square pixels: in float32 1e8 less the one is 1e8 less the other.
    both = tensor(student, [[[0.0, 0, 200, 200.005, 1], [0.0, 0, 200, 200, 2]]])
    middle = {"p4": tensor(student, [[100.0, 100]])}
    classes = [
        expect_tensor(
            module.match_batch(
                middle, {"p4": 16}, both, module.FCOSConfig(smallest=smallest)
            ),
            f"match_batch with smallest = {smallest!r}",
            shape=(1, 1, 5),
        )[0, 0, 4]
        for smallest in ("area", "1e8 - area")
    ]
    expect_close(
        torch.stack(classes),
        torch.tensor([2.0, 1]),
        "match_batch: class of the box, areas 40001 and 40000",
        names="area,1e8 - area",
        causes={"`smallest` of the config is not looked at": torch.tensor([2.0, 2])},
    )


@exercise("11.2")
def test_match_batch_of_padding(student: Any) -> None:
    """Padding may look like a box, and stand anywhere; there may be no row at all."""
    version = student.fcos_published.FCOSConfig(
        num_levels=3, centre_radius=0.0, range_ends="high"
    )
    call = student.fcos_published.match_batch
    like_a_box = [*TINY[:4], -1.0]
    images = [[like_a_box, SMALL, PADDING], [LARGE, PADDING, PADDING]]
    points = {"p3": [[12.0, 12], [44, 20]], "p4": [[120.0, 72]]}
    strides = {level: STRIDES[level] for level in points}
    got = call(levels(student, points), strides, tensor(student, images), version)
    right = torch.tensor([[SMALL, SMALL, PADDING], [PADDING, PADDING, LARGE]])
    forgotten = torch.tensor([[like_a_box, SMALL, PADDING], [PADDING, PADDING, LARGE]])
    expect_close(
        got,
        right,
        f"match_batch of rows {images}",
        names="x1,y1,x2,y2,class",
        place="image, location",
        causes={"rows of class -1 take part; they are padding": forgotten},
    )
    number = sum(map(len, LOCATIONS.values()))
    usual = partial(call, levels(student, LOCATIONS), STRIDES)
    none = "where all rows are padding, or there is no row, nothing can be chosen"
    for name, rows in {"only padding": [BOXES[:1] * 2] * 2, "no row": [[], []]}.items():
        given = tensor(student, rows).reshape(2, -1, 5)
        what = f"match_batch of two images with {name}"
        with expect_runs(what, none, lambda: usual(two_images(student), version)):
            got = usual(given, version)
        expect_close(got, torch.full((2, number, 5), -1.0), what)
