"""The tables of benchmarks/quality.py and benchmarks/original_evaluation.py."""

import json
import shlex

from benchmarks.climb_table import PART
from benchmarks.markdown import Rows, command_lines, markdown_table
from benchmarks.record import RESULTS

WITHOUT = "_without_"  # in the name of a run that leaves one choice of a recipe out


def quality_records() -> dict[str, dict]:
    """All stored runs by name."""
    return {
        path.stem.removeprefix("quality_"): json.loads(path.read_text())
        for path in sorted(RESULTS.glob("quality_*.json"))
    }


def quality_section(runs: dict[str, dict]) -> str:
    """Recipes, and right against transposed locations: mAP on validation images."""
    rows: Rows = []
    whole = {
        name: record
        for name, record in runs.items()
        if WITHOUT not in name and PART not in name
    }
    for name, record in whole.items():
        detector = record["recipe"]["detector"]
        rows.append(
            (
                name,
                detector["backbone"],
                f"{record['images_seen']:,}",
                f"{record['training_cpu_seconds']:,.0f}",
                f"{record['validation_images']:,}",
                f"**{100 * record['voc_ap50']:.1f}**",
                f"{100 * record['voc_ap50_11_point']:.1f}",
                f"{100 * record['coco']['AP']:.1f}",
            )
        )
    head = (
        "run",
        "backbone",
        "images seen",
        "CPU seconds",
        "validation images",
        "VOC mAP@.5 (area)",
        "11-point",
        "COCO AP",
    )
    return f"{markdown_table(head, rows)}\n\n{command_lines(list(whole.values()))}"


def choices_section(runs: dict[str, dict], recipe: str) -> str:
    """Runs that leave one choice of a recipe out, against the run with all of them.

    Args:
        recipe: name of the run with all of them, such as "shapes_tiny".
    """
    rows: Rows = []
    records = []
    start = recipe + WITHOUT
    parts = {name: name.partition(WITHOUT) for name in runs if name.startswith(start)}
    for name in sorted(parts, key=lambda name: runs[name]["voc_ap50"]):
        whole, _, choice = parts[name]
        record, best = runs[name], runs[whole]
        records.append(record)
        words = shlex.split(record["command"])
        changes = [
            words[index + 1] for index, word in enumerate(words) if word == "--set"
        ]
        change_voc = record["voc_ap50"] - best["voc_ap50"]
        change_coco = record["coco"]["AP"] - best["coco"]["AP"]
        rows.append(
            (
                choice.replace("_", " "),
                ", ".join(f"`{change}`" for change in changes),
                f"{100 * record['voc_ap50']:.1f}",
                f"**{_points(change_voc)}**",
                f"{100 * record['coco']['AP']:.1f}",
                f"**{_points(change_coco)}**",
            )
        )
    head = (
        "left out",
        "`--set`",
        "VOC mAP@.5 (area)",
        "against all",
        "COCO AP",
        "against all",
    )
    return f"{markdown_table(head, rows)}\n\n{command_lines(records)}"


def _points(change: float) -> str:
    """A change of a share in percentage points, with its sign, and 0.0 without one."""
    rounded = round(100 * change, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def original_evaluation_section(record: dict) -> str:
    """One set of weights, judged in the original's way, one difference at a time."""
    rows: Rows = [
        (
            entry["way"],
            f"{entry['images']:,}",
            f"{entry['objects']:,}",
            f"**{100 * entry['voc_ap50']:.1f}**",
        )
        for entry in record["ways"]
    ]
    head = ("way", "images", "objects", "VOC mAP@.5 (area)")
    return f"{markdown_table(head, rows)}\n\n{command_lines([record])}"
