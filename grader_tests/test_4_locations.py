"""Step 4: where in the image each location looks."""

import torch

from grader_tests.oracles.step4 import STRIDES, locations
from grader_tests.references import load_cases
from grader_tests.tools import (
    DTYPE_LOST,
    expect_inputs_kept,
    expect_keys,
    on_each_device,
)
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_close,
    expect_runs,
    expect_tensor,
    expect_true,
)

LOCATIONS = "get_fpn_location_coords"
SWAPPED = "x and y are swapped"
COLUMNS_FIRST = "the columns are walked through before the rows"
EXCHANGED = "height and width are exchanged, which a square map does not show"
NO_HALF = "0.5 is missing: a location is in the middle of its cell"
SQUARE_ONLY = "the height is used for the width as well"
SQUARE_ONLY_W = "the width is used for the height as well"
NAMES_BUILT_IN = "the names of the levels are built in"
STRIDE_BUILT_IN = "strides of 8, 16, 32 are built in"
BY_PLACE = "strides are taken in their order; look each up by the name of its level"
BY_NAME = "the stride follows from the name of the level; take the one that is given"
HALF_IS_WHOLE = "half of an odd stride is cut to a whole number; keep its fraction"


def coords(student, sizes, strides, **more):
    """Call 4.1; sizes: level -> (H, W)."""
    shapes = {level: (2, 5, *size) for level, size in sizes.items()}
    device = str(student.device)
    got = student.common.get_fpn_location_coords(
        shapes, dict(strides), device=device, **more
    )
    expect_keys(got, list(sizes), LOCATIONS)
    return got


def expect_grid(got, height, width, stride, expected=None, causes=None) -> None:
    """The locations of a level; whole numbers may be integers.

    Args:
        causes: known mistake -> its answer; besides those of every grid.
    """
    expected = locations(height, width, stride) if expected is None else expected
    by_column = expected.reshape(height, width, 2).transpose(0, 1).reshape(-1, 2)
    half = stride / 2
    causes = {
        SWAPPED: expected.flip(1),
        COLUMNS_FIRST: by_column,
        EXCHANGED: by_column.flip(1),
        NO_HALF: expected - half,
        "0.5 is added without the stride": expected - half + 0.5,
        "a location lies at the far corner of its cell": expected + half,
        "not multiplied by the stride": expected / stride,
        HALF_IS_WHOLE: expected.floor(),
        f"{HALF_IS_WHOLE}, in x": torch.stack(
            (expected[:, 0].floor(), expected[:, 1]), dim=1
        ),
        f"{HALF_IS_WHOLE}, in y": torch.stack(
            (expected[:, 0], expected[:, 1].floor()), dim=1
        ),
        **(causes or {}),
    }
    number = height * width
    wrong = {
        SQUARE_ONLY: (height * height, 2),
        SQUARE_ONLY_W: (width * width, 2),
        "x and y come before the locations": (2, number),
        "the grid is not flattened": (height, width, 2),
    }
    shape = (number, 2)
    value = expect_tensor(got, LOCATIONS, shape=shape, shape_causes=wrong)
    if not value.is_floating_point():  # the middle of an odd cell is rounded then
        expected = expected.floor()
    expect_close(
        got,
        expected,
        LOCATIONS,
        names="x,y",
        place="location",
        causes=causes,
        check_dtype=False,
    )


def test_locations_are_x_then_y(student):
    """The second location lies to the right of the first: (12, 4), not (4, 12)."""
    got = coords(student, {"p3": (2, 3)}, {"p3": 8})["p3"]
    expected = torch.tensor([[4.0, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]])
    expect_grid(got, 2, 3, 8, expected.double())


def test_locations_of_levels_that_are_not_square(student):
    """Each level has its own height, width and stride."""
    cases = load_cases("step4", "locations")
    sizes = {level: case["size"].tolist() for level, case in cases.items()}
    got = coords(student, sizes, STRIDES)
    for level, case in cases.items():
        expect_grid(got[level], *sizes[level], STRIDES[level], case["expected"])


def test_locations_of_maps_that_are_higher_than_wide(student):
    """Rows are counted by H, places in a row by W."""
    sizes = {"p3": (9, 2), "p4": (5, 1), "p5": (1, 1)}
    got = coords(student, sizes, STRIDES)
    for level, size in sizes.items():
        expect_grid(got[level], *size, STRIDES[level])


def test_locations_on_other_strides(student):
    """Strides come from the argument, looked up by name: here 5, 10 and 64."""
    sizes = {"p3": (2, 5), "p4": (3, 2), "p5": (1, 4)}
    strides = {"p5": 64, "p4": 10, "p3": 5}
    in_order = dict(zip(sizes, strides.values(), strict=True))
    got = coords(student, sizes, strides)
    for level, (height, width) in sizes.items():
        usual = locations(height, width, STRIDES[level])
        shape = (height * width, 2)
        value = expect_tensor(got[level], LOCATIONS, shape=shape)
        is_usual = torch.equal(value.double(), usual)
        message = f"stride {strides[level]} was given"
        expect_true(not is_usual, LOCATIONS, message, STRIDE_BUILT_IN)
        causes = {BY_PLACE: locations(height, width, in_order[level])}
        expect_grid(got[level], height, width, strides[level], causes=causes)


def test_locations_of_any_levels(student):
    """One level, or four with other names."""
    for sizes in ({"p4": (3, 2)}, {"p7": (1, 2), "p6": (2, 3), "p2": (4, 5)}):
        strides = {level: 6 * int(level[1]) for level in sizes}
        usual = dict.fromkeys(STRIDES, (3, 2))
        with expect_runs(
            LOCATIONS,
            NAMES_BUILT_IN,
            lambda usual=usual: coords(student, usual, STRIDES),
            ("KeyError",),
        ):
            got = coords(student, sizes, strides)
        for level, size in sizes.items():
            causes = {BY_NAME: locations(*size, 2 ** int(level[1]))}
            expect_grid(got[level], *size, strides[level], causes=causes)


def test_locations_of_a_large_map(student):
    """A photograph of 1,600 x 2,400 pixels has 60,000 locations at stride 8."""
    got = coords(student, {"p3": (200, 300), "p4": (1, 3000)}, {"p3": 8, "p4": 32})
    expect_grid(got["p3"], 200, 300, 8)
    expect_grid(got["p4"], 1, 3000, 32)


def test_locations_have_the_dtype_asked_for(student):
    """float64 or float16 on request, else float32; whole numbers may be integers."""
    sizes, strides = {"p4": (2, 3)}, {"p4": 16}
    for asked, more in (
        (torch.float64, {"dtype": torch.float64}),
        (torch.float16, {"dtype": torch.float16}),
        (torch.float32, {}),
    ):
        got = coords(student, sizes, strides, **more)["p4"]
        expect_asked(got, asked)
        expect_grid(got, 2, 3, 16)


def expect_asked(got, asked: torch.dtype) -> None:
    """The dtype; whole numbers may be integers."""
    value = expect_tensor(got, LOCATIONS, shape=(6, 2))
    is_right = value.dtype == asked or not value.is_floating_point()
    message = f"{asked} was asked for, got {value.dtype}"
    expect_true(is_right, LOCATIONS, message, DTYPE_LOST)


def test_locations_are_on_the_device_asked_for(student):
    """The last argument: on the GPU, or on the CPU where there is a GPU, too."""
    got = coords(student, {"p4": (2, 3)}, {"p4": 16})["p4"]
    expect_grid(got, 2, 3, 16)
    message = f"{student.device.type} was asked for, got {got.device.type}"
    cause = "the device asked for is ignored"
    is_there = got.device.type == student.device.type
    expect_true(is_there, LOCATIONS, message, cause)
    on_each_device(student, test_locations_of_levels_that_are_not_square)


def test_locations_of_other_maps_are_others(student):
    """The same level with another stride, and another shape."""
    # Not the usual stride first: what is built in is not taken for what is kept.
    _expect_own_grids(
        student,
        ((2, 3), 16, torch.float32),
        ((2, 3), 8, torch.float32),
        ((1, 6), 8, torch.float32),
        ((2, 3), 16, torch.float32),
    )


def test_locations_of_another_dtype_are_others(student):
    """The same maps in float64, and again in float32."""
    _expect_own_grids(
        student,
        ((1, 6), 16, torch.float32),
        ((1, 6), 16, torch.float64),
        ((2, 3), 16, torch.float64),
        ((2, 3), 16, torch.float32),
    )


def _expect_own_grids(student, *asked):
    """Each call gives the grid of its own (H, W), stride and dtype."""
    device = str(student.device)

    def case(size, stride, dtype):
        def check(got) -> None:
            expect_keys(got, ["p3"], LOCATIONS)
            causes = {STRIDE_BUILT_IN: locations(size[0], size[1], STRIDES["p3"])}
            expect_grid(got["p3"], size[0], size[1], stride, causes=causes)
            expect_asked(got["p3"], dtype)

        return ({"p3": (9, 5, *size)}, {"p3": stride}, dtype, device), check

    expect_own_answers(
        student.common.get_fpn_location_coords, *(case(*call) for call in asked)
    )


def test_locations_leaves_its_inputs_alone(student):
    """Shapes and strides are the same after the call."""
    sizes, strides = {"p4": (2, 3), "p3": (4, 5)}, {"p3": 8, "p4": 16}
    shapes = {level: (1, 2, *size) for level, size in sizes.items()}

    def check(got) -> None:
        expect_keys(got, list(sizes), LOCATIONS)
        for level, size in sizes.items():
            expect_grid(got[level], size[0], size[1], strides[level])

    call = student.common.get_fpn_location_coords
    expect_inputs_kept(student, LOCATIONS, call, shapes, strides, check=check)
