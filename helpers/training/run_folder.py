"""The folder of a run: checkpoint.pt, log.jsonl and losses.png."""

import time
from pathlib import Path

from helpers.training.checkpoint import save_checkpoint
from helpers.training.loop import TrainingState
from helpers.training.run_log import append_log, cut_log, draw_losses, read_log


def checkpoint_path(out: Path) -> Path:
    """Where a run keeps its checkpoint."""
    return out / "checkpoint.pt"


class RunFolder:
    """Writes what a run leaves behind, and keeps its clock over all its parts.

    Args:
        out: the folder; it must be there.
        facts: what the checkpoint says of the run besides its state.
        iteration: number of iterations that are done; the log forgets later ones.
    """

    def __init__(self, out: Path, facts: dict, iteration: int):
        self.checkpoint = checkpoint_path(out)
        self.log_path = out / "log.jsonl"
        self.picture = out / "losses.png"
        self.facts = facts
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
