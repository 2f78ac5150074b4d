"""python -m helpers.detect on a few pictures: its files, and its messages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageColor

from core.command import EXIT_OK, EXIT_PARTLY_FAILED
from helpers import detect
from helpers.detect import find_images, output_names
from helpers.show.draw import PALETTE
from tests.small_detector import CONFIG, write_checkpoint
from tests.small_trees import Picture, Thing, paint
from tests.test_evaluate_command import error_of

ROOT = Path(__file__).resolve().parents[1]
PHOTO = Picture("photo", (90, 64), (Thing("cat", (10, 8, 50, 60)),))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with checkpoint.pt."""
    folder = tmp_path_factory.mktemp("run")
    write_checkpoint(folder / "checkpoint.pt")
    return folder


@pytest.fixture
def photos(tmp_path):
    """A folder with pictures of several kinds and sizes, and something else."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    paint(PHOTO).save(folder / "a.jpg")
    paint(PHOTO).resize((40, 120)).save(folder / "more" / "a.JPG")
    paint(PHOTO).convert("L").save(folder / "grey.png")
    (folder / "notes.txt").write_text("not asked for")
    return folder


def words(run, *paths, out):
    """The command's usual arguments."""
    start = [str(path) for path in paths]
    return [*start, "--checkpoint", str(run), "--out", str(out), "--device", "cpu"]


def test_detect_writes_pictures_and_json(run, photos, tmp_path):
    """As a command of its own, on a folder: exit code 0, a picture each, one JSON."""
    out = tmp_path / "new" / "out"
    more = ["--score-threshold", "0.01"]
    done = subprocess.run(
        [sys.executable, "-m", "helpers.detect", *words(run, photos, out=out), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_OK, done.stderr
    entries = json.loads((out / "detections.json").read_text())
    assert [entry["picture"] for entry in entries] == ["a.png", "grey.png", "a-2.png"]
    assert [Path(entry["image"]).name for entry in entries] == [
        "a.jpg",
        "grey.png",
        "a.JPG",
    ]
    sizes = [Image.open(out / entry["picture"]).size for entry in entries]
    assert sizes == [(90, 64), (90, 64), (40, 120)]
    assert sum(len(entry["detections"]) for entry in entries) > 0
    for entry, (width, height) in zip(entries, sizes, strict=True):
        scores = [found["score"] for found in entry["detections"]]
        assert scores == sorted(scores, reverse=True)
        for found in entry["detections"]:
            x1, y1, x2, y2 = found["xyxy"]
            assert 0 <= x1 <= x2 <= width + 0.01  # rounded to two decimals
            assert 0 <= y1 <= y2 <= height + 0.01
            assert found["class"] in ("cat", "dog", "owl")


def test_boxes_are_named_drawn_and_written_in_pixels_of_the_photograph(
    run, tmp_path, monkeypatch
):
    """An owl and a cat, found in a photograph that was shrunk to half; best first."""
    thresholds = []

    def predict(detector, images, score_threshold, nms_threshold):
        thresholds.append((score_threshold, nms_threshold))
        assert [image.shape for image in images] == [(3, 64, 96)]
        boxes = torch.tensor([[40.0, 10, 80, 50], [5, 20, 25, 60]])
        return [(boxes, torch.tensor([2, 0]), torch.tensor([0.75, 0.5]))]

    monkeypatch.setattr(detect, "predict", predict)
    path = tmp_path / "photo.png"
    Image.new("RGB", (192, 128), (90, 90, 90)).save(path)
    line = words(run, path, out=tmp_path / "out")
    assert detect.main(line) == EXIT_OK
    assert detect.main([*line, "--score-threshold", "0", "--nms-threshold", "1"]) == 0
    assert thresholds == [(0.3, CONFIG.nms_threshold), (0, 1)]
    (entry,) = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert entry["detections"] == [
        {"class": "owl", "score": 0.75, "xyxy": [80, 20, 160, 100]},
        {"class": "cat", "score": 0.5, "xyxy": [10, 40, 50, 120]},
    ]
    drawn = Image.open(tmp_path / "out" / "photo.png")
    # A pixel of the lower edge of each box, and one inside.
    assert drawn.getpixel((120, 99)) == ImageColor.getrgb(PALETTE[2])
    assert drawn.getpixel((30, 119)) == ImageColor.getrgb(PALETTE[0])
    assert drawn.getpixel((120, 60)) == (90, 90, 90)


def test_no_detection_is_an_empty_list(run, photos, tmp_path):
    """Nothing is above the threshold of 1: the picture is there, without boxes."""
    more = ["--score-threshold", "1"]
    assert detect.main([*words(run, photos / "a.jpg", out=tmp_path), *more]) == EXIT_OK
    (entry,) = json.loads((tmp_path / "detections.json").read_text())
    assert entry["detections"] == []


def test_unreadable_image_is_named_and_the_rest_done(run, photos, tmp_path, capsys):
    """Exit code 1; the others are detected, and each broken file has its line."""
    (photos / "b.jpg").write_text("no image")
    content = (photos / "a.jpg").read_bytes()
    (photos / "c.jpg").write_bytes(content[: len(content) // 2])
    out = tmp_path / "out"
    assert detect.main(words(run, photos, out=out)) == EXIT_PARTLY_FAILED
    errors = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("error: ")
    ]
    assert len(errors) == 2
    assert "b.jpg is not an image" in errors[0]
    assert "c.jpg cannot be read" in errors[1]
    assert len(json.loads((out / "detections.json").read_text())) == 3
    assert not (out / "b.png").exists()


def test_names_of_pictures_never_collide():
    """Same name in two folders, other case, other suffix, a name that is taken."""
    images = [
        Path("x/a.jpg"),
        Path("y/a.jpg"),
        Path("y/A.png"),
        Path("x/a-2.jpg"),
        Path("b.jpg"),
    ]
    names = list(output_names(images).values())
    assert names[:2] == ["a.png", "a-2.png"]
    assert len({name.lower() for name in names}) == len(images)


def test_an_image_named_twice_is_detected_once(photos):
    """By itself and in its folder."""
    found = find_images([photos / "grey.png", photos])
    assert [path.name for path in found] == ["grey.png", "a.jpg", "a.JPG"]


def test_picture_never_replaces_the_photograph(run, photos, capsys):
    """--out may not be the folder of a PNG that would be overwritten."""
    before = (photos / "grey.png").read_bytes()
    message = error_of(capsys, detect.main, words(run, photos, out=photos))
    assert "grey.png would replace your image" in message
    assert (photos / "grey.png").read_bytes() == before


def test_picture_replaces_no_file_of_somebody(run, photos, tmp_path, capsys):
    """A PNG that nobody named, in the folder of the photograph; its own it renews."""
    (photos / "a.png").write_bytes((photos / "grey.png").read_bytes())
    before = (photos / "a.png").read_bytes()
    message = error_of(capsys, detect.main, words(run, photos / "a.jpg", out=photos))
    assert "a.png would replace" in message and "--out" in message
    assert (photos / "a.png").read_bytes() == before
    out = tmp_path / "out"
    for _ in range(2):
        assert detect.main(words(run, photos / "a.jpg", out=out)) == EXIT_OK


def test_detections_of_another_call_are_kept(run, photos, tmp_path, capsys):
    """Of other images, other thresholds, or of evaluate in the same folder."""
    (tmp_path / "detections.json").write_text("[1]")
    line = words(run, photos / "a.jpg", out=tmp_path)
    assert detect.main(line) == EXIT_OK
    assert detect.main(line) == EXIT_OK  # the same again is no other version
    (kept,) = tmp_path.glob("detections_*.json")
    assert kept.read_text() == "[1]" and kept.name in capsys.readouterr().out


def test_folder_without_images_is_named(run, tmp_path, capsys):
    """An empty folder, or one with other files only."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("hello")
    line = words(run, tmp_path / "texts", out=tmp_path / "out")
    assert "texts holds no image" in error_of(capsys, detect.main, line)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["no/such.jpg"], "there is no image or folder no/such.jpg"),
        (["--checkpoint", "no/such/run"], "there is no checkpoint no/such/run"),
        (["--score-threshold", "-1"], "'-1' is not a number from 0 to 1"),
        (["--nms-threshold", "half"], "'half' is not a number from 0 to 1"),
        (["--device", "tpu"], "'tpu' cannot be used here"),
        (["--wrong"], "unrecognized arguments: --wrong"),
    ],
)
def test_wrong_arguments_are_one_sentence(
    run, photos, tmp_path, capsys, more, expected
):
    """Exit code 2, and the sentence names what is wrong."""
    line = words(run, photos / "a.jpg", out=tmp_path / "out")
    line = [more[0], *line] if len(more) == 1 else [*line, *more]
    assert expected in error_of(capsys, detect.main, line)


def test_out_that_is_a_file_is_refused(run, photos, capsys):
    """And the file stays as it is."""
    line = words(run, photos / "a.jpg", out=photos / "notes.txt")
    assert "give another --out" in error_of(capsys, detect.main, line)
    assert (photos / "notes.txt").read_text() == "not asked for"


def test_truncated_checkpoint_is_named(run, photos, tmp_path, capsys):
    """Nothing is written for it."""
    path = tmp_path / "cut.pt"
    path.write_bytes((run / "checkpoint.pt").read_bytes()[:3000])
    line = words(path, photos / "a.jpg", out=tmp_path / "out")
    assert "cut.pt (3,000 bytes) is truncated" in error_of(capsys, detect.main, line)
