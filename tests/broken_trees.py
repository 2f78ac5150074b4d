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


def replace(file: str, **texts: str):
    """Return a planted mistake: replace words everywhere in one file."""

    def plant(root: Path) -> None:
        text = (root / file).read_text()
        for old, new in texts.items():
            assert old in text
            text = text.replace(old, new)
        (root / file).write_text(text)

    return plant


def write_utf16(head: str):
    """Return a planted mistake: an annotation in UTF-16 without a mark at its start."""

    def plant(root: Path) -> None:
        text = head + (root / XML).read_text().replace("bird", "&b;")
        (root / XML).write_bytes(text.encode("utf-16-le"))

    return plant


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


def move_picture(folder: str):
    """Return a planted mistake: a fifth picture, with 3 objects, in folders below."""

    def plant(root: Path) -> None:
        for old in (XML, "JPEGImages/000012.jpg"):
            new = root / Path(old).parent / folder / Path(old).name
            new.parent.mkdir()
            new.write_bytes((root / old).read_bytes())

    return plant


def rename(old: str, new: str):
    return lambda root: (root / old).rename(root / new)


def copy(old: str, new: str):
    return lambda root: (root / new).write_bytes((root / old).read_bytes())


IMAGE_LOST = "kept 2 of 5 objects, 3 of 4 images, 3 of 4 lines"
ONE_LOST = "kept 4 of 5 objects, 4 of 4 images; "
NONE_LOST = "kept 5 of 5 objects, 4 of 4 images\n"
# The mistake, what the finding must say, what the repaired tree must hold (the number
# of objects of image 000012, or None if the image must be left out), and the account.
FAULTS = {
    "missing image": (
        remove("JPEGImages/000012.jpg"),
        "JPEGImages/000012.jpg: the image is missing",
        None,
        IMAGE_LOST,
    ),
    "missing xml": (
        remove(XML),
        f"{XML}: the annotation is missing",
        None,
        "kept 2 of 2 objects, 3 of 4 images, 3 of 4 lines",
    ),
    "cut image": (
        cut("JPEGImages/000012.jpg"),
        "JPEGImages/000012.jpg: the image does not decode",
        None,
        IMAGE_LOST,
    ),
    "text as image": (
        add("JPEGImages/000012.jpg", "no image"),
        "JPEGImages/000012.jpg: the image does not decode",
        None,
        IMAGE_LOST,
    ),
    "empty xml": (
        add(XML, " \n"),
        f"{XML}: the annotation is an empty file",
        None,
        "kept 2 of 2 objects, 3 of 4 images, 3 of 4 lines",
    ),
    "cut xml": (
        cut(XML),
        f"{XML}: not well-formed",
        None,
        "kept 2 of 4 objects, 3 of 4 images, 3 of 4 lines",
    ),
    "doctype": (
        edit(XML, "<annotation>", "<!DOCTYPE a><annotation>"),
        "DOCTYPE",
        None,
        IMAGE_LOST,
    ),
    "entity in UTF-16": (
        write_utf16('<!DOCTYPE a [<!ENTITY b "bird">]>'),
        f"{XML}: not UTF-8 text",
        None,
        IMAGE_LOST,
    ),
    "nested too deeply": (
        add(XML, f"<annotation>{'<a>' * 2000}{'</a>' * 2000}</annotation>"),
        f"{XML}: nested deeper than",
        None,
        "kept 2 of 2 objects, 3 of 4 images, 3 of 4 lines",
    ),
    "namespace": (
        edit(XML, "<annotation>", '<annotation xmlns="http://example.org/voc">'),
        f"{XML}: 3 objects are not <object> directly in <annotation>",
        None,
        IMAGE_LOST,
    ),
    "prefix": (
        replace(XML, annotation="v:annotation", **{
            "<v:annotation>": '<v:annotation xmlns:v="http://example.org/voc">',
            "<object": "<v:object", "</object": "</v:object"}),
        f"{XML}: 3 objects are not <object> directly in <annotation>",
        None,
        IMAGE_LOST,
    ),
    "objects in a list": (
        replace(XML, **{"<object>": "<list><object>", "</object>": "</object></list>"}),
        f"{XML}: 3 objects are not <object> directly in <annotation>",
        None,
        IMAGE_LOST,
    ),
    "object in capitals": (
        replace(XML, object="Object"),
        f"{XML}: 3 objects are not <object> directly in <annotation>",
        None,
        IMAGE_LOST,
    ),
    "two boxes": (
        edit(XML, "</bndbox>", "</bndbox><bndbox><xmin>3</xmin><ymin>3</ymin>"
             "<xmax>9</xmax><ymax>9</ymax></bndbox>"),
        f"{XML}, object 1 (cat): <bndbox/xmin> is there 2 times",
        2,
        ONE_LOST,
    ),
    "two names": (
        edit(XML, "<name>dog</name>", "<name>dog</name><name>cat</name>"),
        f"{XML}, object 2 (dog): <name> is there 2 times",
        2,
        ONE_LOST,
    ),
    "unknown class": (
        edit(XML, "dog", "unicorn"),
        "classes.txt: missing, and 1 class is not among VOC's: unicorn (1 objects)",
        3,
        NONE_LOST,
    ),
    "line break in a class": (
        edit(XML, "<name>dog<", "<name>\n traffic\n\tlight\u2028<"),
        "is not among VOC's: traffic light (1 objects)",
        3,
        NONE_LOST,
    ),
    "corners swapped": (
        edit(XML, "<ymin>20<", "<ymin>36<"),
        f"{XML}, object 3 (bird): corners swapped in box (40, 36, 50, 35)",
        3,
        NONE_LOST,
    ),
    "outside right": (
        edit(XML, "<xmax>30.5<", "<xmax>61<"),
        f"{XML}, object 2 (dog), box: box (10, 5, 61, 25) is outside the image",
        3,
        NONE_LOST,
    ),
    "outside left": (
        edit(XML, "<xmin>10<", "<xmin>0.5<"),
        f"{XML}, object 2 (dog), box: box (0.5, 5, 30.5, 25) is outside the image",
        3,
        NONE_LOST,
    ),
    "wholly outside": (
        edit(XML, "<ymin>5</ymin>\n\t\t\t<xmax>30.5</xmax>\n\t\t\t<ymax>25<",
             "<ymin>45</ymin>\n\t\t\t<xmax>30.5</xmax>\n\t\t\t<ymax>55<"),
        f"{XML}, object 2 (dog), box: box (10, 45, 30.5, 55) is outside",
        2,
        ONE_LOST,
    ),
    "all zeros": (
        edit(XML, "<xmin>10</xmin>\n\t\t\t<ymin>5</ymin>\n\t\t\t<xmax>30.5</xmax>\n"
             "\t\t\t<ymax>25<", "<xmin>0</xmin><ymin>0</ymin><xmax>0</xmax><ymax>0<"),
        f"{XML}, object 2 (dog), box: box (0, 0, 0, 0) is outside",
        2,
        ONE_LOST,
    ),
    "wrong size": (
        edit(XML, "<width>60<", "<width>80<"),
        f"{XML}, <size>: says (80, 40), the image is (60, 40)",
        3,
        NONE_LOST,
    ),
    "no size": (
        edit(XML, "<height>40</height>", ""),
        "<size/height> is missing",
        3,
        NONE_LOST,
    ),
    "size zero": (
        edit(XML, "<width>60<", "<width>0<"),
        f"{XML}, <size>: <size/width> is 0",
        3,
        NONE_LOST,
    ),
    "no coordinate": (
        edit(XML, "<xmin>10</xmin>", ""),
        f"{XML}, object 2 (dog): <bndbox/xmin> is missing",
        2,
        ONE_LOST,
    ),
    "not a number": (
        edit(XML, "<xmin>10<", "<xmin>nan<"),
        "object 2 (dog): ",
        2,
        ONE_LOST,
    ),
    "flag in words": (
        edit(XML, "<truncated>1<", "<truncated>Unspecified<"),
        f"{XML}, object 1 (cat): <truncated> is 'Unspecified'",
        3,
        NONE_LOST,
    ),
    "object twice": (
        repeat_last_object,
        f"{XML}, object 4 (bird): the same as object 3 (bird)",
        3,
        "kept 5 of 6 objects, 4 of 4 images; ",
    ),
    "listed twice": (
        edit("ImageSets/Main/train.txt", "000005", "000012\n000005"),
        "ImageSets/Main/train.txt, line 2: image 000012 is listed twice",
        3,
        NONE_LOST,
    ),
    "in two splits": (
        edit("ImageSets/Main/val.txt", "000007", "000012\n000007"),
        "ImageSets/Main/val.txt: image 000012 is also in the split train",
        3,
        "kept 5 of 5 objects, 4 of 4 images, 4 of 5 lines",
    ),
    "bad line": (
        edit("ImageSets/Main/train.txt", "000005", "000005\n../x y"),
        "ImageSets/Main/train.txt, line 3: '../x y' is no id",
        3,
        "kept 5 of 5 objects, 4 of 4 images, 4 of 5 lines",
    ),
    "image named twice": (
        edit(XML, "000012.jpg", "000005.jpg"),
        "JPEGImages/000005.jpg: named twice, by 000005.xml, 000012.xml",
        3,
        NONE_LOST,
    ),
    "annotation in capitals": (
        rename(XML, "Annotations/000012.XML"),
        "Annotations/000012.XML: not a .xml file",
        None,
        IMAGE_LOST,
    ),
    "folder in the folders": (
        move_picture("camera 2"),
        "JPEGImages/camera 2: not a .jpg",
        3,
        "kept 5 of 8 objects, 4 of 5 images; ",
    ),
    "second picture of one name": (
        copy("JPEGImages/000005.jpg", "JPEGImages/000012.png"),
        "JPEGImages/000012.png: not used, for the image 000012 is 000012.jpg",
        3,
        "kept 5 of 5 objects, 4 of 5 images; ",
    ),
    "image of an unknown kind": (
        rename("JPEGImages/000012.jpg", "JPEGImages/000012.jfif"),
        "JPEGImages/000012.jfif: not a .jpg",
        None,
        IMAGE_LOST,
    ),
    "list in capitals": (
        add("ImageSets/Main/test.TXT", "000007\n000009\n"),
        "ImageSets/Main/test.TXT: no split, for it is not a NAME.txt right in",
        3,
        "kept 5 of 5 objects, 4 of 4 images, 4 of 6 lines of",
    ),
    "list in a folder": (
        lambda root: [(root / "ImageSets/Main/fold 1").mkdir(),
                      add("ImageSets/Main/fold 1/a.txt", "000007\n")(root)],
        "ImageSets/Main/fold 1/a.txt: no split, for it is not a NAME.txt right in",
        3,
        "kept 5 of 5 objects, 4 of 4 images, 4 of 5 lines of",
    ),
    "line that names nothing": (
        edit("ImageSets/Main/train.txt", "000005", "000005\n000005.jpg"),
        "JPEGImages/000005.jpg.jpg: the image is missing",
        3,
        "kept 5 of 5 objects, 4 of 4 images, 4 of 5 lines of",
    ),
    "other file": (
        add("JPEGImages/000012.png", "x"),
        "JPEGImages/000012.png: not used, for the image 000012 is 000012.jpg",
        3,
        NONE_LOST,
    ),
}  # fmt: skip


def plant_fault(data_dir: Path, name: str) -> str:
    """Plant one of the faults; return what the finding must say."""
    plant, said, *_ = FAULTS[name]
    plant(find_voc_root(data_dir))
    return said
