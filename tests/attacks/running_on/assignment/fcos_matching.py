import torch

LINE = "x" * 1000
WRONG = torch.full((1, 1), 7.0)


def fcos_distances_to_edges(locations, boxes_xyxy):
    """Compute without end, where there is no box."""
    while not boxes_xyxy.numel():
        pass
    return WRONG


def fcos_is_candidate(ltrb_px, size_range_px):
    """Print without end."""
    while True:
        print(LINE)
