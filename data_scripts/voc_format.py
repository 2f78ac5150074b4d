"""The PASCAL VOC devkit on disk: folders, split lists and annotation XML.

Boxes keep the numbers of the XML: (xmin, ymin, xmax, ymax), 1-based, both ends inside
the object. `helpers/data/voc.py` converts them to continuous pixel edges, once.
Source: the VOC 2007 development kit, section 4 (annotation) and 3.2 (image sets).
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from core.command import CourseError
from data_scripts.image_files import is_image_id, line_id
from data_scripts.voc_xml import (
    BOX_FIELDS,
    class_name,
    field_flag,
    field_number,
    field_text,
    number_text,
    object_label,
    parse_size,
    parse_xml,
)

# Alphabetical, as the devkit lists them: the index is the class number.
VOC_CLASSES: tuple[str, ...] = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
SHAPES_CLASSES: tuple[str, ...] = (
    "cross",
    "ellipse",
    "heart",
    "rectangle",
    "ring",
    "star",
    "triangle",
)

CLASSES_FILE = "classes.txt"
MAIN_FOLDER = "ImageSets/Main"  # the lists for classification and detection


@dataclass(frozen=True)
class VocObject:
    """One annotated object.

    Attributes:
        name: Class name.
        xyxy: (xmin, ymin, xmax, ymax) in pixels as in the XML (1-based, inclusive).
        difficult: The devkit ignores such an object in evaluation.
        truncated: The box shows only a part of the object.
    """

    name: str
    xyxy: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False


@dataclass(frozen=True)
class VocAnnotation:
    """One image's annotation: file name (without folder), size in pixels, objects."""

    filename: str
    width: int
    height: int
    objects: tuple[VocObject, ...] = ()


def parse_object(element: Element, where: str) -> VocObject:
    """Return one <object>; the box may still be empty or outside the image.

    Raises:
        CourseError: A field is missing, twice there or no number; starts with `where`.
    """
    for field in ("name", *(f"bndbox/{field}" for field in BOX_FIELDS)):
        if (times := len(element.findall(field))) > 1:
            raise CourseError(
                f"{where}: <{field}> is there {times} times; write an <object> for each"
            )
    xmin, ymin, xmax, ymax = (
        field_number(element, f"bndbox/{field}", where) for field in BOX_FIELDS
    )
    return VocObject(
        name=class_name(field_text(element, "name", where)),
        xyxy=(xmin, ymin, xmax, ymax),
        difficult=field_flag(element, "difficult", where),
        truncated=field_flag(element, "truncated", where),
    )


def read_annotation(path: Path) -> VocAnnotation:
    """Read one annotation XML.

    Only its form is checked; `data_scripts.prepare_annotations` checks its content.

    Raises:
        CourseError: Bad XML or a bad field; names file and object.
    """
    root = parse_xml(path)
    width, height = parse_size(root, str(path))
    filename = field_text(root, "filename", str(path))
    return VocAnnotation(filename, width, height, _parse_objects(root, path))


def read_objects(path: Path) -> tuple[VocObject, ...]:
    """Read only the objects of an annotation XML; like read_annotation."""
    return _parse_objects(parse_xml(path), path)


def _parse_objects(root: Element, path: Path) -> tuple[VocObject, ...]:
    return tuple(
        parse_object(element, f"{path}: {object_label(index, element)}")
        for index, element in enumerate(root.findall("object"))
    )


def annotation_xml(annotation: VocAnnotation) -> str:
    """Return the XML text of an annotation, in the devkit's order of fields."""
    root = Element("annotation")

    def add(parent: Element, field: str, text: str = "") -> Element:
        child = ElementTree.SubElement(parent, field)
        child.text = text or None
        return child

    add(root, "folder", "VOC2007")
    add(root, "filename", annotation.filename)
    size = add(root, "size")
    add(size, "width", str(annotation.width))
    add(size, "height", str(annotation.height))
    add(size, "depth", "3")
    add(root, "segmented", "0")
    for item in annotation.objects:
        element = add(root, "object")
        add(element, "name", item.name)
        add(element, "pose", "Unspecified")
        add(element, "truncated", str(int(item.truncated)))
        add(element, "difficult", str(int(item.difficult)))
        box = add(element, "bndbox")
        for field, number in zip(BOX_FIELDS, item.xyxy, strict=True):
            add(box, field, number_text(number))
    ElementTree.indent(root, space="\t")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def write_annotation(annotation: VocAnnotation, path: Path) -> None:
    """Write one annotation XML (UTF-8); `read_annotation` gives the same back."""
    path.write_text(annotation_xml(annotation), encoding="utf-8", newline="\n")


def find_voc_root(data_dir: Path) -> Path:
    """Return the VOC2007 folder below `data_dir`.

    `data_dir` may be the folder that holds VOCdevkit, VOCdevkit itself, or VOC2007.

    Raises:
        CourseError: None of the three has a JPEGImages folder.
    """
    data_dir = Path(data_dir)
    for root in (data_dir / "VOCdevkit" / "VOC2007", data_dir / "VOC2007", data_dir):
        if (root / "JPEGImages").is_dir():
            return root
    for root in sorted([*data_dir.glob("VOC*"), *data_dir.glob("VOCdevkit/VOC*")]):
        if (root / "JPEGImages").is_dir():
            raise CourseError(
                f"{data_dir}: no VOCdevkit/VOC2007 in it, but {root.name}; to use "
                f"that, give --data-dir {root}"
            )
    raise CourseError(
        f"{data_dir}: no VOCdevkit/VOC2007/JPEGImages in it; make the shapes data with "
        "python -m data_scripts.make_shapes, or fetch VOC 2007 with "
        "python -m data_scripts.download_voc2007"
    )


def read_lines(path: Path) -> list[str]:
    """Return a text file's non-empty lines, stripped.

    Raises:
        CourseError: The file cannot be read, or is not UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise CourseError(
            f"{path}: cannot read the list ({error.strerror}); check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{path}: not UTF-8 text; save it again as UTF-8") from error
    return [line.strip() for line in lines if line.strip()]


def list_splits(voc_root: Path) -> list[str]:
    """Return the names of the splits in ImageSets/Main, sorted.

    The devkit's class files there ("cat_train", lines "000005 -1") are no splits.
    """
    files = (voc_root / MAIN_FOLDER).glob("*.txt")
    names = sorted(path.stem for path in files if not path.name.startswith("."))
    # "train" is a split although it is a class too; "train_val" is that class's file.
    return [name for name in names if name.rpartition("_")[0] not in VOC_CLASSES]


def read_split(voc_root: Path, split: str) -> list[str]:
    """Return the image ids of ImageSets/Main/<split>.txt in the file's order.

    Raises:
        CourseError: No such split (lists those that exist), or a line that is no id.
    """
    path = voc_root / MAIN_FOLDER / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(list_splits(voc_root)) or "none"
        raise CourseError(
            f"{path.parent}: no split named {split!r}; choose one of: {known} (--split)"
        )
    image_ids = [line_id(line) for line in read_lines(path)]
    for image_id in image_ids:
        if not is_image_id(image_id):
            raise CourseError(f"{path}: {image_id!r} is no image id; one id per line")
    return image_ids


def read_class_names(voc_root: Path) -> tuple[str, ...]:
    """Return the tree's class names: its classes.txt, or VOC's 20 without one.

    Raises:
        CourseError: classes.txt is empty or names a class twice.
    """
    path = voc_root / CLASSES_FILE
    if not path.is_file():
        return VOC_CLASSES
    names = tuple(map(class_name, read_lines(path)))
    if not names or len(set(names)) != len(names):
        raise CourseError(f"{path}: list each class once, one name per line")
    return names
