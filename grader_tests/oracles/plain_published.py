"""FCOS as published, targets and losses: one location and one box at a time.

Everything is a loop over Python's float64. `mistake` is the known mistake to make, a
name of one of the tables below; "" is the right way.
Sources: Tian et al., "FCOS", 2019 and 2020; Yu et al., "UnitBox", 2016; Rezatofighi et
al., "Generalized IoU", 2019.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from core.fcos_config import FCOSConfig
from grader_tests.oracles.plain_losses import centerness_loss, class_loss

BACKGROUND_ROW = [-1.0] * 5
MOMENTUM = 0.9
LOSSES = ("loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr")
STRIDES = {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}
Levels = Mapping[str, torch.Tensor]
Row = Sequence[float]

# What known mistakes of matching do; tests say them as they stand here.
ON_EDGE = "a location on the edge of a box counts as inside"
RADIUS_IN_PX = "the radius is not multiplied by the stride of the level"
ONE_STRIDE = "the stride of the first level is taken for all"
CIRCLE = "a circle around the centre; it is a square"
RADIUS_LET_IN = "a location as far away as the radius is let in; < is asked, not <="
NEAR_ALONE = "near the centre is enough; it must lie inside the box, too"
NO_RADIUS = "centre_radius is ignored"
FIXED_RADIUS = "centre_radius is ignored: it is always 1.5"
ALWAYS_RADIUS = "a centre_radius of 0 is the whole box, not an empty square"
CORNER = "the distance is to the upper left corner, not to the centre"
ONE_IS_ENOUGH = "x or y is near enough; both must be"
SWAPPED = "x and y of the locations are swapped"
CLASS_ZERO = "class 0 is taken for background"
LARGEST_BOX = "the largest box is taken, not the smallest"
LAST_OF_EQUAL = "of boxes with the same area the first wins, not the last"
FIRST_BOX = "the first candidate is taken, not the smallest"
FIRST_IMAGE = "the boxes of the first image are taken for all"
NO_SCALE = "range_scale is ignored"
SCALE_ON_LAST = "the limit of the coarsest level is scaled; last_limit stays as it is"
NO_LAST_LIMIT = "last_limit is ignored"
NO_RANGE = "the size range of the level is ignored"
LONGER_SIDE = (
    "the longer side of the box is held against the range; the largest distance must be"
)
CENTRE_OF_ANY = "what is near the centre of one box is taken to be near all"
OTHER_ENDS = {
    ends: f'range_ends is ignored: it is always "{ends}"'
    for ends in ("high", "both", "none")
}
OTHER_SMALLEST = {
    smallest: f'smallest is ignored: it is always "{smallest}"'
    for smallest in ("area", "1e8 - area")
}
MATCHING = (
    ON_EDGE,
    RADIUS_IN_PX,
    ONE_STRIDE,
    CIRCLE,
    RADIUS_LET_IN,
    NEAR_ALONE,
    NO_RADIUS,
    ALWAYS_RADIUS,
    CORNER,
    ONE_IS_ENOUGH,
    SWAPPED,
    CLASS_ZERO,
    LARGEST_BOX,
    LAST_OF_EQUAL,
    FIRST_BOX,
    FIRST_IMAGE,
    NO_SCALE,
    SCALE_ON_LAST,
    NO_LAST_LIMIT,
    NO_RANGE,
    LONGER_SIDE,
    FIXED_RADIUS,
    CENTRE_OF_ANY,
    *OTHER_ENDS.values(),
    *OTHER_SMALLEST.values(),
)


class Level(NamedTuple):
    """What is known of a location's level, in pixels."""

    stride: float
    low: float
    high: float


def is_near(point: Row, box: Row, radius: float, mistake: str = "") -> bool:
    """Whether a location is near the centre of a box."""
    x, y = point[::-1] if mistake == SWAPPED else point
    centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    if mistake == CORNER:
        centre = [box[0], box[1]]
    across, down = abs(x - centre[0]), abs(y - centre[1])
    if mistake == CIRCLE:
        return math.hypot(across, down) < radius
    if mistake == RADIUS_LET_IN:
        return max(across, down) <= radius
    if mistake == ONE_IS_ENOUGH:
        return min(across, down) < radius
    return max(across, down) < radius


def size_limits(
    strides: Mapping[str, int], config: FCOSConfig, mistake: str = ""
) -> dict[str, Level]:
    """The range of each level."""
    scale = 1.0 if mistake == NO_SCALE else config.range_scale
    last = math.inf if mistake == NO_LAST_LIMIT else config.last_limit
    last *= scale if mistake == SCALE_ON_LAST else 1.0
    ordered = sorted(strides, key=strides.__getitem__)
    return {
        level: Level(
            stride,
            0.0 if level == ordered[0] else 4.0 * stride * scale,
            last if level == ordered[-1] else 8.0 * stride * scale,
        )
        for level, stride in strides.items()
    }


def match(
    point: Row,
    level: Level,
    rows: Sequence[Row],
    config: FCOSConfig,
    *,
    exact: bool = False,
    mistake: str = "",
) -> Row:
    """The row (x1, y1, x2, y2, class) that a location belongs to, or BACKGROUND_ROW.

    Args:
        exact: the numbers are float64, where 1e8 - area loses no digit that matters.
    """
    best: Row = BACKGROUND_ROW
    best_cost = math.inf
    x, y = point[::-1] if mistake == SWAPPED else point
    radius = 1.5 if mistake == FIXED_RADIUS else config.centre_radius
    radius *= 1 if mistake == RADIUS_IN_PX else level.stride
    asks_centre = config.centre_radius > 0 or mistake == ALWAYS_RADIUS
    asks_centre = asks_centre and mistake != NO_RADIUS
    boxes = [row for row in rows if row[4] > (0 if mistake == CLASS_ZERO else -1)]
    near_any = mistake == CENTRE_OF_ANY and any(
        is_near(point, row, radius) for row in boxes
    )
    for row in boxes:
        ltrb = [x - row[0], y - row[1], row[2] - x, row[3] - y]
        nearest, largest = min(ltrb), max(ltrb)
        is_in = nearest >= 0 if mistake == ON_EDGE else nearest > 0
        is_in = is_in or (mistake == NEAR_ALONE and config.centre_radius > 0)
        if asks_centre:
            is_in = is_in and (near_any or is_near(point, row, radius, mistake))
        longer = max(row[2] - row[0], row[3] - row[1])
        size = longer if mistake == LONGER_SIDE else largest
        fits = _fits(size, level, config.range_ends, mistake)
        area = (row[2] - row[0]) * (row[3] - row[1])
        cost = _cost(area, config.smallest, exact, mistake)
        is_less = cost <= best_cost if mistake == LAST_OF_EQUAL else cost < best_cost
        is_first = mistake != FIRST_BOX or best is BACKGROUND_ROW
        if is_in and fits and is_less and is_first:
            best, best_cost = row, cost
    return best


def _fits(largest: float, level: Level, ends: str, mistake: str) -> bool:
    """Whether the size of a box belongs to the level."""
    for other, said in OTHER_ENDS.items():
        ends = other if mistake == said else ends
    above = largest >= level.low if ends == "both" else largest > level.low
    below = largest < level.high if ends == "none" else largest <= level.high
    return mistake == NO_RANGE or (above and below)


def _cost(area: float, smallest: str, exact: bool, mistake: str) -> float:
    """What the box to take has least of."""
    for other, said in OTHER_SMALLEST.items():
        smallest = other if mistake == said else smallest
    if mistake == LARGEST_BOX:
        return -area
    if smallest == "area":
        return area
    value = 1e8 - area
    return -(value if exact else struct.unpack("f", struct.pack("f", value))[0])


def matches(
    locations: Levels,
    strides: Mapping[str, int],
    gt_boxes: torch.Tensor,
    config: FCOSConfig,
    *,
    exact: bool = False,
    mistake: str = "",
) -> torch.Tensor:
    """(B, N, 5) float64: the matched row of each location of each image."""
    limits = size_limits(strides, config, mistake)
    first = limits[next(iter(locations))].stride
    found = []
    images = gt_boxes.double().tolist()
    for rows in images:
        rows = images[0] if mistake == FIRST_IMAGE else rows
        for level, points in locations.items():
            limit = limits[level]
            limit = limit._replace(stride=first) if mistake == ONE_STRIDE else limit
            found += [
                match(point, limit, rows, config, exact=exact, mistake=mistake)
                for point in points.double().tolist()
            ]
    count = sum(map(len, locations.values()))
    shape = (len(gt_boxes), count, 5)
    return torch.tensor(found, dtype=torch.float64).reshape(shape)


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
    ratio = _ratio(intersection + above, union + below)
    linear = {NO_LOG: True, ALWAYS_LOG: False}.get(mistake, linear)
    if linear:
        return 1 - ratio
    if not ratio > 0:
        return math.nan if math.isnan(ratio) else math.inf
    if mistake == TO_BASE_2:
        return -math.log2(ratio)
    return math.log(ratio) if mistake == SIGN else -math.log(ratio)


def _ratio(above: float, below: float) -> float:
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
    empty = _ratio(hull - union, whole + of_hull)
    ratio = _ratio(intersection + above, union + below + of_iou)
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


# What known mistakes of a batch's losses do.
NOT_DIVIDED = "the sums are not divided"
MEAN_OF_ALL = "divided by the number of all locations"
DIVIDED_TWICE = "divided by the number of images once more"
UPDATED_AFTER = "the running mean is updated after it divides"
UPDATED_TWICE = "the running mean is updated more than once for a batch"
ALPHA_OFF = "the classes are not weighted with alpha"
SUM_NOT_WEIGHED = "the weighted box losses are divided like the others"
WEIGHED_BY_GUESS = "the boxes are weighed with the predicted centerness"
ALWAYS_WEIGHED = "weigh_boxes is ignored: the boxes are always weighed"
NEVER_WEIGHED = "weigh_boxes is ignored: the boxes are never weighed"
UNIT_TURNED = "the unit of the predictions and that of the loss are mixed up"
UNIT_IGNORED = "the unit of the predictions is ignored; they are taken for pixels"
LOSS_UNIT_IGNORED = "loss_unit is ignored; the losses are those of pixels"
TRUE_IN_PX = "the true distances stay in pixels though those predicted do not"
CENTERNESS_OF_GUESS = "centerness is worked out from the predicted distances"
LEVELS_TURNED = "the levels of the predictions are joined in another order"
ALWAYS_STRIDES = "the unit of the predictions is ignored; they are taken for strides"
ONE_UNIT = "the distances of all levels are measured in one stride"
SIGN_OF_ROOT = "the root of a negative number; all four distances are above 0"
WITH_BOX_ONLY = "only the images with a box are counted"
ROWS_COUNTED = "the rows of boxes are counted, not the images"
TURNED_TRUTH = "top and bottom of the true boxes are swapped"
FOREGROUND_OF_FIRST = "the divisor counts the foreground of the first image alone"
TRAINING = (
    NOT_DIVIDED,
    MEAN_OF_ALL,
    DIVIDED_TWICE,
    UPDATED_AFTER,
    UPDATED_TWICE,
    ALPHA_OFF,
    SUM_NOT_WEIGHED,
    WEIGHED_BY_GUESS,
    ALWAYS_WEIGHED,
    NEVER_WEIGHED,
    UNIT_TURNED,
    UNIT_IGNORED,
    LOSS_UNIT_IGNORED,
    TRUE_IN_PX,
    CENTERNESS_OF_GUESS,
    LEVELS_TURNED,
    ALWAYS_STRIDES,
    ONE_UNIT,
    SIGN_OF_ROOT,
    WITH_BOX_ONLY,
    ROWS_COUNTED,
    TURNED_TRUTH,
    FOREGROUND_OF_FIRST,
)


def centerness_of(ltrb: Row) -> float:
    """How central a location is in its box."""
    left, top, right, bottom = ltrb
    smaller = min(left, right) * min(top, bottom)
    ratio = _ratio(smaller, max(left, right) * max(top, bottom))
    return math.sqrt(ratio) if ratio >= 0 else math.nan  # outside of the box


class Batch(NamedTuple):
    """What training_losses is given.

    Attributes:
        locations: for each level (n, 2).
        strides: of each level.
        outputs: class logits, distances, centerness logits, for each level (B, n, C).
        gt_boxes: (B, M, 5).
    """

    locations: Levels
    strides: Mapping[str, int]
    outputs: Sequence[Levels]
    gt_boxes: torch.Tensor


class Divided(NamedTuple):
    """The losses of a batch, and what they were divided by.

    Attributes:
        losses: by the names of LOSSES, float64 scalars.
        divisor: one number.
        mean: the running mean afterwards.
    """

    losses: dict[str, torch.Tensor]
    divisor: float
    mean: float


def divisor_of(
    foreground: int, images: int, mean: float, config: FCOSConfig, mistake: str = ""
) -> tuple[float, float]:
    """What the losses are divided by, and the running mean afterwards."""
    if config.divide_by == "foreground":
        return max(foreground, 1), mean
    per_image = config.divide_by == "per_image"
    seen = foreground / images if per_image else foreground
    new = MOMENTUM * mean + (1 - MOMENTUM) * seen
    if mistake == UPDATED_TWICE:
        new = MOMENTUM * new + (1 - MOMENTUM) * seen
    divides = mean if mistake == UPDATED_AFTER else new
    return divides * (images if per_image else 1), new


def training_losses(
    batch: Batch,
    config: FCOSConfig,
    mean: float | None = None,
    *,
    exact: bool = False,
    matched: torch.Tensor | None = None,
    mistake: str = "",
) -> Divided:
    """The three losses of a batch, location by location.

    Args:
        mean: the running mean before; by default the config's first_divisor.
        exact: see match.
        matched: what `matches` gives, for mistakes that are none of MATCHING.
        mistake: of one of MATCHING, TRAINING, IOU_LOSS or GIOU_LOSS.
    """
    config = _other_config(config, mistake)
    mean = config.first_divisor if mean is None else mean
    if matched is None or mistake in MATCHING:
        matched = matches(
            batch.locations,
            batch.strides,
            batch.gt_boxes,
            config,
            exact=exact,
            mistake=mistake,
        )
    order = list(batch.locations)
    joined = reversed(order) if mistake == LEVELS_TURNED else order
    names = list(joined)
    logits, distances, quality = (
        torch.cat([output[level].double() for level in names], dim=1)
        for output in batch.outputs
    )
    points = torch.cat([batch.locations[level].double() for level in order]).tolist()
    strides = [batch.strides[level] for level in order for _ in batch.locations[level]]
    if mistake == ONE_UNIT:
        strides = [min(strides)] * len(strides)
    boxes, weights = [], []
    targets = torch.full(matched.shape[:2], -1.0, dtype=torch.float64)
    for image, rows in enumerate(matched.tolist()):
        for place, row in enumerate(rows):
            if row[4] == -1:
                continue
            (x, y), stride = points[place], strides[place]
            true = [x - row[0], y - row[1], row[2] - x, row[3] - y]
            pred, true = _in_unit(
                distances[image, place].tolist(), true, stride, config, mistake
            )
            boxes.append(box_loss(pred, true, config, mistake))
            central = centerness_of(
                pred if mistake == CENTERNESS_OF_GUESS else true  # any unit
            )
            central = math.nan if mistake == SIGN_OF_ROOT else central
            targets[image, place] = central
            guess = float(quality[image, place, 0].sigmoid())
            weights.append(guess if mistake == WEIGHED_BY_GUESS else central)
    alpha = -1.0 if mistake == ALPHA_OFF else 0.25
    counted = matched[:1] if mistake == FOREGROUND_OF_FIRST else matched
    foreground = int((counted[..., 4] != -1).sum())
    images = {
        WITH_BOX_ONLY: max(int((matched[..., 4] != -1).any(dim=1).sum()), 1),
        ROWS_COUNTED: batch.gt_boxes.shape[1],
    }.get(mistake, len(matched))
    divisor, mean = divisor_of(foreground, images, mean, config, mistake)
    by = {
        NOT_DIVIDED: 1.0,
        MEAN_OF_ALL: float(matched[..., 4].numel()),
        DIVIDED_TWICE: divisor * len(matched),
    }.get(mistake, divisor)
    loc = sum(boxes) / by
    if config.weigh_boxes:
        total = sum(weights)
        loc = sum(a * b for a, b in zip(boxes, weights, strict=True))
        loc /= by if mistake == SUM_NOT_WEIGHED else max(total, 1e-6)
    losses = (
        class_loss(logits, matched[..., 4], alpha=alpha).sum() / by,
        torch.tensor(loc, dtype=torch.float64),
        centerness_loss(quality[..., 0], targets).sum() / by,
    )
    return Divided(dict(zip(LOSSES, losses, strict=True)), divisor, mean)


def _other_config(config: FCOSConfig, mistake: str) -> FCOSConfig:
    """The config that code acts on which ignores a part of it."""
    if mistake == UNIT_TURNED:
        return replace(config, unit=config.loss_unit, loss_unit=config.unit)
    changes: dict[str, dict[str, object]] = {
        ALWAYS_WEIGHED: {"weigh_boxes": True},
        NEVER_WEIGHED: {"weigh_boxes": False},
        UNIT_IGNORED: {"unit": "pixel"},
        ALWAYS_STRIDES: {"unit": "stride"},
        LOSS_UNIT_IGNORED: {"loss_unit": "pixel"},
    }
    return replace(config, **changes.get(mistake, {}))  # type: ignore[arg-type]


def _in_unit(
    pred: Row, true_px: Row, stride: float, config: FCOSConfig, mistake: str
) -> tuple[list[float], list[float]]:
    """Predicted and true distances in the unit of the loss."""
    to_px = stride if config.unit == "stride" else 1.0
    unit = stride if config.loss_unit == "stride" else 1.0
    of_true = 1.0 if mistake == TRUE_IN_PX else unit
    if mistake == TURNED_TRUTH:
        true_px = [true_px[place] for place in (0, 3, 2, 1)]
    return (
        [distance * to_px / unit for distance in pred],
        [distance / of_true for distance in true_px],
    )
