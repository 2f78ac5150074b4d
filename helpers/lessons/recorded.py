"""What two finished detectors found, stored, so that you see it before you build yours.

Both were trained in the same way on the drawn shapes; for one of them x and y of the
locations were swapped, see notebook 4. benchmarks/recorded_detections.py made the file.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from core.command import CourseError
from data_scripts.voc_format import find_voc_root
from helpers.data.images import load_image
from helpers.notebook import ROOT, SHAPES_DIR
from helpers.show.draw import class_colour, draw_boxes, make_sheet
from helpers.show.style import make_figure

FILE = Path(__file__).with_name("recorded.json")
DETECTORS = ("right", "transposed")
MIN_SIDE_PX = 256  # of a picture on a sheet


@dataclass(frozen=True)
class Found:
    """What one detector found in one picture, best first.

    Attributes:
        boxes: N boxes XYXY in pixels of the picture.
        classes: N numbers of classes.
        scores: N numbers in [0, 1].
    """

    image_id: str
    boxes: list[list[float]]
    classes: list[int]
    scores: list[float]


def recorded_class_names() -> list[str]:
    """The names of the classes, by their number."""
    names: list[str] = json.loads(FILE.read_text("utf-8"))["class_names"]
    return names


def recorded_detections(detector: str = "right") -> list[Found]:
    """What a detector found in the first pictures of the split "val".

    Args:
        detector: "right" or "transposed".

    Raises:
        CourseError: there is no such detector.
    """
    if detector not in DETECTORS:
        raise CourseError(f"no detector {detector!r} is stored; take right, transposed")
    entries = json.loads(FILE.read_text("utf-8"))[detector]
    return [Found(**entry) for entry in entries]


def recorded_picture(image_id: str) -> Image.Image:
    """The drawn picture that belongs to a record.

    Raises:
        CourseError: data/shapes is not there.
    """
    root = find_voc_root(ROOT / SHAPES_DIR)
    return load_image(root / "JPEGImages" / f"{image_id}.jpg")


def draw_found(
    found: Found, least_score: float = 0.5, most: int | None = None
) -> Image.Image:
    """The picture with the boxes of at least this score, or the `most` best of them."""
    names = recorded_class_names()
    kept = [index for index, score in enumerate(found.scores) if score >= least_score]
    kept = kept[:most]
    return draw_boxes(
        recorded_picture(found.image_id),
        [found.boxes[index] for index in kept],
        [names[found.classes[index]] for index in kept],
        [class_colour(found.classes[index]) for index in kept],
        [found.scores[index] for index in kept],
        min_side=MIN_SIDE_PX,
    )


def draw_sheet(
    detector: str = "right",
    least_score: float = 0.5,
    pictures: int = 4,
    columns: int = 2,
) -> Image.Image:
    """The first pictures side by side, with the boxes of one detector."""
    found = recorded_detections(detector)[:pictures]
    return make_sheet(
        [draw_found(detections, least_score) for detections in found], columns
    )


def draw_right_and_transposed(index: int = 0, most: int = 3) -> Figure:
    """One picture twice: the best boxes of the right and of the transposed detector."""
    figure, both = make_figure(1, 2, height=3.4)
    titles = ("x, y in the right order", "x and y swapped")
    for axes, detector, title in zip(both, DETECTORS, titles, strict=True):
        picture = draw_found(recorded_detections(detector)[index], 0.0, most)
        axes.imshow(picture)
        if detector == "transposed":
            side = min(picture.size)
            axes.plot([0, side], [0, side], color="white", lw=1.5, ls="--")
            axes.set(xlim=(0, picture.width), ylim=(picture.height, 0))
        axes.set_axis_off()
        axes.set_title(title)
    return figure


def draw_found_above(index: int, least_score: float) -> Image.Image:
    """One picture with the right detector's boxes of at least this score."""
    return draw_found(recorded_detections("right")[index], least_score)
