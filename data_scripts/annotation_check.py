"""Check one image with its annotation, and work out what a repaired one would be.

Every finding says what is wrong and what a clean copy does about it, so that checking
and repairing cannot disagree.
"""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from core.command import CourseError
from data_scripts.findings import (
    DROPPED,
    LEFT_OUT,
    Finding,
    ImageReport,
    image_problem,
)
from data_scripts.image_files import image_path
from data_scripts.voc_format import VocObject, parse_object
from data_scripts.voc_xml import (
    BOX_FIELDS,
    count_objects,
    field_flag,
    number_text,
    object_label,
    parse_size,
    parse_xml,
)

YES = ("true", "yes")  # flags of tools that write words
XYXY = tuple[float, float, float, float]


class _Inspection:
    """Collects the findings of one image while its XML is repaired in memory."""

    def __init__(
        self, voc_root: Path, image_id: str, class_names: frozenset[str]
    ) -> None:
        self.class_names = class_names
        self.image = image_path(voc_root, image_id)
        self.report = ImageReport(image_id, self.image)
        self.xml_file = f"Annotations/{image_id}.xml"
        self.voc_root = voc_root
        self.sideways = False

    def add(self, part: str, problem: str, remedy: str, file: str = "") -> None:
        finding = Finding(file or self.xml_file, part, problem, remedy)
        self.report.findings.append(finding)
        self.report.left_out |= remedy == LEFT_OUT

    def run(self) -> ImageReport:
        size, self.sideways, problem = image_problem(self.image)
        if problem:
            self.add("", problem, LEFT_OUT, f"JPEGImages/{self.image.name}")
        if not _is_utf8(self.image.name):
            self.add("", "the name is not UTF-8; rename the file", LEFT_OUT)
        root = self._read_xml()
        if root is not None:
            self._check_filename(root)
            self._check_objects(root, size)
            if size is not None:
                self._check_size(root, size)
            if self.report.findings and not self.report.left_out:
                self.report.repaired = root
        if self.report.left_out and self.report.objects:
            with_objects = f"{LEFT_OUT} with its {self.report.objects} objects"
            self.report.findings = [
                replace(finding, remedy=with_objects)
                if finding.remedy == LEFT_OUT
                else finding
                for finding in self.report.findings
            ]
        return self.report

    def _read_xml(self) -> Element | None:
        path = self.voc_root / self.xml_file
        if not path.is_file():
            self.report.is_there = self.image.is_file()
            self.add("", "the annotation is missing", LEFT_OUT)
            return None
        if not path.read_bytes().strip():
            self.add("", "the annotation is an empty file", LEFT_OUT)
            return None
        try:
            root = parse_xml(path)
            self.report.objects = len(root.findall("object"))
            return root
        except CourseError as error:
            self.report.objects = count_objects(path)
            self.add("", str(error).removeprefix(f"{path}: "), LEFT_OUT)
            return None

    def _check_filename(self, root: Element) -> None:
        expected = self.image.name
        found = root.findtext("filename", default="").strip()
        if found != expected:
            problem = f"names the image {found!r}, not {expected!r}"
            self.add("<filename>", problem, f"set to {expected}")
            set_field(root, "filename", expected)

    def _check_size(self, root: Element, size: tuple[int, int]) -> None:
        """Compare <size>; a wrong one is set right only if all boxes fit the image."""
        try:
            stated: tuple[int, int] | None = parse_size(root, "")
            problem = f"says {stated}, the image is {size} (width, height)"
        except CourseError as error:
            stated, problem = None, str(error).removeprefix(": ")
        if stated == size:
            return
        if self.sideways and stated == (size[1], size[0]):
            problem += " when it is turned upright, as its EXIF orientation asks"
            self.add(
                "<size>", f"{problem}; which way its boxes lie is not known", LEFT_OUT
            )
            return
        outside = any(", box" in item.part for item in self.report.findings)
        if stated is not None and outside:
            problem += (
                "; boxes pass the border, so they may belong to another image size"
            )
            self.add("<size>", problem, LEFT_OUT)
            return
        self.add("<size>", problem, f"set to {size}")
        for name, side in zip(("width", "height"), size, strict=True):
            set_field(root, f"size/{name}", str(side))

    def _check_objects(self, root: Element, size: tuple[int, int] | None) -> None:
        first_label: dict[bytes, str] = {}
        for index, element in enumerate(root.findall("object")):
            label = object_label(index, element)
            first = first_label.setdefault(ElementTree.tostring(element).strip(), label)
            if first != label:
                self.add(label, f"the same as {first}, word for word", DROPPED)
            elif self._object_stays(element, label, size):
                continue
            self.report.dropped += 1
            root.remove(element)

    def _object_stays(
        self, element: Element, label: str, size: tuple[int, int] | None
    ) -> bool:
        """Check one object and mend its box; return False if it must go."""
        self._mend_flags(element, label)
        try:
            item = parse_object(element, label)
        except CourseError as error:
            self.add(label, str(error).removeprefix(f"{label}: "), DROPPED)
            return False
        stays = True
        if item.name not in self.class_names:
            problem = f"unknown class {item.name!r}; to keep it, name it in classes.txt"
            self.add(label, problem, DROPPED)
            stays = False
        xyxy = self._in_order(element, label, item)
        if size is not None:
            stays = self._box_fits(element, label, xyxy, size) and stays
        return stays

    def _mend_flags(self, element: Element, label: str) -> None:
        """A flag that says neither 0 nor 1 is no reason to lose the object."""
        for name in ("difficult", "truncated"):
            try:
                field_flag(element, name, label)
            except CourseError as error:
                problem = str(error).removeprefix(f"{label}: ")
                flag = "1" if element.findtext(name, "").strip().lower() in YES else "0"
                self.add(label, problem, f"<{name}> set to {flag}")
                set_field(element, name, flag)

    def _in_order(self, element: Element, label: str, item: VocObject) -> XYXY:
        """Swap corners that are the wrong way round; return the box."""
        x1, y1, x2, y2 = item.xyxy
        ordered = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        if ordered != item.xyxy:
            self.add(
                label,
                f"corners swapped in box {box_text(item.xyxy)}; xmin <= xmax and "
                "ymin <= ymax needed",
                f"box is {box_text(ordered)} now",
            )
            write_box(element, ordered)
        return ordered

    def _box_fits(
        self, element: Element, label: str, xyxy: XYXY, size: tuple[int, int]
    ) -> bool:
        """Clip a box to pixels 1..width, 1..height; return False if none is left."""
        width, height = size
        inside = (
            max(xyxy[0], 1.0),
            max(xyxy[1], 1.0),
            min(xyxy[2], float(width)),
            min(xyxy[3], float(height)),
        )
        if inside == xyxy:
            return True
        # One pixel wide is enough: both ends are inside the object.
        left = inside[0] <= inside[2] and inside[1] <= inside[3]
        self.add(
            f"{label}, box",
            f"box {box_text(xyxy)} is outside the image, which is {size}",
            f"box clipped to {box_text(inside)}" if left else DROPPED,
        )
        write_box(element, inside)
        return left


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # as Python reads a file name that is not
        return False
    return True


def box_text(xyxy: XYXY) -> str:
    """Return '(12, 20, 30.5, 40)'."""
    return "(" + ", ".join(number_text(number) for number in xyxy) + ")"


def write_box(element: Element, xyxy: XYXY) -> None:
    """Set the four numbers of an object's box."""
    for name, number in zip(BOX_FIELDS, xyxy, strict=True):
        set_field(element, f"bndbox/{name}", number_text(number))


def set_field(parent: Element, field_path: str, text: str) -> None:
    """Set the text of a descendant such as "size/width", creating what is missing."""
    for name in field_path.split("/"):
        child = parent.find(name)
        if child is None:
            child = ElementTree.SubElement(parent, name)
        parent = child
    parent.text = text


def inspect_image(
    voc_root: Path, image_id: str, class_names: frozenset[str]
) -> ImageReport:
    """Return every finding on one image of a tree and its repaired annotation."""
    return _Inspection(voc_root, image_id, class_names).run()
