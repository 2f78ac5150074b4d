"""The picture of the README: what the detector of `make demo` finds, not chosen.

Run it after `make demo`: python -m benchmarks.readme_picture writes docs/detections.png
with the first held-out pictures and every detection of at least LEAST_SCORE.
"""

from pathlib import Path

from PIL import Image

from core.command import EXIT_OK, CommandParser, run_command
from helpers.data.voc import VOC2007DetectionTiny
from helpers.detect import detect_image, draw_detections
from helpers.models.detector import load_detector
from helpers.show.draw import make_sheet

OUT = Path(__file__).parent.parent / "docs" / "detections.png"
NUM_PICTURES = 6
LEAST_SCORE = 0.5
ENLARGED = 1.5  # labels stay readable where a page shows 880 pixels


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.readme_picture")
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"))
    options = parser.parse_args(arguments)
    detector = load_detector(options.demo / "train", "cpu")
    dataset = VOC2007DetectionTiny(options.demo / "shapes", "val")
    pictures = []
    for index in range(NUM_PICTURES):
        photograph = dataset.image(index)
        size = [round(side * ENLARGED) for side in photograph.size]
        photograph = photograph.resize(size, Image.Resampling.LANCZOS)
        found = detect_image(
            detector, photograph, LEAST_SCORE, detector.config.nms_threshold
        )
        pictures.append(draw_detections(photograph, found, detector.class_names))
    OUT.parent.mkdir(exist_ok=True)
    sheet = make_sheet(pictures, columns=3)
    sheet.quantize(256).save(OUT, optimize=True)
    print(f"wrote {OUT.name} ({OUT.stat().st_size:,} bytes)")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
