"""The photographs are small, free, and shown with what was really found."""

import json
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from helpers.lessons import photographs
from helpers.lessons.photographs import FOLDER, FOUND, draw_photos, photos
from helpers.show.draw import FONT_SHARE, MIN_FONT_PX

ROOT = Path(__file__).resolve().parent.parent
FREE = {"CC0 1.0", "public domain"}


def test_each_photograph_says_whose_it_is():
    """Author, a free licence, and where that is said; nothing else lies there."""
    every = photos()
    assert len(every) >= 5
    for photo in every:
        assert photo.author and photo.licence in FREE
        assert photo.link.startswith("https://")
        assert min(photo.open().size) == 224
        assert (FOLDER / photo.file).stat().st_size < 60_000
    files = {path.name for path in FOLDER.iterdir() if path.suffix == ".jpg"}
    assert files == {photo.file for photo in every}


def test_what_was_found_is_inside_of_the_photographs():
    """Boxes of the stored record, in pixels of the file, best first."""
    stored = json.loads(FOUND.read_text())
    assert stored["command"].startswith("python -m benchmarks.recorded_photos")
    assert len(stored["class_names"]) == 20
    for photo in photos():
        found = stored["found"][photo.file]
        width, height = photo.open().size
        for x1, y1, x2, y2 in found["boxes"]:
            assert 0 <= x1 <= x2 <= width + 1 and 0 <= y1 <= y2 <= height + 1
        assert found["scores"] == sorted(found["scores"], reverse=True)
        assert len(found["boxes"]) == len(found["classes"]) == len(found["scores"])


def test_the_cat_is_a_cat_and_a_person_a_person():
    """The surest answer of two of them, as the notebook's picture shows."""
    stored = json.loads(FOUND.read_text())
    names = stored["class_names"]
    for file, name in (("chelsea.jpg", "cat"), ("astronaut.jpg", "person")):
        assert names[stored["found"][file]["classes"][0]] == name


def test_labels_on_photographs_can_be_read():
    """Where the figure makes a picture smaller its letters shrink, too."""
    figure = draw_photos(0.4)
    figure.draw_without_rendering()
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == len(photos())
    for axes in shown:
        height, width = axes.images[0].get_array().shape[:2]
        box = axes.get_window_extent()
        scale = min(box.width / width, box.height / height)
        assert scale * max(MIN_FONT_PX, round(min(width, height) * FONT_SHARE)) >= 9


def test_photographs_are_drawn(monkeypatch):
    """Also with a threshold that nothing reaches."""
    assert isinstance(draw_photos(0.4), Figure)
    assert isinstance(draw_photos(1.1), Figure)
    assert isinstance(photographs.photos()[0].open(), Image.Image)
