"""Every choice in which published versions of FCOS differ, and each version's values.

Sources: Tian et al., "FCOS", 2019 (conference) and 2020 (journal), and the code that
the authors, Detectron2, torchvision and two courses published.
"""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class FCOSConfig:
    """The choices of one version of FCOS.

    Attributes:
        num_levels: 3 are p3, p4, p5; 5 are these with p6 and p7.
        location_offset: a location is this part of a stride away from its cell's upper
            left corner; .5 is the middle.
        spacing: pixels between neighbouring locations are the "stride", or as many as
            the padded "image" has for each cell of the map, rounded down.
        norm_groups: of the group norm in the head's stems; 0 is none.
        stem_start: weights of the stems' convolutions are drawn from N(0, .01),
            "small", or as He et al., 2015, propose, "he".
        centerness_on: the stem that predicts centerness, "box" or "class".
        level_scales: the box output of each level has a factor of its own, learned.
        box_output: what makes it distances: nothing, "raw"; "relu"; "exp".
        unit: of these distances, "stride" or "pixel".
        centre_radius: foreground lies within so many strides of its box's centre; 0 is
            the whole box.
        range_ends: which ends belong to a level's range of sizes, "high", "both" or
            "none".
        range_scale: factor on all limits of these ranges.
        last_limit: in pixels, where the range of the coarsest level ends; 1e8 is as
            good as no end.
        smallest: of several boxes the one of least "area" is taken, or the one of most
            "1e8 - area", where float32 takes areas within 8 square pixels for equal.
        box_loss: "l1", "l2", "iou" (-ln IoU), "linear_iou" (1 - IoU), "giou"
            (1 - GIoU).
        box_weight: the box loss counts so many times, lambda of the paper.
        loss_unit: of the distances in the box loss, "stride" or "pixel".
        iou_plus: is added to intersection and union.
        giou_eps: is added to what a GIoU divides by.
        weigh_boxes: each box loss counts as much as the centerness of its location,
            and their sum is divided by the sum of these.
        divide_by: the losses are divided by the "foreground" locations of the batch,
            at least one, or by their running mean "per_image" or "per_batch".
        first_divisor: where this mean starts.
        threshold_on: the score threshold is for the "class" probability alone, or for
            the "score", the root of its product with centerness.
        multi_label: any number of classes may be detected at one location.
        top_k: so many candidates of each "level" or "image" go into NMS; 0 is all.
        top_k_of: see there.
        max_detections: boxes of an image that come out; 0 is all.
        keep_ties: boxes whose score is that of the last one come out, too.
        clip_to: boxes end at the "edge" of the image (W, H) or at its last "pixel"
            (W - 1, H - 1).
        score_threshold, nms_threshold: used when none are given.
    """

    num_levels: Literal[3, 5] = 5
    location_offset: float = 0.5
    spacing: Literal["stride", "image"] = "stride"
    norm_groups: int = 32
    stem_start: Literal["small", "he"] = "small"
    centerness_on: Literal["box", "class"] = "box"
    level_scales: bool = False
    box_output: Literal["raw", "relu", "exp"] = "relu"
    unit: Literal["stride", "pixel"] = "stride"
    centre_radius: float = 1.5
    range_ends: Literal["high", "both", "none"] = "none"
    range_scale: float = 1.0
    last_limit: float = 1e8
    smallest: Literal["area", "1e8 - area"] = "area"
    box_loss: Literal["l1", "l2", "iou", "linear_iou", "giou"] = "giou"
    box_weight: float = 1.0
    loss_unit: Literal["stride", "pixel"] = "stride"
    iou_plus: float = 0.0
    giou_eps: float = 1e-7
    weigh_boxes: bool = False
    divide_by: Literal["foreground", "per_image", "per_batch"] = "foreground"
    first_divisor: float = 150.0
    threshold_on: Literal["class", "score"] = "score"
    multi_label: bool = True
    top_k: int = 1000
    top_k_of: Literal["level", "image"] = "level"
    max_detections: int = 100
    keep_ties: bool = False
    clip_to: Literal["edge", "pixel"] = "edge"
    score_threshold: float = 0.2
    nms_threshold: float = 0.6


# The authors' code as of the conference, "FCOS_R_50_FPN_1x".
PAPER_2019 = FCOSConfig(
    centerness_on="class",
    level_scales=True,
    box_output="exp",
    unit="pixel",
    loss_unit="pixel",
    centre_radius=0.0,
    range_ends="both",
    box_loss="iou",
    iou_plus=1.0,
    weigh_boxes=True,
    threshold_on="class",
    score_threshold=0.05,
    keep_ties=True,
    clip_to="pixel",
)

PRESETS = {
    "paper2019": PAPER_2019,
    # The same code with its switches for "improvements", those of the journal version.
    "authors_improved": replace(
        PAPER_2019,
        centerness_on="box",
        box_output="relu",
        unit="stride",
        loss_unit="stride",
        centre_radius=1.5,
        box_loss="giou",
    ),
    "detectron2": FCOSConfig(
        smallest="1e8 - area",
        divide_by="per_batch",
        first_divisor=300.0,
        loss_unit="pixel",
    ),
    "torchvision": FCOSConfig(
        location_offset=0.0,
        spacing="image",
        smallest="1e8 - area",
        loss_unit="pixel",
    ),
    # A homework with three convolutions a stem, and images of at most 480 pixels.
    "cs771": FCOSConfig(
        norm_groups=16,
        range_ends="both",
        last_limit=1000.0,
        loss_unit="pixel",
        score_threshold=0.1,
    ),
    # Part one of this course, and the assignment that it grew from.
    "a4": FCOSConfig(
        num_levels=3,
        norm_groups=0,
        box_output="raw",
        centre_radius=0.0,
        range_ends="high",
        box_loss="l1",
        divide_by="per_image",
        multi_label=False,
        top_k=0,
        max_detections=0,
        score_threshold=0.3,
        nms_threshold=0.5,
    ),
    # What trains best here: small images, minutes on a processor.
    "course": FCOSConfig(
        num_levels=3,
        norm_groups=0,
        stem_start="he",
        level_scales=True,
        box_output="exp",
        range_ends="high",
        weigh_boxes=True,
        top_k_of="image",
        score_threshold=0.05,
    ),
}
