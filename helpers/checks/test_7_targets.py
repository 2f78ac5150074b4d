"""Visible checks of step 7: what each location of each image should say."""

from typing import Any

import torch

from helpers.checks.answers import expect_parts
from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_close, expect_equal, expect_tensor
from helpers.checks.inputs import (
    LOCATIONS,
    TARGET_CENTERNESS,
    TARGET_CLASSES,
    TARGET_DELTAS,
    levels,
    make_fcos,
    tensor,
    two_images,
)


@exercise("7.2")
def test_make_targets_by_hand(student: Any) -> None:
    """Classes, deltas and centerness of all levels one after the other."""
    got = make_fcos(student).make_targets(
        levels(student, LOCATIONS), two_images(student)
    )
    expect_parts(got, ("classes", "deltas", "centerness"), "FCOS.make_targets")
    for place, (name, rows) in enumerate(
        {
            "classes": TARGET_CLASSES,
            "deltas": TARGET_DELTAS,
            "centerness": TARGET_CENTERNESS,
        }.items()
    ):
        first = torch.tensor(rows)
        right = torch.stack((first, torch.full_like(first, -1)))
        what = f"FCOS.make_targets: {name} of two images"
        values = expect_tensor(
            got[place],
            what,
            shape=tuple(right.shape),
            shape_causes={
                "the images are not kept apart": tuple(right.flatten(0, 1).shape),
                "a last dimension of 1 is too much": (*right.shape[:2], 1),
            },
        )
        expect_close(
            values[0].double(),
            right[0].double(),
            f"FCOS.make_targets: {name} of the first image",
            inputs={"location": _all_locations()},
            names="l,t,r,b" if name == "deltas" else name,
            place="location",
            causes=_target_causes(name, right[0].double()),
        )
        expect_close(
            values[1].double(),
            right[1].double(),
            f"FCOS.make_targets: {name} of an image without boxes",
            causes={"it repeats the first image": right[0].double()},
        )


def _all_locations() -> torch.Tensor:
    return torch.tensor([point for rows in LOCATIONS.values() for point in rows])


def _target_causes(name: str, right: torch.Tensor) -> dict[str, torch.Tensor]:
    if name != "deltas":
        return {}
    strides = torch.tensor([8.0] * 4 + [16.0] * 3 + [32.0] * 2)[:, None]
    background = right[:, :1] == -1
    return {
        "every level takes the stride of p3": torch.where(
            background, right, right * strides / 8
        ),
        "every level takes the stride of p5": torch.where(
            background, right, right * strides / 32
        ),
    }


@exercise("7.2")
def test_make_targets_of_each_image_alone(student: Any) -> None:
    """A batch of two gives what each of its images gives alone; so do two levels."""
    detector = make_fcos(student)
    locations, boxes = levels(student, LOCATIONS), two_images(student).flip(0)
    both = detector.make_targets(locations, boxes)
    for index in (0, 1):
        alone = detector.make_targets(locations, boxes[index : index + 1])
        for place, name in enumerate(("classes", "deltas", "centerness")):
            what = f"FCOS.make_targets: {name} of image {index} in a batch of two"
            expected = expect_tensor(alone[place], what)
            batch = expect_tensor(both[place], what, shape=(2, *expected.shape[1:]))
            expect_close(batch[index], expected[0], what)
    two = {level: rows for level, rows in locations.items() if level != "p3"}
    fewer = detector.make_targets(two, boxes)
    first = len(LOCATIONS["p3"])
    for place, name in enumerate(("classes", "deltas", "centerness")):
        expected = expect_tensor(both[place], f"FCOS.make_targets: {name}")[:, first:]
        what = f"FCOS.make_targets: {name} of p4 and p5 alone"
        expect_close(fewer[place], expected, what)
    box = tensor(student, [[[-100.0, -100, 300, 300, 299]]])  # alone in its image
    alone = detector.make_targets({"p5": locations["p5"][:1]}, box)
    what = "FCOS.make_targets of one box beyond the image, at one location"
    classes = expect_tensor(alone[0], f"{what}: classes", shape=(1, 1))
    expect_equal(classes.tolist(), [[299]], f"{what}: classes")
    right = torch.tensor([[[5.625, 4.625, 6.875, 7.875]]])
    expect_close(alone[1], right, f"{what}: deltas")
