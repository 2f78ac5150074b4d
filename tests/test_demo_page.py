"""The page of `make demo`, rendered from a handful of made-up figures."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.evaluation.types import Detections, GroundTruth
from helpers.show.demo_page import (
    ClassResult,
    DemoReport,
    Step,
    render_page,
    write_page,
)
from helpers.show.demo_svg import draw_curve, draw_picture

WIDTH, HEIGHT = 60, 40
EVIL = "<script>alert('x')</script>"
CLASS_NAMES = ("ring", EVIL)
LINK_ATTRIBUTES = ("href", "src", "xlink:href", "action")


class PageReader(HTMLParser):
    """Collects the links, tags and visible text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open_tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "input"):
            self.open_tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in LINK_ATTRIBUTES]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in LINK_ATTRIBUTES]

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data


def make_truth(boxes: list[list[float]], classes: list[int]) -> GroundTruth:
    return GroundTruth(
        image_id="val_00000",
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        classes=np.array(classes, dtype=np.int64),
        difficult=np.zeros(len(classes), dtype=bool),
        size=(HEIGHT, WIDTH),
    )


def make_found(
    boxes: list[list[float]], scores: list[float], classes: list[int]
) -> Detections:
    return Detections(
        image_id="val_00000",
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        scores=np.array(scores, dtype=np.float64),
        classes=np.array(classes, dtype=np.int64),
    )


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (WIDTH, HEIGHT), (10, 120, 200)).save(path)
    return path


@pytest.fixture
def report(jpeg: Path) -> DemoReport:
    empty = draw_picture(
        jpeg, make_found([], [], []), make_truth([], []), CLASS_NAMES, 0.4
    )
    full = draw_picture(
        jpeg,
        make_found([[4, 20, 34, 36], [1, 2, 9, 7]], [0.9, 0.3], [1, 0]),
        make_truth([[5, 19, 35, 35]], [1]),
        CLASS_NAMES,
        least_score=0.4,
    )
    losses = [(20, 1.2, 0.8, 0.7), (40, 0.6, 0.5, 0.65)]
    return DemoReport(
        voc_ap50=0.8768,
        coco_ap=0.5,
        seconds=215.0,
        train_images=30,
        val_images=2,
        iterations=40,
        least_score=0.4,
        pictures=(empty, full),
        log=[
            {"iteration": i, "loss_cls": a, "loss_box": b, "loss_ctr": c}
            for i, a, b, c in losses
        ],
        classes=(
            ClassResult("ring", 0, float("nan"), float("nan")),
            ClassResult(EVIL, 1, 0.8768, 0.5),
        ),
        steps=(Step("Train", f"python -m helpers.train --out {EVIL}", 180.0),),
        versions={"Python": "3.11", "processor": EVIL},
        files={"figures": "metrics.json"},
    )


def read_page(report: DemoReport) -> PageReader:
    reader = PageReader()
    reader.feed(render_page(report))
    return reader


def test_page_escapes_every_value(report: DemoReport):
    """A class named like a script is shown as text and is never run."""
    page = read_page(report)
    assert "script" not in page.tags
    # label and tooltip of the box found, tooltip of the true box, table, command, list
    assert page.text.count(EVIL) == 6


def test_page_closes_every_tag(report: DemoReport):
    """The HTML is well formed."""
    assert read_page(report).open_tags == []


def test_page_needs_no_network(report: DemoReport):
    """No address of another place: the page opens on a train."""
    html = render_page(report)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", html)
    for link in read_page(report).links:
        assert link.startswith("data:image/jpeg;base64,") or ":" not in link
    assert "default-src 'none'" in html


def test_page_links_only_the_given_files(report: DemoReport, tmp_path: Path):
    """Each link that is not a picture leads to a file beside the page."""
    (tmp_path / "metrics.json").write_text("{}")
    write_page(report, tmp_path / "index.html")
    page = read_page(report)
    links = [link for link in page.links if not link.startswith("data:")]
    assert links == ["metrics.json"]
    assert all((tmp_path / link).is_file() for link in links)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"index.html", "metrics.json", "picture.jpg"}


def test_page_shows_the_figures(report: DemoReport):
    """Shares are written in per cent, times in minutes, an undefined AP as a dash."""
    text = read_page(report).text
    assert "87.7" in text
    assert "50.0" in text
    assert "3 min 35 s" in text
    assert "nan" not in render_page(report)


def test_page_is_written_for_a_picture_without_boxes(report: DemoReport):
    """A picture in which nothing is and nothing was found is shown like any other."""
    text = re.sub(r"\s+", " ", read_page(report).text)
    assert "0 found, 0 true" in text
    assert "1 found, 1 true" in text


def test_draw_picture_embeds_the_file_unchanged(jpeg: Path):
    """The page carries the very bytes of the picture."""
    picture = draw_picture(
        jpeg, make_found([], [], []), make_truth([], []), CLASS_NAMES, 0.4
    )
    encoded = picture.data_uri.removeprefix("data:image/jpeg;base64,")
    assert base64.b64decode(encoded) == jpeg.read_bytes()
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)


def test_draw_picture_leaves_out_low_scores(jpeg: Path):
    """Only boxes of at least the given score are drawn; equal is enough."""
    found = make_found([[1, 2, 9, 7], [4, 20, 34, 36]], [0.4, 0.39], [0, 0])
    picture = draw_picture(jpeg, found, make_truth([], []), CLASS_NAMES, 0.4)
    (box,) = picture.found
    assert (box.x, box.y, box.width, box.height) == (1, 2, 8, 5)
    assert box.label == "ring 0.40"


@pytest.mark.parametrize("corner", [(0, 0), (50, 0), (0, 35), (50, 35)])
def test_draw_picture_keeps_labels_inside(jpeg: Path, corner: tuple[int, int]):
    """The label of a box at the border does not leave the picture."""
    x, y = corner
    found = make_found([[x, y, x + 10, y + 5]], [0.9], [0])
    picture = draw_picture(jpeg, found, make_truth([], []), CLASS_NAMES, 0.4)
    (box,) = picture.found
    assert box.label_x >= 0
    assert box.label_x + box.label_width <= WIDTH
    assert box.label_y >= 0


def test_draw_curve_goes_down_the_page_as_the_loss_falls():
    """In SVG y points down: a smaller loss has a larger y. Ends fill the axes."""
    curve = draw_curve("class", [0, 10, 40], [2.0, 1.0, 0.0])
    assert curve.points == "36.0,10.0 104.5,83.0 310.0,156.0"
    assert curve.last_value == 0.0
    assert [tick.text for tick in curve.x_ticks] == ["0", "10", "20", "30", "40"]
    assert [tick.text for tick in curve.y_ticks] == ["0", "0.5", "1", "1.5", "2"]


def test_draw_curve_of_an_empty_log_is_empty():
    """A run that stopped before its first log line still gets a page."""
    curve = draw_curve("class", [], [])
    assert curve.points == ""
