"""Write the tables of benchmarks/README.md from the stored results."""

import json
from pathlib import Path

from benchmarks.climb_table import climb_section
from benchmarks.grading_table import grading_section
from benchmarks.markdown import Rows, command_lines, markdown_table
from benchmarks.quality_table import (
    WITHOUT,
    choices_section,
    original_evaluation_section,
    quality_records,
    quality_section,
)
from benchmarks.record import RESULTS
from core.command import EXIT_OK, CourseError, run_command

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- results begin -->", "<!-- results end -->"


def load(name: str) -> dict | None:
    """A stored result, or None where it was not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def training_step_section() -> str:
    """Images per second, ours against torchvision's FCOS."""
    rows: Rows = []
    records = []
    for device in ("cpu", "cuda"):
        record = load(f"training_step_{device}")
        if record is None:
            continue
        records.append(record)
        speed, share = record["images_per_second"], record["share_of_step"]
        rows.append(
            (
                device,
                f"{speed['ours_as_in_recipe_a4']:.1f}",
                f"{speed['ours_as_torchvision']:.1f}",
                f"{speed['torchvision']:.1f}",
                f"**{_median(record['torchvision_over_ours_as_in_recipe_a4'])}**",
                _median(record["torchvision_over_ours_as_torchvision"]),
                f"{100 * share['assignment']:.1f} %",
                f"{100 * share['assignment_and_losses']:.1f} %",
                f"{100 * share['post_processing']:.1f} %",
            )
        )
    head = (
        "device",
        "ours (2 convolutions per stem)",
        "ours (4, group norm)",
        "torchvision (the same)",
        "ratio",
        "ratio of these",
        "assignment",
        "assignment and losses",
        "post-processing",
    )
    return f"{markdown_table(head, rows)}\n\n{command_lines(records)}"


def _median(ratio: dict) -> str:
    """A ratio with its quartiles, as in 1.50 (1.46 to 1.52)."""
    low, high = ratio["quarter_below"], ratio["quarter_above"]
    return f"{ratio['median']:.2f} ({low:.2f} to {high:.2f})"


def evaluation_section(record: dict) -> str:
    """Evaluation and NMS against the libraries' own."""
    times = record["evaluation"]
    rows: Rows = [
        (
            "VOC AP, ours",
            f"{times['voc_cpu_seconds']:.2f}",
            f"pycocotools {times['pycocotools_cpu_seconds']:.1f} (COCO's rule)",
            f"{times['pycocotools_over_voc']:.1f} times faster",
        ),
        (
            "COCO AP, faster-coco-eval",
            f"{times['coco_cpu_seconds']:.2f}",
            f"pycocotools {times['pycocotools_cpu_seconds']:.1f}",
            f"{times['pycocotools_over_coco']:.1f} times faster, largest difference "
            f"{times['largest_difference_from_pycocotools']:g}",
        ),
    ]
    rows += [
        (
            f"NMS of {nms['boxes']:,} boxes at {nms['iou_threshold']}, ours",
            f"{nms['cpu_seconds']:.3f}",
            f"torchvision {nms['torchvision_cpu_seconds']:.3f}",
            f"{nms['ours_over_torchvision']:.1f} times slower; "
            f"{nms['kept_by_only_one_float32']} boxes kept by only one of the two in "
            f"float32, {'none' if nms['same_in_float64'] else 'some'} in float64",
        )
        for nms in record["nms"]
    ]
    head = ("what", "CPU seconds", "against", "so ours is")
    note = (
        f"{times['images']:,} images with {times['detections']:,} made detections. Our "
        "NMS is written to be read: a loop over the kept boxes in Python."
    )
    return f"{markdown_table(head, rows)}\n\n{note}\n\n{command_lines([record])}"


def golden_section(record: dict) -> str:
    """The three losses of two batches, with the numbers that they should be."""
    rows: Rows = []
    for batch in ("first_16_of_160_evenly_spaced", "first_16"):
        entry = record[batch]
        sources = {
            "measured on the original": entry["expected"],
            "ours, boxes as stored": entry["as_stored"]["ours"],
            "ours, boxes of the original": entry["original_numbers"]["ours"],
        }
        rows += [
            (
                batch.replace("_", " "),
                source,
                *(
                    f"{values[loss]:.4f}"
                    for loss in ("loss_cls", "loss_box", "loss_ctr")
                ),
            )
            for source, values in sources.items()
        ]
    head = ("images", "whose", "class", "box", "centerness")
    return f"{markdown_table(head, rows)}\n\n{command_lines([record])}"


def render() -> str:
    """All tables that have results."""
    parts = []
    runs = quality_records()
    if runs:
        parts.append("### Detection quality\n\n" + quality_section(runs))
        parts.append("### The climb of notebook 12\n\n" + climb_section(runs))
    for run in ("shapes_tiny", "voc2007_cpu_2000"):
        if any(name.startswith(run + WITHOUT) for name in runs):
            title = f"### What each choice of run {run} is worth"
            parts.append(f"{title}\n\n{choices_section(runs, run)}")
    original = load("original_evaluation")
    if original:
        parts.append(
            "### Recipe a4, evaluated in the original's way\n\n"
            + original_evaluation_section(original)
        )
    if load("training_step_cpu") or load("training_step_cuda"):
        parts.append(
            "### Training step, images per second\n\n" + training_step_section()
        )
    evaluation, golden = load("evaluation"), load("golden_losses")
    if evaluation:
        parts.append("### Evaluation and NMS\n\n" + evaluation_section(evaluation))
    if golden:
        parts.append(
            "### Losses of the first iteration, all outputs zero\n\n"
            + golden_section(golden)
        )
    grading = load("grading")
    if grading:
        parts.append("### Grading a submission\n\n" + grading_section(grading))
    return "\n\n".join(parts)


def updated(text: str) -> str:
    """The README's text with new tables between its two markers."""
    if BEGIN not in text or END not in text:
        raise CourseError(f"{README} has lost its markers {BEGIN} and {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render()}\n{END}{after}"


def main() -> int:
    """Rewrite benchmarks/README.md."""
    README.write_text(updated(README.read_text()))
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
