"""The summary of a data set: counts by hand, and pictures that show something."""

import pytest
from PIL import Image

from core.command import run_command
from helpers.data.voc import VOC2007DetectionTiny
from helpers.data_summary import draw_batch, main, summarize, summary_table
from tests.small_trees import Picture, Thing, write_tree

# At 112 px the images of 120 x 80 are enlarged 1.4 times, the one of 60 x 100
# 1.8667 times. Longer sides: 70, 56 | 168, 130.67 | 67.2.
PICTURES = [
    Picture("000", (120, 80)),
    Picture(
        "001",
        (120, 80),
        (Thing("dog", (40, 10, 90, 30)), Thing("cat", (0, 20, 25, 60), difficult=True)),
    ),
    Picture(
        "002",
        (60, 100),
        (Thing("cat", (5, 5, 55, 95)), Thing("cat", (2, 10, 52, 80))),
    ),
    Picture("003", (120, 80), (Thing("owl", (40, 10, 60, 58)),)),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Four images; the first is empty."""
    data_dir = tmp_path_factory.mktemp("summary")
    write_tree(data_dir, train=PICTURES, val=PICTURES[:1])
    (data_dir / "VOCdevkit/VOC2007/ImageSets/Main/none.txt").write_text("")
    return data_dir


def test_summary_counts_objects_and_images(tree):
    """Easy and difficult objects of cat, dog, owl, and images that show them."""
    summary = summarize(VOC2007DetectionTiny(tree, image_size=112))
    assert summary.easy.tolist() == [2, 1, 1]
    assert summary.difficult.tolist() == [1, 0, 0]
    assert summary.images_with.tolist() == [2, 1, 1]
    assert summary.empty_images == 1
    assert dict(summary.image_sizes) == {(120, 80): 3, (60, 100): 1}


def test_summary_sorts_objects_into_levels_at_the_model_size(tree):
    """Longer sides up to 128 px are for p3, up to 256 for p4, the rest for p5."""
    summary = summarize(VOC2007DetectionTiny(tree, image_size=112))
    sides = sorted(summary.longer_sides.tolist())
    assert sides == pytest.approx([56, 67.2, 70, 392 / 3, 168])
    assert summary.boxes_per_level == {"p3": 3, "p4": 2, "p5": 0}
    twice = summarize(VOC2007DetectionTiny(tree, image_size=224))
    assert twice.boxes_per_level == {"p3": 1, "p4": 2, "p5": 2}


def test_summary_of_images_without_objects(tree):
    """Zero everywhere, and nothing is divided by it."""
    summary = summarize(VOC2007DetectionTiny(tree, split="val"))
    assert summary.boxes_per_level == {"p3": 0, "p4": 0, "p5": 0}
    assert "images without any object: 1" in summary_table(summary)


def test_table_has_a_row_for_each_class(tree):
    """Class, objects, difficult, images."""
    table = summary_table(summarize(VOC2007DetectionTiny(tree, image_size=112)))
    rows = [line.split() for line in table.splitlines()]
    assert rows[1] == ["cat", "2", "1", "2"]
    assert rows[4] == ["all", "4", "1", "4"]
    assert "120 x 80 (3 images)" in table


def test_batch_picture_shows_the_boxes(tree):
    """The frame of the dog has its colour; there are as many cells as images."""
    sheet = draw_batch(VOC2007DetectionTiny(tree, image_size=224), count=2)
    assert sheet.width > 2 * 224
    assert sheet.height < 2 * 224
    four = draw_batch(VOC2007DetectionTiny(tree, image_size=224))
    assert four.getcolors(10**7) != sheet.getcolors(10**7)


@pytest.mark.parametrize(("split", "code"), [("train", 0), ("val", 1)])
def test_command_prints_the_table_and_writes_two_pictures(
    tree, tmp_path, capsys, split, code
):
    """Also for a split whose images are all empty, but that is said then."""
    line = ["--data-dir", str(tree), "--split", split, "--out", str(tmp_path / "out")]
    assert main(line) == code
    said = capsys.readouterr()
    assert "difficult" in said.out
    assert ("error: the split 'val' in" in said.err) is (code == 1)
    for name in ("summary.png", "batch.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 200
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "batch.png",
        "summary.png",
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--data-dir", "nowhere"], "nowhere"),
        (["--split", "trian"], "'trian'"),
        (["--split", "none"], "lists no images"),
        (["--image-size", "0"], "--image-size"),
        (["--image-size", "big"], "--image-size"),
    ],
)
def test_wrong_argument_is_one_sentence(tree, tmp_path, capsys, change, named):
    """Exit code 2, no traceback."""
    line = ["--data-dir", str(tree), "--out", str(tmp_path / "out"), *change]
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: main(line))
    assert stopped.value.code == 2
    assert named in capsys.readouterr().err.splitlines()[-1]


def test_out_that_is_a_file_is_named(tree, tmp_path, capsys):
    """The pictures need a folder."""
    (tmp_path / "notes.txt").write_text("mine")
    line = ["--data-dir", str(tree), "--out", str(tmp_path / "notes.txt")]
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: main(line))
    assert stopped.value.code == 2
    assert "notes.txt" in capsys.readouterr().err.splitlines()[-1]
