"""The table of the climb: what each step reaches, in every seed that is stored."""

import json
import statistics

from benchmarks.markdown import Rows, command_lines, markdown_table
from helpers.lessons.climb import STORED, steps

PART = "_climb_"  # in the name of a run that was made for a step of the climb


def climb_section(runs: dict[str, dict]) -> str:
    """Each step with the mean of its seeds, and the lowest and the highest.

    Args:
        runs: all stored runs by name, of which the commands are those of the climb.
    """
    stored = json.loads(STORED.read_text("utf-8"))["runs"]
    rows: Rows = []
    for name, step in steps().items():
        ap50 = [100 * run["voc_ap50"] for run in stored[name]]
        coco = [100 * run["coco_ap"] for run in stored[name]]
        if ap50:
            lowest, highest = min(ap50), max(ap50)
            seconds = [run["cpu_seconds"] for run in stored[name]]
            rows.append(
                (
                    step.title,
                    f"{len(ap50)}",
                    f"**{statistics.fmean(ap50):.1f}**",
                    f"{lowest:.1f} to {highest:.1f}",
                    f"{statistics.fmean(coco):.1f}",
                    f"{statistics.fmean(seconds):.0f}",
                )
            )
    head = (
        "step",
        "seeds",
        "VOC mAP@.5 (area), mean",
        "lowest to highest",
        "COCO AP, mean",
        "CPU seconds, mean",
    )
    commands = command_lines([runs[name] for name in runs if PART in name])
    return f"{markdown_table(head, rows)}\n\n{commands}"
