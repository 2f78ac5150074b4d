"""Two boxes around one location, and the losses of their overlap.

Everything is a loop over Python's float64. `mistake` is the known mistake to make, one
of IOU_LOSS or GIOU_LOSS; "" is the right way.
Sources: Yu et al., "UnitBox", 2016; Rezatofighi et al., "Generalized IoU", 2019.
"""

import math
from typing import NamedTuple

from core.fcos_config import FCOSConfig
from grader_tests.oracles.plain_matching import Row

# What known mistakes of two boxes around one location do.
NO_MINUS = "the intersection is not taken off the union"
LARGER_SIDES = "the larger distances are taken for the intersection, not the smaller"
OPPOSITE = "left goes with right, and top with bottom; not left with top"
TURNED = "top and bottom are swapped in one of the boxes"
PLUS_ABOVE = "plus is added to the intersection alone"
PLUS_BELOW = "plus is added to the union alone"
NO_PLUS = "plus is ignored"
ALWAYS_PLUS = "1 is added though plus is 0"
NO_LOG = "1 - IoU though the logarithm is asked for"
ALWAYS_LOG = "the logarithm though 1 - IoU is asked for"
SIGN = "the sign of the logarithm is wrong"
TO_BASE_2 = "the logarithm to base 2, not the natural one"
IOU_ALONE = "1 - IoU; the part of the hull that neither covers is missing"
HULL_ADDED = "the part of the hull that neither covers is added to the IoU"
HULL_OF_MIN = "the hull is made of the smaller distances, not of the larger"
OF_UNION = "the empty part is divided by the union, not by the hull"
NOT_FROM_ONE = "GIoU itself; the loss is 1 minus it"
NO_EPS = "eps is ignored"
EPS_OF_IOU_ONLY = "eps is added in the IoU alone"
EPS_OF_HULL_ONLY = "eps is added to the hull alone"
PLUS_IN_HULL = "plus is added to the hull, too"
OVERLAP = (NO_MINUS, LARGER_SIDES, OPPOSITE, TURNED)
IOU_LOSS = (
    *OVERLAP,
    PLUS_ABOVE,
    PLUS_BELOW,
    NO_PLUS,
    ALWAYS_PLUS,
    NO_LOG,
    ALWAYS_LOG,
    SIGN,
    TO_BASE_2,
)
GIOU_LOSS = (
    *OVERLAP,
    PLUS_ABOVE,
    PLUS_BELOW,
    NO_PLUS,
    ALWAYS_PLUS,
    IOU_ALONE,
    HULL_ADDED,
    HULL_OF_MIN,
    OF_UNION,
    NOT_FROM_ONE,
    NO_EPS,
    EPS_OF_IOU_ONLY,
    EPS_OF_HULL_ONLY,
    PLUS_IN_HULL,
)


def _area(ltrb: Row, mistake: str = "") -> float:
    left, top, right, bottom = ltrb
    if mistake == OPPOSITE:
        return (left + top) * (right + bottom)
    return (left + right) * (top + bottom)


def overlap(pred: Row, true: Row, mistake: str = "") -> tuple[float, float, float]:
    """Intersection, union, and the smallest box around both."""
    if mistake == TURNED:
        true = [true[place] for place in (0, 3, 2, 1)]
    smaller = [min(a, b) for a, b in zip(pred, true, strict=True)]
    larger = [max(a, b) for a, b in zip(pred, true, strict=True)]
    inside = larger if mistake == LARGER_SIDES else smaller
    around = smaller if mistake == HULL_OF_MIN else larger
    intersection = _area(inside, mistake)
    union = _area(pred, mistake) + _area(true, mistake)
    union -= 0.0 if mistake == NO_MINUS else intersection
    return intersection, union, _area(around, mistake)


def _plus(plus: float, mistake: str) -> tuple[float, float]:
    """What is added to the intersection and to the union."""
    plus = {NO_PLUS: 0.0, ALWAYS_PLUS: 1.0}.get(mistake, plus)
    return (
        0.0 if mistake == PLUS_BELOW else plus,
        0.0 if mistake == PLUS_ABOVE else plus,
    )


def iou_loss(
    pred: Row, true: Row, linear: bool = False, plus: float = 0.0, mistake: str = ""
) -> float:
    """-ln IoU or 1 - IoU of one pair."""
    above, below = _plus(plus, mistake)
    intersection, union, _ = overlap(pred, true, mistake)
    ratio = ratio_of(intersection + above, union + below)
    linear = {NO_LOG: True, ALWAYS_LOG: False}.get(mistake, linear)
    if linear:
        return 1 - ratio
    if not ratio > 0:
        return math.nan if math.isnan(ratio) else math.inf
    if mistake == TO_BASE_2:
        return -math.log2(ratio)
    return math.log(ratio) if mistake == SIGN else -math.log(ratio)


def ratio_of(above: float, below: float) -> float:
    """The ratio as tensors have it, which may be divided by 0."""
    if below:
        return above / below
    return math.inf if above else math.nan


def giou_loss(
    pred: Row, true: Row, plus: float = 0.0, eps: float = 1e-7, mistake: str = ""
) -> float:
    """1 - GIoU of one pair."""
    above, below = _plus(plus, mistake)
    intersection, union, hull = overlap(pred, true, mistake)
    eps = 0.0 if mistake == NO_EPS else eps
    of_iou = 0.0 if mistake == EPS_OF_HULL_ONLY else eps
    of_hull = 0.0 if mistake == EPS_OF_IOU_ONLY else eps
    of_hull += plus if mistake == PLUS_IN_HULL else 0.0
    whole = union if mistake == OF_UNION else hull
    empty = ratio_of(hull - union, whole + of_hull)
    ratio = ratio_of(intersection + above, union + below + of_iou)
    if mistake == IOU_ALONE:
        return 1 - ratio
    if mistake == HULL_ADDED:
        return 1 - (ratio + empty)
    return ratio - empty if mistake == NOT_FROM_ONE else 1 - (ratio - empty)


def l1_loss(pred: Row, true: Row) -> float:
    """A quarter of the sum of the four differences."""
    return sum(abs(a - b) for a, b in zip(pred, true, strict=True)) / 4


def box_loss(pred: Row, true: Row, config: FCOSConfig, mistake: str = "") -> float:
    """The loss of one box by the config's name of it."""
    if config.box_loss == "l1":
        return l1_loss(pred, true)
    if config.box_loss == "giou":
        return giou_loss(pred, true, config.iou_plus, config.giou_eps, mistake)
    linear = config.box_loss == "linear_iou"
    return iou_loss(pred, true, linear, config.iou_plus, mistake)


class Slopes(NamedTuple):
    """Derivatives by the four predicted distances of one pair."""

    intersection: list[float]
    union: list[float]
    hull: list[float]


def overlap_slopes(pred: Row, true: Row, fixed: str = "") -> Slopes:
    """Of intersection, union and hull; no distance may be that of the other box.

    Args:
        fixed: the one that is detached, a name of Slopes.
    """

    def sides(of: Row) -> tuple[float, float]:
        return of[0] + of[2], of[1] + of[3]

    smaller = [min(a, b) for a, b in zip(pred, true, strict=True)]
    larger = [max(a, b) for a, b in zip(pred, true, strict=True)]
    slopes = Slopes([], [], [])
    for place in range(4):
        other = 1 - place % 2  # left and right grow the area by the height
        of_pred = sides(pred)[other]
        inside = sides(smaller)[other] if pred[place] < true[place] else 0.0
        around = sides(larger)[other] if pred[place] > true[place] else 0.0
        slopes.intersection.append(inside)
        slopes.union.append(of_pred - inside)
        slopes.hull.append(around)
    return slopes._replace(**{fixed: [0.0] * 4}) if fixed else slopes


def iou_slopes(
    pred: Row, true: Row, linear: bool, plus: float, fixed: str = ""
) -> list[float]:
    """Of the IoU loss."""
    intersection, union, _ = overlap(pred, true)
    slopes = overlap_slopes(pred, true, fixed)
    found = []
    for up, down in zip(slopes.intersection, slopes.union, strict=True):
        of_log = up / (intersection + plus) - down / (union + plus)
        ratio = (intersection + plus) / (union + plus)
        found.append(-of_log * (ratio if linear else 1.0))
    return found


def giou_slopes(
    pred: Row, true: Row, plus: float, eps: float, fixed: str = ""
) -> list[float]:
    """Of the GIoU loss."""
    intersection, union, hull = overlap(pred, true)
    found = []
    for up, down, around in zip(*overlap_slopes(pred, true, fixed), strict=True):
        below, whole = union + plus + eps, hull + eps
        of_ratio = up / below - (intersection + plus) * down / below**2
        of_empty = (around - down) / whole - (hull - union) * around / whole**2
        found.append(of_empty - of_ratio)
    return found
