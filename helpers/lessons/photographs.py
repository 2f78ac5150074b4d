"""A few photographs with what a detector of recipe `cpu` found in them, stored.

benchmarks/recorded_photos.py made the record, from a run on PASCAL VOC 2007.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from helpers.data.images import load_image
from helpers.show.draw import class_colour, draw_boxes
from helpers.show.style import FONT_PT, make_figure

FOLDER = Path(__file__).with_name("photos")
FOUND = FOLDER / "found.json"
COLUMNS = 2  # so that a label of a photograph is as large as a text of the figure


@dataclass(frozen=True)
class Photo:
    """A photograph that anybody may use.

    Attributes:
        file: its name in the folder.
        licence: "CC0 1.0" or "public domain".
        link: where that is said.
    """

    file: str
    shows: str
    author: str
    licence: str
    link: str

    def open(self) -> Image.Image:
        """The picture."""
        return load_image(FOLDER / self.file)


def photos() -> list[Photo]:
    """All of them, in the order in which they are shown."""
    text = (FOLDER / "photos.toml").read_text("utf-8")
    return [Photo(**entry) for entry in tomllib.loads(text)["photo"]]


def draw_photos(least_score: float = 0.4) -> Figure:
    """The photographs with the boxes of at least this score."""
    stored = json.loads(FOUND.read_text("utf-8"))
    names = stored["class_names"]
    every = photos()
    rows = -(-len(every) // COLUMNS)
    figure, panels = make_figure(rows, COLUMNS, height=2.7 * rows)
    for axes in panels[len(every) :]:
        axes.set_axis_off()
    for axes, photo in zip(panels, every, strict=False):
        found = stored["found"][photo.file]
        kept = [i for i, score in enumerate(found["scores"]) if score >= least_score]
        picture = draw_boxes(
            photo.open(),
            [found["boxes"][i] for i in kept],
            [names[found["classes"][i]] for i in kept],
            [class_colour(found["classes"][i]) for i in kept],
            [found["scores"][i] for i in kept],
        )
        axes.imshow(picture)
        axes.set_axis_off()
        axes.set_title(f"{photo.author}\n{photo.licence}", fontsize=FONT_PT - 2)
    return figure
