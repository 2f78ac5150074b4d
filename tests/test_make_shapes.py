"""The shapes data set."""

import hashlib
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.command import CourseError
from data_scripts import make_shapes as module
from data_scripts.make_shapes import make_shapes
from data_scripts.shape_outlines import bounds, clipped, outline
from data_scripts.shape_painting import paint_scene
from data_scripts.shape_scenes import Scene, draw_scene
from data_scripts.tree_check import check_tree
from data_scripts.voc_format import (
    SHAPES_CLASSES,
    find_voc_root,
    read_annotation,
    read_class_names,
    read_split,
)

# sha256 of the annotations of 6 + 2 images, seed 0. It changes only with the drawing;
# then raise DRAWING_VERSION too.
GOLDEN = "2afb7c25b7c4f66e256628c994a8186428c7448b9bd4359b3703fcef9592d4d4"


def annotations(out: Path) -> dict[str, bytes]:
    folder = find_voc_root(out) / "Annotations"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("shapes") / "small"
    make_shapes(out, train=6, val=2, seed=0)
    return out


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(Random(f"test/{index}")) for index in range(600)]


def test_make_shapes_draws_the_same_annotations_everywhere(small):
    """Seed 0 gives these annotations on every machine, byte for byte."""
    joined = b"".join(annotations(small).values())
    assert hashlib.sha256(joined).hexdigest() == GOLDEN


def test_make_shapes_image_does_not_depend_on_the_count(tmp_path, small):
    """Image 1 is the same in a small set and in a large one; another seed differs."""
    make_shapes(tmp_path / "two", train=2, val=1, seed=0)
    make_shapes(tmp_path / "other", train=2, val=1, seed=1)
    few, many = annotations(tmp_path / "two"), annotations(small)
    assert few == {name: many[name] for name in few}
    assert few != annotations(tmp_path / "other")
    image = "JPEGImages/train_00001.jpg"
    one, two = (find_voc_root(out) / image for out in (small, tmp_path / "two"))
    assert one.read_bytes() == two.read_bytes()


def test_make_shapes_writes_a_voc_tree_without_findings(tmp_path):
    """The tree passes the course's own check: images, sizes, classes, boxes, lists."""
    make_shapes(tmp_path / "out", train=50, val=10, seed=3)
    root = find_voc_root(tmp_path / "out")
    report = check_tree(root)
    assert report.findings == [] and len(report.images) == 60 and report.unlisted == 0
    assert read_class_names(root) == SHAPES_CLASSES
    train, val = read_split(root, "train"), read_split(root, "val")
    assert (len(train), len(val)) == (50, 10)
    assert read_split(root, "trainval") == train + val


def test_scenes_hold_what_a_detector_must_cope_with(scenes):
    """Empty images, every class and level, borders, overlaps, difficult, non-square."""
    shapes = [shape for scene in scenes for shape in scene.shapes]
    assert {shape.name for shape in shapes} == set(SHAPES_CLASSES)
    empty = sum(not scene.shapes for scene in scenes) / len(scenes)
    assert 0.02 < empty < 0.09
    assert max(len(scene.shapes) for scene in scenes) == 5
    sides = np.array(
        [max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in (shape.box for shape in shapes)]
    )
    assert (sides < 64).mean() > 0.5 and (sides > 64).mean() > 0.15
    assert 0.005 < (sides > 128).mean() < 0.08
    assert 0.01 < np.mean([shape.difficult for shape in shapes]) < 0.06
    assert any(shape.faint for shape in shapes)
    assert 0.1 < np.mean([shape.truncated for shape in shapes]) < 0.3
    assert sum(scene.width != scene.height for scene in scenes) > 0.9 * len(scenes)
    assert {min(scene.width, scene.height) for scene in scenes} == {128}
    assert any(_overlap(scene) for scene in scenes)


def _overlap(scene: Scene) -> bool:
    boxes = [shape.box for shape in scene.shapes]
    return any(
        min(one[2], two[2]) > max(one[0], two[0])
        and min(one[3], two[3]) > max(one[1], two[1])
        for index, one in enumerate(boxes)
        for two in boxes[index + 1 :]
    )


def test_scene_boxes_enclose_the_visible_outline(scenes):
    """Each box is that of the outline's pixels inside the image, to a quarter pixel."""
    scale = 4
    for scene in scenes[:60]:
        for shape in scene.shapes:
            x1, y1, x2, y2 = shape.box
            assert 0 <= x1 < x2 <= scene.width and 0 <= y1 < y2 <= scene.height
            mask = Image.new("1", (scene.width * scale, scene.height * scale))
            points = [(scale * x - 0.5, scale * y - 0.5) for x, y in shape.polygon]
            ImageDraw.Draw(mask).polygon(points, fill=1)
            found = np.array(mask.getbbox()) / scale
            # Up to a pixel for rounding outwards, a quarter for the raster.
            slack = (found - shape.box) * (1, 1, -1, -1)
            assert slack.min() >= -0.5 and slack.max() <= 1.5, (shape.name, found)


def test_scene_truncated_shapes_touch_the_border(scenes):
    """A truncated object's box ends at the border of the image."""
    for scene in scenes:
        for shape in scene.shapes:
            x1, y1, x2, y2 = shape.box
            at_border = x1 == 0 or y1 == 0 or x2 == scene.width or y2 == scene.height
            assert at_border == shape.truncated or not shape.truncated


def test_paint_scene_shows_the_shapes_where_the_boxes_are(scenes):
    """Pixels change inside the boxes (and a shadow beside them), nowhere else."""
    for index, scene in enumerate(scenes[:20]):
        bare = Scene(scene.width, scene.height, ())
        before = np.asarray(paint_scene(bare, Random(index)), np.int16)
        after = np.asarray(paint_scene(scene, Random(index)), np.int16)
        assert after.shape == (scene.height, scene.width, 3)
        changed = np.abs(after - before).max(axis=2) > 0
        allowed = np.zeros_like(changed)
        for shape in scene.shapes:
            x1, y1, x2, y2 = (int(edge) for edge in shape.box)
            allowed[max(y1 - 1, 0) : y2 + 4, max(x1 - 1, 0) : x2 + 4] = True
            assert shape.faint or changed[y1:y2, x1:x2].mean() > 0.2
        assert not (changed & ~allowed).any()


def test_outline_fills_a_box_of_the_wanted_length():
    """The longer side is as asked for and the box starts at (0, 0)."""
    for name in SHAPES_CLASSES:
        x1, y1, x2, y2 = bounds(outline(name, ratio=0.7, angle=0.2, longer_px=50))
        assert (x1, y1) == pytest.approx((0, 0), abs=1e-9)
        assert max(x2, y2) == pytest.approx(50)


def test_clipped_cuts_a_triangle_by_hand():
    """A triangle with its tip outside becomes a trapezoid, narrower at the top."""
    triangle = [(10.0, -10.0), (20.0, 10.0), (0.0, 10.0)]
    assert bounds(clipped(triangle, 40, 30)) == (0, 0, 20, 10)
    assert bounds(clipped(triangle, 40, 5)) == (2.5, 0, 17.5, 5)
    assert clipped(triangle, 40, -20) == []


def test_make_shapes_reuses_only_the_same_data(small, tmp_path):
    """The same arguments find the folder done; others never overwrite it."""
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert make_shapes(small, train=6, val=2, seed=0) is False
    with pytest.raises(CourseError, match="not the shapes data of these arguments"):
        make_shapes(small, train=7, val=2, seed=0)
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(CourseError, match="give another --out"):
        make_shapes(tmp_path, train=1, val=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_make_shapes_leaves_nothing_half_done(tmp_path, monkeypatch):
    """A run that breaks off leaves no folder, and the next one makes it whole."""
    write_image = module.write_image

    def breaks(root, split, index, seed):
        if index == 2:
            raise KeyboardInterrupt
        return write_image(root, split, index, seed)

    monkeypatch.setattr(module, "write_image", breaks)
    with pytest.raises(KeyboardInterrupt):
        make_shapes(tmp_path / "out", train=4, val=1)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".out.partial" / "left_by_kill").mkdir(parents=True)
    monkeypatch.setattr(module, "write_image", write_image)
    assert make_shapes(tmp_path / "out", train=4, val=1) is True
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert check_tree(find_voc_root(tmp_path / "out")).findings == []
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert sorted(names) == ["VOCdevkit", "shapes.json"]


def test_make_shapes_command_ends_a_wrong_call_with_one_sentence(
    tmp_path, monkeypatch, capsys
):
    """No images, or no folder to write to: exit code 2 and a sentence."""
    monkeypatch.setattr("sys.argv", ["make_shapes", "--out", "x", "--train", "0"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 2
    assert "--train must be between 1 and" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot write"):
        make_shapes(tmp_path / "file" / "out", train=1, val=1)


def test_make_shapes_difficult_objects_reach_the_xml(small, scenes):
    """What the scene calls difficult or truncated stands in the annotation."""
    for image_id in read_split(find_voc_root(small), "train"):
        index = int(image_id.split("_")[1])
        scene = draw_scene(Random(f"0/train/{index}/layout"))
        found = read_annotation(
            find_voc_root(small) / "Annotations" / f"{image_id}.xml"
        )
        assert len(found.objects) == len(scene.shapes)
        for item, shape in zip(found.objects, scene.shapes, strict=True):
            x1, y1, x2, y2 = shape.box
            assert item.xyxy == (x1 + 1, y1 + 1, x2, y2)
            flags = (shape.difficult, shape.truncated)
            assert (item.difficult, item.truncated) == flags
