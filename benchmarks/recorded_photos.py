"""Store what recipe `cpu` finds in the freely licensed photographs, for notebook 0.

Run it after `python -m benchmarks.quality --recipe cpu --data voc2007 --name
voc2007_cpu --precision float32 --out runs/voc2007_cpu`, whose checkpoint it reads:
python -m benchmarks.recorded_photos writes helpers/lessons/photos/found.json.
"""

import json
from pathlib import Path

from core.command import EXIT_OK, CommandParser, run_command
from helpers.data.images import to_model_input
from helpers.lessons.photographs import FOUND, photos
from helpers.models.detector import load_detector, predict

LEAST_SCORE = 0.05
MOST_BOXES = 20  # of a picture


def main() -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.recorded_photos")
    parser.add_argument("--run", type=Path, default=Path("runs/voc2007_cpu"))
    options = parser.parse_args()
    detector = load_detector(options.run, "cpu")
    found = {}
    for photo in photos():
        image, scale = to_model_input(photo.open(), detector.config.image_size)
        ((boxes, classes, scores),) = predict(
            detector, [image], LEAST_SCORE, detector.config.nms_threshold
        )
        boxes = boxes[:MOST_BOXES] / scale
        found[photo.file] = {
            "boxes": [[round(value, 1) for value in box] for box in boxes.tolist()],
            "classes": [int(each) for each in classes[:MOST_BOXES]],
            "scores": [round(score, 3) for score in scores[:MOST_BOXES].tolist()],
        }
    stored = {
        "command": "python -m benchmarks.recorded_photos",
        "class_names": list(detector.class_names),
        "found": found,
    }
    FOUND.write_text(json.dumps(stored, separators=(",", ":")) + "\n", "utf-8")
    print(f"wrote {FOUND.name} ({FOUND.stat().st_size:,} bytes)")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
