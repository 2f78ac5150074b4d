"""Boxes drawn on pictures: on the right pixels, with labels that can be read."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from core.command import CourseError
from helpers.data.images import normalize
from helpers.show.draw import PALETTE, class_colour, draw_boxes, make_sheet, to_picture

RED, GREY = "#FF0000", (90, 90, 90)


def where(picture, colour):
    """(left, top, right, bottom) of the pixels of a colour; edges, not last pixels."""
    rows, columns = np.nonzero((np.array(picture) == ImageColor.getrgb(colour)).all(2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def changed(picture, before):
    """(H, W) bool: pixels that drawing changed."""
    return (np.array(picture) != np.array(before)).any(axis=2)


def test_image_without_boxes_stays_as_it_is():
    """No box in any form: a plain copy."""
    image = Image.new("RGB", (90, 60), GREY)
    for boxes in ([], np.zeros((0, 4)), torch.zeros(0, 4)):
        picture = draw_boxes(image, boxes, [])
        assert picture is not image
        assert not changed(picture, image).any()


def test_box_lands_on_its_pixels():
    """Edges 30 to 110 and 12 to 70 are the pixels 30 to 109 and 12 to 69."""
    image = Image.new("RGB", (150, 90), GREY)
    picture = draw_boxes(image, [[30, 12, 110, 70]], [""], [RED])
    assert where(picture, RED) == (30, 12, 110, 70)
    assert picture.getpixel((70, 40)) == GREY  # the inside stays free
    assert picture.size == image.size


def test_box_forms_give_the_same_picture():
    """Lists, NumPy arrays and tensors; PIL images and normalised tensors."""
    image = Image.new("RGB", (150, 90), GREY)
    rows = [[30.5, 12.0, 110.0, 70.25], [5.0, 40.0, 25.0, 88.0]]
    expected = draw_boxes(image, rows, ["cat", "dog"], scores=[0.5, 0.7])
    for boxes in (np.array(rows), torch.tensor(rows)):
        again = draw_boxes(
            image, boxes, ["cat", "dog"], scores=torch.tensor([0.5, 0.7])
        )
        assert not changed(again, expected).any()
    from_tensor = draw_boxes(normalize(image), rows, ["cat", "dog"], scores=[0.5, 0.7])
    assert not changed(from_tensor, expected).any()


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 40, 30],
        [250, 0, 300, 20],
        [250, 180, 300, 200],
        [0, 190, 30, 200],
        [0, 0, 300, 200],
        [140, 1, 160, 4],
        [-50, -20, 400, 260],
    ],
)
def test_label_stays_inside_the_picture(box):
    """In every corner and for boxes over the border the whole text is there."""
    image = Image.new("RGB", (300, 200), GREY)
    plain = draw_boxes(image, [box], [""], [RED])
    labelled = draw_boxes(image, [box], ["diningtable"], [RED], scores=[0.97])
    rows, columns = np.nonzero(changed(labelled, plain))
    middle = draw_boxes(image, [[60, 90, 160, 150]], ["diningtable"], [RED], [0.97])
    text = count_black(middle, draw_boxes(image, [[60, 90, 160, 150]], [""], [RED]))
    # In the middle of the picture nothing can be cut off: as many dark pixels here.
    assert count_black(labelled, plain) >= 0.8 * text > 0
    assert columns.max() - columns.min() < 290
    assert rows.max() - rows.min() < 60


def count_black(picture, before):
    """Dark pixels that the label brought: its letters and edge."""
    dark = np.array(picture).max(axis=2) < 80
    return int((dark & changed(picture, before)).sum())


@pytest.mark.parametrize(
    "box", [[-9, -9, -2, -2], [500, 20, 600, 40], [40, 40, 40, 40], [60, 50, 20, 10]]
)
def test_boxes_outside_or_without_area_do_not_stop_drawing(box):
    """A detector may say anything; the picture must come out."""
    image = Image.new("RGB", (150, 90), GREY)
    picture = draw_boxes(image, [box], ["cat"], scores=[0.1])
    assert picture.size == (150, 90)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (5, 3)])
def test_tiny_pictures_can_be_drawn_on(size):
    """Smaller than any letter, and still no error."""
    image = Image.new("RGB", size, GREY)
    picture = draw_boxes(image, [[0, 0, *size]], ["aeroplane"], scores=[0.5])
    assert picture.size == size


def test_input_is_not_changed():
    """Image, boxes and tensor are the same afterwards."""
    image = Image.new("RGB", (150, 90), GREY)
    tensor, boxes = normalize(image), torch.tensor([[30.0, 12, 110, 70]])
    copies = tensor.clone(), boxes.clone()
    draw_boxes(image, boxes, ["cat"])
    draw_boxes(tensor, boxes, ["cat"])
    assert not changed(image, Image.new("RGB", (150, 90), GREY)).any()
    assert torch.equal(tensor, copies[0])
    assert torch.equal(boxes, copies[1])


def test_best_box_lies_on_top():
    """Whatever the order of the boxes, the line of the best score is whole."""
    image = Image.new("RGB", (150, 90), GREY)
    boxes, colours = [[20, 20, 100, 80], [20, 20, 100, 80]], [RED, "#0000FF"]
    for scores, top in (([0.9, 0.2], RED), ([0.2, 0.9], "#0000FF")):
        picture = draw_boxes(image, boxes, ["", ""], colours, scores)
        # Scores are drawn as labels above the box, so look at the lower edge.
        assert picture.getpixel((60, 79)) == ImageColor.getrgb(top)


def test_grey_image_gets_coloured_boxes():
    """A grey image is drawn on in colour."""
    picture = draw_boxes(Image.new("L", (90, 60)), [[9, 9, 50, 40]], [""], [RED])
    assert where(picture, RED) == (9, 9, 50, 40)


def test_classes_have_colours_that_repeat():
    """Neighbouring classes differ; the palette starts again after its last colour."""
    assert len(set(PALETTE)) == len(PALETTE)
    assert class_colour(len(PALETTE) + 1) == class_colour(1) != class_colour(0)


def test_wrong_shapes_are_named():
    """Boxes that are not (N, 4), labels that are too few, tensors that are no image."""
    image = Image.new("RGB", (90, 60))
    with pytest.raises(CourseError, match=r"\(1, 5\)"):
        draw_boxes(image, [[1, 2, 3, 4, 5]], ["cat"])
    with pytest.raises(CourseError, match="2 boxes have 1 labels"):
        draw_boxes(image, [[1, 2, 3, 4], [5, 6, 7, 8]], ["cat"])
    with pytest.raises(CourseError, match=r"\(60, 90, 3\)"):
        to_picture(torch.zeros(60, 90, 3))


@pytest.mark.parametrize(
    ("columns", "tops_and_columns", "height"),
    [
        (3, [(8, 0), (8, 1), (8, 2), (66, 0), (66, 1)], 105),
        (2, [(8, 0), (8, 1), (66, 0), (66, 1), (94, 0)], 133),
        (9, [(8, 0), (8, 1), (8, 2), (8, 3), (8, 4)], 66),
    ],
)
def test_sheet_shows_each_picture_at_its_place(columns, tops_and_columns, height):
    """Row by row, whole; columns as wide as the widest, rows as high as their own."""
    sizes = [(40, 20), (30, 50), (40, 20), (12, 7), (25, 31)]
    pictures = [
        Image.new("RGB", size, colour)
        for size, colour in zip(sizes, PALETTE, strict=False)
    ]
    sheet = make_sheet(pictures, columns)
    # 40 wide, and 8 pixels of white around each
    for (top, column), picture, colour in zip(
        tops_and_columns, pictures, PALETTE, strict=False
    ):
        left = 8 + 48 * column
        right, bottom = left + picture.width, top + picture.height
        assert where(sheet, colour) == (left, top, right, bottom)
    across = 1 + max(column for _, column in tops_and_columns)
    assert sheet.size == (8 + 48 * across, height)
    white = (np.array(sheet) == 255).all(axis=2).sum()
    assert white == sheet.width * sheet.height - sum(w * h for w, h in sizes)


def test_sheet_keeps_each_picture_with_its_labels():
    """What is drawn on a picture is on that picture in the sheet, and on no other."""
    names = ["cat", "dog", "owl", "bus"]
    image = Image.new("RGB", (90, 60), GREY)
    pictures = [draw_boxes(image, [[20, 25, 70, 50]], [name], [RED]) for name in names]
    sheet = make_sheet(pictures, columns=3)
    for number, place in enumerate([(8, 8), (106, 8), (204, 8), (8, 76)]):
        cell = sheet.crop((*place, place[0] + 90, place[1] + 60))
        same = [not changed(cell, picture).any() for picture in pictures]
        assert same == [other == number for other in range(4)]


def test_sheet_without_pictures_is_refused():
    """One sentence, not a sheet of nothing."""
    with pytest.raises(CourseError, match="at least one"):
        make_sheet([])
