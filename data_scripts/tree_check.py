"""Check a whole VOC tree, and write a clean copy of it."""

import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tqdm import tqdm

from data_scripts.annotation_check import inspect_image
from data_scripts.command import CourseError
from data_scripts.findings import Finding, ImageReport
from data_scripts.safe_folder import new_folder
from data_scripts.voc_format import (
    CLASSES_FILE,
    MAIN_FOLDER,
    is_image_id,
    list_splits,
    read_class_names,
    read_lines,
)
from data_scripts.voc_xml import parse_xml

# The union of train and val; sharing images with them is its purpose.
UNION_SPLIT = "trainval"


@dataclass
class TreeReport:
    """What a check found.

    Attributes:
        findings: Everything that is wrong, folder by folder.
        images: One report for each image id that a list or a file names.
        splits: Split name -> ids that are well formed, each once, in order.
        unlisted: How many images are in no split (checked too, and no mistake).
    """

    findings: list[Finding]
    images: dict[str, ImageReport]
    splits: dict[str, list[str]]
    unlisted: int


def _check_split(voc_root: Path, split: str, findings: list[Finding]) -> list[str]:
    """Return a split's good ids, each once; add what is wrong with its lines."""
    file = f"{MAIN_FOLDER}/{split}.txt"
    lines = read_lines(voc_root / file)
    if not lines:
        findings.append(Finding(file, "", "the split lists no image", "kept"))
    ids: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        part = f"line {number}"
        if not is_image_id(line):
            findings.append(Finding(file, part, f"{line!r} is no id", "line dropped"))
        elif line in ids:
            problem = f"image {line} is listed twice"
            findings.append(Finding(file, part, problem, "second line dropped"))
        ids.setdefault(line)
    return [line for line in ids if is_image_id(line)]


def _check_shared(splits: dict[str, list[str]], findings: list[Finding]) -> None:
    """Find images in two splits: a model would be tested on what it was trained on."""
    owner: dict[str, str] = {}
    for split in splits:
        if split == UNION_SPLIT:
            continue
        file = f"{MAIN_FOLDER}/{split}.txt"
        for image_id in list(splits[split]):
            first = owner.setdefault(image_id, split)
            if first != split:
                problem = f"image {image_id} is also in the split {first}"
                findings.append(Finding(file, "", problem, f"kept in {first} only"))
                splits[split].remove(image_id)


def _stray_files(voc_root: Path, folder: str, suffix: str) -> list[Finding]:
    """Find files that no image id can ever name."""
    return [
        Finding(f"{folder}/{path.name}", "", f"not a {suffix} file", "left out")
        for path in sorted((voc_root / folder).iterdir())
        if path.suffix != suffix and not path.name.startswith(".")
    ]


def _image_named_twice(voc_root: Path, image_ids: list[str]) -> list[Finding]:
    """Find images that the <filename> of two annotations names."""
    named: dict[str, list[str]] = defaultdict(list)
    for image_id in image_ids:
        try:
            root = parse_xml(voc_root / "Annotations" / f"{image_id}.xml")
        except CourseError:
            continue  # inspect_image reports this file
        filename = root.findtext("filename", default="").strip()
        if filename:
            named[filename].append(f"{image_id}.xml")
    return [
        Finding(
            f"JPEGImages/{name}", "", f"named twice, by {', '.join(files)}", "see there"
        )
        for name, files in named.items()
        if len(files) > 1
    ]


def check_tree(voc_root: Path) -> TreeReport:
    """Check lists, annotations and images; decodes every image fully.

    Raises:
        CourseError: A folder of the devkit is missing, or classes.txt is not usable.
    """
    for folder in ("Annotations", "JPEGImages", MAIN_FOLDER):
        if not (voc_root / folder).is_dir():
            raise CourseError(f"{voc_root / folder}: missing; is this a VOC tree?")
    class_names = frozenset(read_class_names(voc_root))
    findings: list[Finding] = []
    names = list_splits(voc_root)
    if not names:
        findings.append(Finding(MAIN_FOLDER, "", "no split list in it", "none"))
    splits = {name: _check_split(voc_root, name, findings) for name in names}
    listed = {image_id for ids in splits.values() for image_id in ids}
    _check_shared(splits, findings)
    findings += _stray_files(voc_root, "Annotations", ".xml")
    findings += _stray_files(voc_root, "JPEGImages", ".jpg")
    on_disk = {path.stem for path in (voc_root / "Annotations").glob("*.xml")}
    on_disk |= {path.stem for path in (voc_root / "JPEGImages").glob("*.jpg")}
    image_ids = sorted(listed | on_disk)
    findings += _image_named_twice(voc_root, image_ids)
    images = {}
    for image_id in tqdm(image_ids, desc="checking", unit="image", file=sys.stderr):
        images[image_id] = inspect_image(voc_root, image_id, class_names)
        findings += images[image_id].findings
    return TreeReport(findings, images, splits, len(on_disk - listed))


def write_clean_copy(voc_root: Path, report: TreeReport, out: Path) -> list[str]:
    """Write out/VOCdevkit/VOC2007 without the findings; `voc_root` stays as it is.

    Returns:
        One line for each thing that was changed, dropped or not copied.

    Raises:
        CourseError: `out` exists or lies inside `voc_root`, or writing fails.
    """
    if out.resolve().is_relative_to(voc_root.resolve()):
        raise CourseError(
            f"{out}: exists already or lies inside the original; give another --out"
        )
    kept = [item for item in report.images.values() if not item.left_out]
    kept_ids = {item.image_id for item in kept}
    with new_folder(out) as partial:
        root = partial / "VOCdevkit" / "VOC2007"
        for folder in ("Annotations", "JPEGImages", MAIN_FOLDER):
            (root / folder).mkdir(parents=True)
        if (voc_root / CLASSES_FILE).is_file():
            shutil.copy2(voc_root / CLASSES_FILE, root / CLASSES_FILE)
        for item in tqdm(kept, desc="copying", unit="image", file=sys.stderr):
            image, xml = f"JPEGImages/{item.image_id}.jpg", f"{item.image_id}.xml"
            shutil.copy2(voc_root / image, root / image)
            if item.repaired is None:
                shutil.copy2(voc_root / "Annotations" / xml, root / "Annotations" / xml)
            else:
                tree = ElementTree.ElementTree(item.repaired)
                tree.write(root / "Annotations" / xml, encoding="utf-8")
        for split, ids in report.splits.items():
            lines = [f"{image_id}\n" for image_id in ids if image_id in kept_ids]
            (root / MAIN_FOLDER / f"{split}.txt").write_text("".join(lines), "utf-8")
    changes = [f"{item} -> {item.remedy}" for item in report.findings]
    return changes + _not_copied(voc_root)


def _not_copied(voc_root: Path) -> list[str]:
    """Name what of the devkit a clean copy leaves behind."""
    used = {"Annotations", "JPEGImages", "ImageSets", CLASSES_FILE}
    others = [path.name for path in sorted(voc_root.iterdir()) if path.name not in used]
    image_sets = voc_root / "ImageSets"
    others += [
        f"ImageSets/{path.name}"
        for path in sorted(image_sets.iterdir())
        if path.name != "Main"
    ]
    splits = list_splits(voc_root)
    others += [
        f"{MAIN_FOLDER}/{path.name}"
        for path in sorted((image_sets / "Main").iterdir())
        if path.suffix != ".txt" or path.stem not in splits
    ]
    return [f"{name}: not part of detection -> not copied" for name in others]
