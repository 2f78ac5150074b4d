"""The JSON form of a VOC tree."""

import json
from pathlib import Path

import pytest

from core.command import CourseError
from data_scripts.prepare_annotations import annotations_as_json
from tests.broken_trees import (
    call,
    plant_fault,
    write_data,
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A tree without mistakes."""
    return write_data(tmp_path)


def test_json_has_the_form_of_the_course(data_dir):
    """Rows are [path, [{name, xyxy}]] in the list's order; empty images stay."""
    rows = annotations_as_json(data_dir, "train")
    assert rows == [
        [
            "VOCdevkit/VOC2007/JPEGImages/000012.jpg",
            [
                {"name": "cat", "xyxy": [1.0, 1.0, 60.0, 40.0]},
                {"name": "dog", "xyxy": [10.0, 5.0, 30.5, 25.0]},
                {"name": "bird", "xyxy": [40.0, 20.0, 50.0, 35.0]},
            ],
        ],
        ["VOCdevkit/VOC2007/JPEGImages/000005.jpg", []],
    ]


def test_json_drops_difficult_objects_on_request(
    data_dir, tmp_path, monkeypatch, capsys
):
    """--drop-difficult leaves out the bird, which is marked difficult."""
    arguments = ("--data-dir", data_dir, "--json", tmp_path / "json")
    assert call(monkeypatch, capsys, *arguments)[0] == 0
    path = tmp_path / "json" / "voc07_train.json"
    assert [item["name"] for item in json.loads(path.read_text())[0][1]] == [
        "cat",
        "dog",
        "bird",
    ]
    assert call(monkeypatch, capsys, *arguments, "--drop-difficult")[0] == 0
    assert [item["name"] for item in json.loads(path.read_text())[0][1]] == [
        "cat",
        "dog",
    ]
    names = sorted(item.name for item in path.parent.iterdir())
    assert names == ["voc07_train.json", "voc07_val.json"]


def test_json_is_not_written_from_a_tree_with_findings(
    data_dir, tmp_path, monkeypatch, capsys
):
    """Labels with mistakes never reach the JSON; a clean copy's do."""
    plant_fault(data_dir, "wholly outside")
    arguments = ("--data-dir", data_dir, "--json", tmp_path / "json")
    code, said = call(monkeypatch, capsys, *arguments)
    assert code == 1 and "no JSON written" in said
    assert not (tmp_path / "json").exists()
    fix = ("--fix", "--out", tmp_path / "clean")
    assert call(monkeypatch, capsys, *arguments, *fix)[0] == 1  # one object is lost
    rows = json.loads((tmp_path / "json" / "voc07_train.json").read_text())
    assert [item["name"] for item in rows[0][1]] == ["cat", "bird"]


def test_marks_that_the_json_cannot_hold_are_said(
    data_dir, tmp_path, monkeypatch, capsys
):
    """The bird is difficult in the XML, and an object like any other in the JSON."""
    arguments = ("--data-dir", data_dir, "--json", tmp_path / "json")
    _, said = call(monkeypatch, capsys, *arguments)
    assert "boxes, 1 of them difficult, which the JSON cannot say" in said
    assert said.count("difficult") == 2  # with the option that leaves it out
    _, said = call(monkeypatch, capsys, *arguments, "--drop-difficult")
    assert "boxes, without the 1 difficult" in said


def test_labels_that_the_tree_does_not_have_are_not_replaced(
    data_dir, tmp_path, monkeypatch, capsys
):
    """Somebody has mended them by hand, or they are of another tree."""
    arguments = ("--data-dir", data_dir, "--json", tmp_path / "json")
    assert call(monkeypatch, capsys, *arguments)[0] == 0
    folder = tmp_path / "json"
    train, val = folder / "voc07_train.json", folder / "voc07_val.json"
    mended = train.read_text().replace("30.5", "31.5")
    train.write_text(mended)
    val.unlink()
    with pytest.raises(CourseError, match=r"voc07_train\.json: holds other labels"):
        call(monkeypatch, capsys, *arguments)
    assert train.read_text() == mended and not val.exists()
