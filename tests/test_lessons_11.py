"""What notebook 11 shows: counts by hand, pictures that are drawn, quoted figures."""

import json
import re
from pathlib import Path

import nbformat
import pytest
import torch
from matplotlib.figure import Figure

from assignment.fcos_deltas import fcos_make_centerness_targets
from assignment.fcos_losses import fcos_classification_loss
from assignment.published_losses import giou_loss, iou_loss, overlap_of_distances
from assignment.published_targets import (
    distances_to_sides,
    is_in_range,
    is_near_centre,
)
from helpers.lessons import centres, foreground, overlaps, shares

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "11_targets_and_losses.ipynb"
IMAGE = torch.zeros(3, 64, 96)
BOX = torch.tensor([10.0, 6, 62, 50, 0])
NONE = [-1.0] * 5


class OneImage:
    """A data set of one picture, 16 x 24 pixels, with two boxes and padding."""

    def __init__(self):
        self.rows = torch.tensor([[0.0, 0, 10, 16, 0], [20, 0, 24, 8, 1], NONE])

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        return "one.jpg", torch.zeros(3, 16, 24), self.rows


def draws(figure: Figure) -> bool:
    """Whether a figure can be drawn."""
    figure.canvas.draw()
    return isinstance(figure, Figure)


def text_of_notebook() -> str:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_grid_is_row_by_row():
    """(x, y), x runs first; half a stride from the edge."""
    assert centres.grid((16, 24)).tolist() == [
        *[[4, 4], [12, 4], [20, 4]],
        *[[4, 12], [12, 12], [20, 12]],
    ]


@pytest.mark.parametrize(("radius", "number"), [(0.5, 1), (1.0, 4), (1.5, 9)])
def test_at_most_so_many_are_near(radius: float, number: int):
    """An open interval of 1, 2 or 3 cells holds at most as many middles, squared."""
    assert centres.most_near(radius) == number


def test_foreground_is_counted_by_hand():
    """Two locations of p3 get the first box, none the second; p4 and p5 get none."""

    def match(places, strides, rows):
        number = sum(map(len, places.values()))
        matched = torch.full((1, number, 5), -1.0)
        assert {level: len(points) for level, points in places.items()} == {
            **{"p3": 6, "p4": 2, "p5": 1}
        }
        matched[0, [0, 3]] = rows[0, 0]
        return matched

    strides = {"p3": 8, "p4": 16, "p5": 32}
    counts = foreground.count_foreground(OneImage(), 5, match, strides)
    assert counts == {"p3": 2, "p4": 0, "p5": 0, "boxes without a location": 1}
    assert draws(foreground.draw_counts({"one": counts, "other": counts}))


def test_two_ways_to_match_are_compared():
    """How many rows differ, and two times."""
    boxes = torch.zeros(2, 3, 5)

    def other(rows):
        return torch.where(torch.arange(3)[:, None] == 1, 1.0, rows)

    said = foreground.compare_with_loop(lambda rows: rows, other, boxes)
    assert said.startswith("2 of 6 rows differ; ")
    said = foreground.compare_with_loop(lambda rows: rows, lambda rows: rows[:1], boxes)
    assert said.startswith("all of 6 rows differ; ")


def test_pictures_of_targets_are_drawn():
    """On an image that is not square."""
    assert draws(centres.draw_views(IMAGE, BOX))
    assert draws(centres.draw_radii(is_near_centre, IMAGE, BOX[None]))
    assert draws(centres.draw_ends(is_in_range))
    figure = centres.draw_square(is_near_centre)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"9 near the centre, {n} of them outside" for n in (0, 6)]


def test_views_stay_in_the_image():
    """A location at the edge has no white beside it."""
    figure = centres.draw_views(IMAGE, torch.tensor([0.0, 0, 96, 64, 0]))
    for axes in figure.axes[1:]:
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert 0 <= left < right <= 96 and 0 <= top < bottom <= 64


def test_pictures_of_losses_are_drawn():
    """With the functions of the exercises."""
    assert draws(overlaps.draw_against_size())
    assert draws(overlaps.draw_pulls(iou_loss))
    assert draws(overlaps.draw_crossed(iou_loss, giou_loss))
    ltrb = (3.0, 2.0, 2.0, 2.0), (2.0, 3.0, 4.0, 1.0)
    figure = overlaps.draw_overlap(overlap_of_distances, IMAGE, (30.0, 30.0), *ltrb)
    assert figure.axes[0].get_title() == "intersection 12, union 32: IoU 0.38"


def test_pictures_of_shares_are_drawn():
    """Of all locations of a box; of some batches; of some targets."""
    centerness = fcos_make_centerness_targets
    figure = shares.draw_weights(centerness, distances_to_sides, IMAGE, BOX)
    # x = 12, 20, ..., 60 and y = 12, 20, ..., 44
    assert figure.axes[0].get_title() == "not weighed: each 2.9% of the box loss"
    assert draws(figure)
    assert draws(shares.draw_divisors([20, 30], {"a": [20, 30], "b": [90, 80]}))
    targets = {"radius 0": torch.tensor([0.25, 0.5])}
    assert draws(shares.draw_floor(targets, {"radius 0": 0.63}))


@pytest.mark.parametrize(
    ("start", "run"),
    [
        ("`tiny`", "shapes_tiny"),
        ("without centre sampling", "shapes_tiny_without_centre_sampling"),
        ("without GIoU", "shapes_tiny_without_giou"),
    ],
)
def test_quoted_figures_are_those_of_the_stored_runs(start: str, run: str):
    """The table at the beginning."""
    path = ROOT / "benchmarks" / "results" / f"quality_{run}.json"
    figure = 100 * json.loads(path.read_text())["voc_ap50"]
    (row,) = re.findall(rf"^\| {re.escape(start)}.*", text_of_notebook(), re.M)
    assert row.endswith(f"| {figure:.1f} % |")


def test_last_centerness_loss_is_that_of_the_stored_run():
    """It is held against the floor."""
    path = ROOT / "benchmarks" / "results" / "quality_shapes_tiny.log.jsonl"
    last = json.loads(path.read_text().splitlines()[-1])["loss_ctr"]
    assert f"ended at {last:.3f}" in " ".join(text_of_notebook().split())


def test_first_losses_in_the_text_are_those_of_the_formula():
    """Of a "yes" and a "no" where every probability is 0.01, and where it is 0.5."""
    row = re.compile(r"\| class, of a \"(?:yes|no)\" \| ([\d.]+) \| ([\d.]+) \|")
    quoted = torch.tensor(
        [[*map(float, pair)] for pair in row.findall(text_of_notebook())]
    )
    logits = torch.logit(torch.tensor([0.01, 0.5]))[:, None]
    right = [
        fcos_classification_loss(logits, torch.tensor([who] * 2)) for who in (0, -1)
    ]
    # The text has three digits.
    torch.testing.assert_close(quoted, torch.stack(right), rtol=0.01, atol=0)
