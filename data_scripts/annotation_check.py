"""Check one image with its annotation, and work out what a repaired one would be.

Every finding says what is wrong and what a clean copy does about it, so that checking
and repairing cannot disagree.
"""

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from data_scripts.command import CourseError
from data_scripts.findings import (
    DROPPED,
    LEFT_OUT,
    Finding,
    ImageReport,
    image_problem,
)
from data_scripts.voc_format import VocObject, object_label, parse_object
from data_scripts.voc_xml import BOX_FIELDS, number_text, parse_size, parse_xml


class _Inspection:
    """Collects the findings of one image while its XML is repaired in memory."""

    def __init__(
        self, voc_root: Path, image_id: str, class_names: frozenset[str]
    ) -> None:
        self.class_names = class_names
        self.report = ImageReport(image_id)
        self.xml_file = f"Annotations/{image_id}.xml"
        self.image_file = f"JPEGImages/{image_id}.jpg"
        self.voc_root = voc_root

    def add(self, part: str, problem: str, remedy: str, file: str = "") -> None:
        finding = Finding(file or self.xml_file, part, problem, remedy)
        self.report.findings.append(finding)
        self.report.left_out |= remedy == LEFT_OUT

    def run(self) -> ImageReport:
        size, problem = image_problem(self.voc_root / self.image_file)
        if problem:
            self.add("", problem, LEFT_OUT, self.image_file)
        root = self._read_xml()
        if root is not None:
            self._check_filename(root)
            self._check_objects(root, size)
            if size is not None:
                self._check_size(root, size)
            if self.report.findings and not self.report.left_out:
                self.report.repaired = root
        return self.report

    def _read_xml(self) -> Element | None:
        path = self.voc_root / self.xml_file
        if not path.is_file():
            self.add("", "the annotation is missing", LEFT_OUT)
            return None
        if not path.read_bytes().strip():
            self.add("", "the annotation is an empty file", LEFT_OUT)
            return None
        try:
            return parse_xml(path)
        except CourseError as error:
            self.add("", str(error).removeprefix(f"{path}: "), LEFT_OUT)
            return None

    def _check_filename(self, root: Element) -> None:
        expected = f"{self.report.image_id}.jpg"
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
                root.remove(element)
            elif not self._object_stays(element, label, size):
                root.remove(element)

    def _object_stays(
        self, element: Element, label: str, size: tuple[int, int] | None
    ) -> bool:
        """Check one object and clip its box; return False if it must go."""
        try:
            item = parse_object(element, label)
        except CourseError as error:
            self.add(label, str(error).removeprefix(f"{label}: "), DROPPED)
            return False
        stays = True
        if item.name not in self.class_names:
            self.add(label, f"unknown class {item.name!r}", DROPPED)
            stays = False
        if not has_area(item.xyxy):
            problem = f"zero-area box {box_text(item)}; xmin < xmax, ymin < ymax needed"
            self.add(label, problem, DROPPED)
            return False
        if size is not None:
            stays = self._box_fits(element, label, item, size) and stays
        return stays

    def _box_fits(
        self, element: Element, label: str, item: VocObject, size: tuple[int, int]
    ) -> bool:
        """Clip a box to pixels 1..width, 1..height; return False if none is left."""
        limits = (*size, *size)
        inside = [
            min(max(number, 1.0), float(limit))
            for number, limit in zip(item.xyxy, limits, strict=True)
        ]
        if tuple(inside) == item.xyxy:
            return True
        left = has_area((inside[0], inside[1], inside[2], inside[3]))
        clipped = ", ".join(number_text(number) for number in inside)
        self.add(
            f"{label}, box",
            f"box {box_text(item)} is outside the image, which is {size}",
            f"box clipped to ({clipped})" if left else DROPPED,
        )
        for name, number in zip(BOX_FIELDS, inside, strict=True):
            set_field(element, f"bndbox/{name}", number_text(number))
        return left


def has_area(xyxy: tuple[float, float, float, float]) -> bool:
    """Return True if a box of XML numbers is wider and higher than a single pixel."""
    return xyxy[0] < xyxy[2] and xyxy[1] < xyxy[3]


def box_text(item: VocObject) -> str:
    """Return '(12, 20, 30.5, 40)'."""
    return "(" + ", ".join(number_text(number) for number in item.xyxy) + ")"


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
