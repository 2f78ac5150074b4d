"""Checking and repairing a VOC tree."""

from pathlib import Path

import pytest

from core.command import CourseError
from data_scripts.tree_check import check_tree
from data_scripts.voc_format import (
    VocObject,
    find_voc_root,
    read_annotation,
    read_split,
)
from tests.broken_trees import (
    FAULTS,
    NONE_LOST,
    OBJECTS,
    XML,
    call,
    edit,
    plant_fault,
    snapshot,
    write_data,
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A tree without mistakes."""
    return write_data(tmp_path)


def test_check_passes_a_clean_tree(data_dir, monkeypatch, capsys):
    """A tree without mistakes has no findings; the exit code is 0."""
    code, said = call(monkeypatch, capsys, "--data-dir", data_dir)
    assert code == 0
    assert "4 images checked (0 in no split), 0 findings" in said


@pytest.mark.parametrize("name", FAULTS)
def test_check_names_file_and_object(data_dir, monkeypatch, capsys, name):
    """Every planted mistake is found, named with file and object, and exits with 1."""
    said = plant_fault(data_dir, name)
    code, printed = call(monkeypatch, capsys, "--data-dir", data_dir)
    assert code == 1
    assert said in printed


@pytest.mark.parametrize("name", FAULTS)
def test_fix_writes_a_clean_copy_and_keeps_the_original(
    data_dir, tmp_path, monkeypatch, capsys, name
):
    """The copy passes the check and says what changed; the original is untouched.

    The exit code is 0 only if the copy has everything that the original has.
    """
    said = plant_fault(data_dir, name)
    before = snapshot(data_dir)
    clean = tmp_path / "clean"
    arguments = ("--data-dir", data_dir, "--fix", "--out", clean)
    code, printed = call(monkeypatch, capsys, *arguments)
    account = FAULTS[name][3]
    assert f"\n{clean}: {account}" in printed
    assert code == (0 if account == NONE_LOST else 1), printed
    line = next(line for line in printed.splitlines() if said in line)
    assert " -> " in line
    assert line in (clean / "changes.txt").read_text().splitlines()
    assert snapshot(data_dir) == before
    root = find_voc_root(clean)
    assert check_tree(root).findings == []
    objects = FAULTS[name][2]
    ids = read_split(root, "train") + read_split(root, "val")
    expected = ["000012"] if objects is not None else []
    assert ids == [*expected, "000005", "000007", "000009"]
    if objects is not None:
        assert len(read_annotation(root / XML).objects) == objects
        assert (root / XML).read_text().count("<pose>") == objects  # nothing else lost


def test_fix_clips_a_box_to_the_image(data_dir, tmp_path, monkeypatch, capsys):
    """A box that passes the border ends at the last pixel, which has number width."""
    plant_fault(data_dir, "outside right")
    clean = tmp_path / "clean"
    call(monkeypatch, capsys, "--data-dir", data_dir, "--fix", "--out", clean)
    found = read_annotation(find_voc_root(clean) / XML).objects
    assert found == (OBJECTS[0], VocObject("dog", (10, 5, 60, 25)), OBJECTS[2])


def test_fix_leaves_an_image_out_if_its_boxes_belong_to_another_size(
    data_dir, tmp_path, monkeypatch, capsys
):
    """A wrong <size> with boxes past the border: clipping would invent labels."""
    root = find_voc_root(data_dir)
    edit(XML, "<width>60<", "<width>120<")(root)
    edit(XML, "<xmax>50<", "<xmax>110<")(root)
    clean = tmp_path / "clean"
    code, printed = call(
        monkeypatch, capsys, "--data-dir", data_dir, "--fix", "--out", clean
    )
    assert code == 1
    assert "another image size -> image left out with its 3 objects" in printed
    assert f"\n{clean}: kept 2 of 5 objects, 3 of 4 images" in printed
    assert read_split(find_voc_root(clean), "train") == ["000005"]


def test_fix_names_what_it_does_not_copy(data_dir, tmp_path, monkeypatch, capsys):
    """Files of other tasks are named, and classes.txt comes along."""
    root = find_voc_root(data_dir)
    (root / "SegmentationClass").mkdir()
    (root / "ImageSets/Main/cat_train.txt").write_text("000012 1\n")
    (root / "classes.txt").write_text("bird\ncat\ndog\n")
    clean = tmp_path / "clean"
    _, printed = call(
        monkeypatch, capsys, "--data-dir", data_dir, "--fix", "--out", clean
    )
    assert "SegmentationClass: not part of detection -> not copied" in printed
    assert "Main/cat_train.txt: not part of detection -> not copied" in printed
    assert (find_voc_root(clean) / "classes.txt").read_text() == "bird\ncat\ndog\n"


def test_fix_never_writes_into_the_original(data_dir, monkeypatch, capsys):
    """An existing folder, or one inside the data, is refused as --out."""
    root = find_voc_root(data_dir)
    before = snapshot(data_dir)
    for out in (data_dir, root, root / "clean"):
        with pytest.raises(CourseError, match=r"exists already|inside the original"):
            call(monkeypatch, capsys, "--data-dir", data_dir, "--fix", "--out", out)
    assert snapshot(data_dir) == before


@pytest.mark.parametrize(
    "arguments", [["--fix"], ["--out", "x"], ["--drop-difficult"], ["--fixx"]]
)
def test_prepare_refuses_options_that_do_not_fit(
    data_dir, monkeypatch, capsys, arguments
):
    """A wrong call ends with code 2 and one sentence."""
    code, said = call(monkeypatch, capsys, "--data-dir", data_dir, *arguments)
    assert code == 2
    assert said.startswith("error: ") and said.count("\n") == 1


def test_prepare_names_a_folder_without_a_tree(tmp_path, monkeypatch, capsys):
    """A folder without VOCdevkit, or with half of it, is named."""
    with pytest.raises(CourseError, match="no VOCdevkit"):
        call(monkeypatch, capsys, "--data-dir", tmp_path)
    (tmp_path / "VOC2007" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(CourseError, match="Annotations: missing"):
        call(monkeypatch, capsys, "--data-dir", tmp_path)
