"""Figures that the notebooks quote are those of the stored runs."""

import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = "tiny_without_"
# Notebook, how a row of its tables begins, and the stored runs of its percentages.
QUOTED = [
    ("04_locations_and_matching", "PASCAL VOC", ["voc2007_cpu", "_transposed"]),
    ("07_fcos", "`plain`, as long as", ["shapes_plain_1200"]),
    ("07_fcos", "`plain`: the FCOS", ["shapes_plain"]),
    ("07_fcos", "the same from another", ["shapes_tiny_without_these_four"]),
    ("07_fcos", "`tiny`: and with", ["shapes_tiny"]),
    ("07_fcos", "warm-up", ["shapes_tiny_without_warmup"]),
    ("07_fcos", "GIoU", ["shapes_tiny_without_giou"]),
    ("07_fcos", "centre sampling", ["shapes_tiny_without_centre_sampling"]),
    ("07_fcos", "clipping", ["shapes_tiny_without_clipping"]),
    ("07_fcos", "augmentation", ["shapes_tiny_without_augmentation"]),
    ("07_fcos", "the cosine", ["shapes_tiny_without_cosine"]),
    ("07_fcos", "exp", ["shapes_tiny_without_exp"]),
    ("07_fcos", "the running average", ["shapes_tiny_without_average"]),
]


def stored_map(name: str) -> float:
    """The stored mAP at IoU 0.5 of a run, in percent."""
    path = ROOT / "benchmarks" / "results" / f"quality_{name}.json"
    return round(100 * json.loads(path.read_text())["voc_ap50"], 1)


def quoted_row(notebook: str, start: str) -> str:
    """The one row of a notebook's tables that begins so."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return row


@pytest.mark.parametrize(("notebook", "start", "runs"), QUOTED)
def test_quoted_figures_are_those_of_the_stored_runs(
    notebook: str, start: str, runs: list[str]
):
    """A run whose name begins with _ belongs to the first one of its row."""
    row = quoted_row(notebook, start).replace("*", "")
    names = [runs[0] + run if run.startswith("_") else run for run in runs]
    assert re.findall(r"(\d+\.\d) %", row) == [
        f"{stored_map(name):.1f}" for name in names
    ]


@pytest.mark.parametrize(
    ("start", "run"),
    [
        (start, *runs)
        for _, start, runs in QUOTED
        if LEFT_OUT in runs[0] and "four" not in runs[0]
    ],
)
def test_quoted_losses_are_against_the_run_with_all_choices(start: str, run: str):
    """The last column of the rows that leave one choice out."""
    last = quoted_row("07_fcos", start).split("|")[-2].strip()
    change = stored_map(run) - stored_map("shapes_tiny")
    assert last == f"{change:+.1f}".replace("-", "\N{MINUS SIGN}")
