"""Cells of the assignment that this course grew from run here, by their own names."""

import subprocess
import sys
from pathlib import Path

from grader.release.build import make_release
from grader.release.release_files import write_files
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

# Its cells about levels, head, locations, matching, losses and NMS; those about
# locations give (x, y) here, row by row, where the old ones swapped them.
PARTS = """
from helpers.notebook import add_paths
add_paths()
import torch
import torchvision
from torch.nn import functional as F
from a4_helper import *
from common import DetectorBackboneWithFPN, get_fpn_location_coords, nms
from eecs598 import reset_seed
from eecs598.grad import rel_error
from eecs598.utils import detection_visualizer
from one_stage_detector import (
    FCOSPredictionNetwork,
    fcos_get_deltas_from_locations,
    fcos_match_locations_to_gt,
)

backbone = DetectorBackboneWithFPN(out_channels=64, backbone="tiny")
print(backbone.fpn_params)
dummy_fpn_feats = backbone(torch.randn(2, 3, 224, 224))
pred_net = FCOSPredictionNetwork(
    num_classes=20, in_channels=64, stem_channels=[64, 64]
)
pred_cls_logits, pred_boxreg_deltas, pred_ctr_logits = pred_net(dummy_fpn_feats)
assert pred_cls_logits["p3"].shape == (2, 28 * 28, 20)
assert pred_boxreg_deltas["p4"].shape == (2, 14 * 14, 4)
assert pred_ctr_logits["p5"].shape == (2, 7 * 7, 1)

fpn_feats_shapes = {level: feat.shape for level, feat in dummy_fpn_feats.items()}
locations_per_fpn_level = get_fpn_location_coords(
    fpn_feats_shapes, backbone.fpn_strides
)
expected = torch.tensor([[16.0, 16.0], [48.0, 16.0], [80.0, 16.0]])
assert rel_error(expected, locations_per_fpn_level["p5"][:3, :]) == 0
gt_boxes = torch.tensor([[20.0, 30.0, 180.0, 150.0, 3.0], [-1.0] * 5])
matched = fcos_match_locations_to_gt(
    locations_per_fpn_level, backbone.fpn_strides, gt_boxes
)
index = (matched["p5"][:, 4] != -1).nonzero()[0]
detection_visualizer(
    torch.rand(3, 224, 224), {3: "bird"}, bbox=matched["p5"][index],
    points=locations_per_fpn_level["p5"][index],
)

deltas = fcos_get_deltas_from_locations(
    torch.Tensor([[32, 32], [64, 32]]),
    torch.Tensor([[1, 2, 40, 50, 2], [-1, -1, -1, -1, -1]]),
    stride=32,
)
loss_box = 0.25 * F.l1_loss(torch.randn(1, 2, 4).view(-1, 4), deltas, reduction="none")
loss_box[deltas < 0] *= 0.0
assert loss_box[0].sum() > 0 and loss_box[1].sum() == 0

reset_seed(0)
boxes = (100.0 * torch.rand(500, 4)).round()
boxes[:, 2] = boxes[:, 2] + boxes[:, 0] + 1.0
boxes[:, 3] = boxes[:, 3] + boxes[:, 1] + 1.0
scores = torch.randn(500)
mine, theirs = nms(boxes, scores, 0.5), torchvision.ops.nms(boxes, scores, 0.5)
assert set(mine.tolist()) == set(theirs.tolist())
"""
# What a student of the release can call before anything is written.
RELEASED = """
import torch
from helpers.notebook import add_paths
add_paths()
from a4_helper import *
from a4_helper import hello_helper
from common import hello_common, nms
from eecs598 import reset_seed
from eecs598.grad import rel_error
from eecs598.utils import detection_visualizer
from one_stage_detector import FCOS, FCOSPredictionNetwork, hello_one_stage_detector

hello_common()
hello_one_stage_detector()
hello_helper()
try:
    nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
except NotImplementedError as error:
    print(error)
"""


def test_cells_of_the_old_notebook_run(tmp_path: Path):
    """Imports, checks, a few iterations of training, and inference."""
    pictures = [
        Picture(name, (80, 60), (Thing("cat", (4, 6, 50, 40)),)) for name in "ab"
    ]
    empty = Picture("c", (60, 80))
    write_tree(tmp_path / "data", train=pictures, val=[pictures[0], empty])
    script = f"DATA, OUT = {str(tmp_path / 'data')!r}, {str(tmp_path / 'out')!r}{CELLS}"
    done = run_cells(script, ROOT)
    assert done.returncode == 0, done.stderr
    assert "Hello from common.py!" in done.stdout
    assert "Hello from one_stage_detector.py!" in done.stdout
    truth = tmp_path / "out" / "ground-truth"
    assert (truth / "a.txt").read_text().startswith("cat ")
    assert (truth / "c.txt").read_text() == ""
    assert len(list((tmp_path / "out" / "detection-results").iterdir())) == 2


def run_cells(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_cells_about_the_parts_run():
    """Levels, head, locations, matching, losses and NMS, called as they call them."""
    done = run_cells(PARTS, ROOT)
    assert done.returncode == 0, done.stderr


def test_old_names_can_be_imported_in_a_release(tmp_path: Path):
    """Every name is there before anything is written; an exercise says its number."""
    write_files(make_release(ROOT).files, tmp_path)
    done = run_cells(RELEASED, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Hello from a4_helper.py!" in done.stdout
    assert "Exercise 8.1 nms" in done.stdout
