"""Pixels of a scene: a textured background, small clutter, shapes on top.

Arrays are (H, W, 3) float32 with values 0 to 255 unless said otherwise.
"""

import colorsys
import math
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data_scripts.shape_outlines import (
    RING_HOLE,
    Polygon,
    bounds,
    moved,
    shrunk,
)
from data_scripts.shape_scenes import PlacedShape, Scene, choose, uniform

Colour = tuple[float, float, float]

SUPERSAMPLE = 4  # shapes are drawn this much larger, then averaged: smooth edges
NOISE_CELL_PX = 28
NOISE_RANGE = (10.0, 34.0)
GRAIN = 7.0
STRIPES_SHARE = 0.45
STRIPE_STRENGTH = (6.0, 16.0)
STRIPE_PERIOD_PX = (7.0, 26.0)
CLUTTER_SCALE = 2  # as SUPERSAMPLE, for lines and blobs
MAX_LINES = 4
LINE_WIDTHS = (1, 2, 3)  # before averaging
MAX_BLOBS = 9
BLOB_RADIUS_PX = (1.5, 6.0)  # smaller than any shape
MIN_CONTRAST = 125.0  # distance in RGB between a shape and each background colour
MIN_DIFFERENCE = 70.0  # and between two shapes of one image
COLOUR_TRIES = 60
FAINT_OPACITY = 0.22
SHADOW_OPACITY = 0.35
SHADOW_SHIFT_PX = 1.5
OUTLINE_PX = (0.8, 1.8)


def _colour(
    rng: Random, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    hue, s, v = rng.random(), uniform(rng, *saturation), uniform(rng, *value)
    r, g, b = colorsys.hsv_to_rgb(hue, s, v)
    return 255 * r, 255 * g, 255 * b


def _distance(one: Colour, other: Colour) -> float:
    return math.dist(one, other)


def _shape_colour(rng: Random, background: list[Colour], used: list[Colour]) -> Colour:
    """Return a bright colour far from the background's and the other shapes'."""
    best, best_margin = (255.0, 255.0, 255.0), -math.inf
    for _ in range(COLOUR_TRIES):
        colour = _colour(rng, (0.45, 1.0), (0.35, 1.0))
        margins = [_distance(colour, other) - MIN_CONTRAST for other in background]
        margins += [_distance(colour, other) - MIN_DIFFERENCE for other in used]
        if min(margins) > best_margin:
            best, best_margin = colour, min(margins)
        if best_margin >= 0:
            break
    return best


def _along(height: int, width: int, angle: float) -> np.ndarray:
    """Return (H, W) float32: each pixel's position in pixels along a direction."""
    x = np.arange(width, dtype=np.float32) * math.cos(angle)
    y = np.arange(height, dtype=np.float32) * math.sin(angle)
    return x[None, :] + y[:, None]


def _smooth_noise(rng: Random, height: int, width: int) -> np.ndarray:
    """Return (H, W, 3) float32 in about -1 to 1 that changes over NOISE_CELL_PX."""
    rows, columns = height // NOISE_CELL_PX + 2, width // NOISE_CELL_PX + 2
    grid = np.frombuffer(rng.randbytes(rows * columns * 3), np.uint8)
    image = Image.fromarray(grid.reshape(rows, columns, 3))
    smooth = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / 127.5 - 1


def _background(
    rng: Random, height: int, width: int, colours: list[Colour]
) -> np.ndarray:
    """Return a gradient between two colours with noise, grain and perhaps stripes."""
    ramp = _along(height, width, uniform(rng, 0, 2 * math.pi))
    ramp = ((ramp - ramp.min()) / (ramp.max() - ramp.min()))[..., None]
    first, second = np.asarray(colours, np.float32)
    canvas = first + ramp * (second - first)
    canvas += _smooth_noise(rng, height, width) * uniform(rng, *NOISE_RANGE)
    if rng.random() < STRIPES_SHARE:
        position = _along(height, width, uniform(rng, 0, math.pi))
        period = uniform(rng, *STRIPE_PERIOD_PX)
        wave = np.sin(position * (2 * math.pi / period))[..., None]
        canvas += wave * uniform(rng, *STRIPE_STRENGTH)
    draws = np.frombuffer(rng.randbytes(height * width), np.uint8)
    grain = draws.reshape(height, width, 1).astype(np.float32) / 127.5 - 1
    return canvas + grain * GRAIN


def _blob(rng: Random, centre_x: float, centre_y: float) -> Polygon:
    """Return a small ragged polygon that looks like none of the classes."""
    radius = CLUTTER_SCALE * uniform(rng, *BLOB_RADIUS_PX)
    corners = 5 + int(5 * rng.random())
    points = []
    for index in range(corners):
        angle = 2 * math.pi * index / corners
        reach = radius * uniform(rng, 0.3, 1.2)
        points.append(
            (centre_x + reach * math.cos(angle), centre_y + reach * math.sin(angle))
        )
    return points


def _add_clutter(rng: Random, image: Image.Image) -> None:
    """Draw thin lines and ragged blobs, which belong to no class, onto the image."""
    width, height = image.size
    wide, high = CLUTTER_SCALE * width, CLUTTER_SCALE * height
    big = image.resize((wide, high), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(big)

    def colour() -> tuple[int, int, int]:
        r, g, b = _colour(rng, (0.1, 0.6), (0.25, 0.9))
        return int(r), int(g), int(b)

    for _ in range(int(rng.random() * (MAX_LINES + 1))):
        points = [
            (wide * rng.random(), high * rng.random())
            for _ in range(2 + int(rng.random() * 2))
        ]
        draw.line(points, fill=colour(), width=choose(rng, LINE_WIDTHS))
    for _ in range(int(rng.random() * (MAX_BLOBS + 1))):
        blob = _blob(rng, wide * rng.random(), high * rng.random())
        draw.polygon(blob, fill=colour())
    image.paste(big.reduce(CLUTTER_SCALE))


def _mask(
    polygons: list[tuple[Polygon, int]], origin: tuple[int, int], size: tuple[int, int]
) -> Image.Image:
    """Return an 8-bit mask of a patch: polygons filled one after the other.

    Args:
        polygons: (points in image pixels, fill 0 to 255).
        origin: Image pixel of the patch's corner.
        size: (width, height) of the patch in pixels.
    """
    mask = Image.new("L", (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE))
    draw = ImageDraw.Draw(mask)
    for polygon, fill in polygons:
        # PIL counts pixel centres, a polygon continuous edges: half a pixel apart.
        points = [
            (SUPERSAMPLE * x - 0.5, SUPERSAMPLE * y - 0.5)
            for x, y in moved(polygon, -origin[0], -origin[1])
        ]
        draw.polygon(points, fill=fill)
    return mask.reduce(SUPERSAMPLE)


def _shaded(rng: Random, colour: Colour, size: tuple[int, int]) -> Image.Image:
    """Return a patch that runs from a lighter to a darker tone of the colour."""
    ramp = _along(size[1], size[0], uniform(rng, 0, 2 * math.pi))
    ramp = (ramp - ramp.min()) / max(float(ramp.max() - ramp.min()), 1.0)
    tone = (1.15 - 0.35 * ramp)[..., None] * np.asarray(colour, np.float32)
    return Image.fromarray(np.clip(tone, 0, 255).astype(np.uint8))


def _add_shape(
    rng: Random, image: Image.Image, shape: PlacedShape, colour: Colour
) -> None:
    """Draw one shape with shadow, outline and shading onto the image."""
    x1, y1, x2, y2 = bounds(shape.polygon)
    origin = (math.floor(x1) - 3, math.floor(y1) - 3)
    size = (math.ceil(x2) + 4 - origin[0], math.ceil(y2) + 4 - origin[1])
    parts = [(shape.polygon, 255)]
    line_px = uniform(rng, *OUTLINE_PX)
    inner = [(shrunk(shape.polygon, 1 - 2.5 * line_px / min(x2 - x1, y2 - y1)), 255)]
    if shape.name == "ring":
        hole = RING_HOLE
        parts.append((shrunk(shape.polygon, hole), 0))
        inner.append((shrunk(shape.polygon, hole + 2 * line_px / (x2 - x1)), 0))
    mask, inner_mask = _mask(parts, origin, size), _mask(inner, origin, size)
    if shape.faint:
        mask = mask.point(lambda alpha: int(alpha * FAINT_OPACITY))
        inner_mask = mask
    else:
        shift = int(origin[0] + SHADOW_SHIFT_PX), int(origin[1] + SHADOW_SHIFT_PX)
        blurred = mask.filter(ImageFilter.BoxBlur(1))
        shadow = blurred.point(lambda alpha: int(alpha * SHADOW_OPACITY))
        image.paste((0, 0, 0), (*shift, shift[0] + size[0], shift[1] + size[1]), shadow)
    dark = tuple(int(0.45 * part) for part in colour)
    place = (*origin, origin[0] + size[0], origin[1] + size[1])
    image.paste(dark, place, mask)
    image.paste(_shaded(rng, colour, size), place, inner_mask)


def paint_scene(scene: Scene, rng: Random) -> Image.Image:
    """Return the RGB image of a scene, (scene.width, scene.height) pixels."""
    base = _colour(rng, (0.05, 0.5), (0.3, 0.85))
    tone = uniform(rng, 0.65, 1.35)
    second = tuple(min(tone * part, 255.0) for part in base)
    background = [base, (second[0], second[1], second[2])]
    canvas = _background(rng, scene.height, scene.width, background)
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    _add_clutter(rng, image)
    used: list[Colour] = []
    for shape in scene.shapes:
        colour = _shape_colour(rng, background, used)
        _add_shape(rng, image, shape, colour)
        used.append(colour)
    return image
