"""What an evaluation leaves behind: a table, JSON files and precision-recall curves."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from core.files import new_file
from helpers.evaluation.box_shift import BoxShift
from helpers.evaluation.coco_ap import CocoResult
from helpers.evaluation.types import Detections
from helpers.evaluation.voc_ap import VocResult

PLOT_COLUMNS = 5


def percent(value: float) -> str:
    """0.4567 -> '45.7'; nan -> '-'."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def class_table(voc: VocResult, coco: CocoResult) -> str:
    """One line per class: objects, AP by VOC's two rules and COCO's, in percent."""
    width = max(len("class"), *(len(result.name) for result in voc.classes))
    head = f"{'class':<{width}}  objects  found  AP@.5  AP@.5 11-pt  COCO AP"
    lines = [head, "-" * len(head)]
    for result, coco_ap in zip(voc.classes, coco.class_ap, strict=True):
        lines.append(
            f"{result.name:<{width}}  {result.num_objects:>7}  {result.num_correct:>5}"
            f"  {percent(result.ap_area):>5}  {percent(result.ap_11):>11}"
            f"  {percent(coco_ap):>7}"
        )
    return "\n".join(lines)


def summary_lines(voc: VocResult, coco: CocoResult) -> str:
    """The means, in percent, each with the name of its rule."""
    values = "  ".join(
        f"{name} {percent(value)}" for name, value in coco.summary.items()
    )
    return (
        f"VOC mAP at IoU 0.5: {percent(voc.map_area)} (area)  "
        f"{percent(voc.map_11)} (11-point)\nCOCO: {values}"
    )


def _number(value: float) -> float | None:
    """JSON knows no nan."""
    return None if math.isnan(value) else round(value, 6)


def metrics_dict(voc: VocResult, coco: CocoResult, shift: BoxShift) -> dict:
    """AP in [0, 1], shifts in sides of a box; None where nothing is to be found."""
    return {
        "voc_ap50": _number(voc.map_area),
        "voc_ap50_11_point": _number(voc.map_11),
        "coco": {name: _number(value) for name, value in coco.summary.items()},
        "box_shift": {"right": _number(shift.right), "down": _number(shift.down)},
        "classes": {
            result.name: {
                "objects": result.num_objects,
                "detections": result.num_detections,
                "correct": result.num_correct,
                "voc_ap50": _number(result.ap_area),
                "voc_ap50_11_point": _number(result.ap_11),
                "coco_ap": _number(coco_ap),
            }
            for result, coco_ap in zip(voc.classes, coco.class_ap, strict=True)
        },
    }


def detections_as_lists(
    detections: Sequence[Detections], class_names: Sequence[str]
) -> list[dict]:
    """Detections as plain lists, boxes XYXY in pixels of the original image."""
    return [
        {
            "image": entry.image_id,
            "detections": [
                {
                    "class": class_names[class_id],
                    "score": round(float(score), 5),
                    "xyxy": [round(float(value), 2) for value in box],
                }
                for box, class_id, score in zip(
                    entry.boxes, entry.classes, entry.scores, strict=True
                )
            ],
        }
        for entry in detections
    ]


def draw_precision_recall(voc: VocResult, path: Path) -> None:
    """One small plot a class: precision over recall at IoU 0.5, with its AP (PNG)."""
    columns = min(PLOT_COLUMNS, len(voc.classes))
    rows = -(-len(voc.classes) // columns)
    figure = Figure(figsize=(2.3 * columns, 2.1 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(voc.classes) :]:
        axes.set_axis_off()
    for axes, result in zip(grid.flat, voc.classes, strict=False):
        axes.plot(result.recall, result.precision, color="#0072B2", linewidth=1.5)
        axes.fill_between(result.recall, result.precision, color="#56B4E9", alpha=0.25)
        axes.set_title(f"{result.name}  {percent(result.ap_area)}", fontsize=10)
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    figure.supxlabel("recall", fontsize=10)
    figure.supylabel("precision", fontsize=10)
    with new_file(path) as file:
        figure.savefig(file, format="png", dpi=110)
