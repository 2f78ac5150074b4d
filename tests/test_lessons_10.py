"""What notebook 10 shows: counts are right, names and shapes are those of others."""

import json
import math
import re
from pathlib import Path

import nbformat
import pytest
import torch
from matplotlib.figure import Figure

from assignment.common import get_fpn_location_coords
from assignment.fcos_matching import (
    fcos_distances_to_edges,
    fcos_is_candidate,
    fcos_size_range_per_level,
)
from assignment.fcos_published import PRESETS, STRIDES, PublishedFCOS
from assignment.published_head import distances_of_output, make_stem, start_stem
from assignment.published_targets import published_locations, size_ranges
from core.backbones.build import build_backbone
from helpers.lessons import (
    five_levels,
    head_start,
    level_ranges,
    listing,
    proposals,
)

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "10_five_levels.ipynb"
PARTS = (get_fpn_location_coords, fcos_distances_to_edges, fcos_is_candidate)
# A detector of 80 classes as Detectron2 prints it: weight of each layer, and its bias.
STEM = [(256, 256, 3, 3), (256,)] * 4  # convolution, norm
PRINTED = {
    "backbone.fpn_lateral3": (256, 512, 1, 1),
    "backbone.fpn_output3": (256, 256, 3, 3),
    "backbone.fpn_lateral4": (256, 1024, 1, 1),
    "backbone.fpn_output4": (256, 256, 3, 3),
    "backbone.fpn_lateral5": (256, 2048, 1, 1),
    "backbone.fpn_output5": (256, 256, 3, 3),
    "backbone.top_block.p6": (256, 256, 3, 3),
    "backbone.top_block.p7": (256, 256, 3, 3),
    **{
        f"head.{subnet}.{place}": shape
        for subnet in ("cls_subnet", "bbox_subnet")
        for place, shape in zip((0, 1, 3, 4, 6, 7, 9, 10), STEM, strict=True)
    },
    "head.cls_score": (80, 256, 3, 3),
    "head.bbox_pred": (4, 256, 3, 3),
    "head.ctrness": (1, 256, 3, 3),
}


class Pictures:
    """Two pictures of 128 x 192 with a box each, the second without one."""

    def __init__(self, *boxes: list[float]):
        self.boxes = boxes

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: int) -> tuple[str, torch.Tensor, torch.Tensor]:
        box = self.boxes[index]
        rows = torch.tensor([[*box, 1.0]] if box else [[-1.0] * 5])
        return "", torch.zeros(3, 128, 192), rows


@pytest.fixture(scope="module")
def published() -> PublishedFCOS:
    """As in the paper of 2019, with the shapes of its layers only."""
    with torch.device("meta"):
        body = build_backbone("resnet50", pretrained=False)
        return PublishedFCOS(80, 256, [256] * 4, body, PRESETS["paper2019"])


def draws(figure: Figure) -> bool:
    """Whether a figure can be drawn."""
    figure.canvas.draw()
    return isinstance(figure, Figure)


def text_of_notebook() -> str:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_every_printed_layer_has_a_name_and_its_shape_here(published: PublishedFCOS):
    """Weights of FPN and head, and a bias for each of their channels."""
    assert list(listing.LISTING) == list(PRINTED)
    state = published.state_dict()
    for theirs, shape in PRINTED.items():
        ours = listing.LISTING[theirs]
        assert tuple(state[f"{ours}.weight"].shape) == shape, theirs
        assert tuple(state[f"{ours}.bias"].shape) == shape[:1], theirs
    for level in ("p6", "p7"):
        assert published.get_submodule(f"backbone.top.{level}").stride == (2, 2)
    for stem in ("stem_cls", "stem_box"):
        layers = list(published.get_submodule(f"pred_net.{stem}").children())
        assert [type(layer).__name__ for layer in layers] == [
            *(["Conv2d", "GroupNorm", "ReLU"] * 4)
        ]
        assert {layer.num_groups for layer in layers[1::3]} == {32}


def test_what_is_only_here_are_the_scales(published: PublishedFCOS):
    """Five numbers, which Detectron2 has not; the table shows them at its end."""
    names = [f"pred_net.scales.{level}" for level in STRIDES]
    assert listing.only_here(published) == names
    table = listing.show_listing(published).data
    assert table.count("\n") == 1 + len(PRINTED) + len(names)
    assert "| `backbone.top.p6` | 3x3, 256 -> 256, stride 2 |" in table
    assert "| `pred_net.stem_box.10` | group norm, 32 groups of 256 |" in table


def test_quoted_points_of_the_start_are_those_of_the_stored_runs():
    """Both rows, and their difference."""
    found = []
    for name, start in (
        ("shapes_plain", "| N(0, 0.01) |"),
        ("shapes_tiny_without_these_four", "| He's |"),
    ):
        path = ROOT / "benchmarks" / "results" / f"quality_{name}.json"
        stored = round(100 * json.loads(path.read_text())["voc_ap50"], 1)
        assert f"{start} {stored:.1f} % |" in text_of_notebook()
        assert f"`{name}`" in text_of_notebook()
        found.append(stored)
    assert f"worth {found[1] - found[0]:.1f} points" in text_of_notebook()


def test_anchors_and_locations_by_hand():
    """The notebook's two pictures; nine boxes of three sizes around a point."""
    assert proposals.count_locations(128, 192) == 384 + 96 + 24 + 6 + 2
    by_hand = 100 * 168 + 50 * 84 + 25 * 42 + 13 * 21 + 7 * 11
    assert proposals.count_anchors(800, 1344) == 9 * by_hand
    anchors = proposals.anchors_at(torch.tensor([[100.0, 60.0]]), 8)
    sides = anchors[:, 2:] - anchors[:, :2]
    areas = [round(area) for area in sides.prod(dim=1).tolist()]
    assert areas == [1024] * 3 + [1625] * 3 + [2580] * 3  # 32, 40.3 and 50.8 squared
    ratios = (sides[:, 1] / sides[:, 0]).tolist()
    assert ratios == pytest.approx([0.5, 1, 2] * 3)
    assert torch.allclose(anchors[:, :2] + anchors[:, 2:], torch.tensor([200.0, 120.0]))
    rows = torch.tensor([[84.0, 44, 116, 76, 1]])
    points = {"p3": torch.tensor([[100.0, 60.0], [500.0, 60.0]])}
    # IoU of the smallest: 1, and twice 724 / 1324 = .55; of the next .63, and twice
    # 912 / 1737 = .53; of the largest .40.
    assert proposals.count_positive(points, rows) == 6


def test_objects_reach_by_hand():
    """100 x 60 pixels, seen 6.25 times as large, are 312.5 from middle to edge."""
    data = Pictures([10.0, 20, 110, 80], [])
    three, five = (
        five_levels.reaches_in_strides(
            data, 9, 6.25, strides, fcos_size_range_per_level
        )
        for strides in (five_levels.THREE, five_levels.FIVE)
    )
    assert three == {"p3": [], "p4": [], "p5": [312.5 / 32]}
    assert five["p6"] == [312.5 / 64] and not five["p5"] and not five["p7"]
    assert (
        five_levels.share_beyond(three) == 100 and five_levels.share_beyond(five) == 0
    )
    assert draws(five_levels.draw_reaches(three, five))


def test_foreground_by_scale_by_hand():
    """A box of 16 x 16 holds 4 locations of p3, 1 of p4; its range decides."""
    data = Pictures([0.0, 0, 16, 16], [])
    counted = level_ranges.foreground_by_scale(data, 2, (1, 0.1), size_ranges, PARTS)
    assert counted[1] == {"p3": 2.0, "p4": 0.0, "p5": 0.0}  # half of 4: two pictures
    # Largest distances: 12 on p3, whose range ends at 6.4; 8 on p4, from 6.4 to 12.8.
    assert counted[0.1] == {"p3": 0.0, "p4": 0.5, "p5": 0.0}
    assert draws(level_ranges.draw_foreground_by_scale(counted))


def test_group_norm_does_not_see_other_images():
    """Batch norm does, the less the more there are."""
    torch.manual_seed(0)
    maps = torch.randn(31, 8, 4, 5) + torch.randn(31, 8, 1, 1)
    norms = head_start.make_norms(8, groups=4)
    few, many = (head_start.norm_changes(maps, norms, size) for size in (2, 16))
    assert few["group norm"] < 1e-6 and many["group norm"] < 1e-6
    assert few["batch norm"] > 1.3 * many["batch norm"] > 0.02
    assert draws(head_start.draw_norms(maps, norms))


def test_deviations_fall_as_the_formula_says():
    """By 0.01 * sqrt(288) a layer of 64 channels; He's stay, and a norm gives 1."""
    torch.manual_seed(0)
    maps, measured = torch.randn(1, 64, 20, 30), {}
    for name, groups in (("small", 0), ("he", 0), ("small", 32)):
        stem = make_stem(64, [64] * 3, groups)
        start_stem(stem, name)
        measured[f"{name} {groups}"] = head_start.deviations(stem, maps)
    small, he, normed = measured.values()
    assert small[3] / small[2] == pytest.approx(0.01 * math.sqrt(288), rel=0.25)
    assert 0.5 < he[3] / he[1] < 2
    assert normed[3] == pytest.approx(1, abs=0.01)
    assert draws(head_start.draw_deviations(measured))


def test_grids_are_those_of_the_text():
    """In torchvision p7 of 800 x 1344 has 114 down, 122 across, its last row at 684."""
    sizes = five_levels.level_sizes(800, 1344)
    assert sizes["p6"] == (13, 21) and sizes["p7"] == (7, 11)
    grids = {
        name: published_locations(
            sizes, STRIDES, (800, 1344), PRESETS[name], torch.zeros(1)
        )
        for name in ("paper2019", "torchvision")
    }
    assert grids["torchvision"]["p7"][[1, -1]].tolist() == [[122, 0], [1220, 684]]
    assert grids["torchvision"]["p7"][11].tolist() == [0, 114]
    # Below the picture, and at its right padded side.
    assert grids["paper2019"]["p7"][-1].tolist() == [1344, 832]
    assert draws(level_ranges.draw_grids(grids, size=(800, 1333)))


def test_pictures_are_drawn():
    """From an image, its boxes, and five maps."""
    image, rows = torch.zeros(3, 128, 192), torch.tensor([[20.0, 10, 180, 120, 2]])
    assert draws(
        five_levels.draw_levels_at_work(image, rows, fcos_size_range_per_level)
    )
    maps = {
        level: torch.randn(1, 4, *size)
        for level, size in five_levels.level_sizes(128, 192).items()
    }
    assert draws(five_levels.draw_five_maps(image, maps))
    assert draws(five_levels.draw_what_relu_takes(maps["p6"]))
    assert draws(proposals.draw_proposals(image, rows, get_fpn_location_coords))
    assert draws(proposals.draw_rider(PARTS, size_ranges(STRIDES, 1.0, math.inf)))
    assert draws(head_start.draw_outputs(distances_of_output))


def test_text_speaks_of_presets_as_they_are():
    """What the notebook says of versions holds in their configs."""
    assert PRESETS["paper2019"].centerness_on == "class"
    assert PRESETS["paper2019"].range_ends == "both"
    for name in ("authors_improved", "detectron2", "torchvision"):
        assert PRESETS[name].centerness_on == "box"
    assert {PRESETS[name].range_ends for name in ("detectron2", "torchvision")} == {
        "none"
    }
    scaled = {name for name, preset in PRESETS.items() if preset.level_scales}
    assert scaled == {"paper2019", "authors_improved", "course"}
    course = PRESETS["course"]
    assert (course.num_levels, course.range_scale) == (3, 1.0)
    assert re.search(r"`course` keeps three levels and scale 1\b", text_of_notebook())
