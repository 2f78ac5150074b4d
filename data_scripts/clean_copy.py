"""Write a clean copy of a VOC tree, and account for all that it does not have."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tqdm import tqdm

from core.command import CourseError
from core.files import new_folder
from data_scripts.tree_check import TreeReport, stray_lists
from data_scripts.voc_format import CLASSES_FILE, MAIN_FOLDER, list_splits

CHANGES_FILE = "changes.txt"


@dataclass(frozen=True)
class Kept:
    """How much of a tree its clean copy has, each as (kept, of all)."""

    objects: tuple[int, int]
    images: tuple[int, int]
    lines: tuple[int, int]

    @property
    def is_all(self) -> bool:
        """Whether nothing was lost."""
        return all(kept == of for kept, of in (self.objects, self.images, self.lines))

    def __str__(self) -> str:
        text = "kept {:,} of {:,} objects, {:,} of {:,} images".format(
            *self.objects, *self.images
        )
        kept, of = self.lines
        if kept != of:
            text += f", {kept:,} of {of:,} lines of the split lists"
        return text


def count_kept(report: TreeReport) -> Kept:
    """Compare what a clean copy has with what the tree has."""
    images = report.images.values()
    kept_ids = {item.image_id for item in images if not item.left_out}
    stray_objects, stray_images = report.stray
    lines = sum(len(kept_ids.intersection(ids)) for ids in report.splits.values())
    return Kept(
        (
            sum(item.kept for item in images),
            sum(item.objects for item in images) + stray_objects,
        ),
        (len(kept_ids), sum(item.is_there for item in images) + stray_images),
        (lines, report.lines),
    )


def write_clean_copy(voc_root: Path, report: TreeReport, out: Path) -> list[str]:
    """Write out/VOCdevkit/VOC2007 without the findings; `voc_root` stays as it is.

    Returns:
        One line for each thing that was changed, dropped or not copied; they stand in
        out/changes.txt, too.

    Raises:
        CourseError: `out` exists or lies inside `voc_root`, or writing fails.
    """
    if out.resolve().is_relative_to(voc_root.resolve()):
        raise CourseError(
            f"{out}: exists already or lies inside the original; give another --out"
        )
    changes = [f"{item} -> {item.remedy}" for item in report.findings]
    changes += _not_copied(voc_root)
    kept = [item for item in report.images.values() if not item.left_out]
    kept_ids = {item.image_id for item in kept}
    with new_folder(out) as partial:
        root = partial / "VOCdevkit" / "VOC2007"
        for folder in ("Annotations", "JPEGImages", MAIN_FOLDER):
            (root / folder).mkdir(parents=True)
        if report.new_classes is not None:
            names = "".join(f"{name}\n" for name in report.new_classes)
            (root / CLASSES_FILE).write_text(names, "utf-8")
        elif (voc_root / CLASSES_FILE).is_file():
            shutil.copy2(voc_root / CLASSES_FILE, root / CLASSES_FILE)
        for item in tqdm(kept, desc="copying", unit="image", file=sys.stderr):
            xml = f"Annotations/{item.image_id}.xml"
            shutil.copy2(item.image, root / "JPEGImages" / item.image.name)
            if item.repaired is None:
                shutil.copy2(voc_root / xml, root / xml)
            else:
                tree = ElementTree.ElementTree(item.repaired)
                tree.write(root / xml, encoding="utf-8")
        for split, ids in report.splits.items():
            lines = [f"{image_id}\n" for image_id in ids if image_id in kept_ids]
            (root / MAIN_FOLDER / f"{split}.txt").write_text("".join(lines), "utf-8")
        if changes:
            text = "".join(f"{line}\n" for line in changes)
            (partial / CHANGES_FILE).write_text(text, "utf-8", "surrogateescape")
    return changes


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
    known = {f"{split}.txt" for split in list_splits(voc_root)}
    known |= {
        path.relative_to(voc_root / MAIN_FOLDER).parts[0]
        for path in stray_lists(voc_root)
    }
    others += [
        f"{MAIN_FOLDER}/{path.name}"
        for path in sorted((image_sets / "Main").iterdir())
        if path.name not in known
    ]
    return [f"{name}: not part of detection -> not copied" for name in others]
