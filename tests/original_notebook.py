# mypy: ignore-errors
# ruff: noqa
# fmt: off
"""The cells of the original notebook, in its order and in its own words.

python original_notebook.py FOLDER, where FOLDER holds a data set. What had to be changed is
marked CHANGED: paths, Python 2 habits, a GPU that may be missing, and x before y. Left
out: mounting Drive, pip and git, which the first cell of our notebooks does.
"""

import sys

GOOGLE_DRIVE_PATH = sys.argv[1]  # CHANGED: a folder instead of Drive

# CHANGED: our first cell
from helpers.notebook import add_paths

add_paths()

# %% imports
import os
import time

from common import hello_common
from one_stage_detector import hello_one_stage_detector
from a4_helper import hello_helper

hello_common()
hello_one_stage_detector()
hello_helper()

# CHANGED: the file is in assignment/
one_stage_detector_path = os.path.join("assignment", "one_stage_detector.py")
one_stage_detector_edit_time = time.ctime(os.path.getmtime(one_stage_detector_path))
print("one_stage_detector.py last edited on %s" % one_stage_detector_edit_time)

# %% packages
import matplotlib.pyplot as plt
import torch
import torchvision

from a4_helper import *
from eecs598 import reset_seed
from eecs598.grad import rel_error

plt.rcParams["figure.figsize"] = (10.0, 8.0)
plt.rcParams["font.size"] = 16
plt.rcParams["image.interpolation"] = "nearest"
plt.rcParams["image.cmap"] = "gray"

# %% device
if torch.cuda.is_available():
    print("Good to go!")
    DEVICE = torch.device("cuda")
else:
    print("Please set GPU via Edit -> Notebook Settings.")
    DEVICE = torch.device("cpu")

# %% constants
import multiprocessing

NUM_CLASSES = 20
BATCH_SIZE = 2  # CHANGED: 16
IMAGE_SHAPE = (224, 224)
NUM_WORKERS = 0  # CHANGED: multiprocessing.cpu_count()

# %% data set
from a4_helper import VOC2007DetectionTiny

train_dataset = VOC2007DetectionTiny(
    GOOGLE_DRIVE_PATH, "train", image_size=IMAGE_SHAPE[0],
    download=False # True (for the first time)
)
val_dataset = VOC2007DetectionTiny(GOOGLE_DRIVE_PATH, "val", image_size=IMAGE_SHAPE[0])

print(f"Dataset sizes: train ({len(train_dataset)}), val ({len(val_dataset)})")

# %% loaders
train_loader = torch.utils.data.DataLoader(
    train_dataset, batch_size=BATCH_SIZE, pin_memory=True, num_workers=NUM_WORKERS
)
val_loader = torch.utils.data.DataLoader(
    val_dataset, batch_size=1, pin_memory=True, num_workers=NUM_WORKERS
)

# %% one batch
train_loader_iter = iter(train_loader)
image_paths, images, gt_boxes = next(train_loader_iter)  # CHANGED: .next()

print(f"image paths          : {image_paths}")
print(f"image batch has shape : {images.shape}")
print(f"gt_boxes has shape      : {gt_boxes.shape}")
print(f"Five boxes per image  :")
print(gt_boxes[:, :5, :])

# %% pictures
from torchvision import transforms
from eecs598.utils import detection_visualizer

inverse_norm = transforms.Compose(
    [
        transforms.Normalize(mean=[0., 0., 0.], std=[1 / 0.229, 1 / 0.224, 1 / 0.225]),
        transforms.Normalize(mean=[-0.485, -0.456, -0.406], std=[1., 1., 1.]),
    ]
)
for idx, (_, image, gt_boxes) in enumerate(train_dataset):
    if idx > 2:
        break
    image = inverse_norm(image)
    is_valid = gt_boxes[:, 4] >= 0
    detection_visualizer(image, val_dataset.idx_to_class, gt_boxes[is_valid])

# %% backbone and FPN
import torch
from common import DetectorBackboneWithFPN

backbone = DetectorBackboneWithFPN(out_channels=64)

print("Extra FPN modules added:")
print(backbone.fpn_params)
dummy_images = torch.randn(2, 3, 224, 224)
dummy_fpn_feats = backbone(dummy_images)
print(f"For dummy input images with shape: {dummy_images.shape}")
for level_name, feat in dummy_fpn_feats.items():
    print(f"Shape of {level_name} features: {feat.shape}")

# %% head
from one_stage_detector import FCOSPredictionNetwork

pred_net = FCOSPredictionNetwork(
    num_classes=NUM_CLASSES, in_channels=64, stem_channels=[64, 64]
)
print("FCOS prediction network parameters:")
print(pred_net)
dummy_preds = pred_net(dummy_fpn_feats)
pred_cls_logits, pred_boxreg_deltas, pred_ctr_logits = dummy_preds
print("Classification logits:")
for level_name, feat in pred_cls_logits.items():
    print(f"Shape of {level_name} predictions: {feat.shape}")
print("Box regression deltas:")
for level_name, feat in pred_boxreg_deltas.items():
    print(f"Shape of {level_name} predictions: {feat.shape}")
print("Centerness logits:")
for level_name, feat in pred_ctr_logits.items():
    print(f"Shape of {level_name} predictions: {feat.shape}")

# %% locations
from common import get_fpn_location_coords

fpn_feats_shapes = {
    level_name: feat.shape for level_name, feat in dummy_fpn_feats.items()
}
locations_per_fpn_level = get_fpn_location_coords(fpn_feats_shapes, backbone.fpn_strides)
expected_locations = {
    "p3": torch.tensor([[4.0, 4.0], [4.0, 12.0], [4.0, 20.0], [4.0, 28.0], [4.0, 36.0]]),
    "p4": torch.tensor([[8.0, 8.0], [8.0, 24.0], [8.0, 40.0], [8.0, 56.0], [8.0, 72.0]]),
    "p5": torch.tensor([[16.0, 16.0], [16.0, 48.0], [16.0, 80.0], [16.0, 112.0], [16.0, 144.0]]),
}
print("First five locations per FPN level (absolute image co-ordinates):")
for level_name, locations in locations_per_fpn_level.items():
    print(f"{level_name}: {locations[:5, :].tolist()}")
    expected = expected_locations[level_name].flip(1)  # CHANGED: x before y
    error = rel_error(expected, locations[:5, :])
    print("rel error: ", error)
    assert error == 0

for level_name, locations in locations_per_fpn_level.items():
    image = inverse_norm(val_dataset[0][1])
    print(f"All locations of the image FPN level = {level_name}")
    print(f"stride = {backbone.fpn_strides[level_name]}")
    detection_visualizer(image, val_dataset.idx_to_class, points=locations.tolist())

# %% matching
import random
from one_stage_detector import fcos_match_locations_to_gt

_, image, gt_boxes = train_dataset[0]
matched_boxes_per_fpn_level = fcos_match_locations_to_gt(
    locations_per_fpn_level, backbone.fpn_strides, gt_boxes
)
FPN_LEVEL = "p4"
fg_idxes_p3 = (matched_boxes_per_fpn_level[FPN_LEVEL][:, 4] != -1).nonzero()
_idx = random.choice(fg_idxes_p3)
detection_visualizer(
    inverse_norm(image),
    val_dataset.idx_to_class,
    bbox=matched_boxes_per_fpn_level[FPN_LEVEL][_idx],
    points=locations_per_fpn_level[FPN_LEVEL][_idx]
)

# %% deltas
from one_stage_detector import fcos_get_deltas_from_locations, fcos_apply_deltas_to_locations

input_boxes = torch.Tensor(
    [[10, 15, 100, 115, 1], [30, 20, 40, 30, 1], [120, 100, 200, 200, 1]]
)
input_locations = torch.Tensor([[30, 40], [32, 29], [125, 150]])
_deltas = fcos_get_deltas_from_locations(input_locations, input_boxes, stride=8)
output_boxes = fcos_apply_deltas_to_locations(_deltas, input_locations, stride=8)
print("Rel error in reconstructed boxes:", rel_error(input_boxes[:, :4], output_boxes))
assert rel_error(input_boxes[:, :4], output_boxes) < 1e-7

background_box = torch.Tensor([[-1, -1, -1, -1, -1]])
input_location = torch.Tensor([[100, 200]])
_deltas = fcos_get_deltas_from_locations(input_location, background_box, stride=8)
output_box = fcos_apply_deltas_to_locations(_deltas, input_location, stride=8)
print("Background deltas should be all -1      :", _deltas)
assert (_deltas == -1).all()
print("Output box with background deltas      :", output_box)
assert output_box.tolist() == [[100, 200, 100, 200]]

# %% centerness
from one_stage_detector import fcos_make_centerness_targets

input_boxes = torch.Tensor(
    [
        [10, 15, 100, 115, 1],
        [30, 20, 40, 30, 1],
        [-1, -1, -1, -1, -1] # background
    ]
)
input_locations = torch.Tensor([[30, 40], [32, 29], [125, 150]])
expected_centerness = torch.Tensor([0.30860671401, 0.1666666716, -1.0])
_deltas = fcos_get_deltas_from_locations(input_locations, input_boxes, stride=8)
centerness = fcos_make_centerness_targets(_deltas)
print("Rel error in centerness:", rel_error(centerness, expected_centerness))
assert rel_error(centerness, expected_centerness) < 1e-7

# %% class loss
from torchvision.ops import sigmoid_focal_loss

dummy_pred_cls_logits = torch.randn(1, 2, 5)
dummy_gt_classes = torch.Tensor([[[0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]])
cls_loss = sigmoid_focal_loss(inputs=dummy_pred_cls_logits, targets=dummy_gt_classes)
print(cls_loss)
print(f"Total classification loss (un-normalized): {cls_loss.sum()}")

# %% box and centerness loss
from torch.nn import functional as F

dummy_locations = torch.Tensor([[32, 32], [64, 32]])
dummy_gt_boxes = torch.Tensor([[1, 2, 40, 50, 2], [-1, -1, -1, -1, -1]])
dummy_gt_centerness = torch.Tensor([0.6, -1])
dummy_pred_boxreg_deltas = torch.randn(1, 2, 4)
dummy_pred_ctr_logits = torch.randn(1, 2, 1)
dummy_pred_boxreg_deltas = dummy_pred_boxreg_deltas.view(-1, 4)
dummy_pred_ctr_logits = dummy_pred_ctr_logits.view(-1)
dummy_gt_deltas = fcos_get_deltas_from_locations(dummy_locations, dummy_gt_boxes, stride=32)
loss_box = 0.25 * F.l1_loss(dummy_pred_boxreg_deltas, dummy_gt_deltas, reduction="none")
loss_box[dummy_gt_deltas < 0] *= 0.0
print("Box regression loss (L1):", loss_box)
assert (loss_box[1] == 0).all()
centerness_loss = F.binary_cross_entropy_with_logits(
    dummy_pred_ctr_logits, dummy_gt_centerness, reduction="none"
)
centerness_loss[dummy_gt_centerness < 0] *= 0.0
print("Centerness loss (BCE):", centerness_loss)
assert centerness_loss[1] == 0

# %% overfit small data
from a4_helper import train_detector
from one_stage_detector import FCOS

reset_seed(0)
small_dataset = torch.utils.data.Subset(
    train_dataset,
    torch.linspace(0, len(train_dataset) - 1, steps=BATCH_SIZE * 2).long()  # CHANGED: 10
)
small_train_loader = torch.utils.data.DataLoader(
    small_dataset, batch_size=BATCH_SIZE, pin_memory=True, num_workers=NUM_WORKERS
)
detector = FCOS(
    num_classes=NUM_CLASSES,
    fpn_channels=64,
    stem_channels=[64, 64],
)
detector = detector.to(DEVICE)
train_detector(
    detector,
    small_train_loader,
    learning_rate=5e-3,
    max_iters=3,  # CHANGED: 500
    log_period=1,  # CHANGED: 20
    device=DEVICE,
)

# %% train a net
reset_seed(0)
detector = FCOS(
    num_classes=NUM_CLASSES,
    fpn_channels=128,
    stem_channels=[128, 128],
)
detector = detector.to(DEVICE)
train_detector(
    detector,
    train_loader,
    learning_rate=8e-3,
    max_iters=1,  # CHANGED: 9000
    log_period=100,
    device=DEVICE,
)
weights_path = os.path.join(GOOGLE_DRIVE_PATH, "fcos_detector.pt")
torch.save(detector.state_dict(), weights_path)

# %% NMS
from common import nms

reset_seed(0)
boxes = (100.0 * torch.rand(5000, 4)).round()
boxes[:, 2] = boxes[:, 2] + boxes[:, 0] + 1.0
boxes[:, 3] = boxes[:, 3] + boxes[:, 1] + 1.0
scores = torch.randn(5000)

names = ["your_cpu", "torchvision_cpu", "torchvision_cuda"]
iou_thresholds = [0.3, 0.5, 0.7]
elapsed = dict(zip(names, [0.0] * len(names)))
intersects = dict(zip(names[1:], [0.0] * (len(names) - 1)))
for iou_threshold in iou_thresholds:
    tic = time.time()
    my_keep = nms(boxes, scores, iou_threshold)
    elapsed["your_cpu"] += time.time() - tic
    tic = time.time()
    tv_keep = torchvision.ops.nms(boxes, scores, iou_threshold)
    elapsed["torchvision_cpu"] += time.time() - tic
    intersect = len(set(tv_keep.tolist()).intersection(my_keep.tolist())) / len(tv_keep)
    intersects["torchvision_cpu"] += intersect
    tic = time.time()
    tv_cuda_keep = torchvision.ops.nms(
        boxes.to(device=DEVICE), scores.to(device=DEVICE), iou_threshold
    ).to(my_keep.device)
    if DEVICE.type == "cuda":  # CHANGED: without this line
        torch.cuda.synchronize()
    elapsed["torchvision_cuda"] += time.time() - tic
    intersect = len(set(tv_cuda_keep.tolist()).intersection(my_keep.tolist())) / len(tv_cuda_keep)
    intersects["torchvision_cuda"] += intersect
for key in intersects:
    intersects[key] /= len(iou_thresholds)
print("Difference CPU : ", 1.0 - intersects["torchvision_cpu"])
print("Difference CUDA: ", 1.0 - intersects["torchvision_cuda"])
assert 1.0 - intersects["torchvision_cpu"] < 0.01
assert 1.0 - intersects["torchvision_cuda"] < 0.01

# %% inference
from a4_helper import inference_with_detector

detector = FCOS(
    num_classes=NUM_CLASSES, fpn_channels=128, stem_channels=[128, 128]
)
detector.to(device=DEVICE)
detector.load_state_dict(torch.load(weights_path, map_location="cpu"))
small_dataset = torch.utils.data.Subset(
    val_dataset,
    torch.linspace(0, len(val_dataset) - 1, steps=2).long()  # CHANGED: 10
)
small_val_loader = torch.utils.data.DataLoader(
    small_dataset, batch_size=1, pin_memory=True, num_workers=NUM_WORKERS
)
inference_with_detector(
    detector,
    small_val_loader,
    val_dataset.idx_to_class,
    score_thresh=0.5,
    nms_thresh=0.5,
    device=DEVICE,
    dtype=torch.float32,
)

# %% evaluation: writes what the mAP script of that course reads
inference_with_detector(
    detector,
    val_loader,
    val_dataset.idx_to_class,
    score_thresh=0.4,
    nms_thresh=0.6,
    device=DEVICE,
    dtype=torch.float32,
    output_dir=os.path.join(GOOGLE_DRIVE_PATH, "mAP/input"),  # CHANGED: the folder
)
print("all cells ran")
