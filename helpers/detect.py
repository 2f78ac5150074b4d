"""Detect objects in photographs: python -m helpers.detect --checkpoint C IMAGE ..."""

import sys
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    fraction,
    make_out_folder,
    run_command,
)
from core.files import json_bytes, write_json
from helpers.data.images import load_image, to_model_input
from helpers.drive.copies import keep_other
from helpers.models.detector import LoadedDetector, load_detector, predict
from helpers.show.draw import class_colour, draw_boxes

DRAWN_BY = "python -m helpers.detect"  # stands in each picture
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


def find_images(paths: list[Path]) -> list[Path]:
    """Image files: those that are named, and all in folders that are named, sorted.

    Raises:
        CourseError: a path is missing, or a folder holds no image.
    """
    images: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES
            )
            if not inside:
                raise CourseError(
                    f"the folder {path} holds no image; the names of images end in "
                    f"{', '.join(sorted(SUFFIXES))}"
                )
            images += inside
        elif path.exists():
            images.append(path)
        else:
            raise CourseError(f"there is no image or folder {path}; check the path")
    return list(dict.fromkeys(images))


def output_names(images: list[Path]) -> dict[Path, str]:
    """A name for each picture; a second "a.jpg" of another folder becomes "a-2.png"."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for image in images:
        name, number = f"{image.stem}.png", 2
        while name.lower() in taken:
            name, number = f"{image.stem}-{number}.png", number + 1
        taken.add(name.lower())
        names[image] = name
    return names


def check_overwriting(names: dict[Path, str], out: Path) -> None:
    """Raise a CourseError where a picture would replace what no earlier call drew."""
    photographs = {image.resolve() for image in names}
    for name in names.values():
        if (out / name).resolve() in photographs:
            raise CourseError(
                f"the picture {out / name} would replace your image of that name; "
                "give another --out"
            )
        if (out / name).exists() and not _is_drawn(out / name):
            raise CourseError(
                f"the picture {out / name} would replace a file that this command did "
                "not write; give another --out"
            )


def _is_drawn(path: Path) -> bool:
    """Whether a picture says that this command drew it."""
    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == DRAWN_BY
    except (OSError, ValueError, SyntaxError):  # Pillow's of what is no picture
        return False


def detect_image(
    detector: LoadedDetector,
    image: Image.Image,
    score_threshold: float,
    nms_threshold: float,
) -> list[dict]:
    """Detections of one image: class, score, box XYXY in its pixels; best first."""
    tensor, scale = to_model_input(image, detector.config.image_size)
    (found,) = predict(detector, [tensor], score_threshold, nms_threshold)
    boxes, classes, scores = (part.tolist() for part in found)
    return [
        {
            "class": detector.class_names[class_id],
            "score": round(score, 5),
            "xyxy": [round(value / scale, 2) for value in box],
        }
        for box, class_id, score in zip(boxes, classes, scores, strict=True)
    ]


def draw_detections(
    image: Image.Image, detections: list[dict], class_names: tuple[str, ...]
) -> Image.Image:
    """The image with the boxes of detect_image on it."""
    numbers = {name: class_id for class_id, name in enumerate(class_names)}
    return draw_boxes(
        image,
        [entry["xyxy"] for entry in detections],
        [entry["class"] for entry in detections],
        [class_colour(numbers[entry["class"]]) for entry in detections],
        [entry["score"] for entry in detections],
    )


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m helpers.detect", description=__doc__)
    add = parser.add_argument
    add("images", type=Path, nargs="+", metavar="IMAGE_OR_FOLDER")
    add("--checkpoint", type=Path, required=True, help="checkpoint.pt or its folder")
    add("--out", type=Path, required=True, help="folder for pictures and JSON")
    add("--device", default="auto")
    add("--score-threshold", type=fraction, default=0.3, help="default 0.3")
    add("--nms-threshold", type=fraction, help="default: the recipe's")
    options = parser.parse_args(arguments)
    images = find_images(options.images)
    names = output_names(images)
    check_overwriting(names, options.out)
    detector = load_detector(options.checkpoint, options.device)
    nms_threshold = options.nms_threshold
    if nms_threshold is None:
        nms_threshold = detector.config.nms_threshold
    make_out_folder(options.out)
    entries, unreadable = [], []
    for path in tqdm(images, desc="detect", unit="image", dynamic_ncols=True):
        try:
            image = load_image(path)
        except CourseError as error:
            unreadable.append(str(error))
            continue
        found = detect_image(detector, image, options.score_threshold, nms_threshold)
        drawn = draw_detections(image, found, detector.class_names)
        mark = PngInfo()
        mark.add_text("Software", DRAWN_BY)
        drawn.save(options.out / names[path], pnginfo=mark)
        entries.append(
            {"image": str(path), "picture": names[path], "detections": found}
        )
    path = options.out / "detections.json"
    kept = keep_other(path, json_bytes(entries))
    if kept is not None:
        print(f"the {path.name} of before is kept as {kept.name}")
    write_json(path, entries)
    print(f"wrote {len(entries)} pictures and detections.json in {options.out}")
    for message in unreadable:
        print(f"error: {message}", file=sys.stderr)
    return EXIT_PARTLY_FAILED if unreadable else EXIT_OK


if __name__ == "__main__":
    run_command(main)
