"""The log of a run: one JSON object a line, and a picture of the losses."""

import json
import math
import os
from collections.abc import Sequence
from functools import cache
from itertools import cycle
from pathlib import Path

from matplotlib.figure import Figure

from core.course import read_registry

NOT_LOSSES = ("iteration", "learning_rate", "seconds", "cpu_seconds")
# Okabe and Ito's palette, which colour-blind people can tell apart; a loss each.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def loss_names(entries: Sequence[dict]) -> list[str]:
    """The losses that a log has, in the order in which the detector gives them."""
    first = entries[0] if entries else {}
    return [name for name in first if name not in NOT_LOSSES]


@cache
def loss_titles() -> dict[str, str]:
    """What course.toml calls the losses of all detectors in pictures."""
    detectors = read_registry().detectors.values()
    return {name: title for each in detectors for name, title in each.losses.items()}


def loss_title(name: str) -> str:
    """A short name for a loss: that of course.toml, else its own."""
    return loss_titles().get(name, name.removeprefix("loss_").replace("_", " "))


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
    """A picture of the losses over the iterations (PNG)."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    iterations = [entry["iteration"] for entry in entries]
    for name, colour in zip(loss_names(entries), cycle(COLOURS), strict=False):
        values = [entry.get(name, math.nan) for entry in entries]
        axes.plot(iterations, values, color=colour, label=loss_title(name))
    axes.set_xlabel("iteration")
    axes.set_ylabel("loss (mean since the last point)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if entries:
        axes.legend(frameon=False)
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png", dpi=120)
    temporary.replace(path)
