"""Parts that every detector of the course shares: IoU, FPN, locations, NMS.

Points are (x, y), sizes are (H, W), image tensors are (B, C, H, W). A feature map is
flattened row by row: index = row * W + column. Boxes are XYXY in absolute pixels.
"""

import torch
from torch import nn
from torch.nn import functional as F

from core.backbones.build import backbone_channels, build_backbone

BACKGROUND = -1  # the class, and every other number, of what is no object


def hello_common() -> None:
    """Show that this file can be imported."""
    print("Hello from common.py!")


def iou(boxes1: torch.Tensor, boxes2: torch.Tensor) -> torch.Tensor:
    """Exercise 1.1 (about 8 lines): intersection over union of all pairs of boxes.

    How much do two boxes agree? The area that both cover, divided by the area that at
    least one covers: 1 for the same box, 0 for boxes that do not touch.
    Source: Everingham et al., "The PASCAL VOC Challenge", 2010, section 4.2.

    Args:
        boxes1: (M, 4) XYXY in pixels.
        boxes2: (N, 4) XYXY in pixels, same dtype and device.

    Returns:
        (M, N), in [0, 1]. M or N may be 0. Two boxes without any area have IoU 0.

    Example:
        >>> a = torch.tensor([[0.0, 0.0, 4.0, 2.0]])
        >>> b = torch.tensor([[2.0, 0.0, 6.0, 2.0], [0.0, 5.0, 4.0, 7.0]])
        >>> iou(a, b)
        tensor([[0.3333, 0.0000]])
    """
    ### BEGIN SOLUTION
    area1 = (boxes1[:, 2] - boxes1[:, 0]) * (boxes1[:, 3] - boxes1[:, 1])
    area2 = (boxes2[:, 2] - boxes2[:, 0]) * (boxes2[:, 3] - boxes2[:, 1])
    top_left = torch.maximum(boxes1[:, None, :2], boxes2[None, :, :2])
    bottom_right = torch.minimum(boxes1[:, None, 2:4], boxes2[None, :, 2:4])
    size = (bottom_right - top_left).clamp(min=0)  # (M, N, 2)
    intersection = size[:, :, 0] * size[:, :, 1]
    union = area1[:, None] + area2[None, :] - intersection
    return torch.where(union > 0, intersection / union, torch.zeros_like(union))
    ### END SOLUTION


def make_fpn_layers(in_channels: dict[str, int], out_channels: int) -> nn.ModuleDict:
    """Exercise 2.1 (about 8 lines): the convolutions of a feature pyramid network.

    Each level needs a 1x1 "lateral" convolution, which brings c3, c4, c5 to the same
    number of channels, and a 3x3 "output" convolution, which smooths the sum. The
    height and width must not change. You choose the keys of the dict.
    Source: Lin et al., "Feature Pyramid Networks", 2017, section 3 and figure 3.

    Args:
        in_channels: channels of each map, {"c3": ..., "c4": ..., "c5": ...}.
        out_channels: channels of p3, p4 and p5.

    Returns:
        nn.ModuleDict with one lateral and one output convolution per level.
    """
    ### BEGIN SOLUTION
    layers = nn.ModuleDict()
    for name, channels in in_channels.items():
        level = name[1:]  # "c3" -> "3"
        layers[f"lateral{level}"] = nn.Conv2d(channels, out_channels, kernel_size=1)
        layers[f"output{level}"] = nn.Conv2d(
            out_channels, out_channels, kernel_size=3, padding=1
        )
    return layers
    ### END SOLUTION


class DetectorBackboneWithFPN(nn.Module):
    """A backbone, and a feature pyramid network (FPN) on top of it.

    Args:
        out_channels: channels of p3, p4 and p5.
        backbone: a name for build_backbone (with ImageNet weights), or a module that
            maps images to a dict with c3, c4, c5 at strides 8, 16, 32.

    Raises:
        CourseError: the name is unknown, the weights could not be had, or the module
            does not return c3, c4 and c5.
    """

    def __init__(self, out_channels: int, backbone: str | nn.Module = "regnet_x_400mf"):
        super().__init__()
        self.out_channels = out_channels
        if isinstance(backbone, str):
            backbone = build_backbone(backbone)
        self.backbone = backbone
        self.fpn_params = make_fpn_layers(backbone_channels(backbone), out_channels)

    @property
    def fpn_strides(self) -> dict[str, int]:
        """Pixels of the image between neighbouring locations of each level."""
        return {"p3": 8, "p4": 16, "p5": 32}

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of all levels: the backbone's maps, merged by the FPN.

        Args:
            images: (B, 3, H, W) float, normalised with ImageNet's mean and deviation.

        Returns:
            {"p3", "p4", "p5"}, each (B, out_channels, H / stride, W / stride), rounded
            up.
        """
        features = self.backbone(images)
        return self.merge_levels(features)

    def merge_levels(
        self, features: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Exercise 2.2 (about 10 lines): the top-down path of the FPN.

        Start from the coarsest map and walk down: enlarge the merged map of the level
        above (nearest neighbour) to the size of this level, add this level's lateral,
        and go on. What goes down to the next level is this sum, before its output
        convolution. Sizes may be odd, so "twice as large" is not always right.
        Source: Lin et al., "Feature Pyramid Networks", 2017, section 3 and figure 3.

        Args:
            features: {"c3", "c4", "c5"}, each (B, C, H / stride, W / stride).

        Returns:
            {"p3", "p4", "p5"} in that order, each (B, out_channels, H / stride,
            W / stride) with the height and width of c3, c4, c5.
        """
        ### BEGIN SOLUTION
        merged5 = self.fpn_params["lateral5"](features["c5"])
        from_above = F.interpolate(merged5, size=features["c4"].shape[-2:])
        merged4 = self.fpn_params["lateral4"](features["c4"]) + from_above
        from_above = F.interpolate(merged4, size=features["c3"].shape[-2:])
        merged3 = self.fpn_params["lateral3"](features["c3"]) + from_above
        return {
            "p3": self.fpn_params["output3"](merged3),
            "p4": self.fpn_params["output4"](merged4),
            "p5": self.fpn_params["output5"](merged5),
        }
        ### END SOLUTION


def get_fpn_location_coords(
    shape_per_fpn_level: dict[str, tuple],
    strides_per_fpn_level: dict[str, int],
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> dict[str, torch.Tensor]:
    """Exercise 4.1 (about 9 lines): where in the image does each location look?

    The location in row i and column j of a level stands for the middle of its
    stride x stride cell: x = stride * (j + 0.5), y = stride * (i + 0.5).
    Source: Tian et al., "FCOS", 2019, section 3.1. The handout that this course grew
    from printed x and y swapped here; see notebook 4.

    Args:
        shape_per_fpn_level: (B, C, H, W) of each level's features; only H and W count.
        strides_per_fpn_level: stride of each level in pixels.
        dtype: of the result.
        device: of the result.

    Returns:
        For each level (H * W, 2): (x, y) in pixels of the image, flattened row by row.

    Example:
        >>> get_fpn_location_coords({"p3": (1, 64, 2, 3)}, {"p3": 8})["p3"].tolist()
        [[4.0, 4.0], [12.0, 4.0], [20.0, 4.0], [4.0, 12.0], [12.0, 12.0], [20.0, 12.0]]
    """
    ### BEGIN SOLUTION
    locations = {}
    for level, shape in shape_per_fpn_level.items():
        height, width = shape[2], shape[3]
        stride = strides_per_fpn_level[level]
        x = stride * (torch.arange(width, dtype=dtype, device=device) + 0.5)
        y = stride * (torch.arange(height, dtype=dtype, device=device) + 0.5)
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")  # (H, W) each
        locations[level] = torch.stack((grid_x, grid_y), dim=2).reshape(-1, 2)
    return locations
    ### END SOLUTION


def nms(
    boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float = 0.5
) -> torch.Tensor:
    """Exercise 8.1 (about 10 lines): non-maximum suppression.

    Keep the box with the highest score, drop every other box that overlaps it by more
    than the threshold, and go on with the best of the rest. A box that overlaps by
    exactly the threshold stays.
    Source: Girshick et al., "R-CNN", 2014, section 2.2; torchvision.ops.nms.

    Args:
        boxes: (N, 4) XYXY in pixels.
        scores: (N,), any real numbers.
        iou_threshold: in [0, 1].

    Returns:
        (K,) int64 on the device of boxes: indices of the kept boxes, best first. No box
        in, no index out.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 4, 2], [0.0, 0, 4, 3], [9.0, 9, 12, 11]])
        >>> nms(boxes, torch.tensor([0.5, 0.9, 0.7]), iou_threshold=0.5)
        tensor([1, 2])
    """
    ### BEGIN SOLUTION
    order = scores.argsort(descending=True, stable=True)
    kept = []
    while order.numel() > 0:
        best, rest = order[0], order[1:]
        kept.append(best)
        overlap = iou(boxes[best][None], boxes[rest])[0]  # (number of rest,)
        order = rest[overlap <= iou_threshold]
    if not kept:
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    return torch.stack(kept)
    ### END SOLUTION


def class_spec_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    class_ids: torch.Tensor,
    iou_threshold: float = 0.5,
) -> torch.Tensor:
    """NMS within each class, in one call: boxes of different classes never meet.

    Each class is moved to a place of its own, further away than any box is wide.
    Source: torchvision.ops.batched_nms.

    Args:
        boxes: (N, 4) XYXY in pixels.
        scores: (N,).
        class_ids: (N,) integers or whole floats.
        iou_threshold: in [0, 1].

    Returns:
        (K,) int64: indices of the kept boxes, best first.
    """
    if boxes.numel() == 0:
        return torch.zeros(0, dtype=torch.int64, device=boxes.device)
    extent = boxes.max() - boxes.min() + 1
    offsets = class_ids.to(boxes) * extent
    return nms(boxes + offsets[:, None], scores, iou_threshold)
