"""What the notebooks show: numbers are right, pictures are drawn, texts are escaped."""

import io
from pathlib import Path

import ipywidgets
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torchvision.ops import FeaturePyramidNetwork, box_iou

from core.backbones.tiny import TinyBackbone
from core.command import CourseError
from data_scripts.make_shapes import make_shapes
from helpers.data.voc import VOC2007DetectionTiny
from helpers.lessons import (
    basics,
    boxes,
    head,
    locations,
    matching,
    matching_counts,
    overview,
    pyramid,
    recorded,
    sliders,
)
from helpers.show import style
from tests.small_trees import Picture, write_tree

STRIDES = {"p3": 8, "p4": 16, "p5": 32}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    """A few drawn pictures."""
    folder = tmp_path_factory.mktemp("lessons") / "shapes"
    make_shapes(folder, train=3, val=5)
    return folder


@pytest.fixture(scope="module")
def train(shapes: Path) -> VOC2007DetectionTiny:
    return VOC2007DetectionTiny(shapes, "train", image_size=128, whole_image=True)


def grid(image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Locations by a loop."""
    found = {}
    for level, stride in STRIDES.items():
        rows, columns = -(-image.shape[1] // stride), -(-image.shape[2] // stride)
        found[level] = torch.tensor(
            [
                [stride * (column + 0.5), stride * (row + 0.5)]
                for row in range(rows)
                for column in range(columns)
            ]
        )
    return found


def distances(points: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """l, t, r, b by a loop."""
    rows = [
        [[x - a, y - b, c - x, d - y] for a, b, c, d in frames.tolist()]
        for x, y in points.tolist()
    ]
    return torch.tensor(rows).reshape(len(points), len(frames), 4)


def draws(figure: Figure) -> bool:
    """Whether a figure can be drawn."""
    figure.canvas.draw()
    return isinstance(figure, Figure)


def test_exercise_is_found_by_its_number():
    """File, line and docstring, without the body."""
    path, line, source = basics.find_exercise("3.2")
    assert path.name == "fcos_head.py"
    assert path.read_text().splitlines()[line - 1].strip().startswith("def forward(")
    assert source.startswith("def forward(") and source.endswith('"""')
    assert "assignment/fcos_head.py" in basics.open_exercise("3.2").data
    with pytest.raises(CourseError, match=r"no exercise 9\.9"):
        basics.find_exercise("9.9")


def test_unknown_data_set_is_refused():
    """With the names that exist."""
    with pytest.raises(CourseError, match="shapes or voc2007"):
        basics.open_data("coco")


def test_photographs_are_fetched_where_they_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Once: the second time they are there."""
    fetched = []

    def download(out: Path) -> None:
        fetched.append(out)
        write_tree(out, train=[Picture("a", (90, 120))], val=[Picture("b", (90, 120))])

    monkeypatch.setattr(basics.download_voc2007, "download", download)
    monkeypatch.setattr(basics, "ROOT", tmp_path)
    for _ in range(2):
        train, val = basics.open_data("voc2007", image_size=64)
        assert (len(train), len(val)) == (1, 1)
    assert fetched == [tmp_path / "data" / "voc2007"]


def test_slider_falls_back_to_stills(monkeypatch: pytest.MonkeyPatch):
    """Without widgets each still is drawn; pictures stand side by side."""
    shown: list = []
    monkeypatch.setattr(sliders, "display", shown.append)
    sliders.slide(lambda x: f"picture {x}", [{"x": 1}, {"x": 2}], plain=True, x=(0, 9))
    assert shown == ["picture 1", "picture 2"]
    small = Image.new("RGB", (10, 20))
    sliders.slide(lambda x: small, [{"x": 1}, {"x": 2}], plain=True, x=(0, 9))
    assert shown[2].width > 20


def test_slider_shows_one_control_for_each_range(monkeypatch: pytest.MonkeyPatch):
    """With widgets: a slider for numbers, a menu for choices, at the first still."""
    shown: list = []
    monkeypatch.setattr(sliders, "_show", lambda box, page: shown.append(box))
    monkeypatch.delenv(sliders.SWITCH, raising=False)
    sliders.slide(
        draw_width,
        [{"x": 3, "level": "p4"}],
        x=(0, 9, 1),
        level=["p3", "p4"],
    )
    x, level, mistake, picture = shown[-1].children
    assert [control.value for control in (x, level, mistake)] == [3, "p4", ""]
    assert [control.description for control in (x, level)] == ["x", "level"]
    assert width_of(picture) == 34
    x.value, level.value = 9, "p3"
    assert width_of(picture) == 93
    x.value = 0
    assert mistake.value == "ValueError: nothing at p3"
    x.value = 1
    assert (mistake.value, width_of(picture)) == ("", 13)


def test_slider_has_stills_for_whoever_only_looks(monkeypatch: pytest.MonkeyPatch):
    """One output with both: sliders, and the stills as a page shows them."""
    shown: list = []
    monkeypatch.setattr(
        sliders, "display", lambda bundle, raw: shown.append((bundle, raw))
    )
    monkeypatch.delenv(sliders.SWITCH, raising=False)
    stills = [{"x": 3, "level": "p4"}, {"x": 5, "level": "p4"}]
    sliders.slide(draw_width, stills, x=(0, 9, 1), level=["p3", "p4"])
    ((bundle, raw),) = shown
    assert raw and "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"].count("data:image/png;base64,") == 1  # side by side
    figures = [{"x": 1}, {"x": 2}, {"x": 3}]
    sliders.slide(lambda x: style.make_figure()[0], figures, x=(0, 9, 1))
    assert shown[-1][0]["text/html"].count("data:image/png;base64,") == 3


def draw_width(x: int, level: str) -> Image.Image:
    """A picture whose width says what was chosen."""
    if x == 0:
        raise ValueError(f"nothing at {level}")
    return Image.new("RGB", (10 * x + int(level[1]), 10))


def width_of(picture: ipywidgets.Image) -> int:
    with Image.open(io.BytesIO(picture.value)) as image:
        return image.width


def test_slider_shows_figures_without_an_output_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
):
    """widgets.Output makes commands that run notebooks wait for ever, now and then."""
    shown: list = []
    monkeypatch.setattr(sliders, "_show", lambda box, page: shown.append(box))
    monkeypatch.delenv(sliders.SWITCH, raising=False)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an Output is made")

    monkeypatch.setattr(ipywidgets.Output, "__init__", refuse)

    def draw_beside(distance: float) -> Figure:
        figure, _ = style.make_figure(width=2.0)
        figure.text(distance, 0.5, "a line of text")  # in widths of the figure
        return figure

    sliders.slide(draw_beside, [{"distance": 2.0}], distance=(0.0, 2.0, 1.0))
    distance, _, picture = shown[-1].children
    assert width_of(picture) > 2 * 2.0 * style.DPI  # the text is not cut off
    distance.value = 0.0
    assert width_of(picture) < 2 * 2.0 * style.DPI


def test_level_sizes_round_up():
    """150 x 211 at stride 16 is 9.4 x 13.2 cells: 10 x 14."""
    assert overview.level_sizes(150, 211) == {
        "p3": (19, 27),
        "p4": (10, 14),
        "p5": (5, 7),
    }


def test_boxes_are_drawn(train: VOC2007DetectionTiny):
    """Truth, pixels, overlap, IoU."""
    assert isinstance(boxes.draw_truth(train, [0, 1]), Image.Image)
    assert draws(boxes.draw_corner_of_pixels((2, 2, 5, 3), (1, 1, 5, 3)))
    assert draws(boxes.draw_resized(train, 0))
    assert draws(boxes.draw_overlap([0, 0, 9, 9], [20, 20, 30, 25]))
    assert draws(boxes.draw_overlap([0, 0, 9, 9], [5, 5, 30, 25], 0.25))
    assert draws(boxes.draw_iou_landscape(box_iou, [15, 10, 45, 25]))


def test_recorded_detections_belong_to_the_drawn_pictures(
    shapes: Path, monkeypatch: pytest.MonkeyPatch
):
    """The right detector's best box is on an object; the transposed one's is not."""
    monkeypatch.setattr(recorded, "ROOT", shapes)
    monkeypatch.setattr(recorded, "SHAPES_DIR", Path())
    val = VOC2007DetectionTiny(shapes, "val")
    truth = torch.from_numpy(val.ground_truth(0).boxes)
    best = {}
    for detector in recorded.DETECTORS:
        found = recorded.recorded_detections(detector)[0]
        assert found.image_id == Path(val[0][0]).stem
        frames = torch.tensor(found.boxes, dtype=truth.dtype)
        best[detector] = float(box_iou(frames[:1], truth).max())
    assert best["right"] > 0.8 > 0.3 > best["transposed"]
    assert draws(recorded.draw_right_and_transposed(0))
    assert isinstance(recorded.draw_sheet(pictures=2), Image.Image)
    found = recorded.recorded_detections("right")[0]
    assert draws(boxes.draw_judged(box_iou, found, truth))
    with pytest.raises(CourseError, match="right, transposed"):
        recorded.recorded_detections("upside down")


def test_cell_of_a_map_sees_only_its_surroundings(train: VOC2007DetectionTiny):
    """What a cell of c3 looks at is brightest near its own place."""
    image = train[0][1]
    seen = pyramid.seen_pixels(TinyBackbone().eval(), image, "c3")
    assert seen.shape == image.shape[1:]
    assert float(seen.max()) == 1.0
    y, x = divmod(int(seen.argmax()), seen.shape[1])
    assert abs(y - seen.shape[0] / 2) < 32 and abs(x - seen.shape[1] / 2) < 32


def test_pyramid_is_drawn(train: VOC2007DetectionTiny):
    """Maps, strides, upsampling, and who notices a change."""
    image, backbone = train[0][1], TinyBackbone().eval()
    features = backbone(image[None])
    assert draws(pyramid.draw_maps(image, features))
    assert draws(pyramid.draw_seen(backbone, image))
    assert draws(pyramid.draw_strides(image))
    assert draws(pyramid.draw_upsampling(pyramid.upsample_example))
    network = FeaturePyramidNetwork([64, 96, 128], 8)

    def merge(maps: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {f"p{name[1]}": level_map for name, level_map in network(maps).items()}

    assert draws(pyramid.draw_influence(merge, features))


def test_head_is_drawn(train: VOC2007DetectionTiny):
    """One location, independent classes, cells, the start."""
    _, image, rows = train[0]
    names = train.class_names
    assert draws(head.draw_one_location(image, rows[0], (70.0, 70.0), names))
    assert draws(head.draw_softmax_and_sigmoid({"a": 3.0, "b": -1.0}))
    assert draws(head.draw_same_in_cells(image, [rows[0], rows[1]], [32, 8]))
    assert draws(head.draw_start(torch.full((5, 7), 0.01), 0.998))
    levels = head.given_pyramid(TinyBackbone().eval(), image[None], channels=4)
    assert {
        level: tuple(level_map.shape[1:]) for level, level_map in levels.items()
    } == {
        level: (4, *size)
        for level, size in overview.level_sizes(*image.shape[1:]).items()
    }


def test_small_image_is_not_square_and_in_range(train: VOC2007DetectionTiny):
    """It goes through a head with three channels."""
    small = head.small_image(train[0][1])
    assert small.shape == (1, 3, 32, 48)
    assert 0 <= float(small.min()) < float(small.max()) <= 1
    flat = small.permute(0, 2, 3, 1).reshape(1, -1, 3)
    assert draws(head.draw_flattening(small, flat))


def test_locations_are_drawn(train: VOC2007DetectionTiny):
    """Cells, points, and the swapped order."""
    image = train[0][1]
    points = grid(image)
    assert draws(locations.draw_cells((2, 3), 8, (0, 1)))
    assert draws(locations.draw_locations(image, points))
    assert draws(locations.draw_swapped(image, points["p4"]))
    assert draws(locations.draw_square_is_blind())


def test_box_numbers_name_the_row_of_each_location():
    """Two equal boxes: the first; background and padding: -1."""
    gt_boxes = torch.tensor([[1.0, 2, 9, 8, 3], [1, 2, 9, 8, 3], [-1, -1, -1, -1, -1]])
    matched = torch.tensor([[1.0, 2, 9, 8, 3], [-1, -1, -1, -1, -1]])
    assert matching.box_numbers(matched, gt_boxes).tolist() == [0, -1]


def test_matching_is_drawn(train: VOC2007DetectionTiny):
    """Distances, candidates, nested boxes, and who got what."""
    _, image, rows = train[2]
    points = grid(image)
    ranges = {"p3": (0.0, 64.0), "p4": (64.0, 128.0), "p5": (128.0, float("inf"))}
    names = train.class_names

    def candidates(ltrb: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
        most = ltrb.max(dim=2).values
        return (ltrb.min(dim=2).values > 0) & (limits[0] < most) & (most <= limits[1])

    assert draws(matching.draw_distances(distances, image, rows[0], 30, 100))
    assert draws(
        matching.draw_candidates(
            distances, candidates, image, rows[0], locations=points, ranges=ranges
        )
    )
    first = torch.zeros(len(points["p3"]), dtype=torch.int64)
    assert draws(matching.draw_nested(lambda inside, areas: first, points["p3"]))
    matched = {
        level: rows[:1].expand(len(centers), 5) for level, centers in points.items()
    }
    assert draws(matching.draw_matches(image, rows, points, matched, names))
    for row in (0, 99):
        assert draws(
            matching.draw_one_match(
                image, points, matched, names, level="p5", row=row, column=row
            )
        )


def test_counts_by_hand():
    """One image of 16 x 24 with two boxes: 6 cells of p3, 2 of p4, 1 of p5."""
    image = torch.zeros(3, 16, 24)
    frames = torch.tensor([[0.0, 0, 16, 16, 1], [0, 0, 8, 8, 2], [-1, -1, -1, -1, -1]])

    class OneImage:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> tuple:
            return "", image, frames

    def get_locations(shapes: dict, strides: dict) -> dict[str, torch.Tensor]:
        assert shapes["p3"][2:] == (2, 3) and strides == STRIDES
        return grid(image)

    def match(points: dict, strides: dict, rows: torch.Tensor) -> dict:
        background = torch.full((1, 5), -1.0)
        return {
            level: torch.cat([rows[:1], background.expand(len(centers) - 1, 5)])
            for level, centers in points.items()
        }

    assert matching_counts.count_matches(OneImage(), 5, get_locations, match) == {
        "foreground of p3": 1,
        "foreground of p4": 1,
        "foreground of p5": 1,
        "background": 6,
        "boxes": 2,
        "boxes without a location": 1,
    }

    def inside(ltrb: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
        return (ltrb.min(dim=2).values > 0) & (ltrb.max(dim=2).values <= limits[1])

    ranges = {"p3": (0.0, 5.0), "p4": (0.0, 0.0), "p5": (0.0, 0.0)}
    shares = matching_counts.count_ambiguous(
        OneImage(), 5, get_locations, distances, inside, ranges=ranges
    )
    # p3: (4,4) in both, (12,4), (4,12), (12,12) in one; p4: (8,8) in one; p5: none
    assert list(shares.values()) == [1 / 5, 0.0]


def test_points_keep_their_places_on_an_image(train: VOC2007DetectionTiny):
    """An image is drawn from edge to edge: x from 0 to W, y down to H."""
    figure, (axes,) = style.make_figure()
    image = train[0][1]
    style.show_image(axes, image)
    assert axes.get_xlim() == (0, image.shape[2])
    assert axes.get_ylim() == (image.shape[1], 0)
    assert draws(figure)


def test_machine_is_measured():
    """Some images per second."""
    assert overview.images_per_second() > 0
    assert draws(overview.draw_pipeline(torch.zeros(3, 128, 176), 7))
