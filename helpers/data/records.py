"""What the annotations of a data set say, from its XML files or its JSON."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.command import CourseError
from data_scripts.image_files import image_path
from data_scripts.voc_format import CLASSES_FILE, read_objects, read_split
from data_scripts.voc_xml import class_name


@dataclass(frozen=True)
class Record:
    """One image of a data set: where it is, and its true boxes.

    Attributes:
        boxes: (M, 4) float64, XYXY with continuous edges, pixels of the original.
        classes: (M,) int64.
        difficult: (M,) bool.
    """

    path: Path
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray


def continuous_edges(xml_boxes: np.ndarray) -> np.ndarray:
    """VOC's pixel numbers (1-based, last included) as edges: x1 - 1, y1 - 1, x2, y2."""
    return xml_boxes - np.array([1.0, 1.0, 0.0, 0.0])


def read_xml_records(
    root: Path, split: str, class_to_idx: dict[str, int]
) -> list[Record]:
    """All images of a split, from Annotations/*.xml."""
    records = []
    for image_id in read_split(root, split):
        annotation_path = root / "Annotations" / f"{image_id}.xml"
        objects = read_objects(annotation_path)
        records.append(
            _make_record(
                image_path(root, image_id),
                [entry.xyxy for entry in objects],
                [entry.name for entry in objects],
                class_to_idx,
                difficult=[entry.difficult for entry in objects],
                source=annotation_path,
            )
        )
    return records


def read_json_records(
    json_path: Path, root: Path, class_to_idx: dict[str, int]
) -> list[Record]:
    """All images of voc07_<split>.json: [[path, [{"name", "xyxy"}]], ...]."""
    try:
        entries = json.loads(json_path.read_text())
        records = [
            _make_record(
                root / "JPEGImages" / Path(path).name,
                [entry["xyxy"] for entry in objects],
                [class_name(entry["name"]) for entry in objects],
                class_to_idx,
                difficult=[False] * len(objects),
                source=json_path,
            )
            for path, objects in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CourseError(
            f"{json_path} is not a list of [path, [{{name, xyxy}}]] ({error!r}); make "
            "it again with python -m data_scripts.prepare_annotations"
        ) from error
    return records


def _make_record(
    path: Path,
    xml_boxes: list,
    names: list[str],
    class_to_idx: dict[str, int],
    *,
    difficult: list[bool],
    source: Path,
) -> Record:
    unknown = [name for name in names if name not in class_to_idx]
    if unknown:
        raise CourseError(
            f"{source} has an object of the unknown class {unknown[0]!r}; known are "
            f"{', '.join(class_to_idx)}; classes of your own are named in "
            f"{path.parents[1] / CLASSES_FILE}, one per line"
        )
    boxes = np.array(xml_boxes, dtype=np.float64).reshape(len(names), 4)
    in_order = (boxes[:, :2] <= boxes[:, 2:]).all(axis=1) & (boxes < np.inf).all(axis=1)
    for number in np.flatnonzero(~in_order):
        x1, y1, x2, y2 = boxes[number]
        raise CourseError(
            f"{source}, object {number + 1} ({names[number]}): box ({x1:g}, {y1:g}, "
            f"{x2:g}, {y2:g}) is not (xmin, ymin, xmax, ymax); mend a copy with "
            "python -m data_scripts.prepare_annotations --fix"
        )
    return Record(
        path=path,
        boxes=continuous_edges(boxes),
        classes=np.array([class_to_idx[name] for name in names], dtype=np.int64),
        difficult=np.array(difficult, dtype=bool),
    )
