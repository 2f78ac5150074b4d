"""Boxes and labels on a picture, and a sheet of pictures; boxes XYXY in its pixels."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageColor, ImageDraw, ImageFont

from core.command import CourseError
from helpers.data.images import denormalize

# Okabe and Ito's palette, which colour-blind people can tell apart. More classes than
# colours share them: the label says which one it is.
PALETTE = (
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#009E73",  # green
    "#F0E442",  # yellow
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#CC79A7",  # purple
)
HALO = "#000000"  # a dark edge, so that a line is seen on any background
MIN_FONT_PX = 11
FONT_SHARE = 1 / 28  # of the picture's shorter side
LABEL_PADDING_PX = 2
MAX_ENLARGEMENT = 4
DARK_TEXT_LUMINANCE = 110  # on brighter labels than this the text is black
SHEET_GAP_PX = 8

Picture = Image.Image | torch.Tensor
Boxes = np.ndarray | torch.Tensor | Sequence[Sequence[float]]


def class_colour(class_index: int) -> str:
    """The colour of a class, "#RRGGBB"."""
    return PALETTE[class_index % len(PALETTE)]


def to_picture(image: Picture) -> Image.Image:
    """A copy of the image as RGB.

    Args:
        image: PIL image, or tensor (3, H, W): uint8, or float and ImageNet-normalised
            as the data set's items are.

    Raises:
        CourseError: a tensor of another shape.
    """
    if isinstance(image, Image.Image):
        return image.convert("RGB").copy()
    if image.ndim != 3 or image.shape[0] != 3:
        raise CourseError(f"an image has shape {tuple(image.shape)}; pass (3, H, W)")
    pixels = image.detach().cpu()
    if pixels.is_floating_point():
        pixels = (denormalize(pixels) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def draw_boxes(
    image: Picture,
    boxes: Boxes,
    labels: Sequence[str],
    colours: Sequence[str] | None = None,
    scores: Sequence[float] | np.ndarray | torch.Tensor | None = None,
    *,
    min_side: int = 0,
) -> Image.Image:
    """A copy of the image with boxes and labels on it.

    Args:
        image: see to_picture.
        boxes: (N, 4) XYXY in pixels of `image`; they may reach over its border.
        labels: N texts; an empty one draws no label.
        colours: N colours ("#RRGGBB"); by default one for each different label.
        scores: N numbers, written behind the labels; the best box lies on top.
        min_side: enlarge pictures (at most four times) whose shorter side is less, in
            pixels, because labels cover too much of a small one.

    Returns:
        RGB, of the image's size unless it was enlarged.

    Raises:
        CourseError: boxes that are not (N, 4), or not one label for each.
    """
    picture = to_picture(image)
    rows = np.asarray(boxes, dtype=np.float64)
    rows = rows.reshape(-1, 4) if rows.size == 0 else rows
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise CourseError(f"boxes have shape {rows.shape}; pass (N, 4)")
    if colours is None:
        different = list(dict.fromkeys(labels))
        colours = [class_colour(different.index(label)) for label in labels]
    if not len(rows) == len(labels) == len(colours):
        raise CourseError(
            f"{len(rows)} boxes have {len(labels)} labels and {len(colours)} colours; "
            "pass one of each per box"
        )
    texts = list(labels)
    order = list(range(len(rows)))
    if scores is not None:
        values = np.asarray(scores, dtype=np.float64)
        texts = [
            f"{text} {value:.2f}" for text, value in zip(texts, values, strict=True)
        ]
        order = np.argsort(values, kind="stable").tolist()  # the best is drawn last
    factor = _enlargement(picture, min_side)
    if factor > 1:
        size = (picture.width * factor, picture.height * factor)
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for index in order:
        _draw_outline(draw, rows[index] * factor, colours[index], picture.size)
    for index in order:  # labels after all lines, so that none is crossed out
        if texts[index]:
            _draw_label(
                draw, rows[index] * factor, texts[index], colours[index], picture.size
            )
    return picture


def make_sheet(pictures: Sequence[Image.Image], columns: int = 4) -> Image.Image:
    """Several pictures side by side, in columns of one width.

    Raises:
        CourseError: no pictures.
    """
    if not pictures:
        raise CourseError("a sheet needs pictures; pass at least one")
    columns = min(columns, len(pictures))
    rows = [
        pictures[index : index + columns] for index in range(0, len(pictures), columns)
    ]
    step_x = max(picture.width for picture in pictures) + SHEET_GAP_PX
    heights = [max(picture.height for picture in row) for row in rows]
    height = sum(heights) + SHEET_GAP_PX * (len(rows) + 1)
    sheet = Image.new("RGB", (columns * step_x + SHEET_GAP_PX, height), "white")
    top = SHEET_GAP_PX
    for row, row_height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            sheet.paste(picture, (SHEET_GAP_PX + column * step_x, top))
        top += row_height + SHEET_GAP_PX
    return sheet


def _enlargement(picture: Image.Image, min_side: int) -> int:
    wanted = -(-min_side // min(picture.size))  # rounded up
    return max(1, min(wanted, MAX_ENLARGEMENT))


def _font_px(size: tuple[int, int]) -> int:
    return max(MIN_FONT_PX, round(min(size) * FONT_SHARE))


def _draw_outline(
    draw: ImageDraw.ImageDraw, box: np.ndarray, colour: str, size: tuple[int, int]
) -> None:
    """A coloured line between two thin dark ones, within the picture."""
    width, height = size
    # Continuous edges x1..x2 cover the pixels x1 .. x2 - 1.
    left, top = int(np.clip(box[0], 0, width - 1)), int(np.clip(box[1], 0, height - 1))
    right = int(np.clip(np.ceil(box[2]) - 1, left, width - 1))
    bottom = int(np.clip(np.ceil(box[3]) - 1, top, height - 1))
    line_px = max(2, _font_px(size) // 6)
    halo = (max(left - 1, 0), max(top - 1, 0), right + 1, bottom + 1)
    draw.rectangle(halo, outline=HALO, width=line_px + 2)
    draw.rectangle((left, top, right, bottom), outline=colour, width=line_px)


def _draw_label(
    draw: ImageDraw.ImageDraw,
    box: np.ndarray,
    text: str,
    colour: str,
    size: tuple[int, int],
) -> None:
    """The text on a filled plate above the box; inside it where there is no room."""
    font = ImageFont.load_default(_font_px(size))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    plate_width = right - left + 2 * LABEL_PADDING_PX
    plate_height = bottom - top + 2 * LABEL_PADDING_PX
    x = max(0, min(int(box[0]), size[0] - int(plate_width)))
    y = int(box[1]) - int(plate_height)
    if y < 0:
        y = max(0, min(int(box[1]), size[1] - int(plate_height)))
    draw.rectangle((x, y, x + plate_width, y + plate_height), fill=colour, outline=HALO)
    draw.text(
        (x + LABEL_PADDING_PX - left, y + LABEL_PADDING_PX - top),
        text,
        fill=_text_colour(colour),
        font=font,
    )


def _text_colour(background: str) -> str:
    red, green, blue = ImageColor.getrgb(background)[:3]
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    return "#000000" if luminance > DARK_TEXT_LUMINANCE else "#FFFFFF"
