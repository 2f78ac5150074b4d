"""Store what two detectors find, for the notebooks: the right one and the transposed.

Run it after the two runs of `python -m benchmarks.quality` whose checkpoints it reads:
python -m benchmarks.recorded_detections writes helpers/lessons/recorded.json.
"""

import json
from pathlib import Path
from unittest import mock

from assignment.one_stage_detector import FCOS
from benchmarks.quality import transposed_locations
from core.command import EXIT_OK, CommandParser, run_command
from helpers.data.voc import VOC2007DetectionTiny
from helpers.lessons.recorded import FILE
from helpers.models.detector import LoadedDetector, load_detector, predict

NUM_PICTURES = 8
LEAST_SCORE = 0.05
MOST_BOXES = 30  # of a picture
RIGHT_RUN = Path("runs/shapes_tiny")
TRANSPOSED_RUN = Path("runs/shapes_tiny_transposed")


def record(detector: LoadedDetector, dataset: VOC2007DetectionTiny) -> list[dict]:
    """The best detections of the first pictures, boxes in their own pixels."""
    entries = []
    for index in range(NUM_PICTURES):
        path, image, _ = dataset[index]
        ((boxes, classes, scores),) = predict(
            detector, [image], LEAST_SCORE, detector.config.nms_threshold
        )
        boxes = boxes[:MOST_BOXES] / dataset.scale(index)
        entries.append(
            {
                "image_id": Path(path).stem,
                "boxes": [[round(value, 1) for value in box] for box in boxes.tolist()],
                "classes": [int(class_id) for class_id in classes[:MOST_BOXES]],
                "scores": [round(score, 3) for score in scores[:MOST_BOXES].tolist()],
            }
        )
    return entries


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.recorded_detections")
    parser.add_argument("--right", type=Path, default=RIGHT_RUN)
    parser.add_argument("--transposed", type=Path, default=TRANSPOSED_RUN)
    parser.add_argument("--data-dir", type=Path, default=Path("data/shapes"))
    options = parser.parse_args(arguments)
    right = load_detector(options.right, "cpu")
    size = right.config.image_size
    dataset = VOC2007DetectionTiny(options.data_dir, "val", image_size=size)
    stored = {"class_names": list(right.class_names), "right": record(right, dataset)}
    with mock.patch.object(FCOS, "locations", transposed_locations):
        detector = load_detector(options.transposed, "cpu")
        stored["transposed"] = record(detector, dataset)
    FILE.write_text(json.dumps(stored, separators=(",", ":")) + "\n", "utf-8")
    print(f"wrote {FILE.name} ({FILE.stat().st_size:,} bytes)")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
