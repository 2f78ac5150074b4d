"""Augmentation: boxes must follow the pixels of what they frame."""

from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from helpers.data.augment import (
    AugmentConfig,
    Window,
    augment,
    centre_window,
    change_colours,
    cut_window,
    flip_left_right,
    move_boxes,
    random_window,
)

RED = (250, 10, 10)
NO_CHANGE = AugmentConfig(flip=False, scale=(1.0, 1.0), aspect=1.0, colour=0.0)
BOX = (50, 30, 90, 55)  # a red rectangle in an image of 150 x 100 pixels


def red_on_grey(box=BOX, size=(150, 100)) -> Image.Image:
    """An image with one red rectangle that covers the box exactly."""
    image = Image.new("RGB", size, (110, 110, 110))
    pen = ImageDraw.Draw(image)
    pen.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=RED)
    return image


def find_red(image: Image.Image) -> list[float]:
    """Edges of the red pixels; a pixel that is half red counts as half."""
    pixels = np.asarray(image, dtype=np.float64)
    share = ((pixels[..., 0] - pixels[..., 1]) / (RED[0] - RED[1])).clip(0, 1)
    columns, rows = (
        np.flatnonzero(share.max(0) > 0.5),
        np.flatnonzero(share.max(1) > 0.5),
    )
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def boxes(*rows) -> np.ndarray:
    """(M, 4) float64."""
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


@pytest.mark.parametrize("config", [None, AugmentConfig()])
def test_augment_of_an_image_without_boxes(config):
    """A square image, and boxes of shape (0, 4)."""
    image, moved, kept = augment(red_on_grey(), boxes(), 64, config, Random(3))
    assert image.size == (64, 64)
    assert moved.shape == (0, 4)
    assert kept.shape == (0,)


@pytest.mark.parametrize("seed", range(40))
def test_augmented_boxes_frame_the_same_pixels(seed):
    """Cut, zoomed, stretched and mirrored: the red pixels are where the box says."""
    config = AugmentConfig(scale=(0.5, 2.0), aspect=1.4, colour=0.0)
    image, moved, kept = augment(red_on_grey(), boxes(BOX), 120, config, Random(seed))
    if len(kept) == 0:  # cut off for the most part
        return
    # Half a pixel by rounding of the pasted part, half by the smooth edge, and a
    # half for the threshold between red and grey.
    assert np.abs(np.array(find_red(image)) - moved[0]).max() <= 1.5


def test_augmentation_keeps_the_box_in_most_cases():
    """Otherwise the test above would test nothing."""
    config = AugmentConfig(scale=(0.5, 2.0), aspect=1.4, colour=0.0)
    found = [
        len(augment(red_on_grey(), boxes(BOX), 120, config, Random(seed))[2])
        for seed in range(40)
    ]
    assert sum(found) >= 30


def test_augmentation_mirrors_about_every_second_image():
    """The rectangle is left of the middle, so mirroring shows."""
    config = AugmentConfig(scale=(1.0, 1.0), aspect=1.0, colour=0.0)
    image = red_on_grey((5, 30, 25, 55), (100, 100))
    left = [
        augment(image, boxes((5, 30, 25, 55)), 100, config, Random(seed))[1][0, 0] == 5
        for seed in range(60)
    ]
    # 60 coins: fewer than 15 or more than 45 heads happens once in 10,000
    assert 15 <= sum(left) <= 45


def test_augment_without_changes_is_a_square_of_the_image():
    """All parts off: the size stays, only the place is drawn."""
    image, moved, _ = augment(red_on_grey(), boxes(BOX), 100, NO_CHANGE, Random(1))
    assert moved[0, 2] - moved[0, 0] == pytest.approx(40)
    assert moved[0, 3] - moved[0, 1] == pytest.approx(25)
    assert np.abs(np.array(find_red(image)) - moved[0]).max() <= 1.5


def test_augment_with_the_same_random_numbers_is_the_same():
    """Random(5) twice gives one image; Random(6) another."""
    config = AugmentConfig()
    first, second, other = (
        augment(red_on_grey(), boxes(BOX), 64, config, Random(seed))
        for seed in (5, 5, 6)
    )
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tolist() == second[1].tolist()
    assert first[0].tobytes() != other[0].tobytes()


def test_augment_without_config_is_the_centre_crop():
    """150 x 100 pixels lose 25 at both sides; 100 -> 200 doubles all."""
    image, moved, kept = augment(red_on_grey(), boxes(BOX), 200, None, Random(0))
    assert image.size == (200, 200)
    assert moved.tolist() == [[50, 60, 130, 110]]
    assert kept.tolist() == [0]


def test_centre_window_is_the_largest_square():
    """Of a wide and of a high image."""
    assert centre_window(150, 100) == Window(25, 0, 100, 100)
    assert centre_window(60, 101) == Window(0, 20.5, 60, 60)


@pytest.mark.parametrize("seed", range(20))
def test_random_window_stays_in_its_limits(seed):
    """Zoom 0.5 to 2 of the shorter side, at most 1.4 times wider or higher."""
    config = AugmentConfig(scale=(0.5, 2.0), aspect=1.4)
    window = random_window(150, 100, config, Random(seed))
    size = (window.width * window.height) ** 0.5
    assert 50 <= size <= 200
    assert 1 / 1.4 <= window.width / window.height <= 1.4
    # Either the window lies within the image, or the image within the window.
    for start, length, side in (
        (window.left, window.width, 150),
        (window.top, window.height, 100),
    ):
        low, high = sorted((0.0, side - length))
        assert low <= start <= high


def test_move_boxes_drops_what_lost_more_than_half():
    """Exactly half stays, a little less is dropped, and outside is gone."""
    window = Window(10, 0, 40, 40)
    given = boxes((0, 0, 20, 8), (0, 0, 19.9, 8), (60, 0, 70, 9), (20, 10, 30, 20))
    moved, kept = move_boxes(given, window, 80)
    assert kept.tolist() == [0, 3]
    assert moved.tolist() == [[0, 0, 20, 16], [20, 20, 40, 40]]


def test_move_boxes_drops_boxes_without_area():
    """A line frames nothing that could be learned."""
    _, kept = move_boxes(boxes((5, 5, 5, 9)), Window(0, 0, 20, 20), 20)
    assert len(kept) == 0


def test_cut_window_beyond_the_image_is_padded():
    """Outside is ImageNet's mean, so that it normalises to about 0."""
    image = Image.new("RGB", (20, 10), RED)
    square = np.asarray(cut_window(image, Window(-10, -5, 40, 20), 40))
    assert square.shape == (40, 40, 3)
    assert (square[:9] == (124, 116, 104)).all()
    assert (square[12:28, 12:28] == RED).all()
    assert (square[31:] == (124, 116, 104)).all()


def test_flip_swaps_left_and_right_edges():
    """A box 5 from the left ends 5 from the right; the input stays as it is."""
    given = boxes((5, 30, 25, 55))
    image, flipped = flip_left_right(red_on_grey((5, 30, 25, 55), (100, 60)), given)
    assert flipped.tolist() == [[75, 30, 95, 55]]
    assert given.tolist() == [[5, 30, 25, 55]]
    assert find_red(image) == [75, 30, 95, 55]


def test_change_colours_of_strength_zero_changes_nothing():
    """Each factor is 1."""
    image = red_on_grey()
    assert change_colours(image, 0.0, Random(2)).tobytes() == image.tobytes()
    assert change_colours(image, 0.5, Random(2)).tobytes() != image.tobytes()
