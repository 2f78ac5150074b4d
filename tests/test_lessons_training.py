"""Pictures of notebooks 5 to 7, and looking on while a detector trains."""

import json

import pytest
import torch
from matplotlib.figure import Figure

from assignment.fcos_deltas import (
    fcos_apply_deltas_to_locations,
    fcos_get_deltas_from_locations,
    fcos_make_centerness_targets,
)
from assignment.fcos_losses import (
    fcos_box_loss,
    fcos_centerness_loss,
    fcos_classification_loss,
)
from assignment.one_stage_detector import FCOS
from core.command import CourseError
from data_scripts.make_shapes import make_shapes
from helpers.data.voc import VOC2007DetectionTiny
from helpers.drive.copies import versions
from helpers.lessons import assembly, deltas, live, losses
from helpers.training.recipes import get_recipe
from helpers.training.run_folder import read_log

NAMES = ("cross", "ring", "star")
IMAGE = torch.zeros(3, 64, 96)
ROWS = torch.tensor(
    [[8.0, 8, 40, 56, 1], [30, 20, 90, 60, 0], [50, 30, 62, 38, 2], [-1] * 5]
)


def test_largest_box_leaves_out_padding():
    """Rows of -1 are no box, whatever their area."""
    assert deltas.largest_box(ROWS).tolist() == [30, 20, 90, 60, 0]


def test_pictures_of_deltas_are_drawn():
    """Each picture of notebook 5 is a figure, with boxes on the image's border too."""
    box = torch.tensor([0.0, 4, 64, 60, 1])
    points = torch.tensor([[20.0, 12.0], [60.0, 50.0]])
    both = (fcos_get_deltas_from_locations, fcos_apply_deltas_to_locations)
    rows = fcos_get_deltas_from_locations(points, box[None].expand(2, 5), 8)
    draw = deltas.make_location_picture(
        IMAGE, box, (*both, fcos_make_centerness_targets)
    )
    for figure in (
        deltas.draw_distances(IMAGE, box, points),
        deltas.draw_deltas(IMAGE, box, points, rows),
        deltas.draw_units(fcos_get_deltas_from_locations),
        deltas.draw_error(IMAGE, box, points[0], both),
        deltas.draw_positive(),
        deltas.draw_root(),
        deltas.draw_centerness(IMAGE, ROWS, both[0], fcos_make_centerness_targets),
        draw(x=30, y=20, right=8),
        draw(x=90, y=20),
    ):
        assert isinstance(figure, Figure)


def test_paint_classes_lets_the_small_box_lie_on_top():
    """A cell takes the class of the smallest box; outside all boxes it is -1."""
    classes = losses.paint_classes(ROWS, (64, 96))
    assert classes.shape == (8, 12)
    # x = 52, y = 36 lies in the boxes of class 0 and 2, the origin in none.
    assert int(classes[4, 6]) == 2
    assert int(classes[3, 10]) == 0
    assert int(classes[0, 0]) == -1


def test_pictures_of_losses_are_drawn():
    """Each picture of notebook 6 is a figure, without any true box too."""
    nothing = torch.full((2, 5), -1.0)
    for figure in (
        losses.draw_imbalance(IMAGE, ROWS),
        losses.draw_imbalance(IMAGE, nothing),
        losses.draw_focal(),
        losses.draw_shares(IMAGE, ROWS, 3),
        losses.draw_class_losses(IMAGE, ROWS, 3, fcos_classification_loss),
        losses.draw_box_losses(fcos_box_loss),
        losses.draw_scale(fcos_box_loss),
        losses.draw_soft_targets(fcos_centerness_loss),
    ):
        assert isinstance(figure, Figure)


def test_split_levels_gives_grids_in_order():
    """An image of 70 x 100 pixels has 9 x 13, 5 x 7 and 3 x 4 locations."""
    number = 9 * 13 + 5 * 7 + 3 * 4
    grids = assembly.split_levels(torch.arange(number), (70, 100))
    assert [tuple(grid.shape) for grid in grids.values()] == [(9, 13), (5, 7), (3, 4)]
    assert int(grids["p4"][0, 1]) == 9 * 13 + 1


def test_pictures_of_the_detector_are_drawn():
    """Targets, normalizer and answers of a fresh detector; its mode stays."""
    detector = FCOS(3, 16, [16], backbone="tiny").train()
    locations = detector.locations(detector.backbone(IMAGE[None]))
    targets = detector.make_targets(locations, ROWS[None])
    first = (targets[0][0], targets[1][0], targets[2][0])
    answers = live.draw_answers(detector, [(IMAGE, ROWS)])
    for figure in (
        assembly.draw_parts(),
        assembly.draw_targets(IMAGE, ROWS, first, NAMES),
        assembly.draw_normalizer([3, 40, 12], [150.0, 140.0, 130.0]),
        live.draw_loss_curves([], total=10),
        answers,
    ):
        assert isinstance(figure, Figure)
    assert all(module.training for module in detector.modules())
    assert set(json.loads(live.summary(detector))) == {"backbone", "pred_net"}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course") / "data" / "shapes"
    make_shapes(folder, train=12, val=2)
    return folder


def test_some_of_one_size_are_no_squares(shapes):
    """A batch needs one size; where too few images share one, that is said."""
    dataset = VOC2007DetectionTiny(shapes, "train", image_size=64, whole_image=True)
    images, rows = live.some_of_one_size(dataset, 2)
    assert images.shape[2] != images.shape[3]
    assert rows.shape[:2] == (2, dataset.max_boxes)
    with pytest.raises(CourseError, match="no 99 images"):
        live.some_of_one_size(dataset, 99)


def test_train_live_stops_and_goes_on(shapes, monkeypatch, capsys):
    """A stopped run is saved; the next call ends it; one more shows it only."""
    changes = {"iterations": "40", "batch_size": "2", "image_size": "64"}
    recipe = get_recipe("plain", changes)
    monkeypatch.setattr(live, "ROOT", shapes.parent.parent)
    monkeypatch.setattr(live, "course_recipe", lambda data: recipe)
    examples = [(IMAGE, ROWS)]
    run = live.train_live("shapes", examples, stop_at=20)
    assert "[stopped] 20 of 40" in capsys.readouterr().out
    live.train_live("shapes", examples)
    assert [entry["iteration"] for entry in read_log(run / "log.jsonl")] == [20, 40]
    capsys.readouterr()
    live.train_live("shapes", examples)
    assert "trained before: 40" in capsys.readouterr().out
    live.train_live("shapes", examples, stop_at=20, fresh=True)
    (kept,) = versions(run)  # starting again removes no run
    assert f"kept in runs/{kept.name}" in capsys.readouterr().out
    assert [entry["iteration"] for entry in read_log(kept / "log.jsonl")] == [20, 40]
    assert read_log(run / "log.jsonl")[-1]["iteration"] == 20


class WithoutCandidates(torch.nn.Module):
    """A student's file of an earlier release: losses, and nothing to look at."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))


def test_live_view_of_an_older_file_shows_the_losses(capsys):
    """A file that was edited stays as it is when the course around it is renewed."""
    view = live.LiveView([(IMAGE, ROWS)], 40, 20)
    for step in (1, 20, 40):
        view.add(WithoutCandidates(), {"iteration": step, "loss_cls": 1.0 / step})
    assert len(view.entries) == 3
    assert capsys.readouterr().out.count("has no candidates") == 1


def test_cells_of_an_earlier_notebook_run(shapes, monkeypatch):
    """They gave exercise 5.2 as one more argument, in a copy that a student keeps."""
    view = live.LiveView([(IMAGE, ROWS)], fcos_apply_deltas_to_locations, 40, 20)
    assert (view.total, view.period) == (40, 20)
    changes = {"iterations": "20", "batch_size": "2", "image_size": "64"}
    recipe = get_recipe("plain", changes)
    monkeypatch.setattr(live, "ROOT", shapes.parent.parent)
    monkeypatch.setattr(live, "course_recipe", lambda data: recipe)
    monkeypatch.setattr(live, "run_folder", lambda data: shapes.parent / "earlier")
    examples = [(IMAGE, ROWS)]
    run = live.train_live("shapes", examples, fcos_apply_deltas_to_locations)
    assert [entry["iteration"] for entry in read_log(run / "log.jsonl")] == [20]
