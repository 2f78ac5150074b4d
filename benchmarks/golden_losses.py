"""First losses with all-zero head outputs on VOC 2007, against the published ones.

They need no weights: only locations, matching, targets, losses and normalizer count.
The figures come from the original assignment: XML numbers of the full photographs
times the scale, nothing dropped by the crop. In a copy at 224 px the XML is scaled
already, as (x - 1) * scale + 1; "original_numbers" undoes that, taking 500 pixels for
the longer side that the photograph had (true of most, not of all). A shift of half a
pixel moves single locations over the edge of a box, hence differences below 0.4 %.
"""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from assignment.common import get_fpn_location_coords
from assignment.one_stage_detector import FCOS
from benchmarks.record import write_result
from core.backbones.build import build_backbone
from core.command import EXIT_OK, CommandParser, run_command
from data_scripts.voc_format import VOC_CLASSES, find_voc_root
from helpers.data.records import Record, read_xml_records

SIZE, BATCH, SUBSET, MAX_BOXES = 224, 16, 160, 40
ORIGINAL_LONGER_SIDE = 500
START_NORMALIZER = 150.0
PRIOR_LOGIT = -math.log(99)  # "all zero" outputs plus the head's bias
NAMES = ("loss_cls", "loss_box", "loss_ctr")
EXPECTED = {
    "first_16_of_160_evenly_spaced": (0.6985, 2.1347, 0.4290),
    "first_16": (0.5256, 1.6813, 0.3228),
}


def padded_boxes(record: Record, original_numbers: bool) -> torch.Tensor:
    """True boxes (40, 5) in the centre crop at 224 px, as the assignment had them."""
    with Image.open(record.path) as image:
        width, height = image.size
    scale = SIZE / min(width, height)
    shift = scale  # XML number 1 is the edge 0, and the seed did not subtract it
    if original_numbers:
        side = round(min(width, height) * ORIGINAL_LONGER_SIDE / max(width, height))
        shift = SIZE / side
    offset = (np.array([width, height] * 2) * scale - SIZE) / 2
    boxes = record.boxes * scale + np.array([shift, shift, 0, 0]) - offset
    easy = ~record.difficult
    rows = torch.full((MAX_BOXES, 5), -1.0)
    count = int(easy.sum())
    rows[:count, :4] = torch.from_numpy(boxes[easy].clip(0, SIZE))
    rows[:count, 4] = torch.from_numpy(record.classes[easy])
    return rows


def first_losses(records: list[Record], original_numbers: bool) -> dict[str, float]:
    """The losses of one batch with a new normalizer, and that normalizer."""
    model = FCOS(len(VOC_CLASSES), 8, [8], build_backbone("tiny"))
    model._normalizer.fill_(START_NORMALIZER)
    strides = model.backbone.fpn_strides
    shapes = {
        level: (1, 1, SIZE // stride, SIZE // stride)
        for level, stride in strides.items()
    }
    locations = get_fpn_location_coords(shapes, strides)
    boxes = torch.stack([padded_boxes(record, original_numbers) for record in records])
    outputs = [
        {
            level: torch.full((len(records), len(points), width), value)
            for level, points in locations.items()
        }
        for width, value in ((len(VOC_CLASSES), PRIOR_LOGIT), (4, 0.0), (1, 0.0))
    ]
    losses = model.training_losses(locations, outputs, boxes)
    figures = {name: round(float(losses[name]), 4) for name in NAMES}
    return {**figures, "normalizer": round(float(model._normalizer), 4)}


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.golden_losses")
    parser.add_argument("--data-dir", type=Path, default=Path("data/voc2007"))
    options = parser.parse_args(arguments)
    class_to_idx = {name: class_id for class_id, name in enumerate(VOC_CLASSES)}
    records = read_xml_records(find_voc_root(options.data_dir), "train", class_to_idx)
    even = torch.linspace(0, len(records) - 1, steps=SUBSET).long().tolist()
    batches = {
        "first_16_of_160_evenly_spaced": [records[index] for index in even[:BATCH]],
        "first_16": records[:BATCH],
    }
    figures: dict[str, dict] = {}
    for name, batch in batches.items():
        expected = dict(zip(NAMES, EXPECTED[name], strict=True))
        figures[name] = {"expected": expected}
        for form in ("as_stored", "original_numbers"):
            ours = first_losses(batch, form == "original_numbers")
            relative = {
                key: round(ours[key] / value - 1, 5) for key, value in expected.items()
            }
            figures[name][form] = {"ours": ours, "relative_difference": relative}
    path = write_result("golden_losses", figures)
    print(path.read_text())
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
