"""Weights of others: fetched from a server on loopback, by hash, loaded by name."""

import hashlib
import io
import pickle
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.detection import FCOS_ResNet50_FPN_Weights

from core.command import CourseError
from helpers.models import others_weights
from helpers.models.others_weights import (
    SWITCH,
    coco_weights,
    fetch_by_hash,
    hash_of_name,
    load_by_key,
    read_weights,
)
from tests.mirror_server import serve

STATE = {"body.weight": torch.arange(6.0).reshape(2, 3), "body.bias": torch.ones(2)}


def as_file(state: object) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


DATA = as_file(STATE) + bytes(40_000)
NAME = f"small-{hashlib.sha256(DATA).hexdigest()[:8]}.pth"


@pytest.fixture
def mirror(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", SWITCH):
        monkeypatch.delenv(name, raising=False)
    with serve(DATA) as running:
        running.url = running.url.replace("voc.tar", NAME)
        yield running


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_file_is_fetched_once_and_read(tmp_path: Path, mirror):
    """The second call asks the server for nothing."""
    path = fetch_by_hash(mirror.url, tmp_path / "cache")
    assert path.read_bytes() == DATA and path.name == NAME
    assert fetch_by_hash(mirror.url, tmp_path / "cache") == path
    assert len(mirror.ranges) == 1
    assert names_in(tmp_path / "cache") == [NAME]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("404", "404"),
        ("wrong", "other bytes than its name says"),
        ("short", "other bytes than its name says"),
        ("drop", "broke off|IncompleteRead"),
        ("stall", "timed out"),
        ("endless", "larger than 50,000 bytes"),
    ],
)
def test_what_is_not_the_file_leaves_nothing(
    tmp_path: Path, mirror, behaviour: str, said: str
):
    """One sentence that names the address, and the next call gets it."""
    mirror.plan = [behaviour]
    with pytest.raises(CourseError, match=said) as caught:
        fetch_by_hash(mirror.url, tmp_path, timeout_s=0.5, most_bytes=50_000)
    assert mirror.url in str(caught.value) and "\n" not in str(caught.value)
    assert names_in(tmp_path) == []
    mirror.go_on.set()
    assert fetch_by_hash(mirror.url, tmp_path).read_bytes() == DATA


def test_slow_server_is_given_up_after_a_while(tmp_path: Path, mirror):
    """Bytes that go on coming are no reason to wait for ever."""
    with pytest.raises(CourseError, match="not done after"):
        fetch_by_hash(mirror.url, tmp_path, most_seconds=-1.0)
    assert names_in(tmp_path) == []


def test_nobody_there_is_one_sentence(tmp_path: Path, mirror):
    """As without a network; it takes no time."""
    nowhere = f"http://127.0.0.1:9/{NAME}"
    start = time.monotonic()
    with pytest.raises(CourseError, match="can be reached"):
        fetch_by_hash(nowhere, tmp_path, timeout_s=5)
    assert time.monotonic() - start < 20


def test_files_of_another_hash_are_kept_beside(tmp_path: Path, mirror, capsys):
    """They may be somebody's own, the second as well; the right one takes the name."""
    for mine in (b"mine", b"mine, too"):
        (tmp_path / NAME).write_bytes(mine)
        assert fetch_by_hash(mirror.url, tmp_path).read_bytes() == DATA
        (said,) = capsys.readouterr().out.splitlines()
        kept = said.rpartition("kept as ")[2]
        assert (tmp_path / kept).read_bytes() == mine
    assert len(names_in(tmp_path)) == 3


def test_nothing_is_fetched_where_that_is_off(tmp_path: Path, mirror, monkeypatch):
    """A file that is there is used all the same."""
    monkeypatch.setenv(SWITCH, "off")
    with pytest.raises(CourseError, match=f"since {SWITCH} is off"):
        fetch_by_hash(mirror.url, tmp_path)
    assert mirror.ranges == []
    (tmp_path / NAME).write_bytes(DATA)
    assert fetch_by_hash(mirror.url, tmp_path) == tmp_path / NAME


def test_name_must_say_the_hash():
    """Those of torchvision do."""
    url = FCOS_ResNet50_FPN_Weights.COCO_V1.url
    assert len(hash_of_name(url)) == 8
    for name in ("weights.pth", "weights-12345678.zip", "weights-xyz.pth"):
        with pytest.raises(CourseError, match="says no hash"):
            hash_of_name(name)


class Evil:
    """Writes a file where it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("was_run"),)


def test_no_code_in_a_file_is_run(tmp_path: Path, monkeypatch):
    """What is no dict of tensors is refused in one sentence."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    for content in (
        as_file(Evil()),
        as_file([1, 2]),
        as_file({"a": 1}),
        b"",
        b"nothing",
    ):
        path.write_bytes(content)
        with pytest.raises(CourseError, match="weights") as caught:
            read_weights(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CourseError, match="cannot be read as weights"):
        read_weights(path)
    assert not (tmp_path / "was_run").exists()


class Ours(nn.Module):
    """Two weights, and a buffer that others do not have."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("counted", torch.tensor(5.0))


def right_key(name: str) -> str:
    return name.replace("layer", "body")


def test_weights_find_their_places():
    """Own buffers stay; what batch norm has counted may be left."""
    ours = Ours()
    state = {**STATE, "bn.num_batches_tracked": torch.tensor(3)}
    assert load_by_key(ours, state, right_key) == 2
    assert torch.equal(ours.layer.weight, STATE["body.weight"])
    assert float(ours.counted) == 5.0


@pytest.mark.parametrize(
    ("key", "change", "said"),
    [
        (lambda name: name, {}, "'layer.weight', and there is no such weight"),
        (
            lambda name: "body.bias" if name == "layer.weight" else right_key(name),
            {},
            "layer.weight has shape .2, 3.",
        ),
        (right_key, {"head.weight": torch.ones(1)}, "the first is head.weight"),
        (right_key, {"body.bias": torch.ones(3)}, "layer.bias has shape .2,."),
    ],
)
def test_what_does_not_fit_is_named(key, change, said: str):
    """The first weight, and the exercise; the model is as it was."""
    ours = Ours()
    before = ours.layer.weight.clone()
    with pytest.raises(CourseError, match=said) as caught:
        load_by_key(ours, {**STATE, **change}, key)
    assert "12.4" in str(caught.value)
    assert torch.equal(ours.layer.weight, before)


def test_two_names_for_one_weight_are_named():
    """A square layer whose shapes would all fit."""
    ours = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with pytest.raises(CourseError, match=r"1\.weight and 0\.weight both become a"):
        load_by_key(ours, {"a": torch.ones(2, 2)}, lambda name: "a")


def test_coco_weights_are_found_in_the_cache_or_said_to_be_missing(
    tmp_path: Path, monkeypatch, capsys
):
    """By name and hash, in torch's own folder; without them one sentence."""
    monkeypatch.setenv(SWITCH, "off")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert coco_weights() is None
    said = capsys.readouterr().out
    assert said.startswith("No COCO weights: fcos_resnet50_fpn_coco-99b0c9b7.pth is")
    assert said.count("\n") == 1
    name = FCOS_ResNet50_FPN_Weights.COCO_V1.url.rpartition("/")[2]
    path = tmp_path / "checkpoints" / name
    path.parent.mkdir()
    path.write_bytes(DATA)
    monkeypatch.setattr(others_weights, "digest", lambda path: hash_of_name(path.name))
    found = coco_weights()
    assert found is not None
    state, names = found
    assert torch.equal(state["body.bias"], STATE["body.bias"])
    assert len(names) == 91 and "dog" in names
