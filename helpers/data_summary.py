"""What is in a data set? python -m helpers.data_summary --data-dir DIR --out DIR.

Prints a table of its classes and sizes, and draws summary.png and batch.png.
"""

import math
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    run_command,
)
from core.course import read_registry
from core.files import new_file
from helpers.data.augment import AugmentConfig
from helpers.data.voc import VOC2007DetectionTiny, check_objects
from helpers.show.draw import class_colour, draw_boxes, make_sheet

BATCH_IMAGES = 8
MIN_IMAGE_SIZE = 32
MIN_SHOWN_PX = 224  # smaller pictures are enlarged, so that labels fit
# A box belongs to the first level whose reach is at least half of its longer side,
# which is the largest distance from its centre to an edge.
REACH_STRIDES = 8.0  # as in FCOS; the last level has no limit
EASY_COLOUR, DIFFICULT_COLOUR, LEVEL_COLOUR = "#0072B2", "#E69F00", "#D55E00"


@dataclass(frozen=True)
class Summary:
    """Counts of one split.

    Attributes:
        easy, difficult: objects of each class, in the order of class_names.
        images_with: images that show the class, difficult objects too.
        longer_sides: (M,) of all objects, in pixels at image_size.
        image_sizes: (width, height) in pixels of the originals -> how many.
    """

    split: str
    image_size: int
    class_names: tuple[str, ...]
    easy: np.ndarray
    difficult: np.ndarray
    images_with: np.ndarray
    longer_sides: np.ndarray
    image_sizes: Counter[tuple[int, int]]
    empty_images: int

    @property
    def level_reach_px(self) -> dict[str, float]:
        """How far each level of the pyramid reaches; the last one has no limit."""
        strides = next(iter(read_registry().detectors.values())).strides
        reach = {level: REACH_STRIDES * stride for level, stride in strides.items()}
        return reach | {list(reach)[-1]: math.inf}

    @property
    def boxes_per_level(self) -> dict[str, int]:
        """How many objects each level of the pyramid is for."""
        reaches = list(self.level_reach_px.values())
        levels = np.searchsorted(reaches, self.longer_sides / 2)
        counts = np.bincount(levels, minlength=len(reaches)).tolist()
        return dict(zip(self.level_reach_px, counts, strict=True))


def summarize(dataset: VOC2007DetectionTiny) -> Summary:
    """Count a whole split; reads every image, so bad ones are found.

    Raises:
        CourseError: an image is missing or unreadable, or there is none at all.
    """
    if len(dataset) == 0:
        raise CourseError(f"the split {dataset.split!r} lists no images")
    num_classes = len(dataset.class_names)
    easy, difficult, images_with = np.zeros((3, num_classes), dtype=np.int64)
    longer_sides, sizes = [np.zeros(0)], Counter[tuple[int, int]]()
    empty_images = 0
    for index in tqdm(range(len(dataset)), desc="reading", unit="image"):
        truth = dataset.ground_truth(index)
        height, width = truth.size
        sizes[width, height] += 1
        empty_images += len(truth.boxes) == 0
        easy += np.bincount(truth.classes[~truth.difficult], minlength=num_classes)
        difficult += np.bincount(truth.classes[truth.difficult], minlength=num_classes)
        images_with[np.unique(truth.classes)] += 1
        scale = dataset.image_size / min(truth.size)
        sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
        longer_sides.append(sides.max(axis=1, initial=0) * scale)
    return Summary(
        split=dataset.split,
        image_size=dataset.image_size,
        class_names=dataset.class_names,
        easy=easy,
        difficult=difficult,
        images_with=images_with,
        longer_sides=np.concatenate(longer_sides),
        image_sizes=sizes,
        empty_images=empty_images,
    )


def summary_table(summary: Summary) -> str:
    """The counts as text: a row for each class, and what is true of all images."""
    rows: list[tuple[str, ...]] = [("class", "objects", "difficult", "images")]
    columns = (summary.easy, summary.difficult, summary.images_with)
    for index, name in enumerate(summary.class_names):
        rows.append((name, *(str(column[index]) for column in columns)))
    total = summary.easy.sum(), summary.difficult.sum(), summary.image_sizes.total()
    rows.append(("all", *(str(count) for count in total)))
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}} {row[1]:>8} {row[2]:>10} {row[3]:>7}" for row in rows]
    levels = ", ".join(
        f"{level} {count}" for level, count in summary.boxes_per_level.items()
    )
    (common_width, common_height), count = summary.image_sizes.most_common(1)[0]
    lines += [
        "",
        f"images without any object: {summary.empty_images}",
        f"image sizes: {len(summary.image_sizes)} different, the most common is "
        f"{common_width} x {common_height} ({count} images)",
        f"objects for each level at {summary.image_size} px: {levels}",
    ]
    return "\n".join(lines)


def draw_summary(summary: Summary, path: Path) -> None:
    """A picture (PNG): objects of each class, and how large objects are."""
    num_classes = len(summary.class_names)
    figure = Figure(figsize=(10, max(3.6, 0.28 * num_classes)), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = np.arange(num_classes)
    left.barh(rows, summary.easy, color=EASY_COLOUR, label="objects")
    left.barh(
        rows,
        summary.difficult,
        left=summary.easy,
        color=DIFFICULT_COLOUR,
        hatch="//",
        label="difficult",
    )
    left.set_yticks(rows, summary.class_names)
    left.invert_yaxis()
    left.set_xlabel(f"objects in {summary.split}")
    left.locator_params("x", integer=True)
    left.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    top = max(300.0, float(summary.longer_sides.max(initial=0.0)))
    right.hist(summary.longer_sides, bins=np.linspace(0, top, 41), color=EASY_COLOUR)
    _mark_levels(right, summary, top)
    right.set_xlabel(f"longer side of an object in pixels, at {summary.image_size} px")
    right.set_ylabel("objects")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with new_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _mark_levels(axes: Axes, summary: Summary, top: float) -> None:
    """Dashed lines between the levels, with their names and counts above."""
    low = 0.0
    for level, reach in summary.level_reach_px.items():
        high = min(2 * reach, top)
        if high < top:
            axes.axvline(high, color=LEVEL_COLOUR, linestyle="--")
        axes.text(
            (low + high) / 2,
            1.01,
            f"{level}: {summary.boxes_per_level[level]}",
            transform=axes.get_xaxis_transform(),
            ha="center",
        )
        low = high


def draw_batch(dataset: VOC2007DetectionTiny, count: int = BATCH_IMAGES) -> Image.Image:
    """Evenly spaced items of a data set with their boxes, as the detector gets them."""
    pictures = []
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round()
    for index in indices.astype(int).tolist():
        _, image, rows = dataset.item(index, Random(index))
        boxes = rows[rows[:, 4] >= 0]
        classes = [int(class_id) for class_id in boxes[:, 4]]
        names = [dataset.class_names[class_id] for class_id in classes]
        colours = [class_colour(class_id) for class_id in classes]
        pictures.append(
            draw_boxes(image, boxes[:, :4], names, colours, min_side=MIN_SHOWN_PX)
        )
    return make_sheet(pictures)


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(
        prog="python -m helpers.data_summary",
        description="Count what is in a data set, and draw a training batch of it.",
    )
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--split", default="train", help="train, val, ...")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures")
    parser.add_argument("--image-size", type=int, default=224, help="shorter side")
    options = parser.parse_args(arguments)
    if options.image_size < MIN_IMAGE_SIZE:
        parser.error(f"--image-size must be at least {MIN_IMAGE_SIZE}")
    dataset = VOC2007DetectionTiny(
        options.data_dir,
        options.split,
        image_size=options.image_size,
        augment=AugmentConfig(),
        whole_image=False,
    )
    summary = summarize(dataset)
    print(summary_table(summary))
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        draw_summary(summary, options.out / "summary.png")
        draw_batch(dataset).save(options.out / "batch.png")
    except OSError as error:
        raise CourseError(
            f"{options.out}: cannot write there ({error.strerror}); give another --out"
        ) from error
    print(f"wrote {options.out / 'summary.png'} and {options.out / 'batch.png'}")
    try:
        check_objects(dataset)
    except CourseError as error:  # the table shows it, but nobody need read it there
        print(f"error: {error}", file=sys.stderr)
        return EXIT_PARTLY_FAILED
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
