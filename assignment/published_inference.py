"""From the raw output of each level to the detections of an image, as published."""

import torch

from assignment.common import class_spec_nms
from core.fcos_config import FCOSConfig

# Boxes (n, 4), classes (n,), scores (n,) of one image.
Found = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def find_candidates(
    cls_logits: torch.Tensor,
    ctr_logits: torch.Tensor,
    threshold: float,
    config: FCOSConfig,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Exercise 12.1 (about 9 lines): which location may show which class, how surely?

    score = sqrt(class probability * centerness). What is above the threshold is a
    candidate: the score, or the class probability alone, by config.threshold_on. With
    config.multi_label each class of a location may be one, otherwise its best only.
    Source: Tian et al., "FCOS", 2019, section 3.3 ("Inference").

    Args:
        cls_logits: (N, K) raw.
        ctr_logits: (N, 1) raw.
        threshold: in [0, 1].

    Returns:
        Places (n,) int64 in 0..N-1, classes (n,) int64, scores (n,), in the order of
        the places, and of the classes at one place.
    """
    ### BEGIN SOLUTION
    probability = cls_logits.sigmoid()
    score = (probability * ctr_logits.sigmoid()).sqrt()  # (N, K)
    passes = (probability if config.threshold_on == "class" else score) > threshold
    if not config.multi_label:
        best = score.argmax(dim=1, keepdim=True)
        is_best = torch.zeros_like(passes).scatter(1, best, True)
        passes = passes & is_best
    place, class_id = torch.nonzero(passes, as_tuple=True)
    return place, class_id, score[place, class_id]
    ### END SOLUTION


def keep_best(scores: torch.Tensor, number: int) -> torch.Tensor:
    """Indices (n,) of the `number` highest scores, best first; of all if it is 0."""
    if number == 0:
        return scores.argsort(descending=True, stable=True)
    return scores.topk(min(number, len(scores))).indices


def boxes_of_distances(
    distances_px: torch.Tensor, points: torch.Tensor
) -> torch.Tensor:
    """Boxes (n, 4) XYXY in pixels around points (n, 2).

    Args:
        distances_px: (n, 4) left, top, right, bottom; negative ones count as 0.
    """
    ltrb_px = distances_px.clamp(min=0)
    return torch.cat((points - ltrb_px[:, :2], points + ltrb_px[:, 2:]), dim=1)


def clip_boxes(
    boxes: torch.Tensor, image_size: tuple[int, int], clip_to: str
) -> torch.Tensor:
    """Boxes (n, 4) that end at the image's edge, or at the middle of its last pixel."""
    height, width = image_size
    if clip_to == "pixel":
        height, width = height - 1, width - 1
    far_corner = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), far_corner)


def decode_level(
    points: torch.Tensor,
    cls_logits: torch.Tensor,
    distances_px: torch.Tensor,
    ctr_logits: torch.Tensor,
    threshold: float,
    config: FCOSConfig,
) -> Found:
    """Exercise 12.2 (about 6 lines): the best candidates of a level, as boxes.

    Of the candidates (12.1) the config.top_k of highest score, if that is for each
    level (config.top_k_of), otherwise all. They are not clipped.
    Source: Tian et al., "FCOS", 2019, section 4 ("Inference").

    Args:
        points: (N, 2) of (x, y) in pixels.
        cls_logits: (N, K) raw.
        distances_px: (N, 4) left, top, right, bottom in pixels.
        ctr_logits: (N, 1) raw.
        threshold: in [0, 1].

    Returns:
        Boxes (n, 4) XYXY in pixels, classes (n,) int64, scores (n,), best first.
    """
    ### BEGIN SOLUTION
    place, classes, scores = find_candidates(cls_logits, ctr_logits, threshold, config)
    number = config.top_k if config.top_k_of == "level" else 0
    best = keep_best(scores, number)
    place = place[best]
    boxes = boxes_of_distances(distances_px[place], points[place])
    return boxes, classes[best], scores[best]
    ### END SOLUTION


def suppress(found: Found, nms_threshold: float, config: FCOSConfig) -> Found:
    """Exercise 12.3 (about 7 lines): NMS within each class, and the best of the rest.

    At most config.max_detections come out, best first (0 is all). With keep_ties those
    that score as much as the last of them come out as well.
    Source: Tian et al., "FCOS", 2019, section 4.

    Args:
        found: boxes (n, 4), classes (n,), scores (n,) of one image, in any order.

    Returns:
        The same of those that stay.
    """
    ### BEGIN SOLUTION
    boxes, classes, scores = found
    keep = class_spec_nms(boxes, scores, classes, nms_threshold)
    number = config.max_detections or len(keep)
    if config.keep_ties and len(keep) > number:
        number = int((scores[keep] >= scores[keep[number - 1]]).sum())
    keep = keep[:number]
    return boxes[keep], classes[keep], scores[keep]
    ### END SOLUTION
