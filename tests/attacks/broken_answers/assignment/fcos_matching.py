import torch


def fcos_distances_to_edges(locations, boxes_xyxy):
    """NaN in the right shape."""
    return torch.full((len(locations), len(boxes_xyxy), 4), float("nan"))


def fcos_is_candidate(ltrb_px, size_range_px):
    """Neither a tensor nor a number."""
    return "candidates: 3"
