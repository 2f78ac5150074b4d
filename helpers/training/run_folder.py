"""The folder of a run: checkpoint.pt, log.jsonl (a line each time), losses.png."""

import contextlib
import json
import math
import os
import time
from collections.abc import Sequence
from functools import cache
from itertools import cycle
from pathlib import Path

from matplotlib.figure import Figure

from core.course import read_registry
from core.files import new_file, write_atomically
from helpers.drive.copies import keep_version, last_write
from helpers.training.checkpoint import save_checkpoint
from helpers.training.loop import TrainingState

NOT_LOSSES = ("iteration", "learning_rate", "seconds", "cpu_seconds")
# Okabe and Ito's palette, which colour-blind people can tell apart; a loss each.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def checkpoint_path(out: Path) -> Path:
    """Where a run keeps its checkpoint."""
    return out / "checkpoint.pt"


class RunFolder:
    """Writes what a run leaves behind, and keeps its clock over all its parts.

    Args:
        out: the folder; it must be there.
        facts: what the checkpoint says of the run besides its state.
        iteration: number of iterations that are done; the log forgets later ones, and
            a whole run that is not gone on with stays beside it.
    """

    def __init__(self, out: Path, facts: dict, iteration: int):
        self.checkpoint = checkpoint_path(out)
        self.log_path = out / "log.jsonl"
        self.picture = out / "losses.png"
        self.facts = facts
        if iteration == 0 and read_log(self.log_path):
            kept, _ = keep_version(
                self.log_path, self.log_path, last_write(self.log_path)
            )
            print(f"the log of an earlier run is kept as {kept.name}, beside the new")
        cut_log(self.log_path, iteration)
        # A resumed run goes on counting where its log ends.
        earlier = read_log(self.log_path)
        last = earlier[-1] if earlier else {}
        self._wall_start = time.perf_counter() - last.get("seconds", 0.0)
        self._cpu_start = time.process_time() - last.get("cpu_seconds", 0.0)

    def log(self, entry: dict) -> None:
        """Add a line to the log, with the seconds of the whole run so far."""
        entry["seconds"] = round(time.perf_counter() - self._wall_start, 2)
        entry["cpu_seconds"] = round(time.process_time() - self._cpu_start, 2)
        append_log(self.log_path, entry)

    def save(self, state: TrainingState) -> None:
        """Write the checkpoint, whole or not at all."""
        save_checkpoint(
            self.checkpoint,
            {
                **self.facts,
                "iteration": state.iteration,
                "model": state.model.state_dict(),
                "average": state.average,
                "optimizer": state.optimizer.state_dict(),
                "loss_sums": state.loss_sums,
                "loss_count": state.loss_count,
            },
        )

    def draw(self) -> None:
        """Write the picture of the losses."""
        draw_losses(read_log(self.log_path), self.picture)


def loss_names(entries: Sequence[dict]) -> list[str]:
    """The losses that a log has, in the order in which the detector gives them."""
    first = entries[0] if entries else {}
    return [name for name in first if name not in NOT_LOSSES]


@cache
def loss_titles() -> dict[str, str]:
    """What course.toml calls the losses of all detectors in pictures."""
    detectors = read_registry().detectors.values()
    return {
        name: title for detector in detectors for name, title in detector.losses.items()
    }


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
    """All whole lines; one that was cut off, on a full disk, say, is left out."""
    entries: list[dict] = []
    if not path.is_file():
        return entries
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and "iteration" in entry:
                entries.append(entry)
    return entries


def cut_log(path: Path, last_iteration: int) -> None:
    """Forget lines after an iteration, as a resumed run will write them again."""
    kept = [entry for entry in read_log(path) if entry["iteration"] <= last_iteration]
    write_atomically(path, "".join(json.dumps(entry) + "\n" for entry in kept))


def draw_losses(entries: list[dict], path: Path) -> None:
    """A picture of the losses over the iterations (PNG)."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    iterations = [entry["iteration"] for entry in entries]
    for name, colour in zip(loss_names(entries), cycle(COLOURS), strict=False):
        values = [entry.get(name, math.nan) for entry in entries]
        axes.plot(iterations, values, color=colour, label=loss_title(name))
    axes.set_xlabel("iteration")
    axes.locator_params("x", integer=True)
    axes.set_ylabel("loss (mean since the last point)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if entries:
        axes.legend(frameon=False)
    with new_file(path) as file:
        figure.savefig(file, format="png", dpi=120)
