"""Checking and repairing a VOC tree, and its JSON form."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from data_scripts import prepare_annotations
from data_scripts.command import CourseError
from data_scripts.prepare_annotations import annotations_as_json
from data_scripts.tree_check import check_tree
from data_scripts.voc_format import (
    VocAnnotation,
    VocObject,
    find_voc_root,
    read_annotation,
    read_split,
    write_annotation,
)

SIZE = (60, 40)  # width, height
XML = "Annotations/000012.xml"
OBJECTS = (
    VocObject("cat", (1, 1, 60, 40), truncated=True),
    VocObject("dog", (10, 5, 30.5, 25)),
    VocObject("bird", (40, 20, 50, 35), difficult=True),
)


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """Four images: 000012 has three objects, 000005 none; the other two have one."""
    root = tmp_path / "data" / "VOCdevkit" / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    contents = {
        "000012": OBJECTS,
        "000005": (),
        "000007": OBJECTS[:1],
        "000009": OBJECTS[1:2],
    }
    for image_id, objects in contents.items():
        noise = Image.effect_noise(SIZE, 60).convert("RGB")
        noise.save(root / "JPEGImages" / f"{image_id}.jpg")
        annotation = VocAnnotation(f"{image_id}.jpg", *SIZE, objects)
        write_annotation(annotation, root / "Annotations" / f"{image_id}.xml")
    main = root / "ImageSets" / "Main"
    (main / "train.txt").write_text("000012\n000005\n")
    (main / "val.txt").write_text("000007\n000009\n")
    return tmp_path / "data"


def edit(file: str, old: str, new: str):
    """Return a planted mistake: replace a text of one file, once."""

    def plant(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))

    return plant


def remove(file: str):
    return lambda root: (root / file).unlink()


def cut(file: str):
    """Return a planted mistake: only the first half of a file is left."""

    def plant(root: Path) -> None:
        content = (root / file).read_bytes()
        (root / file).write_bytes(content[: len(content) // 2])

    return plant


def add(file: str, content: str):
    return lambda root: (root / file).write_text(content)


def repeat_last_object(root: Path) -> None:
    text = (root / XML).read_text()
    start, end = text.rindex("<object>"), text.rindex("</annotation>")
    (root / XML).write_text(text[:end] + text[start:end] + text[end:])


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def call(monkeypatch, capsys, *arguments: object) -> tuple[int, str]:
    """Run the command in this process; return its exit code and what it printed."""
    monkeypatch.setattr(sys, "argv", ["prepare", *map(str, arguments)])
    try:
        code = prepare_annotations.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_check_passes_a_clean_tree(data_dir, monkeypatch, capsys):
    """A tree without mistakes has no findings; the exit code is 0."""
    code, said = call(monkeypatch, capsys, "--data-dir", data_dir)
    assert code == 0
    assert "4 images checked (0 in no split), 0 findings" in said


# The mistake, what the finding must say, what the repaired tree must hold:
# the number of objects of image 000012, or None if the image must be left out.
FAULTS = {
    "missing image": (
        remove("JPEGImages/000012.jpg"),
        "JPEGImages/000012.jpg: the image is missing",
        None,
    ),
    "missing xml": (remove(XML), f"{XML}: the annotation is missing", None),
    "cut image": (
        cut("JPEGImages/000012.jpg"),
        "JPEGImages/000012.jpg: the image does not decode",
        None,
    ),
    "text as image": (
        add("JPEGImages/000012.jpg", "no image"),
        "JPEGImages/000012.jpg: the image does not decode",
        None,
    ),
    "empty xml": (add(XML, " \n"), f"{XML}: the annotation is an empty file", None),
    "cut xml": (cut(XML), f"{XML}: not well-formed", None),
    "doctype": (edit(XML, "<annotation>", "<!DOCTYPE a><annotation>"), "DOCTYPE", None),
    "unknown class": (
        edit(XML, "dog", "unicorn"),
        f"{XML}, object 2 (unicorn): unknown class 'unicorn'",
        2,
    ),
    "zero width": (
        edit(XML, "<xmax>30.5<", "<xmax>10<"),
        f"{XML}, object 2 (dog): zero-area box (10, 5, 10, 25)",
        2,
    ),
    "corners swapped": (
        edit(XML, "<ymin>20<", "<ymin>36<"),
        f"{XML}, object 3 (bird): zero-area box (40, 36, 50, 35)",
        2,
    ),
    "outside right": (
        edit(XML, "<xmax>30.5<", "<xmax>61<"),
        f"{XML}, object 2 (dog), box: box (10, 5, 61, 25) is outside the image",
        3,
    ),
    "outside left": (
        edit(XML, "<xmin>10<", "<xmin>0.5<"),
        f"{XML}, object 2 (dog), box: box (0.5, 5, 30.5, 25) is outside the image",
        3,
    ),
    "wholly outside": (
        edit(XML, "<ymin>5</ymin>\n\t\t\t<xmax>30.5</xmax>\n\t\t\t<ymax>25<",
             "<ymin>45</ymin>\n\t\t\t<xmax>30.5</xmax>\n\t\t\t<ymax>55<"),
        f"{XML}, object 2 (dog), box: box (10, 45, 30.5, 55) is outside",
        2,
    ),
    "wrong size": (
        edit(XML, "<width>60<", "<width>80<"),
        f"{XML}, <size>: says (80, 40), the image is (60, 40)",
        3,
    ),
    "no size": (edit(XML, "<height>40</height>", ""), "<size/height> is missing", 3),
    "no coordinate": (
        edit(XML, "<xmin>10</xmin>", ""),
        f"{XML}, object 2 (dog): <bndbox/xmin> is missing",
        2,
    ),
    "not a number": (edit(XML, "<xmin>10<", "<xmin>nan<"), "object 2 (dog): ", 2),
    "object twice": (
        repeat_last_object,
        f"{XML}, object 4 (bird): the same as object 3 (bird)",
        3,
    ),
    "listed twice": (
        edit("ImageSets/Main/train.txt", "000005", "000012\n000005"),
        "ImageSets/Main/train.txt, line 2: image 000012 is listed twice",
        3,
    ),
    "in two splits": (
        edit("ImageSets/Main/val.txt", "000007", "000012\n000007"),
        "ImageSets/Main/val.txt: image 000012 is also in the split train",
        3,
    ),
    "bad line": (
        edit("ImageSets/Main/train.txt", "000005", "000005\n../x y"),
        "ImageSets/Main/train.txt, line 3: '../x y' is no id",
        3,
    ),
    "image named twice": (
        edit(XML, "000012.jpg", "000005.jpg"),
        "JPEGImages/000005.jpg: named twice, by 000005.xml, 000012.xml",
        3,
    ),
    "other file": (
        add("JPEGImages/000012.png", "x"),
        "JPEGImages/000012.png: not a .jpg file",
        3,
    ),
}  # fmt: skip


def plant_fault(data_dir: Path, name: str) -> str:
    """Plant one of the faults; return what the finding must say."""
    plant, said, _ = FAULTS[name]
    plant(find_voc_root(data_dir))
    return said


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
    """The copy passes the check and says what changed; the original is untouched."""
    said = plant_fault(data_dir, name)
    before = snapshot(data_dir)
    clean = tmp_path / "clean"
    arguments = ("--data-dir", data_dir, "--fix", "--out", clean)
    code, printed = call(monkeypatch, capsys, *arguments)
    assert code == 0, printed
    line = next(line for line in printed.splitlines() if said in line)
    assert " -> " in line
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
    assert code == 0
    assert "another image size -> image left out" in printed
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
    plant_fault(data_dir, "unknown class")
    arguments = ("--data-dir", data_dir, "--json", tmp_path / "json")
    code, said = call(monkeypatch, capsys, *arguments)
    assert code == 1 and "no JSON written" in said
    assert not (tmp_path / "json").exists()
    fix = ("--fix", "--out", tmp_path / "clean")
    assert call(monkeypatch, capsys, *arguments, *fix)[0] == 0
    rows = json.loads((tmp_path / "json" / "voc07_train.json").read_text())
    assert [item["name"] for item in rows[0][1]] == ["cat", "bird"]
