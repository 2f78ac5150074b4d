"""Which classes a VOC tree has: as told, as its classes.txt says, or as it shows."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from core.command import CourseError
from data_scripts.findings import Finding
from data_scripts.voc_format import CLASSES_FILE, VOC_CLASSES, read_class_names
from data_scripts.voc_xml import class_name, parse_xml

MOST_NAMES = 20  # in a message


def choose_classes(
    voc_root: Path,
    image_ids: Iterable[str],
    given: tuple[str, ...] | None,
    findings: list[Finding],
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Return the tree's classes, and what a clean copy's classes.txt must hold anew.

    A tree without classes.txt whose annotations name other classes than VOC's has
    classes of its own; they are what its annotations name, and a finding says so.

    Args:
        voc_root: The VOC2007 folder.
        image_ids: Whose annotations count.
        given: The classes, if the user names them.
        findings: Gets what is wrong.

    Raises:
        CourseError: The given names or classes.txt are not usable.
    """
    if given is not None:
        given = tuple(map(class_name, given))
        if not all(given):
            raise CourseError("--classes has a name that is empty; leave it out")
        if len(set(given)) != len(given):
            raise CourseError("--classes names a class twice; give each name once")
        return given, given
    if (voc_root / CLASSES_FILE).is_file():
        return read_class_names(voc_root), None
    counts = count_classes(voc_root, image_ids)
    own = [name for name in counts if name not in VOC_CLASSES]
    if not own:
        return VOC_CLASSES, None
    found = tuple(sorted(counts))
    is_are = "class is" if len(own) == 1 else "classes are"
    problem = (
        f"missing, and {len(own)} {is_are} not among VOC's: "
        f"{_shorten(f'{name} ({counts[name]:,} objects)' for name in own)}; write the "
        f"names of your classes into {voc_root / CLASSES_FILE}, one per line, or give "
        "--classes NAME ..."
    )
    remedy = f"written with all classes that are there: {_shorten(found)}"
    findings.append(Finding(CLASSES_FILE, "", problem, remedy))
    return found, found


def count_classes(voc_root: Path, image_ids: Iterable[str]) -> Counter[str]:
    """Count the objects of each class in the annotations that can be read."""
    counts: Counter[str] = Counter()
    for image_id in image_ids:
        try:
            root = parse_xml(voc_root / "Annotations" / f"{image_id}.xml")
        except CourseError:
            continue  # inspect_image reports this file
        for element in root.iterfind("object"):
            name = class_name(element.findtext("name", default=""))
            if name:
                counts[name] += 1
    return counts


def _shorten(parts: Iterable[str]) -> str:
    parts = list(parts)
    shown = ", ".join(parts[:MOST_NAMES])
    more = len(parts) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
