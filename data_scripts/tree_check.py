"""Check a whole VOC tree: its lists, its classes, its annotations and images."""

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from core.command import CourseError
from data_scripts.annotation_check import inspect_image
from data_scripts.findings import Finding, ImageReport, image_problem
from data_scripts.image_files import (
    IMAGE_SUFFIXES,
    image_path,
    is_image_id,
    line_id,
)
from data_scripts.tree_classes import choose_classes
from data_scripts.voc_format import (
    MAIN_FOLDER,
    list_splits,
    read_lines,
)
from data_scripts.voc_xml import count_objects, parse_xml

# The union of train and val; sharing images with them is its purpose.
UNION_SPLIT = "trainval"
OWN_SPLITS = ("test", "train", "val")  # an image that they share with others stays here


@dataclass
class TreeReport:
    """What a check found.

    Attributes:
        findings: Everything that is wrong, folder by folder.
        images: One report for each image id that a list or a file names.
        splits: Split name -> ids that are well formed, each once, in order.
        lines: How many different lines the lists have, with those that are no ids.
        stray: How many objects and images are in files that no image id leads to.
        unlisted: How many images are in no split (checked too, and no mistake).
        new_classes: What classes.txt of a clean copy must hold; None: what is there.
    """

    findings: list[Finding]
    images: dict[str, ImageReport]
    splits: dict[str, list[str]]
    lines: int
    stray: tuple[int, int]
    unlisted: int
    new_classes: tuple[str, ...] | None


def _check_split(voc_root: Path, split: str, findings: list[Finding]) -> list[str]:
    """Return a split's lines, each once; add what is wrong with them."""
    file = f"{MAIN_FOLDER}/{split}.txt"
    lines = [line_id(line) for line in read_lines(voc_root / file)]
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
    return list(ids)


def _check_shared(splits: dict[str, list[str]], findings: list[Finding]) -> None:
    """Find images in two splits: a model would be tested on what it was trained on."""
    owner: dict[str, str] = {}
    for split in sorted(splits, key=lambda name: name not in OWN_SPLITS):
        if split == UNION_SPLIT:
            continue
        file = f"{MAIN_FOLDER}/{split}.txt"
        for image_id in list(splits[split]):
            first = owner.setdefault(image_id, split)
            if first != split:
                problem = f"image {image_id} is also in the split {first}"
                findings.append(Finding(file, "", problem, f"kept in {first} only"))
                splits[split].remove(image_id)


def _stray_files(voc_root: Path) -> list[Finding]:
    """Find files that no image id can ever name."""
    findings = []
    for folder in ("Annotations", "JPEGImages"):
        for path in sorted((voc_root / folder).iterdir()):
            problem = ""
            if folder == "Annotations" and path.suffix != ".xml":
                problem = "not a .xml file"
            elif folder == "JPEGImages":
                problem = _not_used(voc_root, path)
            if problem and not path.name.startswith("."):
                place = f"{folder}/{path.name}"
                findings.append(Finding(place, "", problem, "left out"))
    return findings


def _count_stray(voc_root: Path, strays: list[Finding]) -> tuple[int, int]:
    """Count objects and images in files that no image id can name, folders too."""
    objects = images = 0
    for stray in strays:
        path = voc_root / stray.file
        for file in [path] if path.is_file() else filter(Path.is_file, path.rglob("*")):
            if stray.file.startswith("JPEGImages"):
                is_counted = _is_image_of_an_annotation(voc_root, file)
                images += not is_counted and not image_problem(file)[2]
            elif file.suffix.lower() == ".xml":
                objects += count_objects(file)
    return objects, images


def _is_image_of_an_annotation(voc_root: Path, image: Path) -> bool:
    """Whether an annotation lacks its image, and that is probably this one."""
    is_missing = not image_path(voc_root, image.stem).is_file()
    return is_missing and (voc_root / "Annotations" / f"{image.stem}.xml").is_file()


def stray_lists(voc_root: Path) -> list[Path]:
    """Return lists below ImageSets/Main that are no split: in a folder, or NAME.TXT."""
    main = voc_root / MAIN_FOLDER
    lists = (path for path in sorted(main.rglob("*")) if path.suffix.lower() == ".txt")
    return [
        path
        for path in lists
        if not path.name.startswith(".")
        and path.is_file()
        and (path.parent != main or path.suffix != ".txt")
    ]


def _stray_lists(voc_root: Path, findings: list[Finding]) -> int:
    """Find lists that are no split; return how many different lines they have."""
    lines = 0
    for path in stray_lists(voc_root):
        problem = f"no split, for it is not a NAME.txt right in {MAIN_FOLDER}"
        file = path.relative_to(voc_root).as_posix()
        findings.append(Finding(file, "", problem, "left out"))
        lines += len(set(read_lines(path)))
    return lines


def _not_used(voc_root: Path, image: Path) -> str:
    """Return why no image id leads to this file, or "" if one does."""
    if image.suffix.lower() not in IMAGE_SUFFIXES:
        return f"not a {', '.join(IMAGE_SUFFIXES)} file"
    used = image_path(voc_root, image.stem)
    if used.name == image.name:
        return ""
    return f"not used, for the image {image.stem} is {used.name}"


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


def check_tree(voc_root: Path, classes: tuple[str, ...] | None = None) -> TreeReport:
    """Check lists, annotations and images; decodes every image fully.

    Args:
        voc_root: The VOC2007 folder.
        classes: The names of the classes, instead of those in classes.txt.

    Raises:
        CourseError: A folder of the devkit is missing, or classes.txt is not usable.
    """
    for folder in ("Annotations", "JPEGImages", MAIN_FOLDER):
        if not (voc_root / folder).is_dir():
            raise CourseError(f"{voc_root / folder}: missing; is this a VOC tree?")
    findings: list[Finding] = []
    names = list_splits(voc_root)
    if not names:
        findings.append(Finding(MAIN_FOLDER, "", "no split list in it", "none"))
    lines = {name: _check_split(voc_root, name, findings) for name in names}
    splits = {name: list(filter(is_image_id, lines[name])) for name in names}
    listed = {image_id for ids in splits.values() for image_id in ids}
    _check_shared(splits, findings)
    stray_lines = _stray_lists(voc_root, findings)
    strays = _stray_files(voc_root)
    findings += strays
    files = [*(voc_root / "Annotations").glob("*.xml")]
    files += [
        path
        for path in (voc_root / "JPEGImages").iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]
    on_disk = {path.stem for path in files if not path.name.startswith(".")}
    image_ids = sorted(listed | on_disk)
    findings += _image_named_twice(voc_root, image_ids)
    class_names, new_classes = choose_classes(voc_root, image_ids, classes, findings)
    images = {}
    for image_id in tqdm(image_ids, desc="checking", unit="image", file=sys.stderr):
        images[image_id] = inspect_image(voc_root, image_id, frozenset(class_names))
        findings += images[image_id].findings
    return TreeReport(
        findings=findings,
        images=images,
        splits=splits,
        lines=sum(map(len, lines.values())) + stray_lines,
        stray=_count_stray(voc_root, strays),
        unlisted=len(on_disk - listed),
        new_classes=new_classes,
    )
