"""Check a VOC tree, write a clean copy of it, or turn its XML into the course's JSON.

Exit code 0: clean; 1: findings remain, or the clean copy lacks something that the tree
has; 2: wrong call.
"""

import json
from pathlib import Path
from typing import Any

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    run_command,
)
from core.files import write_atomically
from data_scripts.clean_copy import (
    CHANGES_FILE,
    Kept,
    count_kept,
    write_clean_copy,
)
from data_scripts.image_files import image_path
from data_scripts.tree_check import check_tree
from data_scripts.voc_format import (
    find_voc_root,
    list_splits,
    read_annotation,
    read_split,
)

MOST_LINES = 40  # of changes on the screen


def annotations_as_json(
    data_dir: Path, split: str, drop_difficult: bool = False
) -> list[list[Any]]:
    """Return a split in the form of the course's JSON files.

    Args:
        data_dir: Folder with VOCdevkit; the paths are relative to it.
        split: Name of a list in ImageSets/Main.
        drop_difficult: Leave out objects marked difficult.

    Returns:
        One `[path, [{"name": str, "xyxy": [4 floats]}, ...]]` for each image, the box
        as in the XML (pixels, 1-based, inclusive). Images without objects stay.

    Raises:
        CourseError: No such tree or split, or a file that cannot be read.
    """
    voc_root = find_voc_root(data_dir)
    rows: list[list[Any]] = []
    for image_id in read_split(voc_root, split):
        annotation = read_annotation(voc_root / "Annotations" / f"{image_id}.xml")
        objects = [
            {"name": item.name, "xyxy": list(item.xyxy)}
            for item in annotation.objects
            if not (drop_difficult and item.difficult)
        ]
        image = image_path(voc_root, image_id)
        rows.append([image.relative_to(data_dir).as_posix(), objects])
    return rows


def write_json(data_dir: Path, folder: Path, drop_difficult: bool) -> list[Path]:
    """Write folder/voc07_<split>.json for each split; return the paths.

    Raises:
        CourseError: The tree cannot be read, the folder not written, or it has labels
            under such a name that are not those of this tree.
    """
    wanted = {}
    for split in list_splits(find_voc_root(data_dir)):
        path = folder / f"voc07_{split}.json"
        every, easy = (
            annotations_as_json(data_dir, split, drop) for drop in (False, True)
        )
        if path.exists() and path.read_bytes() not in map(_as_bytes, (every, easy)):
            raise CourseError(
                f"{path}: holds other labels than {data_dir} gives; move it away, or "
                "choose another folder"
            )
        wanted[path] = (
            _as_bytes(easy if drop_difficult else every),
            f"{path}: {len(every)} images, {_say_boxes(every, easy, drop_difficult)}",
        )
    for path, (content, said) in wanted.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise CourseError(
                f"{path}: cannot write ({error.strerror}); choose another folder"
            ) from error
        print(said)
    return list(wanted)


def _say_boxes(
    every: list[list[Any]], easy: list[list[Any]], drop_difficult: bool
) -> str:
    """How many boxes are written, and what became of the difficult ones."""
    boxes, left = (sum(len(row[1]) for row in rows) for rows in (every, easy))
    difficult = boxes - left
    if not difficult:
        return f"{boxes} boxes"
    if drop_difficult:
        return f"{left} boxes, without the {difficult} difficult"
    return (
        f"{boxes} boxes, {difficult} of them difficult, which the JSON cannot say "
        "(--drop-difficult leaves such out)"
    )


def _as_bytes(rows: list[list[Any]]) -> bytes:
    return json.dumps(rows).encode()


def _check_and_print(
    data_dir: Path, classes: tuple[str, ...] | None, out: Path | None = None
) -> tuple[bool, Kept]:
    """Check a tree, write the clean copy if wanted.

    Returns:
        Whether the tree was clean, and what its clean copy keeps.
    """
    voc_root = find_voc_root(data_dir)
    report = check_tree(voc_root, classes)
    if out is None:
        for finding in report.findings:
            print(finding)
    else:
        changes = write_clean_copy(voc_root, report, out)
        for line in changes[:MOST_LINES]:
            print(line)
        if len(changes) > MOST_LINES:
            more = len(changes) - MOST_LINES
            print(f"... and {more:,} more lines in {out / CHANGES_FILE}")
    print(
        f"{voc_root}: {len(report.images)} images checked ({report.unlisted} in no "
        f"split), {len(report.findings)} findings"
    )
    return not report.findings, count_kept(report)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="python -m data_scripts.prepare_annotations",
        description="Check a VOC tree, write a clean copy, or turn its XML into JSON.",
    )
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="folder that holds VOCdevkit"
    )
    parser.add_argument(
        "--fix", action="store_true", help="write a clean copy to --out and check that"
    )
    parser.add_argument("--out", type=Path, help="folder of the clean copy, with --fix")
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="names of your classes, instead of those in VOC2007/classes.txt",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FOLDER", help="write FOLDER/voc07_<split>.json"
    )
    parser.add_argument(
        "--drop-difficult", action="store_true", help="no difficult objects in the JSON"
    )
    return parser


def main() -> int:
    """Command line: see --help."""
    parser = _parser()
    options = parser.parse_args()
    if options.fix != (options.out is not None):
        parser.error("--fix and --out CLEAN belong together")
    if options.drop_difficult and options.json is None:
        parser.error("--drop-difficult changes only what --json FOLDER writes")
    data_dir = options.data_dir
    classes = tuple(options.classes) if options.classes else None
    clean, kept = _check_and_print(data_dir, classes, options.out)
    is_complete = True
    if options.fix:
        data_dir = options.out
        clean = clean or _check_and_print(data_dir, None)[0]
        is_complete = kept.is_all
        where = f"; what is not in it: {options.out / CHANGES_FILE}"
        print(f"{options.out}: {kept}{'' if is_complete else where}")
    if options.json is not None and clean:
        write_json(data_dir, options.json, options.drop_difficult)
    elif options.json is not None:
        print("no JSON written: mend the findings, or use --fix --out CLEAN")
    return EXIT_OK if clean and is_complete else EXIT_PARTLY_FAILED


if __name__ == "__main__":
    run_command(main)
