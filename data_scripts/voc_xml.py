"""Reading fields of a VOC annotation XML, each with a message that names the place."""

import math
import re
import unicodedata
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from core.command import CourseError

BOX_FIELDS = ("xmin", "ymin", "xmax", "ymax")
MOST_LEVELS = 50  # of elements inside elements; VOC has four
OBJECT_TAG = re.compile(rb"<(?:[\w.-]+:)?object[\s/>]", re.IGNORECASE)


def parse_xml(path: Path) -> Element:
    """Return the root of an annotation file.

    A DOCTYPE is refused: VOC files have none, and it is the door to entity bombs.

    Raises:
        CourseError: No file, not UTF-8, a DOCTYPE, not well-formed XML, or objects
            where nobody looks for them.
    """
    try:
        # As text, so that the file cannot choose another encoding for the parser.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CourseError(
            f"{path}: cannot read the annotation ({error.strerror}); check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{path}: not UTF-8 text; save it again as UTF-8") from error
    if "\0" in text:  # the parser would guess UTF-16 and obey a DOCTYPE written so
        raise CourseError(f"{path}: not UTF-8 text; save it again as UTF-8")
    if "<!DOCTYPE" in text:
        raise CourseError(
            f"{path}: contains a DOCTYPE, which is refused; remove that line"
        )
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CourseError(
            f"{path}: not well-formed XML ({error}); repair or replace the file"
        ) from error
    _check_form(root, path)
    return root


def _check_form(root: Element, path: Path) -> None:
    """No object is where nobody looks for it, such as in a namespace or in a list."""
    hidden, depth, level = -len(root.findall("object")), 0, [root]
    while level:
        tags = [element.tag.rpartition("}")[2].lower() for element in level]
        hidden, depth = hidden + tags.count("object"), depth + 1
        level = [child for element in level for child in element]
    if depth > MOST_LEVELS:
        raise CourseError(
            f"{path}: nested deeper than {MOST_LEVELS} elements; replace the file"
        )
    if hidden:
        raise CourseError(
            f"{path}: {hidden} objects are not <object> directly in <annotation> "
            "(nested, in capitals, or in a namespace?); write them there"
        )


def count_objects(path: Path) -> int:
    """Count the objects in a file, though it may not be readable as XML."""
    return len(OBJECT_TAG.findall(path.read_bytes().replace(b"\0", b"")))


def field_text(parent: Element, field: str, where: str) -> str:
    """Return the text of the child `field` (a path such as "size/width").

    Raises:
        CourseError: The child is missing or empty; the message starts with `where`.
    """
    text = parent.findtext(field, default="").strip()
    if not text:
        raise CourseError(f"{where}: <{field}> is missing or empty; add it")
    return text


def class_name(text: str) -> str:
    """A name of a class as the lists have it: one line, and one form of each accent."""
    return unicodedata.normalize("NFC", " ".join(text.split()))


def object_label(index: int, element: Element) -> str:
    """Return how messages name an object, say 'object 2 (chair)'; counted from 1."""
    name = class_name(element.findtext("name", default="")) or "no name"
    return f"object {index + 1} ({name})"


def field_number(parent: Element, field: str, where: str) -> float:
    """Return the finite number in the child `field`; CourseError otherwise."""
    text = field_text(parent, field, where)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise CourseError(f"{where}: <{field}> is {text!r}; write a finite number")
    return number


def field_flag(parent: Element, field: str, where: str) -> bool:
    """Return a 0/1 child as bool; a missing or empty one is False."""
    text = parent.findtext(field, default="").strip() or "0"
    if text not in ("0", "1"):
        raise CourseError(f"{where}: <{field}> is {text!r}; write 0 or 1")
    return text == "1"


def parse_size(root: Element, where: str) -> tuple[int, int]:
    """Return (width, height) in pixels as the XML's <size> states them.

    Raises:
        CourseError: A missing field, or a number that is not a positive integer.
    """
    sides = []
    for field in ("size/width", "size/height"):
        side = field_number(root, field, where)
        if side < 1 or side != int(side):
            raise CourseError(
                f"{where}: <{field}> is {side:g}; write a positive whole number"
            )
        sides.append(int(side))
    return sides[0], sides[1]


def number_text(number: float) -> str:
    """Return the shortest text that reads back as the same number (12, not 12.0)."""
    return str(int(number)) if number == int(number) else repr(float(number))
