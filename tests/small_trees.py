"""Small VOC trees for the tests: plain rectangles on grey, with known boxes."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from data_scripts.voc_format import VocAnnotation, VocObject, write_annotation

CLASSES = ("cat", "dog", "owl")
COLOURS = {"cat": (230, 30, 30), "dog": (30, 200, 40), "owl": (40, 60, 230)}
GREY = (124, 116, 104)


@dataclass(frozen=True)
class Thing:
    """A rectangle; box is (x1, y1, x2, y2) with continuous edges, in pixels."""

    name: str
    box: tuple[int, int, int, int]
    difficult: bool = False


@dataclass(frozen=True)
class Picture:
    """An image of a tree; size is (width, height) in pixels, as PIL has it."""

    image_id: str
    size: tuple[int, int]
    things: tuple[Thing, ...] = ()


def paint(picture: Picture) -> Image.Image:
    """Each thing as a filled rectangle that covers exactly its box."""
    image = Image.new("RGB", picture.size, GREY)
    pen = ImageDraw.Draw(image)
    for thing in picture.things:
        x1, y1, x2, y2 = thing.box
        pen.rectangle((x1, y1, x2 - 1, y2 - 1), fill=COLOURS[thing.name])
    return image


def annotation_of(picture: Picture) -> VocAnnotation:
    """The XML's numbers count pixels from 1: (x1 + 1, y1 + 1, x2, y2)."""
    objects = []
    for thing in picture.things:
        x1, y1, x2, y2 = thing.box
        xyxy = (x1 + 1, y1 + 1, x2, y2)
        objects.append(VocObject(thing.name, xyxy, difficult=thing.difficult))
    return VocAnnotation(f"{picture.image_id}.jpg", *picture.size, tuple(objects))


def write_tree(data_dir: Path, **splits: list[Picture]) -> Path:
    """Write DIR/VOCdevkit/VOC2007 with these splits; returns VOC2007."""
    root = data_dir / "VOCdevkit" / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    for split, pictures in splits.items():
        lines = "".join(f"{picture.image_id}\n" for picture in pictures)
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(lines)
        for picture in pictures:
            image_path = root / "JPEGImages" / f"{picture.image_id}.jpg"
            paint(picture).save(image_path, quality=95, subsampling=0)
            annotation_path = root / "Annotations" / f"{picture.image_id}.xml"
            write_annotation(annotation_of(picture), annotation_path)
    return root
