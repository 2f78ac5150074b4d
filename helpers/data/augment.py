"""From a photograph of any size to a square training image, with its boxes kept right.

A crop window is chosen in the original image and resized to the training size in one
step. Boxes are XYXY with continuous edges, in pixels.
"""

from dataclasses import dataclass
from random import Random
from typing import Annotated

import numpy as np
from PIL import Image, ImageEnhance
from pydantic import AfterValidator, Field

from core.field_types import Switch, real

# A box that loses more than this share of its area to a crop is dropped, because too
# little of the object is left to be recognised.
MAX_LOST_AREA = 0.5
PADDING_COLOUR = (124, 116, 104)  # ImageNet's mean, which normalises to about 0


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the lower one comes first")
    return pair


Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Scale = Annotated[
    tuple[Factor, Factor],
    AfterValidator(_rising),
    Field(description="two numbers above 0, the lower one first, such as [0.7,1.5]"),
]


@dataclass(frozen=True)
class AugmentConfig:
    """How strongly training images are changed; every part can be turned off.

    Attributes:
        flip: mirror left and right with probability 0.5.
        scale: (low, high) of the size of objects against the plain centre crop.
        aspect: up to this factor wider or higher; 1.0 is off.
        colour: strength of brightness, contrast and colour changes; 0.0 is off.
    """

    flip: Switch = True
    scale: Scale = (0.7, 1.5)
    aspect: Annotated[float, real(1)] = 1.15
    colour: Annotated[float, real(0, 1)] = 0.3


@dataclass(frozen=True)
class Window:
    """A part of the original image, in its pixels; it may reach over the border."""

    left: float
    top: float
    width: float
    height: float


def centre_window(width: int, height: int) -> Window:
    """The largest centred square."""
    side = min(width, height)
    return Window((width - side) / 2, (height - side) / 2, side, side)


def random_window(
    width: int, height: int, config: AugmentConfig, random: Random
) -> Window:
    """A window whose size follows config.scale and config.aspect, at a random place."""
    side = min(width, height)
    low, high = np.log(config.scale)
    zoom = float(np.exp(low + (high - low) * random.random()))
    stretch = config.aspect ** (random.random() - 0.5)
    window_width, window_height = side / zoom * stretch, side / zoom / stretch
    # Where the window is larger than the image, the image lands anywhere within it.
    left = (width - window_width) * random.random()
    top = (height - window_height) * random.random()
    return Window(left, top, window_width, window_height)


def cut_window(image: Image.Image, window: Window, size: int) -> Image.Image:
    """The window as size x size pixels; what lies beyond the photograph is padding."""
    left, top = max(window.left, 0.0), max(window.top, 0.0)
    right = min(window.left + window.width, image.width)
    bottom = min(window.top + window.height, image.height)
    scale_x, scale_y = size / window.width, size / window.height
    x1, y1 = round((left - window.left) * scale_x), round((top - window.top) * scale_y)
    x2 = max(round((right - window.left) * scale_x), x1 + 1)
    y2 = max(round((bottom - window.top) * scale_y), y1 + 1)
    part = image.resize(
        (x2 - x1, y2 - y1),
        Image.Resampling.BILINEAR,
        box=(left, top, right, bottom),
    )
    if part.size == (size, size):
        return part
    canvas = Image.new("RGB", (size, size), PADDING_COLOUR)
    canvas.paste(part, (x1, y1))
    return canvas


def move_boxes(
    boxes: np.ndarray, window: Window, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes in the frame of the cut window, clipped to it.

    Args:
        boxes: (M, 4) in pixels of the original image.

    Returns:
        (M', 4) in pixels of the window's image, and the (M',) indices of the boxes that
        kept at least 1 - MAX_LOST_AREA of their area.
    """
    scale = np.array([size / window.width, size / window.height] * 2)
    offset = np.array([window.left, window.top] * 2)
    moved = (boxes - offset) * scale
    clipped = moved.clip(0, size)
    area = np.prod(moved[:, 2:] - moved[:, :2], axis=1)
    left_over = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
    kept = np.flatnonzero((left_over > 0) & (left_over >= (1 - MAX_LOST_AREA) * area))
    return clipped[kept], kept


def flip_left_right(
    image: Image.Image, boxes: np.ndarray
) -> tuple[Image.Image, np.ndarray]:
    """Mirror an image and its boxes (M, 4); left and right edges change places."""
    flipped = boxes.copy()
    flipped[:, 0] = image.width - boxes[:, 2]
    flipped[:, 2] = image.width - boxes[:, 0]
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), flipped


def change_colours(image: Image.Image, strength: float, random: Random) -> Image.Image:
    """Brightness, contrast and saturation, each times a factor in 1 +- strength."""
    for enhancer in (
        ImageEnhance.Brightness,
        ImageEnhance.Contrast,
        ImageEnhance.Color,
    ):
        factor = 1 + strength * (2 * random.random() - 1)
        image = enhancer(image).enhance(factor)
    return image


def augment(
    image: Image.Image,
    boxes: np.ndarray,
    size: int,
    config: AugmentConfig | None,
    random: Random,
) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """A square training image and its boxes.

    Args:
        image: RGB.
        boxes: (M, 4) in pixels of image; M may be 0.
        size: of the result in pixels.
        config: None for the plain centre crop.
        random: source of all random choices.

    Returns:
        Image of size x size, boxes (M', 4) in its pixels, indices (M',) of kept boxes.
    """
    if config is None:
        window = centre_window(image.width, image.height)
    else:
        window = random_window(image.width, image.height, config, random)
    square = cut_window(image, window, size)
    moved, kept = move_boxes(boxes, window, size)
    if config is not None and config.flip and random.random() < 0.5:
        square, moved = flip_left_right(square, moved)
    if config is not None and config.colour > 0:
        square = change_colours(square, config.colour, random)
    return square, moved, kept
