"""What known mistakes of matching answer, each under the name of its cause."""

import math

import torch

ON_EDGE = "a location on the edge of a box counts as inside"
NOT_INSIDE = "locations outside of the box are let in"
LOW_LET_IN = "a distance equal to the low end of the range is let in"
HIGH_LEFT_OUT = "a distance equal to the high end of the range is left out"
TO_THE_CENTRE = "the distance to the centre of the box is held against the range"
NO_RANGE = "the size range of the level is ignored"
SMALLEST_SIDE = "the range is for the largest of the four distances"
LAST_OF_EQUAL = "of boxes with the same area the first wins, not the last"
LARGEST_BOX = "the largest box is taken, not the smallest"
CLOSE_AREAS = "areas that are close are told apart wrongly; compare them as they are"
NOT_A_CANDIDATE = "a box is taken that is no candidate"
NO_BACKGROUND = "a location without a candidate gets a box"
PADDING = "padding rows take part in the matching, or shift the others"
A_FEW_ONLY = "right for a few boxes, wrong for the same among hundreds; set no limit"
BEYOND_EDGE = "boxes beyond the left or upper edge of the image are cut off; keep them"
TO_FLOAT32 = "the digits that float64 has beyond those of float32 are lost"
NEAR_END = "a distance just above an end of the range is taken for that end"
NEAR_EDGE = "a location is left out that lies inside, but close to an edge"
TINY_BOX = "a tiny box is left out, though the location lies inside"
TINY_AREA = "a box of a tiny area is not taken, though it is a candidate"
HUGE_BOX = "a huge box is left out; no distance is too large for the coarsest level"
OTHER_DISTANCES = (
    "boxes beyond the left or upper edge of the image get other distances than others"
)
MOVED = (
    "boxes that touch or leave the image at the left or the top are matched in another "
    "way than others"
)
TAKEN_FOR_PADDING = (
    "a box is taken for padding by its coordinates; the class alone tells"
)
TINY_LEFT_OUT = "boxes with a side below one pixel are left out; nothing asks for that"
CLASS_CHANGED = (
    "the right box comes back with another class; keep large numbers as well"
)
LEVELS_NAMED = (
    "the names of the levels, or their order, change the answer; only the strides may"
)
EMPTY_LEVEL = "a level without locations is not answered; its answer has no rows"
SAME_OF_EQUAL = (
    "of two boxes with the same area one wins in either order; the first row must"
)
EXACT_BORDER = "a distance of exactly 64 or 128 must belong to the finer level alone"


def wrong_candidates(
    ltrb: torch.Tensor, size_range: tuple[float, float]
) -> dict[str, torch.Tensor]:
    """Known mistakes of 4.3 -> their answers."""
    low, high = size_range
    smallest, largest = ltrb.amin(dim=2), ltrb.amax(dim=2)
    is_inside, is_of_level = smallest > 0, (largest > low) & (largest <= high)
    offset = (ltrb[..., :2] - ltrb[..., 2:]).abs().amax(dim=2) / 2
    is_central = (offset > low) & (offset <= high)
    wrong = {
        TO_THE_CENTRE: is_inside & is_central,
        f"{TO_THE_CENTRE}, its low end left out": is_inside & (offset <= high),
        ON_EDGE: (smallest >= 0) & is_of_level,
        NOT_INSIDE: is_of_level,
        NO_RANGE: is_inside,
        LOW_LET_IN: is_inside & (largest >= low) & (largest <= high),
        HIGH_LEFT_OUT: is_inside & (largest > low) & (largest < high),
        "both ends of the range are wrong: low is left out, high belongs to it": (
            is_inside & (largest >= low) & (largest < high)
        ),
        SMALLEST_SIDE: is_inside & (smallest > low) & (smallest <= high),
        "one distance above 0 is not enough; all four must be": (
            (largest > 0) & is_of_level
        ),
        "the answer is upside down": ~(is_inside & is_of_level),
    }
    return {cause: value.int() for cause, value in wrong.items()}


def wrong_picks(
    is_candidate: torch.Tensor, areas: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Known mistakes of 4.4 -> their answers."""
    has_any = is_candidate.any(dim=1)
    cost = torch.where(is_candidate, areas.double(), math.inf)
    first = cost.argmin(dim=1)
    last = len(areas) - 1 - cost.flip(1).argmin(dim=1)
    largest = torch.where(is_candidate, areas.double(), -math.inf).argmax(dim=1)
    close = torch.where(is_candidate, 1e8 - areas.float(), -1.0).argmax(dim=1)
    return {
        NO_BACKGROUND: first,
        LAST_OF_EQUAL: torch.where(has_any, last, -1),
        LARGEST_BOX: torch.where(has_any, largest, -1),
        NOT_A_CANDIDATE: torch.where(has_any, areas.argmin(), -1),
        CLOSE_AREAS: torch.where(has_any, close, -1),
        "the first candidate is taken, whatever its area": torch.where(
            has_any, is_candidate.int().argmax(dim=1), -1
        ),
    }


def wrong_match(
    points: torch.Tensor,
    rows: torch.Tensor,
    size_range: tuple[float, float],
    mistake: str,
) -> torch.Tensor:
    """(N, 5) with a known mistake."""
    low, high = size_range
    boxes = rows if mistake == "padding" else rows[rows[:, 4] != -1]
    if mistake == "class zero":
        boxes = rows[rows[:, 4] > 0]
    ltrb = torch.cat(
        (points[:, None] - boxes[None, :, :2], boxes[None, :, 2:4] - points[:, None]),
        dim=2,
    )
    smallest, largest = ltrb.amin(dim=2), ltrb.amax(dim=2)
    is_inside = smallest >= 0 if mistake == "edge" else smallest > 0
    is_of_level = (largest > low) & (largest <= high)
    if mistake == "open":
        is_of_level = (largest > low) & (largest < high)
    is_candidate = is_inside & (is_of_level | (mistake == "no range"))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    key = {"padding": NO_BACKGROUND, "largest": LARGEST_BOX, "last": LAST_OF_EQUAL}
    if mistake == "first":
        areas = torch.zeros_like(areas)
    if mistake == "sides":
        areas = (boxes[:, 2:4] - boxes[:, :2]).sum(dim=1)
    picks = wrong_picks(is_candidate, areas)
    has_any = is_candidate.any(dim=1)
    plain = torch.where(has_any, picks[NO_BACKGROUND], -1)
    picked = picks[key[mistake]] if mistake in ("largest", "last") else plain
    source = rows if mistake == "shifted" else boxes
    background = torch.full((1, 5), -1.0, dtype=rows.dtype)
    found = torch.cat((source, background))[torch.where(has_any, picked, len(source))]
    return found[:, :5]


MATCH_MISTAKES = {
    NO_RANGE: "no range",
    LARGEST_BOX: "largest",
    "the first of the candidates is taken, whatever its area": "first",
    LAST_OF_EQUAL: "last",
    ON_EDGE: "edge",
    EXACT_BORDER: "open",
    PADDING: "shifted",
    "class 0 is taken for background": "class zero",
    "the smallest box is that of the smallest area, not of the shortest sides": "sides",
}
