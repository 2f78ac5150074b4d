"""Cells of the assignment that this course grew from run here, by their own names."""

import subprocess
import sys
from pathlib import Path

from tests.small_trees import Picture, Thing, write_tree

ROOT = Path(__file__).resolve().parent.parent

# As that notebook has them; square images, because its cells resize to squares.
CELLS = """
from helpers.notebook import add_paths
add_paths()

from common import hello_common
from one_stage_detector import hello_one_stage_detector
from a4_helper import *
from a4_helper import hello_helper, train_detector, inference_with_detector
from eecs598 import reset_seed
from eecs598.grad import rel_error
from eecs598.utils import detection_visualizer
import torch

hello_common()
hello_one_stage_detector()
hello_helper()

from common import DetectorBackboneWithFPN, get_fpn_location_coords, nms
from one_stage_detector import (
    FCOS,
    FCOSPredictionNetwork,
    fcos_apply_deltas_to_locations,
    fcos_get_deltas_from_locations,
    fcos_make_centerness_targets,
    fcos_match_locations_to_gt,
)

train_dataset = VOC2007DetectionTiny(DATA, "train", image_size=64)
val_dataset = VOC2007DetectionTiny(DATA, "val", image_size=64)
train_loader = torch.utils.data.DataLoader(train_dataset, batch_size=2)
val_loader = torch.utils.data.DataLoader(val_dataset, batch_size=1)

input_boxes = torch.Tensor(
    [[10, 15, 100, 115, 1], [30, 20, 40, 30, 1], [120, 100, 200, 200, 1]]
)
input_locations = torch.Tensor([[30, 40], [32, 29], [125, 150]])
_deltas = fcos_get_deltas_from_locations(input_locations, input_boxes, stride=8)
output_boxes = fcos_apply_deltas_to_locations(_deltas, input_locations, stride=8)
assert rel_error(input_boxes[:, :4], output_boxes) < 1e-6
input_boxes[2] = -1
expected_centerness = torch.Tensor([0.30860671401, 0.1666666716, -1.0])
_deltas = fcos_get_deltas_from_locations(input_locations, input_boxes, stride=8)
centerness = fcos_make_centerness_targets(_deltas)
assert rel_error(centerness, expected_centerness) < 1e-7

reset_seed(0)
detector = FCOS(
    num_classes=len(train_dataset.class_names), fpn_channels=8, stem_channels=[8],
    backbone="tiny",
)
history = train_detector(
    detector, train_loader, learning_rate=5e-3, max_iters=3, log_period=1, device="cpu"
)
assert [entry["iteration"] for entry in history] == [1, 2, 3]
assert all(entry["loss_cls"] > 0 for entry in history)
for folder in (None, OUT):
    inference_with_detector(
        detector, val_loader, val_dataset.idx_to_class, score_thresh=0.001,
        nms_thresh=0.5, device="cpu", dtype=torch.float32, output_dir=folder,
    )
"""


def test_cells_of_the_old_notebook_run(tmp_path: Path):
    """Imports, checks, a few iterations of training, and inference."""
    pictures = [
        Picture(name, (80, 60), (Thing("cat", (4, 6, 50, 40)),)) for name in "ab"
    ]
    empty = Picture("c", (60, 80))
    write_tree(tmp_path / "data", train=pictures, val=[pictures[0], empty])
    script = f"DATA, OUT = {str(tmp_path / 'data')!r}, {str(tmp_path / 'out')!r}{CELLS}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Hello from common.py!" in done.stdout
    assert "Hello from one_stage_detector.py!" in done.stdout
    truth = tmp_path / "out" / "ground-truth"
    assert (truth / "a.txt").read_text().startswith("cat ")
    assert (truth / "c.txt").read_text() == ""
    assert len(list((tmp_path / "out" / "detection-results").iterdir())) == 2
