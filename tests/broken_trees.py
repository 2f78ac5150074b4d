"""A small VOC tree, and the mistakes that such trees have."""

import sys
from pathlib import Path

from PIL import Image

from data_scripts import prepare_annotations
from data_scripts.voc_format import (
    VocAnnotation,
    VocObject,
    find_voc_root,
    write_annotation,
)

SIZE = (60, 40)  # width, height
XML = "Annotations/000012.xml"
OBJECTS = (
    VocObject("cat", (1, 1, 60, 40), truncated=True),
    VocObject("dog", (10, 5, 30.5, 25)),
    VocObject("bird", (40, 20, 50, 35), difficult=True),
)


def write_data(tmp_path: Path) -> Path:
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
