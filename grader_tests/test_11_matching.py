"""Step 11: a true box for every location of every image, by any version of FCOS."""

from functools import partial

import torch

from grader_tests.oracles.plain_matching import (
    ALWAYS_RADIUS,
    CENTRE_OF_ANY,
    CIRCLE,
    CLASS_ZERO,
    CORNER,
    FIRST_BOX,
    FIRST_IMAGE,
    FIXED_RADIUS,
    LARGEST_BOX,
    LAST_OF_EQUAL,
    LONGER_SIDE,
    NEAR_ALONE,
    NO_LAST_LIMIT,
    NO_RADIUS,
    NO_RANGE,
    NO_SCALE,
    ON_EDGE,
    ONE_STRIDE,
    OTHER_ENDS,
    OTHER_SMALLEST,
    RADIUS_IN_PX,
    RADIUS_LET_IN,
    RADIUS_OF_ONE,
    SCALE_ON_LAST,
    STRIDES,
    SWAPPED,
    matches,
)
from grader_tests.oracles.step11 import all_locations
from grader_tests.targets_parts import (
    PADDING,
    PLAIN,
    VERSIONS,
    changed,
    config_of,
    each_mistake,
    give_levels,
    stored_batch,
)
from grader_tests.tools import expect_dtype, expect_inputs_kept, give, spread
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_equal,
    expect_runs,
    expect_tensor,
)

MATCH = "match_batch"
WHOLE = changed(PLAIN, centre_radius=0.0)  # whole boxes, for what is no sampling
NO_BOXES = "an image without boxes is not foreseen"
OF_OTHERS = "an image's answer depends on the other images of the batch"
MASK_OF_FIRST = "which rows are padding is taken from the first image"
MASK_OF_ANY = "a row that is padding in one image is left out in all"
BELOW_0 = "a box with a number below 0 is taken for padding"
MINUS_1 = "a box with a -1 is taken for padding"
BEYOND = "boxes beyond the image are matched in another way than others"
MANY = "right for a few boxes, wrong for the same among hundreds; set no limit"
LARGE_CLASSES = "right for small class numbers, wrong for large ones; keep them"
LEVELS_NAMED = "the names of the levels are built in; take those that are given"
LEVELS_ORDERED = (
    "the names of the levels, or their order, change the answer; only the strides may"
)
BUILT_IN = "the strides are built in; take those that are given"
STRIDES_BY_PLACE = "strides are taken by their place; go by the names of the levels"
CLOSE = "areas that are close are told apart wrongly; compare them as they are"
ONE_ROW = "a batch with one row of boxes loses a dimension; squeeze nothing"
LEVEL_MAJOR = "all images of a level stand together; all levels of an image must"
TO_FLOAT32 = "the digits that float64 has beyond those of float32 are lost"
NOT_THE_PRODUCT = "boxes are compared by something else than width times height"
A_BIT_INSIDE = "a location that is inside by a bit counts as outside"
TINY = "a box of less than a pixel is left out"
HUGE = "a box of millions of square pixels is treated in another way; set no limit"
WHOLE_RADIUS = "the radius is rounded to whole pixels"
AFTER_PADDING = "boxes behind a row of padding are lost; padding may stand anywhere"
IMAGES_TURNED = "the images come back in another order"
USUAL = (
    ON_EDGE,
    RADIUS_IN_PX,
    ONE_STRIDE,
    CIRCLE,
    NEAR_ALONE,
    NO_RADIUS,
    CORNER,
    SWAPPED,
    CLASS_ZERO,
    LARGEST_BOX,
    FIRST_BOX,
    FIRST_IMAGE,
    NO_RANGE,
    LONGER_SIDE,
    CENTRE_OF_ANY,
)
IN_ANY_ORDER = (LARGEST_BOX, FIRST_BOX, LAST_OF_EQUAL, FIRST_IMAGE)
# Three boxes around (20, 20) that no test of sampling, sizes or order need share.
INNER, MIDDLE, OUTER = (
    [12.0, 11, 29, 28, 1],
    [8.0, 10, 34, 31, 3],
    [1.0, 2, 38, 40, 2],
)


def match(student, locations, rows, config=PLAIN, *, strides=None, dtype=torch.float32):
    """Call 11.2."""
    given = give_levels(student, locations, dtype)
    own = strides or {level: STRIDES[level] for level in locations}
    version = config_of(student, config)
    call = student.fcos_published.match_batch
    return call(given, own, give(student, rows, dtype), version)


def expect_match(
    student,
    locations,
    rows,
    config=PLAIN,
    mistakes=USUAL,
    *,
    what=MATCH,
    strides=None,
    more=None,
):
    """Compare with the definition.

    Args:
        mistakes: those of the oracle that may be named.
        more: other known mistakes -> their answers.
    """
    own = strides or {level: STRIDES[level] for level in locations}
    expected = matches(locations, own, rows, config)
    wrong = partial(matches, locations, own, rows, config)
    got = match(student, locations, rows, config, strides=strides)
    expect_close(
        got,
        expected.float(),
        what,
        place="image",
        causes={**each_mistake(wrong, mistakes), **(more or {})},
    )


def points_of(*points, levels=("p3",)):
    """Level -> the same few locations, and one far away on the other levels."""
    far = torch.tensor([[4000.0, 4000.0]], dtype=torch.float64)
    own = torch.tensor(points, dtype=torch.float64)
    return {level: own if level in levels else far for level in STRIDES}


def one_image(*rows):
    """(1, M, 5) float64."""
    return torch.tensor([rows], dtype=torch.float64)


def behind_padding_lost(rows):
    """The boxes of each image in front of its first row of padding."""
    is_behind = (rows[..., 4] == -1).cumsum(dim=1) > 0
    return torch.where(is_behind[..., None], -1.0, rows)


def test_match_batch_without_boxes(student):
    """No row at all, padding only, one image without boxes beside others."""
    batch = stored_batch()
    count = sum(map(len, batch.locations.values()))
    usual = partial(match, student, batch.locations, batch.gt_boxes)
    for rows in (torch.zeros(2, 0, 5), torch.full((2, 3, 5), -1.0)):
        with expect_runs(MATCH, NO_BOXES, usual):
            got = match(student, batch.locations, rows)
        expect_close(got, torch.full((2, count, 5), -1.0), f"{MATCH} without boxes")
    expect_match(student, batch.locations, batch.gt_boxes)


def test_match_batch_equals_a_slow_loop(student):
    """Three images, five levels, boxes of all sizes, padding before and between."""
    batch = stored_batch()
    places, rows = batch.locations, batch.gt_boxes
    right = matches(places, STRIDES, rows, PLAIN)
    sizes = [len(points) for points in places.values()]
    by_level = torch.cat([part.flatten(0, 1) for part in right.split(sizes, dim=1)])
    more = {
        LEVEL_MAJOR: by_level.reshape(right.shape),
        IMAGES_TURNED: right.flip(0),
        AFTER_PADDING: matches(places, STRIDES, behind_padding_lost(rows), PLAIN),
    }
    expect_match(student, places, rows, more=more)


def test_match_batch_of_every_version(student):
    """Each preset's choices: offsets are given, ranges, radius and tie rule count."""
    for name, config in VERSIONS.items():
        batch = stored_batch(config)
        expect_match(
            student,
            batch.locations,
            batch.gt_boxes,
            config,
            (*USUAL, *OTHER_ENDS.values(), NO_LAST_LIMIT),
            what=f"{MATCH} of {name}",
        )


def test_match_batch_samples_near_the_centre(student):
    """1.5 strides of the location's own level; 0 is the whole box; always inside."""
    # Around the centre (40, 40): 11.5, 12 and 20 away on p3, twice as far on p4.
    offsets = torch.tensor(
        [[0, 0], [11.5, 0], [0, -12], [-11, 11], [20, 4], [-9, 20], [2, 1], [-8, 0]]
    ).double()
    fine, coarse = 40 + offsets, 40 + 2 * offsets
    far = torch.tensor([[4000.0, 4000.0]], dtype=torch.float64)
    places = {"p3": fine, "p4": coarse, "p5": far, "p6": far, "p7": far}
    wide, high, tiny = [0.0, 18, 80, 62, 0], [-35.0, -38, 115, 118, 1], [39, 36, 43, 42]
    rows = one_image(wide, [*tiny, 2], high)
    mistakes = (
        *(RADIUS_IN_PX, ONE_STRIDE, CIRCLE, NEAR_ALONE, NO_RADIUS, ALWAYS_RADIUS),
        *(CORNER, RADIUS_LET_IN, CENTRE_OF_ANY, FIXED_RADIUS),
    )
    for radius in (1.5, 0.0, 0.5, 2.25):
        config = changed(PLAIN, centre_radius=radius)
        what = f"{MATCH} with centre_radius {radius}"
        known = (*mistakes, RADIUS_OF_ONE)
        expect_match(student, places, rows, config, known, what=what)
    config, of_whole = (changed(PLAIN, centre_radius=radius) for radius in (1.03, 1.0))
    more = {WHOLE_RADIUS: partial(matches, places, STRIDES, rows, of_whole)}
    what = f"{MATCH} with centre_radius 1.03"
    expect_match(student, places, rows, config, mistakes, what=what, more=more)


def test_match_batch_leaves_out_the_edge_of_a_box(student):
    """Strictly inside: a distance of 0 to any edge is background."""
    places, on_edge = (
        points_of([x, 20], [30, 20], [20, 16], [20, 25], [20, 20], [9, 17], [8, 20])
        for x in (8 + 2**-14, 8.0)
    )
    rows = one_image([8.0, 16, 30, 25, 2])
    for config in (WHOLE, changed(PLAIN, centre_radius=1.5)):
        more = {A_BIT_INSIDE: partial(matches, on_edge, STRIDES, rows, config)}
        expect_match(student, places, rows, config, (ON_EDGE, NEAR_ALONE), more=more)


def test_match_batch_takes_the_smallest(student):
    """Of nested boxes the inner one wins, in any order; of equal areas the first."""
    places = points_of([20.0, 20], [18, 22], [22, 18], [13, 12], [33, 30])
    # All orders in one batch: what a mistake makes of one may be right in another.
    nested = [
        [INNER, MIDDLE, OUTER],
        [OUTER, MIDDLE, INNER],
        [MIDDLE, OUTER, PADDING],
    ]
    rows = torch.tensor(nested, dtype=torch.float64)
    expect_match(student, places, rows, WHOLE, (LARGEST_BOX, FIRST_BOX))
    wide, high = [10.0, 14, 30, 26, 3], [14.0, 10, 26, 30, 4]
    rows = torch.tensor([[wide, high], [high, wide]], dtype=torch.float64)
    expect_match(student, places, rows, WHOLE, (LAST_OF_EQUAL,))
    # 400 square pixels and 420; one pixel longer and wider they are 505 and 462.
    slim, square = [18.0, -30, 22, 70, 5], [10.0, 10, 30, 31, 6]
    rows = torch.tensor([[slim, square], [square, slim]], dtype=torch.float64)
    slim_away = torch.where(rows[..., 4:] == 5, -1.0, rows)
    more = {NOT_THE_PRODUCT: partial(matches, places, STRIDES, slim_away, WHOLE)}
    expect_match(student, places, rows, WHOLE, (), more=more)


def test_match_batch_of_close_areas(student):
    """840 and 838 square pixels: two sizes by "area", one by "1e8 - area"."""
    places = points_of([20.0, 20], [25, 25])
    box = [10.0, 10, 50, 31, 3]  # 840
    near = [[10.0, 10, 52.03125, 30, 4], [10.0, 10, 51.90625, 30, 7]]
    next_to = [10.0, 10, 51.625, 30, 5]
    far = [10.0, 10, 45, 30, 6]

    def check(others, smallest):
        pairs = [pair for other in others for pair in ([box, other], [other, box])]
        rows = torch.tensor(pairs, dtype=torch.float64)
        config = changed(WHOLE, smallest=smallest)
        mistakes = (*OTHER_SMALLEST.values(), *IN_ANY_ORDER)
        what = f'{MATCH} by "{smallest}"'
        expect_match(student, places, rows, config, mistakes, what=what)

    for smallest in ("area", "1e8 - area"):
        with expect_as_usual(CLOSE, partial(check, [far], smallest)):
            # 840.625, 838.125, 832.5 and 700 square pixels
            check([*near, next_to, far], smallest)


def _levels_of(student, distance: float, config) -> list[str]:
    """The levels that take a box whose largest distance is this."""
    rows = one_image([90.0, 40, 100 + distance, 60, 1])
    places = {level: torch.tensor([[100.0, 50.0]]).double() for level in STRIDES}
    got = match(student, places, rows, config)
    found = expect_tensor(got, MATCH, shape=(1, len(STRIDES), 5))
    return [level for level, row in zip(STRIDES, found[0], strict=True) if row[4] == 1]


def _expected_levels(distance: float, config, mistake: str = "") -> list[str]:
    """The same by the definition."""
    rows = one_image([90.0, 40, 100 + distance, 60, 1])
    places = {level: torch.tensor([[100.0, 50.0]]).double() for level in STRIDES}
    found = matches(places, STRIDES, rows, config, mistake=mistake)[0]
    return [level for level, row in zip(STRIDES, found, strict=True) if row[4] == 1]


def _expect_levels(student, distances, config, mistakes, what) -> None:
    """The levels of boxes of these sizes; all of them together tell the mistake."""
    right = [_expected_levels(distance, config) for distance in distances]
    found = [_levels_of(student, distance, config) for distance in distances]
    names = [
        mistake
        for mistake in mistakes
        if found == [_expected_levels(each, config, mistake) for each in distances]
    ]
    cause = "; or ".join(names) or None
    for distance, own, expected in zip(distances, found, right, strict=True):
        said = f"{what}: levels of a largest distance of {distance}"
        expect_equal(own, expected, said, cause)


def test_match_batch_at_the_ends_of_ranges(student):
    """64 px sharp is on one level, on two or on none, as range_ends says."""
    distances = (64.0, 63.5, 64.5, 128.0, 256.0, 512.0, 512.5)
    for ends in ("high", "both", "none"):
        config = changed(WHOLE, range_ends=ends)
        mistakes = (*OTHER_ENDS.values(), NO_RANGE)
        what = f'{MATCH} with range_ends "{ends}"'
        _expect_levels(student, distances, config, mistakes, what)


def test_match_batch_scales_the_ranges(student):
    """Half of all limits but the last, which is infinite, 1,000 or 1e8 pixels."""
    distances = (31.0, 32.0, 33.0, 64.0, 65.0, 250.0, 257.0, 999.0, 1000.0, 1001.0)
    for scale, last, ends in (
        (0.5, float("inf"), "high"),
        (0.5, 1000.0, "both"),
        (2.0, 1000.0, "none"),
        (1.0, 1000.0, "high"),
        (1.0, 1e8, "both"),
    ):
        config = changed(WHOLE, range_scale=scale, last_limit=last, range_ends=ends)
        mistakes = (NO_SCALE, SCALE_ON_LAST, NO_LAST_LIMIT, *OTHER_ENDS.values())
        what = f"{MATCH} with range_scale {scale} and last_limit {last}"
        _expect_levels(student, distances, config, mistakes, what)


def test_match_batch_ignores_padding_between_boxes(student):
    """Rows of -1 in front of, between and behind boxes, in one image or in all."""
    places = points_of([20.0, 20], [12, 12], [30, 33], [3, 4])
    rows = torch.tensor(
        [
            [PADDING, INNER, PADDING, OUTER, PADDING],
            [OUTER, PADDING, PADDING, MIDDLE, PADDING],
            [PADDING, PADDING, PADDING, OUTER, PADDING],
        ],
        dtype=torch.float64,
    )
    is_padding = rows[..., 4:] == -1
    of_first, of_any = is_padding[:1], is_padding.any(dim=0)
    hidden = {
        MASK_OF_FIRST: torch.where(of_first, -1.0, rows),
        MASK_OF_ANY: torch.where(of_any, -1.0, rows),
        AFTER_PADDING: behind_padding_lost(rows),
    }
    more = {
        cause: partial(matches, places, STRIDES, own, WHOLE)
        for cause, own in hidden.items()
    }
    expect_match(student, places, rows, WHOLE, (FIRST_IMAGE, FIRST_BOX), more=more)


def test_match_batch_equals_its_single_images(student):
    """Each image alone, two of them, and in another order: the same answers."""
    batch = stored_batch()
    places, rows = batch.locations, batch.gt_boxes

    def check(chosen):
        expect_match(student, places, rows[chosen], mistakes=(FIRST_IMAGE,))

    with expect_as_usual(OF_OTHERS, lambda: [check([image]) for image in range(3)]):
        check([2, 0])
        check([1, 2])
        check([2, 1, 0, 0])
    for image in range(3):
        check([image])


def test_match_batch_of_class_zero_and_large_classes(student):
    """The first class is 0, which is no background; there may be hundreds."""
    places = points_of([20.0, 20], [12, 12], [30, 33])
    rows = one_image([*INNER[:4], 0], MIDDLE, OUTER, PADDING)
    expect_match(student, places, rows, WHOLE, (CLASS_ZERO,))

    def check(class_number):
        rows = one_image([*INNER[:4], class_number], OUTER)
        expect_match(student, places, rows, WHOLE, ())

    with expect_as_usual(LARGE_CLASSES, partial(check, 7)):
        check(300)


def test_match_batch_of_boxes_beyond_the_image(student):
    """Boxes may touch or leave the image; one with a -1 is no padding."""
    # One box wins only if none of them is cut off at 0, or left out.
    boxes = [
        [[-1.0, -1, 21, 30, 1], [0, 0, 40, 20, 2]],
        [[-40.0, -30, 30, 20, 3], [0, 0, 32, 31, 1]],
        [[-9.0, 4, 21, 30, 0], [-1, -20, 19, 38, 2]],
    ]
    rows = torch.tensor(boxes, dtype=torch.float64)
    places = points_of([4.0, 4], [12, 12], [20, 12], [4, 28], [28, 4], [20, 20])
    shift = torch.tensor([128.0, 128, 128, 128, 0], dtype=torch.float64)
    moved = {level: points + 128 for level, points in places.items()}
    usual = partial(expect_match, student, moved, rows + shift, WHOLE, ())
    left = torch.where((rows < 0).any(dim=2, keepdim=True), -1.0, rows)
    exact = torch.where((rows == -1).any(dim=2, keepdim=True), -1.0, rows)
    more = {
        BELOW_0: partial(matches, places, STRIDES, left, WHOLE),
        MINUS_1: partial(matches, places, STRIDES, exact, WHOLE),
    }
    with expect_as_usual(BEYOND, usual):
        expect_match(student, places, rows, WHOLE, (), more=more)


def test_match_batch_of_tiny_and_huge_boxes(student):
    """A box of half a pixel around a location, and two of thousands of pixels."""
    tiny = [19.75, 19.5, 20.25, 20.125, 4]
    # The larger one first: areas that end at a limit would be equal.
    huge = [[-2000.0, -1500, 2000, 1500, 1], [-1500, -1000, 1500, 1200, 2]]
    usual = partial(
        expect_match, student, points_of([20.0, 20]), one_image(MIDDLE, OUTER), WHOLE
    )
    for level, rows, cause in (("p3", [tiny, OUTER], TINY), ("p7", huge, HUGE)):
        places = points_of([20.0, 20], [24, 12], levels=(level,))
        with expect_as_usual(cause, usual):
            expect_match(student, places, one_image(*rows), WHOLE, ())


def test_match_batch_on_other_levels(student):
    """Three levels, other names, other strides, strides in another order."""
    rows = torch.tensor(
        [
            [[3.0, 2, 40, 31, 1], [1.0, 1, 119, 77, 2], [30.0, 9, 60, 39, 0]],
            [PADDING, [4.0, 4, 30, 20, 0], [-60.0, -50, 80, 90, 1]],
        ],
        dtype=torch.float64,
    )
    for strides in (
        {"p3": 8, "p4": 16, "p5": 32},
        {"p3": 4, "p4": 8, "p5": 16},
        {"fine": 8, "coarse": 16},
        {"p5": 32, "p3": 8, "p4": 16},
        {"only": 16},
    ):
        places = all_locations(dict(sorted(strides.items(), key=lambda one: one[1])))
        renamed = {f"p{n}": points for n, points in enumerate(places.values(), 3)}
        own = {f"p{n}": strides[level] for n, level in enumerate(places, 3)}
        usual = partial(expect_match, student, renamed, rows, WHOLE, (), strides=own)
        by_place = dict(zip(places, strides.values(), strict=True))
        usual_strides = dict(zip(places, STRIDES.values(), strict=False))
        more = {
            STRIDES_BY_PLACE: partial(matches, places, by_place, rows, WHOLE),
            BUILT_IN: partial(matches, places, usual_strides, rows, WHOLE),
        }
        with (
            expect_runs(MATCH, LEVELS_NAMED, usual, ("KeyError",)),
            expect_as_usual(LEVELS_ORDERED, usual),
        ):
            expect_match(
                student, places, rows, WHOLE, (), strides=dict(strides), more=more
            )


def test_match_batch_of_many_boxes(student):
    """300 boxes in one image and one in the next; a single row, a single image."""
    places = all_locations(STRIDES)
    # Areas of about 20, 31, 42 ... in a mixed order: no two are nearly alike.
    area = 20 + 11.0 * ((torch.arange(300) * 7) % 300).double()
    width = (area * spread(300, low=1.2, high=1.9)).sqrt()
    sides = (64 * torch.stack((width, area / width), dim=1)).round() / 64
    corner = (8 * spread(300, 2) * torch.tensor([70.0, 38.0]) - 64).round() / 8
    corner[:, 1] += 1 / 16
    corner[:, 0] += 1 / 32
    classes = (torch.arange(300) % 5)[:, None].double()
    rows = torch.full((2, 300, 5), -1.0, dtype=torch.float64)
    rows[0] = torch.cat((corner, corner + sides, classes), dim=1)
    rows[1, 288, :] = torch.tensor([2.5, 1.5, 60.5, 38.5, 3])

    def parts():
        for part in rows.split(60, dim=1):
            expect_match(student, places, part)

    with expect_as_usual(MANY, parts):
        expect_match(student, places, rows)
    single = rows[1:, 288:289]
    two = rows[1:, 288:290]
    with expect_runs(MATCH, ONE_ROW, partial(expect_match, student, places, two)):
        expect_match(student, places, single)


def test_match_batch_of_other_boxes_is_another(student):
    """As many boxes and locations, with the same sums; another config and strides."""
    batch = stored_batch()
    places, rows = batch.locations, batch.gt_boxes
    moved = rows.clone()
    moved[0, 1, [0, 2]] += 8
    moved[0, 5, [0, 2]] -= 8
    shifted = {level: points + 8 for level, points in places.items()}
    halved = {level: stride // 2 for level, stride in STRIDES.items()}

    def case(locations, strides, boxes, config):
        expected = matches(locations, strides, boxes, config).float()
        check = partial(expect_close, expected=expected, what=MATCH, place="image")
        given = give_levels(student, locations)
        version = config_of(student, config)
        return (given, dict(strides), give(student, boxes), version), check

    expect_own_answers(
        student.fcos_published.match_batch,
        # Not the usual strides first: what is built in is not taken for what is kept.
        case(shifted, halved, moved, WHOLE),
        case(places, STRIDES, rows, PLAIN),
        case(places, STRIDES, moved, PLAIN),
        case(shifted, STRIDES, moved, WHOLE),
        case(places, STRIDES, rows.flip(0), PLAIN),
    )


def test_match_batch_follows_float64(student):
    """Rows come back as they were given, digits and dtype, and so does background."""
    batch = stored_batch()
    third = 1 / 3
    rows = batch.gt_boxes + torch.where(batch.gt_boxes == -1, 0.0, third)
    rows[..., 4] = batch.gt_boxes[..., 4]
    for given in (rows, torch.full_like(rows, -1.0)):
        expected = matches(batch.locations, STRIDES, given, PLAIN, exact=True)
        causes = {TO_FLOAT32: expected.float()}
        got = match(student, batch.locations, given, PLAIN, dtype=torch.float64)
        found = expect_tensor(got, MATCH, shape=tuple(expected.shape))
        expect_dtype(found, torch.float64, MATCH)
        what = f"{MATCH} in float64"
        expect_close(got, expected, what, causes=causes, atol=1e-12, rtol=0)


def test_match_batch_leaves_its_inputs_alone(student):
    """Locations, strides and boxes are the same after the call."""
    batch = stored_batch()
    expected = matches(batch.locations, STRIDES, batch.gt_boxes, PLAIN).float()
    check = partial(expect_close, expected=expected, what=MATCH, place="image")
    expect_inputs_kept(
        student,
        MATCH,
        student.fcos_published.match_batch,
        give_levels(student, batch.locations),
        dict(STRIDES),
        give(student, batch.gt_boxes),
        config_of(student, PLAIN),
        check=check,
    )
