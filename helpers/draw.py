"""Boxes drawn on images: true boxes, detections, a sheet of several images."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont

from helpers.images import denormalize

# Okabe and Ito's palette, which colour-blind people can tell apart; it is used in turn.
PALETTE = (
    *("#E69F00", "#56B4E9", "#009E73", "#F0E442"),
    *("#0072B2", "#D55E00", "#CC79A7", "#FFFFFF"),
)
MIN_FONT_SIZE = 11
IMAGE_WIDTHS_A_FONT = 32  # the letters are this part of the image's longer side
SHEET_GAP = 8


def class_colour(class_id: int) -> str:
    """One colour a class; after eight classes they repeat, so labels are drawn too."""
    return PALETTE[class_id % len(PALETTE)]


def to_pil(image: Image.Image | torch.Tensor) -> Image.Image:
    """An image to draw on: a copy of a PIL image, or a normalised tensor (3, H, W)."""
    if isinstance(image, Image.Image):
        return image.convert("RGB").copy()
    pixels = (denormalize(image).cpu().permute(1, 2, 0) * 255).round().byte()
    return Image.fromarray(pixels.numpy())


def draw_boxes(
    image: Image.Image | torch.Tensor,
    boxes: Sequence[Sequence[float]] | torch.Tensor,
    labels: Sequence[str],
    colours: Sequence[str] | None = None,
    scores: Sequence[float] | None = None,
) -> Image.Image:
    """A copy of the image with boxes and labels on it.

    Args:
        image: PIL image, or ImageNet-normalised tensor (3, H, W).
        boxes: N boxes XYXY in pixels of the image.
        labels: N texts.
        colours: N colours; default: one for each different label.
        scores: N numbers in [0, 1], written behind the labels.
    """
    picture = to_pil(image)
    pen = ImageDraw.Draw(picture)
    size = max(MIN_FONT_SIZE, max(picture.size) // IMAGE_WIDTHS_A_FONT)
    font = ImageFont.load_default(size=size)
    line_width = max(2, size // 6)
    if colours is None:
        order = {label: i for i, label in enumerate(sorted(set(labels)))}
        colours = [class_colour(order[label]) for label in labels]
    rows = torch.as_tensor(boxes, dtype=torch.float64).reshape(-1, 4).tolist()
    # Weak detections first, so that the best are drawn on top.
    for i in reversed(range(len(rows))):
        x1, y1, x2, y2 = rows[i]
        text = labels[i] if scores is None else f"{labels[i]} {scores[i]:.2f}"
        box = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
        pen.rectangle(box, outline=colours[i], width=line_width)
        _draw_label(pen, (x1, y1), text, colours[i], font, picture.size)
    return picture


def _draw_label(
    pen: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    colour: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    picture_size: tuple[int, int],
) -> None:
    """Black letters on the box's colour, above the corner where there is room."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(0, min(corner[0], picture_size[0] - width))
    y = corner[1] - height if corner[1] >= height else corner[1]
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    pen.text((x + 2 - left, y + 2 - top), text, fill="black", font=font)


def make_sheet(pictures: Sequence[Image.Image], columns: int = 4) -> Image.Image:
    """Several pictures side by side, each cell as large as the largest picture."""
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    sheet = Image.new(
        "RGB",
        (
            columns * (width + SHEET_GAP) + SHEET_GAP,
            rows * (height + SHEET_GAP) + SHEET_GAP,
        ),
        "white",
    )
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        x = SHEET_GAP + column * (width + SHEET_GAP)
        y = SHEET_GAP + row * (height + SHEET_GAP)
        sheet.paste(picture, (x, y))
    return sheet
