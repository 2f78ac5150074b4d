"""Photo weights: made from a run, named by their hash, fetched from a server."""

import hashlib
from pathlib import Path

import pytest
import torch

from core.command import CourseError
from data_scripts.make_shapes import make_shapes
from helpers.models.detector import load_detector, predict
from helpers.models.others_weights import SWITCH
from helpers.photo_weights import main, make_weights
from helpers.training.recipes import get_recipe
from tests.mirror_server import serve
from tests.plain_numbers import spread

SMALL = {
    "fpn_channels": "8",
    "stem_channels": "[8]",
    "iterations": "2",
    "batch_size": "2",
    "image_size": "64",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a run of two iterations."""
    folder = tmp_path_factory.mktemp("photo")
    make_shapes(folder / "data", train=4, val=1)
    return make_weights(get_recipe("tiny", SMALL), folder / "data", folder / "out")


def test_file_detects_as_its_run_and_is_smaller(made: Path):
    """No optimizer and one set of weights: a third of the checkpoint."""
    checkpoint = made.parent / "run" / "checkpoint.pt"
    image = [spread(3, 64, 96, low=-2, high=2).float()]
    found = [predict(load_detector(p), image, 0.0, 0.5) for p in (made, checkpoint)]
    assert len(found[0][0][0]) > 0
    assert all(map(torch.equal, found[0][0], found[1][0]))
    assert made.stat().st_size < checkpoint.stat().st_size / 2


def test_name_says_the_hash_and_a_second_call_makes_the_same_file(made: Path):
    """The run is there already, so its weights stay as they are."""
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    assert made.name == f"photo_weights-{digest[:8]}.pth"
    data = made.parent.parent / "data"
    again = make_weights(get_recipe("tiny", SMALL), data, made.parent)
    assert again == made


def test_file_is_fetched_by_its_address(made: Path, tmp_path, monkeypatch, capsys):
    """From a server on this machine; other bytes under its name are refused."""
    for name in ("http_proxy", "HTTP_PROXY", SWITCH):
        monkeypatch.delenv(name, raising=False)
    with serve(made.read_bytes()) as mirror:
        address = mirror.url.replace("voc.tar", made.name)
        mirror.plan = ["wrong"]
        with pytest.raises(CourseError, match="other bytes"):
            main(["--fetch", address, "--out", str(tmp_path)])
        assert main(["--fetch", address, "--out", str(tmp_path)]) == 0
    assert (tmp_path / made.name).read_bytes() == made.read_bytes()
    assert "7 classes" in capsys.readouterr().out
