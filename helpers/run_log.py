"""The log of a run: one JSON object a line, and a picture of the losses."""

import json
import os
from pathlib import Path

from matplotlib.figure import Figure

LOSS_NAMES = ("loss_cls", "loss_box", "loss_ctr")
LOSS_TITLES = {"loss_cls": "class", "loss_box": "box", "loss_ctr": "centerness"}
# Okabe and Ito's palette, which colour-blind people can tell apart.
COLOURS = {"loss_cls": "#0072B2", "loss_box": "#D55E00", "loss_ctr": "#009E73"}


def append_log(path: Path, entry: dict) -> None:
    """Add one line; it is on the disk before a checkpoint of its iteration can be."""
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_log(path: Path) -> list[dict]:
    """All whole lines; a last line that was cut off is left out."""
    entries: list[dict] = []
    if not path.is_file():
        return entries
    for line in path.read_text().splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


def cut_log(path: Path, last_iteration: int) -> None:
    """Forget lines after an iteration, as a resumed run will write them again."""
    kept = [e for e in read_log(path) if e.get("iteration", 0) <= last_iteration]
    temporary = path.with_name(path.name + ".part")
    temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    temporary.replace(path)


def draw_losses(entries: list[dict], path: Path) -> None:
    """A picture of the three losses over the iterations (PNG)."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    iterations = [entry["iteration"] for entry in entries]
    for name in LOSS_NAMES:
        values = [entry[name] for entry in entries]
        axes.plot(iterations, values, color=COLOURS[name], label=LOSS_TITLES[name])
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss (mean since the last point)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png", dpi=120)
    temporary.replace(path)
