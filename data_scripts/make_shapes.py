"""Draw the course's own data set: shapes on cluttered backgrounds, as a VOC tree.

Needs no network. The same arguments give the same annotations, byte for byte, and image
number i is the same however many images are drawn.
"""

import json
import sys
from pathlib import Path
from random import Random

from tqdm import tqdm

from core.command import EXIT_OK, CommandParser, CourseError, run_command
from core.files import is_free, new_folder
from data_scripts.shape_painting import paint_scene
from data_scripts.shape_scenes import PlacedShape, draw_scene
from data_scripts.voc_format import (
    CLASSES_FILE,
    SHAPES_CLASSES,
    VocAnnotation,
    VocObject,
    write_annotation,
)

DEFAULT_TRAIN = 2000
DEFAULT_VAL = 300
MAX_IMAGES = 100_000  # five digits in an image id
JPEG_QUALITY = 90
# Written last into the folder; names what it holds. Raise the version with the drawing.
MANIFEST_FILE = "shapes.json"
DRAWING_VERSION = 1


def _voc_object(shape: PlacedShape) -> VocObject:
    """Convert continuous edges to the XML's 1-based inclusive pixel numbers."""
    x1, y1, x2, y2 = shape.box
    return VocObject(
        shape.name, (x1 + 1, y1 + 1, x2, y2), shape.difficult, shape.truncated
    )


def write_image(voc_root: Path, split: str, index: int, seed: int) -> str:
    """Draw one image and its annotation into the tree; return its id."""
    image_id = f"{split}_{index:05d}"
    # Two generators, so that a change of painting cannot move a box.
    scene = draw_scene(Random(f"{seed}/{split}/{index}/layout"))
    image = paint_scene(scene, Random(f"{seed}/{split}/{index}/paint"))
    filename = f"{image_id}.jpg"
    image.save(voc_root / "JPEGImages" / filename, quality=JPEG_QUALITY)
    objects = tuple(_voc_object(shape) for shape in scene.shapes)
    annotation = VocAnnotation(filename, scene.width, scene.height, objects)
    write_annotation(annotation, voc_root / "Annotations" / f"{image_id}.xml")
    return image_id


def _manifest(train: int, val: int, seed: int) -> dict[str, int]:
    return {"version": DRAWING_VERSION, "train": train, "val": val, "seed": seed}


def _is_same(out: Path, manifest: dict[str, int]) -> bool:
    """Return True if `out` was made, completely, with these arguments."""
    try:
        return json.loads((out / MANIFEST_FILE).read_text("utf-8")) == manifest
    except (OSError, ValueError):
        return False


def make_shapes(
    out: Path,
    train: int = DEFAULT_TRAIN,
    val: int = DEFAULT_VAL,
    seed: int = 0,
    *,
    quiet: bool = False,
) -> bool:
    """Write the data set; return False if `out` held the very same one already.

    Args:
        out: Folder to create; holds VOCdevkit/VOC2007 afterwards.
        train: Number of images in the split "train".
        val: Number of images in the split "val".
        seed: Another seed, other images.
        quiet: Show no progress.

    Raises:
        CourseError: `out` holds something else, or cannot be written.
    """
    manifest = _manifest(train, val, seed)
    if _is_same(out, manifest):
        return False
    if not is_free(out):
        raise CourseError(
            f"{out}: exists and is not the shapes data of these arguments; "
            "give another --out or remove it"
        )
    with new_folder(out) as partial:
        root = partial / "VOCdevkit" / "VOC2007"
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (root / name).mkdir(parents=True)
        (root / CLASSES_FILE).write_text("\n".join(SHAPES_CLASSES) + "\n", "utf-8")
        numbers = [("train", index) for index in range(train)]
        numbers += [("val", index) for index in range(val)]
        progress = tqdm(
            numbers,
            desc="drawing shapes",
            unit="image",
            file=sys.stderr,
            disable=quiet,
        )
        image_ids: dict[str, list[str]] = {"train": [], "val": []}
        for split, index in progress:
            image_ids[split].append(write_image(root, split, index, seed))
        image_ids["trainval"] = image_ids["train"] + image_ids["val"]
        for split, ids in image_ids.items():
            path = root / "ImageSets" / "Main" / f"{split}.txt"
            path.write_text("\n".join(ids) + "\n", "utf-8")
        (partial / MANIFEST_FILE).write_text(json.dumps(manifest) + "\n", "utf-8")
    return True


def main() -> int:
    """Command line: see --help."""
    parser = CommandParser(
        prog="python -m data_scripts.make_shapes",
        description="Draw the shapes data set as a VOC tree, offline.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to create")
    parser.add_argument("--train", type=int, default=DEFAULT_TRAIN, help="images")
    parser.add_argument("--val", type=int, default=DEFAULT_VAL, help="images")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in ("train", "val"):
        if not 1 <= getattr(options, name) <= MAX_IMAGES:
            parser.error(f"--{name} must be between 1 and {MAX_IMAGES}")
    made = make_shapes(options.out, options.train, options.val, options.seed)
    state = "drawn" if made else "already there, nothing to do"
    total = options.train + options.val
    print(f"{options.out}: {total} images ({len(SHAPES_CLASSES)} classes), {state}")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
