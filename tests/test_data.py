"""The loader: frames of boxes, crops, padding, difficult objects, bad files."""

import json
import shutil

import numpy as np
import pytest
import torch

from core.command import CourseError
from helpers.data.images import denormalize
from helpers.data.records import continuous_edges
from helpers.data.voc import VOC2007DetectionTiny
from tests.small_trees import CLASSES, GREY, Picture, Thing, write_tree

EMPTY = Picture("000", (120, 80))
# A crop of the middle 80 pixels keeps x from 20 to 100 of these 120 pixels.
WIDE = Picture(
    "001",
    (120, 80),
    (
        Thing("dog", (40, 10, 90, 30)),
        Thing("cat", (0, 20, 25, 60)),  # loses 20 of 25 pixels to the crop
        Thing("owl", (80, 40, 112, 64), difficult=True),
        Thing("cat", (85, 50, 110, 70)),  # loses 10 of 25
    ),
)
HIGH = Picture("002", (60, 100), (Thing("owl", (10, 30, 50, 90)),))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A data folder with three images in both splits."""
    data_dir = tmp_path_factory.mktemp("data")
    write_tree(data_dir, train=[EMPTY, WIDE, HIGH], val=[EMPTY, WIDE, HIGH])
    return data_dir


@pytest.fixture
def own_tree(tmp_path):
    """A tree that one test may damage."""
    root = write_tree(tmp_path, train=[EMPTY, WIDE])
    return tmp_path, root


def test_item_of_an_image_without_boxes_is_padding_only(tree):
    """40 rows of -1; the image is there all the same."""
    path, image, boxes = VOC2007DetectionTiny(tree, image_size=64)[0]
    assert path.endswith("000.jpg")
    assert image.shape == (3, 64, 64)
    assert boxes.shape == (40, 5)
    assert (boxes == -1).all()


def test_item_of_a_training_image_is_the_centre_square(tree):
    """80 of 120 pixels, resized to 160: x -> 2 (x - 20), y -> 2 y."""
    _, image, boxes = VOC2007DetectionTiny(tree, image_size=160)[1]
    assert image.shape == (3, 160, 160)
    assert image.dtype == torch.float32
    assert boxes.dtype == torch.float32
    dog, cat = boxes[:2].tolist()
    assert dog == [40, 20, 140, 60, 1]
    # The other cat kept 15 of its 25 pixels and ends at the border now.
    assert cat == [130, 100, 160, 140, 0]


def test_item_drops_a_box_that_lost_more_than_half_of_its_area(tree):
    """The cat at the left border keeps 5 of 25 pixels, and is gone."""
    _, _, boxes = VOC2007DetectionTiny(tree, image_size=160)[1]
    assert int((boxes[:, 4] >= 0).sum()) == 2


def test_item_has_valid_rows_first_and_then_padding(tree):
    """Rows of -1 start behind the last box."""
    _, _, boxes = VOC2007DetectionTiny(tree, split="val", image_size=160)[1]
    assert (boxes[:3, 4] >= 0).all()
    assert (boxes[3:] == -1).all()


def test_item_of_a_high_image_is_cropped_in_height(tree):
    """60 x 100 pixels: y from 20 to 80 stays; the owl loses a sixth of its area."""
    _, _, boxes = VOC2007DetectionTiny(tree, image_size=120)[2]
    assert boxes[0].tolist() == [20, 20, 100, 120, 2]


@pytest.mark.parametrize(
    ("index", "shape"), [(0, (160, 240)), (1, (160, 240)), (2, (267, 160))]
)
def test_item_of_val_is_the_whole_image(tree, index, shape):
    """The shorter side becomes 160; nothing is cut off."""
    data = VOC2007DetectionTiny(tree, split="val", image_size=160)
    assert data[index][1].shape == (3, *shape)


def test_item_of_val_has_all_boxes_but_difficult_ones(tree):
    """All boxes times the scale; the difficult owl is not among them."""
    data = VOC2007DetectionTiny(tree, split="val", image_size=160)
    assert data.scale(1) == 2
    expected = [[80, 20, 180, 60, 1], [0, 40, 50, 120, 0], [170, 100, 220, 140, 0]]
    assert data[1][2][:3].tolist() == expected


def test_whole_image_can_be_chosen_for_train(tree):
    """whole_image overrules what the split would do."""
    data = VOC2007DetectionTiny(tree, image_size=80, whole_image=True)
    assert data[1][1].shape == (3, 80, 120)


def test_boxes_lie_on_the_pixels_of_the_image(tree):
    """Inside the dog's box the image is green, around it grey, up to a pixel."""
    _, image, boxes = VOC2007DetectionTiny(tree, image_size=160)[1]
    pixels = denormalize(image) * 255
    x1, y1, x2, y2 = (int(side) for side in boxes[0, :4])
    inside = pixels[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean(dim=(1, 2))
    # JPEG changes flat colours by a few of 255 levels
    assert (inside - torch.tensor([30.0, 200, 40])).abs().max() < 12
    for row, column in ((y1 - 3, x1 + 9), (y2 + 2, x1 + 9), (y1 + 9, x1 - 3)):
        assert (pixels[:, row, column] - torch.tensor(GREY)).abs().max() < 30


def test_ground_truth_is_in_pixels_of_the_original_and_has_difficult_objects(tree):
    """Continuous edges: XML number 41 is the edge at 40."""
    truth = VOC2007DetectionTiny(tree, image_size=64).ground_truth(1)
    assert truth.image_id == "001"
    assert truth.size == (80, 120)  # height, width
    assert truth.boxes.tolist() == [list(thing.box) for thing in WIDE.things]
    assert truth.classes.tolist() == [1, 0, 2, 0]
    assert truth.difficult.tolist() == [False, False, True, False]


def test_ground_truth_of_an_image_without_boxes_has_shape_0_4(tree):
    """No box, and still four columns."""
    truth = VOC2007DetectionTiny(tree).ground_truth(0)
    assert truth.boxes.shape == (0, 4)


def test_continuous_edges_move_the_first_corner_only():
    """Pixels 1 to 8 cover the edges 0 to 8; width 8 in both."""
    xml = np.array([[1.0, 1.0, 8.0, 4.0], [11.0, 21.0, 11.0, 30.0]])
    assert continuous_edges(xml).tolist() == [[0, 0, 8, 4], [10, 20, 11, 30]]


def test_classes_are_numbered_in_the_order_of_the_tree(tree):
    """Both tables tell the same."""
    data = VOC2007DetectionTiny(tree)
    assert data.class_names == CLASSES
    assert data.class_to_idx == {"cat": 0, "dog": 1, "owl": 2}
    assert data.idx_to_class == {0: "cat", 1: "dog", 2: "owl"}
    assert len(data) == 3


def test_keep_in_memory_gives_the_same_items(tree):
    """Twice the same image: once read, once remembered."""
    plain = VOC2007DetectionTiny(tree, image_size=64)
    kept = VOC2007DetectionTiny(tree, image_size=64, keep_in_memory=True)
    for _ in range(2):
        assert torch.equal(plain[1][1], kept[1][1])


def write_json(root, data_dir) -> None:
    """The form of the original course, numbers as in the XML."""
    entries = []
    for picture in (EMPTY, WIDE):
        objects = []
        for thing in picture.things:
            x1, y1, x2, y2 = thing.box
            if not thing.difficult:
                xyxy = [x1 + 1, y1 + 1, x2, y2]
                objects.append({"name": thing.name, "xyxy": xyxy})
        entries.append([f"somewhere/{picture.image_id}.jpg", objects])
    (data_dir / "voc07_train.json").write_text(json.dumps(entries))


def test_json_gives_the_same_items_as_xml(own_tree):
    """Both forms of annotation, the same tensors."""
    data_dir, root = own_tree
    from_xml = [VOC2007DetectionTiny(data_dir, image_size=64)[i] for i in range(2)]
    write_json(root, data_dir)
    shutil.rmtree(root / "Annotations")
    data = VOC2007DetectionTiny(data_dir, image_size=64)
    assert len(data) == 2
    for i, (path, image, boxes) in enumerate(from_xml):
        assert data[i][0] == path
        assert torch.equal(data[i][1], image)
        assert torch.equal(data[i][2], boxes)


@pytest.mark.parametrize(
    "text",
    [
        "[[",
        "{}x",
        '[["a.jpg"]]',
        '[["a.jpg", [{"name": "cat"}]]]',
        '[["a.jpg", [{"name": "cat", "xyxy": ["a", "b", "c", "d"]}]]]',
        json.dumps([["a.jpg", [{"name": "cat", "xyxy": [1, 2]}] * 2]]),
        "7",
        "[7]",
    ],
)
def test_broken_json_is_named(own_tree, text):
    """The message names the file and how to make it again."""
    data_dir, root = own_tree
    shutil.rmtree(root / "Annotations")
    (data_dir / "voc07_train.json").write_text(text)
    with pytest.raises(CourseError, match=r"voc07_train\.json.*prepare_annotations"):
        VOC2007DetectionTiny(data_dir)


def test_unknown_class_is_named_with_its_file(own_tree):
    """The message has the file, the class, and the classes that are known."""
    data_dir, root = own_tree
    (root / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(CourseError, match=r"001\.xml.*'owl'.*cat, dog"):
        VOC2007DetectionTiny(data_dir)


def test_missing_image_is_named(own_tree):
    """Found out when the image is asked for."""
    data_dir, root = own_tree
    (root / "JPEGImages" / "001.jpg").unlink()
    data = VOC2007DetectionTiny(data_dir)
    with pytest.raises(CourseError, match=r"001\.jpg"):
        data[1]


@pytest.mark.parametrize("content", ["half", "empty", "text"])
def test_unreadable_image_is_named(own_tree, content):
    """A download that broke off, an empty file, and a web page named .jpg."""
    data_dir, root = own_tree
    path = root / "JPEGImages" / "001.jpg"
    whole = path.read_bytes()
    broken = {"half": whole[: len(whole) // 2], "empty": b"", "text": b"<html>"}
    path.write_bytes(broken[content])
    data = VOC2007DetectionTiny(data_dir)
    with pytest.raises(CourseError, match=r"001\.jpg (cannot be read|is not an image)"):
        data[1]


def test_missing_split_lists_those_that_exist(own_tree):
    """A typing mistake in the split's name."""
    data_dir, _ = own_tree
    with pytest.raises(CourseError, match=r"'trian'.*train"):
        VOC2007DetectionTiny(data_dir, split="trian")


def test_missing_folder_is_named(tmp_path):
    """The message says how to get data."""
    with pytest.raises(CourseError, match=r"nowhere.*make_shapes"):
        VOC2007DetectionTiny(tmp_path / "nowhere")


def test_more_than_40_boxes_need_more_rows(tmp_path):
    """45 boxes get 45 rows in every item of the data set, so that batches stack."""
    many = tuple(Thing("cat", (2 * i, 4, 2 * i + 2, 40)) for i in range(5, 50))
    write_tree(tmp_path, train=[EMPTY, Picture("009", (120, 80), many)])
    data = VOC2007DetectionTiny(tmp_path, whole_image=True, image_size=80)
    assert data[0][2].shape == data[1][2].shape == (45, 5)
    assert int((data[1][2][:, 4] == 0).sum()) == 45
