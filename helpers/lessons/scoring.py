"""Pictures of notebook 9: precision, recall, AP, and the kinds of mistakes.

Boxes are XYXY in pixels of the original images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from helpers.data.voc import VOC2007DetectionTiny
from helpers.evaluation.types import Detections, GroundTruth
from helpers.evaluation.voc_ap import VocResult, box_iou, evaluate_voc
from helpers.show.draw import draw_boxes, make_sheet
from helpers.show.style import (
    BLACK,
    BLUE,
    FONT_PT,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    add_box,
    make_figure,
    show_image,
)

LEAST_IOU = 0.5
LEAST_TOUCH = 0.1  # IoU from which a box means an object at all
COCO_IOUS = np.arange(0.5, 1.0, 0.05)
CURVE_COLUMNS = 4
MIN_SIDE_PX = 200
# What a detection can be, and its colour.
KINDS = {
    "correct": GREEN,
    "double": PURPLE,
    "wrong class": ORANGE,
    "wrong place": SKY,
    "background": RED,
}
MISSED = "missed"
TITLES = ("area (VOC 2010)", "11 points (VOC 2007)")


@dataclass(frozen=True)
class Judged:
    """One detection and what it is.

    Attributes:
        kind: a key of KINDS.
        image: place of the image in the list.
        detection: place of the detection within its image.
    """

    kind: str
    score: float
    image: int
    detection: int


def keep_above(found: Sequence[Detections], threshold: float) -> list[Detections]:
    """The detections with a score above the threshold; no image is left out."""
    kept = []
    for detections in found:
        passes = detections.scores > threshold
        kept.append(
            Detections(
                detections.image_id,
                detections.boxes[passes],
                detections.scores[passes],
                detections.classes[passes],
            )
        )
    return kept


def _judge_image(found: Detections, truth: GroundTruth) -> list[str]:
    """The kind of each detection of an image; the best score speaks first."""
    kinds = ["background"] * len(found.boxes)
    if len(truth.boxes) == 0:
        return kinds
    overlap = box_iou(found.boxes, truth.boxes)
    is_taken = np.zeros(len(truth.boxes), dtype=bool)
    for index in np.argsort(-found.scores, kind="stable"):
        same = truth.classes == found.classes[index]
        own = np.where(same, overlap[index], 0.0)
        if own.max() >= LEAST_IOU:
            kinds[index] = "double" if is_taken[own.argmax()] else "correct"
            is_taken[own.argmax()] = True
        elif overlap[index].max() >= LEAST_IOU:
            kinds[index] = "wrong class"
        elif own.max() >= LEAST_TOUCH:
            kinds[index] = "wrong place"
    return kinds


def judge(
    found: Sequence[Detections], truths: Sequence[GroundTruth]
) -> tuple[list[Judged], int]:
    """All detections with their kinds, and how many true boxes nobody found."""
    judged = []
    for number, (detections, truth) in enumerate(zip(found, truths, strict=True)):
        kinds = _judge_image(detections, truth)
        judged += [
            Judged(kind, float(score), number, place)
            for place, (kind, score) in enumerate(
                zip(kinds, detections.scores, strict=True)
            )
        ]
    objects = sum(len(truth.boxes) for truth in truths)
    return judged, objects - sum(detection.kind == "correct" for detection in judged)


def draw_judged(
    dataset: VOC2007DetectionTiny, index: int, found: Detections, truth: GroundTruth
) -> Figure:
    """The true boxes of an image, and its detections coloured by their kind."""
    figure, (left, right) = make_figure(1, 2, height=3.5)
    image = dataset.image(index)
    show_image(left, image, "true boxes", ticks=False)
    for box in truth.boxes:
        add_box(left, box, BLUE)
    show_image(right, image, "detections", ticks=False)
    for kind, box in zip(_judge_image(found, truth), found.boxes, strict=True):
        add_box(right, box, KINDS[kind], linestyle="-" if kind == "correct" else "--")
    for kind, colour in KINDS.items():
        right.plot([], [], color=colour, lw=3, label=kind)
    right.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_curve(recall: np.ndarray, precision: np.ndarray) -> Figure:
    """One precision-recall curve, and the two ways to average it."""
    figure, panels = make_figure(1, 2, height=3.3)
    stairs_r = np.concatenate(([0.0], recall, [1.0]))
    best = np.maximum.accumulate(np.append(precision, 0.0)[::-1])[::-1]
    stairs_p = np.concatenate((best[:1], best))
    for axes, title in zip(panels, TITLES, strict=True):
        axes.plot(recall, precision, "o-", color=ORANGE, ms=5, label="as measured")
        axes.step(
            stairs_r, stairs_p, where="pre", color=BLUE, lw=2, label="best from here on"
        )
        axes.set(xlim=(-0.02, 1.02), ylim=(0, 1.08), xlabel="recall", title=title)
    panels[0].fill_between(stairs_r, stairs_p, step="pre", color=SKY, alpha=0.35)
    tenths = np.arange(11) / 10
    heights = [
        max(
            (
                height
                for reached, height in zip(recall, precision, strict=True)
                if reached >= tenth
            ),
            default=0.0,
        )
        for tenth in tenths
    ]
    panels[1].plot(
        tenths, heights, "s", color=GREEN, ms=7, mec=BLACK, label="11 points"
    )
    panels[0].set_ylabel("precision")
    panels[1].legend(frameon=False, fontsize=FONT_PT - 1, loc="lower left")
    return figure


def draw_class_curves(result: VocResult) -> Figure:
    """The precision-recall curve of each class, with its AP."""
    rows = -(-len(result.classes) // CURVE_COLUMNS)  # rounded up
    figure, panels = make_figure(rows, CURVE_COLUMNS, height=2.1 * rows)
    for axes in panels[len(result.classes) :]:
        axes.set_axis_off()
    for axes, result_of_class in zip(panels, result.classes, strict=False):
        axes.plot(result_of_class.recall, result_of_class.precision, color=BLUE, lw=2)
        axes.fill_between(
            result_of_class.recall, result_of_class.precision, color=SKY, alpha=0.3
        )
        axes.set(xlim=(0, 1), ylim=(0, 1.03))
        axes.set_title(
            f"{result_of_class.name}  {100 * result_of_class.ap_area:.0f} %",
            fontsize=FONT_PT,
        )
    figure.supxlabel("recall", fontsize=FONT_PT)
    figure.supylabel("precision", fontsize=FONT_PT)
    return figure


def make_score_picture(result: VocResult) -> Callable[..., Figure]:
    """A function draw(threshold): where a score threshold stands on the curves."""

    def draw(threshold: float) -> Figure:
        figure, (axes,) = make_figure(1, 1, height=3.0, width=6.5)
        for result_of_class in result.classes:
            axes.plot(
                result_of_class.recall, result_of_class.precision, color=GREY, lw=1
            )
            passed = int((result_of_class.scores > threshold).sum())
            if passed:
                point = (
                    result_of_class.recall[passed - 1],
                    result_of_class.precision[passed - 1],
                )
                axes.plot(*point, "o", color=BLUE, mec=BLACK, ms=8)
        axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="recall", ylabel="precision")
        axes.set_title(f"scores above {threshold:.2f}", fontsize=FONT_PT)
        return figure

    return draw


def draw_thresholds(
    found: Sequence[Detections], truths: Sequence[GroundTruth], names: Sequence[str]
) -> Figure:
    """Mean AP over the IoU that a right detection needs, and over a score threshold."""
    figure, (left, right) = make_figure(1, 2, height=3.0)
    strict = [
        evaluate_voc(found, truths, names, least_iou).map_area
        for least_iou in COCO_IOUS
    ]
    left.plot(COCO_IOUS, strict, "o-", color=BLUE, lw=2)
    left.axhline(float(np.mean(strict)), color=ORANGE, ls="--", lw=2, label="mean")
    left.set(ylim=(0, 1), xlabel="IoU that is asked for", ylabel="mAP")
    left.legend(frameon=False)
    cuts = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    kept = [
        evaluate_voc(keep_above(found, cut), truths, names).map_area for cut in cuts
    ]
    right.plot(cuts, kept, "o-", color=BLUE, lw=2)
    right.set(ylim=(0, 1), xlim=(0, 0.65), xlabel="score threshold")
    return figure


def draw_kinds(judged: Sequence[Judged], missed: int) -> Figure:
    """How many detections there are of each kind, and what nobody found."""
    figure, (axes,) = make_figure(1, 1, height=2.7, width=7)
    counts = {
        kind: sum(detection.kind == kind for detection in judged) for kind in KINDS
    }
    names = [*counts, MISSED]
    drawn = axes.barh(
        names,
        [*counts.values(), missed],
        color=[*KINDS.values(), GREY],
        edgecolor=BLACK,
    )
    axes.bar_label(drawn, padding=3)
    axes.margins(x=0.1)
    axes.invert_yaxis()
    return figure


def draw_worst(
    dataset: VOC2007DetectionTiny,
    found: Sequence[Detections],
    judged: Sequence[Judged],
    kind: str,
    number: int = 6,
) -> Image.Image:
    """The mistakes of one kind that the detector was surest of."""
    chosen = sorted(
        (detection for detection in judged if detection.kind == kind),
        key=lambda detection: -detection.score,
    )
    pictures = []
    for mistake in chosen[:number]:
        own = found[mistake.image]
        name = dataset.class_names[int(own.classes[mistake.detection])]
        pictures.append(
            draw_boxes(
                dataset.image(mistake.image),
                own.boxes[mistake.detection][None],
                [name],
                [KINDS[kind]],
                [mistake.score],
                min_side=MIN_SIDE_PX,
            )
        )
    if not pictures:
        return Image.new("RGB", (MIN_SIDE_PX, MIN_SIDE_PX // 4), "white")
    return make_sheet(pictures, columns=3)
