"""Checkpoints: whole or not at all, and never run what is in them."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from core.command import CourseError
from helpers.models.detector import build_detector, choose_device, load_detector
from helpers.training.checkpoint import read_checkpoint, save_checkpoint
from helpers.training.recipes import DetectorConfig

CONFIG = DetectorConfig(
    class_names=("a", "b"), backbone="tiny", fpn_channels=8, stem_channels=(8,)
)
STATE = {
    "config": {"class_names": ("a", "b")},
    "iteration": 3,
    "model": {"weight": torch.arange(6.0).reshape(2, 3)},
}


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A small good checkpoint."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    return path


def test_checkpoint_comes_back_as_it_was(checkpoint):
    """Numbers, tuples and tensors; by its folder too."""
    for path in (checkpoint, checkpoint.parent):
        state = read_checkpoint(path)
        assert state["config"] == STATE["config"]
        assert torch.equal(state["model"]["weight"], STATE["model"]["weight"])
        assert set(state["versions"]) == {"python", "torch", "torchvision", "numpy"}


def test_saving_replaces_the_file_as_a_whole(checkpoint, monkeypatch):
    """A crash while writing leaves the old checkpoint, which can be read."""

    def crash(state, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(CourseError, match=r"No space left.*make room"):
        save_checkpoint(checkpoint, {**STATE, "iteration": 4})
    assert read_checkpoint(checkpoint)["iteration"] == 3
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_truncated_checkpoints_of_any_length_are_named(checkpoint):
    """Cut at 60 places, from nothing to all but the last byte."""
    whole = checkpoint.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        checkpoint.write_bytes(whole[:length])
        with pytest.raises(CourseError, match=r"checkpoint\.pt .*truncated or not a"):
            read_checkpoint(checkpoint)


def test_files_of_other_kinds_are_named(checkpoint):
    """Text, a picture's first bytes, a bare pickle, single bytes."""
    foreign = [b"hello\n", b"\x89PNG\r\n\x1a\n", pickle.dumps({"a": 1}), b"PK\x03\x04"]
    foreign += [bytes([value]) * 40 for value in range(256)]
    for content in foreign:
        checkpoint.write_bytes(content)
        with pytest.raises(CourseError, match=r"checkpoint\.pt "):
            read_checkpoint(checkpoint)


def test_damaged_checkpoints_are_named_or_harmless(checkpoint):
    """200 copies with one byte changed: read as they are, or refused by name."""
    whole = checkpoint.read_bytes()
    for number in range(200):
        place = number * 7919 % len(whole)
        damaged = bytearray(whole)
        damaged[place] ^= 1 + number
        checkpoint.write_bytes(damaged)
        try:
            read_checkpoint(checkpoint)
        except CourseError as error:
            assert "checkpoint.pt" in str(error)


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("as_torch_file", [True, False])
def test_code_in_a_checkpoint_is_not_run(checkpoint, tmp_path, as_torch_file):
    """A pickle can call any function; ours is refused before that."""
    target = tmp_path / "exploded"
    state = {**STATE, "format": 1, "versions": {}, "extra": Bomb(target)}
    if as_torch_file:
        torch.save(state, checkpoint)
    else:
        checkpoint.write_bytes(pickle.dumps(state))
    with pytest.raises(CourseError, match="not a checkpoint"):
        read_checkpoint(checkpoint)
    assert not target.exists()


@pytest.mark.parametrize("content", [[1, 2], {"model": {}}, torch.zeros(3), None])
def test_other_torch_files_are_named(checkpoint, content):
    """For example bare weights of somebody's own training."""
    torch.save(content, checkpoint)
    with pytest.raises(CourseError, match="not a checkpoint of this course"):
        read_checkpoint(checkpoint)


def test_newer_format_is_named(checkpoint):
    """A checkpoint of a later version of the course."""
    torch.save({**STATE, "format": 99, "versions": {}}, checkpoint)
    with pytest.raises(CourseError, match="format 99"):
        read_checkpoint(checkpoint)


def test_missing_checkpoint_says_how_to_make_one(tmp_path):
    """A file and a folder that are not there."""
    for path in (tmp_path / "no.pt", tmp_path):
        with pytest.raises(CourseError, match=r"no checkpoint.*helpers\.train"):
            read_checkpoint(path)


def detector_state(**changes) -> dict:
    """A checkpoint of a real detector, with some entries changed."""
    model = build_detector(CONFIG, pretrained=False)
    config = {
        **{name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__},
        **changes.pop("config", {}),
    }
    return {"config": config, "iteration": 1, "model": model.state_dict(), **changes}


def test_detector_loads_with_its_averaged_weights(tmp_path):
    """Where a run kept an average, that is what is used."""
    state = detector_state()
    state["average"] = {k: v.clone() for k, v in state["model"].items()}
    state["average"]["pred_net.pred_cls.bias"].fill_(0.5)
    save_checkpoint(tmp_path / "c.pt", state)
    detector = load_detector(tmp_path / "c.pt", "cpu")
    assert detector.model.pred_net.pred_cls.bias.tolist() == [0.5, 0.5]
    assert detector.class_names == ("a", "b")
    assert not detector.model.training
    assert detector.config == CONFIG


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"class_names": ("a", "b", "c")}},
        {"config": {"stem_channels": (8, 8)}},
        {"config": {"colour": "red"}},
        {"config": {"fpn_channels": "wide"}},
        {"model": {}},
        {"model": [1, 2]},
    ],
)
def test_detector_that_does_not_fit_its_description_is_named(tmp_path, changes):
    """Say, weights of 2 classes with a list of 3."""
    save_checkpoint(tmp_path / "c.pt", detector_state(**changes))
    with pytest.raises(CourseError, match=r"c\.pt do not fit"):
        load_detector(tmp_path / "c.pt", "cpu")


def test_detector_with_a_config_of_another_kind_is_named(tmp_path):
    """A list where the description should be."""
    save_checkpoint(tmp_path / "c.pt", {**detector_state(), "config": [1, 2]})
    with pytest.raises(CourseError, match=r"c\.pt do not fit"):
        load_detector(tmp_path / "c.pt", "cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:77", "", "cpu:x"])
def test_device_that_is_not_there_is_named(name):
    """The way out is --device cpu."""
    with pytest.raises(CourseError, match="--device cpu"):
        choose_device(name)
