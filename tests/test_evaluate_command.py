"""python -m helpers.evaluate on a small drawn tree: its files, and its messages."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.command import EXIT_USAGE, run_command
from helpers import evaluate
from helpers.data.voc import VOC2007DetectionTiny
from helpers.evaluate import batches_of_one_size
from helpers.evaluation.box_shift import median_box_shift
from helpers.evaluation.coco_ap import evaluate_coco
from helpers.evaluation.report import class_table, metrics_dict, percent, summary_lines
from helpers.evaluation.voc_ap import evaluate_voc
from tests.made_detections import found, truth
from tests.small_detector import CONFIG, write_checkpoint
from tests.small_trees import Picture, Thing, write_tree

ROOT = Path(__file__).resolve().parents[1]
PICTURES = [
    Picture("empty", (90, 64)),
    Picture("one", (64, 80), (Thing("cat", (10, 8, 50, 70)),)),
    Picture(
        "two",
        (90, 64),
        (Thing("owl", (3, 5, 40, 30)), Thing("dog", (40, 20, 88, 62), difficult=True)),
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data/ (val, none) and run/checkpoint.pt."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_tree(folder / "data", val=PICTURES, none=[], bare=PICTURES[:1])
    write_checkpoint(folder / "run" / "checkpoint.pt")
    return folder


def arguments(place, *more, checkpoint="run"):
    """The command's usual arguments."""
    start = ["--checkpoint", str(place / checkpoint), "--data", "shapes"]
    return [*start, "--data-dir", str(place / "data"), "--device", "cpu", *more]


def error_of(capsys, main, words):
    """Run a command that must fail; returns its one sentence on stderr."""
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: main(words))
    assert stopped.value.code == EXIT_USAGE
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def test_evaluate_writes_its_files(place):
    """As a command of its own: exit code 0, table, figures, detections, picture."""
    words = arguments(place, "--score-threshold", "0.01")
    done = subprocess.run(
        [sys.executable, "-m", "helpers.evaluate", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "VOC mAP at IoU 0.5:" in done.stdout
    out = place / "run" / "eval"
    assert sorted(path.name for path in out.iterdir()) == [
        "detections.json",
        "metrics.json",
        "precision_recall.png",
    ]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["images"] == 3
    assert metrics["command"].startswith("python -m helpers.evaluate --checkpoint")
    assert metrics["plus_one"] is False
    assert "torch" in metrics["versions"]
    assert set(metrics["coco"]) == {"AP", "AP50", "AP75", "APs", "APm", "APl"}
    classes = metrics["classes"]
    assert {name: entry["objects"] for name, entry in classes.items()} == {
        **{"cat": 1, "dog": 0, "owl": 1}  # the dog is difficult
    }
    assert classes["dog"]["voc_ap50"] is None
    assert 0 <= metrics["voc_ap50"] <= 1
    lists = json.loads((out / "detections.json").read_text())
    assert [entry["image"] for entry in lists] == ["empty", "one", "two"]
    total = sum(entry["detections"] for entry in classes.values())
    assert total == sum(len(entry["detections"]) for entry in lists) > 0
    boxes = [found["xyxy"] for entry in lists for found in entry["detections"]]
    assert all(0 <= x1 <= x2 <= 90 and 0 <= y1 <= y2 <= 80 for x1, y1, x2, y2 in boxes)


def test_evaluate_figures_do_not_depend_on_the_batch(place, tmp_path):
    """Batches of one or three images give the same detections."""
    texts = []
    for size in ("1", "3"):
        out = tmp_path / size
        assert (
            evaluate.main(arguments(place, "--out", str(out), "--batch-size", size))
            == 0
        )
        texts.append(json.loads((out / "metrics.json").read_text())["classes"])
    assert texts[0] == texts[1]


def test_evaluate_keeps_figures_of_another_call(place, tmp_path, capsys):
    """The folder of --out is the same if none is given; the same figures are one."""
    out = ("--out", str(tmp_path))
    assert evaluate.main(arguments(place, *out)) == 0
    before = (tmp_path / "metrics.json").read_bytes()
    assert evaluate.main(arguments(place, *out)) == 0
    assert not list(tmp_path.glob("metrics_*.json"))
    assert evaluate.main(arguments(place, *out, "--limit", "2")) == 0
    (kept,) = tmp_path.glob("metrics_*.json")
    assert kept.read_bytes() == before
    assert kept.name in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["images"] == 2


def test_evaluate_can_be_limited(place, tmp_path):
    """Only the first images are read and counted."""
    out = tmp_path / "first"
    assert evaluate.main(arguments(place, "--out", str(out), "--limit", "2")) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["images"] == 2
    assert metrics["classes"]["owl"]["objects"] == 0


class FakeDetector:
    """Finds one object in each image: the second quarter of the lower half.

    Attributes:
        calls: the thresholds of each call.
    """

    class_names = ("cat", "dog", "owl")
    config = CONFIG

    def __init__(self, monkeypatch):
        self.calls = []
        monkeypatch.setattr(evaluate, "predict", self.predict)

    def predict(self, detector, images, score_threshold, nms_threshold):
        assert detector is self
        assert len({image.shape for image in images}) == 1
        self.calls.append((score_threshold, nms_threshold))
        answers = []
        for image in images:
            height, width = image.shape[1:]
            box = torch.tensor([[width / 4, height / 2, width / 2, height]])
            # the score tells bright images from dark ones
            score = image.mean().sigmoid().reshape(1)
            answers.append((box, torch.tensor([2]), score))
        return answers


def test_detections_are_those_of_their_own_image_in_its_pixels(tmp_path, monkeypatch):
    """Images of several sizes and scales, not in the order of their sizes."""
    sizes = {"a": (128, 256), "b": (90, 64), "c": (128, 256), "d": (64, 90)}
    sizes |= {"e": (256, 128), "f": (90, 64)}
    root = write_tree(tmp_path, val=[Picture(*entry) for entry in sizes.items()])
    for number, (name, size) in enumerate(sizes.items()):
        grey = Image.new("RGB", size, (40 * number,) * 3)
        grey.save(root / "JPEGImages" / f"{name}.jpg")
    dataset = VOC2007DetectionTiny(tmp_path, "val", image_size=64, whole_image=True)
    detector = FakeDetector(monkeypatch)
    result = evaluate.evaluate_detector(detector, dataset, batch_size=2)
    entries = {entry.image_id: entry for entry in result.detections}
    assert list(entries) == list(sizes)
    for name, (width, height) in sizes.items():
        expected = [[width / 4, height / 2, width / 2, height]]
        np.testing.assert_allclose(entries[name].boxes, expected)
        assert entries[name].classes.tolist() == [2]
    scores = [float(entry.scores[0]) for entry in result.detections]
    assert scores == sorted(scores)  # later images are brighter


def test_thresholds_that_are_given_replace_those_of_the_recipe(place, monkeypatch):
    """0 is a threshold, too; a limit leaves out true boxes as well."""
    dataset = VOC2007DetectionTiny(place / "data", "val", image_size=64)
    detector = FakeDetector(monkeypatch)
    evaluate.evaluate_detector(detector, dataset, batch_size=3, limit=1)
    evaluate.evaluate_detector(detector, dataset, 0.0, 0.9, batch_size=3, limit=1)
    assert detector.calls == [(0.05, 0.5), (0.0, 0.9)]


def test_plus_one_counts_the_last_pixel(tmp_path, monkeypatch):
    """A box of 16 x 32 in one of 32 x 33: IoU 512 / 1056, 561 / 1122 with the +1."""
    owl = Thing("owl", (16, 31, 48, 64))
    write_tree(tmp_path, val=[Picture("a", (64, 64), (owl,))])
    dataset = VOC2007DetectionTiny(tmp_path, "val", image_size=64)
    detector = FakeDetector(monkeypatch)
    for plus_one, expected in ((False, 0.0), (True, 1.0)):
        result = evaluate.evaluate_detector(detector, dataset, plus_one=plus_one)
        assert result.voc.map_area == expected


def test_batches_hold_images_of_one_size():
    """No image is padded, none is lost, whatever the order of sizes."""

    class Sizes:
        def size(self, index):
            return (64, 90) if index % 3 else (80, 64)

    batches = list(batches_of_one_size(Sizes(), list(range(8)), batch_size=2))
    assert sorted(index for batch in batches for index in batch) == list(range(8))
    assert all(len(batch) <= 2 for batch in batches)
    assert all(len({Sizes().size(i) for i in batch}) == 1 for batch in batches)


def test_class_list_that_does_not_fit_is_refused(place, tmp_path, capsys):
    """Other classes, and the same ones in another order, would give wrong figures."""
    for names in (("cat", "dog"), ("dog", "cat", "owl")):
        write_checkpoint(tmp_path / "checkpoint.pt", names)
        words = arguments(place)
        words[1] = str(tmp_path)
        message = error_of(capsys, evaluate.main, words)
        assert f"the checkpoint knows the {len(names)} classes {names[0]}" in message
        assert "the data set has the 3 classes cat, dog, owl" in message
    assert not (tmp_path / "eval").exists()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--split", "test"], "no split named 'test'; choose one of: bare, none, val"),
        (["--split", "bare"], "the split 'bare' in"),
        (["--split", "none"], "'none' lists no images"),
        (["--data", "cats"], "invalid choice: 'cats'"),
        (
            ["--score-threshold", "1.5"],
            "--score-threshold: '1.5' is not a number from 0",
        ),
        (["--nms-threshold", "nan"], "--nms-threshold: 'nan' is not a number from 0"),
        (["--batch-size", "0"], "'0' is not a whole number of at least 1"),
        (["--limit", "many"], "'many' is not a whole number of at least 1"),
        (["--device", "tpu"], "'tpu' cannot be used here"),
        (["--data-dir", "no/such/folder"], "no/such/folder: no VOCdevkit"),
        (["--checkpoint", "no/such/run"], "there is no checkpoint no/such/run"),
        (["--wrong"], "unrecognized arguments: --wrong"),
    ],
)
def test_wrong_arguments_are_one_sentence(place, capsys, more, expected):
    """Exit code 2, and the sentence names what is wrong."""
    assert expected in error_of(capsys, evaluate.main, arguments(place, *more))


def test_out_that_is_a_file_is_refused_before_the_work(place, tmp_path, capsys):
    """Not after the whole data set was detected: no progress bar is seen."""
    (tmp_path / "file").write_text("kept")
    words = arguments(place, "--out", str(tmp_path / "file"))
    assert "give another --out" in error_of(capsys, evaluate.main, words)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("size", [0, 100, 2000])
def test_truncated_checkpoint_is_named(place, tmp_path, capsys, size):
    """Cut off anywhere: the file and its size are named, nothing is run."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes((place / "run" / "checkpoint.pt").read_bytes()[:size])
    words = arguments(place)
    words[1] = str(path)
    message = error_of(capsys, evaluate.main, words)
    assert f"checkpoint.pt ({size:,} bytes) is truncated" in message


def test_unreadable_image_of_the_data_set_is_named(tmp_path, capsys):
    """A figure over some of the images would be another figure, so this stops."""
    root = write_tree(tmp_path / "data", val=PICTURES)
    write_checkpoint(tmp_path / "run" / "checkpoint.pt")
    (root / "JPEGImages" / "one.jpg").write_text("no image")
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: evaluate.main(arguments(tmp_path)))
    assert stopped.value.code == EXIT_USAGE
    error = capsys.readouterr().err
    assert "one.jpg is not an image" in error
    assert "Traceback" not in error
    assert not (tmp_path / "run" / "eval" / "metrics.json").exists()


def test_report_shows_missing_figures_as_dashes():
    """Nan is "-" in the table and null in JSON."""
    truths = [truth("a", [[0, 0, 20, 10]], [1])]
    detections = [found("a", [[0, 0, 20, 10]], [0.9], [1])]
    names = ["cat", "diningtable"]
    voc = evaluate_voc(detections, truths, names)
    coco = evaluate_coco(detections, truths, names)
    lines = class_table(voc, coco).splitlines()
    assert lines[2].split() == ["cat", "0", "0", "-", "-", "-"]
    assert lines[3].split() == ["diningtable", "1", "1", *["100.0"] * 3]
    assert len({len(line) for line in lines}) == 1
    assert "APl -" in summary_lines(voc, coco)
    metrics = metrics_dict(voc, coco, median_box_shift([], truths))
    assert metrics["classes"]["cat"]["coco_ap"] is None
    assert metrics["coco"]["APl"] is None
    assert metrics["box_shift"] == {"right": None, "down": None}
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert percent(0.4567) == "45.7"
