"""Look on while a detector trains: the losses, and what it says in between.

What a detector says is shown before NMS: the boxes of its surest locations, many for
each object. Notebook 8 makes detections of them.
"""

import dataclasses
import json
import math
import signal
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure
from torch import nn

from core.command import CourseError
from helpers.data.voc import DEFAULT_DATA_DIRS, VOC2007DetectionTiny
from helpers.drive.copies import free_name, last_write
from helpers.models.detector import Prediction
from helpers.notebook import ROOT
from helpers.show.draw import class_colour
from helpers.show.style import FONT_PT, add_box, make_figure, show_image
from helpers.train import train_run
from helpers.training.checkpoint import read_checkpoint
from helpers.training.loop import TrainingState
from helpers.training.recipes import Recipe, get_recipe
from helpers.training.run_folder import (
    COLOURS,
    checkpoint_path,
    loss_names,
    loss_title,
    read_log,
)

SURE_LOCATIONS = 150  # at most drawn in each picture, so that no object is crowded out
LEAST_SURE = 0.2  # of the surest answer; weaker ones are not drawn
SHORT_RUN = 1200  # iterations of the run on shapes that fits into a sitting
LOOK_PERIOD = 100  # iterations between two pictures
SAVE_PERIOD = 100
REDRAW_PERIOD = 25  # steps between two pictures of a hand-written loop

# An image (3, H, W) and its true boxes (M, 5).
Example = tuple[torch.Tensor, torch.Tensor]


def course_recipe(data: str) -> Recipe:
    """How notebook 7 trains: a short run on shapes, recipe `cpu`'s on photographs.

    The detector is the one that students write, so it has none of the later choices.
    """
    if data == "shapes":
        return get_recipe("plain", {"iterations": str(SHORT_RUN)})
    recipe = get_recipe("cpu")
    plain = dataclasses.replace(recipe.detector, model="fcos", fcos=None)
    return dataclasses.replace(recipe, detector=plain)


def run_folder(data: str) -> Path:
    """Where notebook 7 keeps its run, and where notebooks 8 and 9 look for it."""
    return ROOT / "runs" / f"notebook_{data}"


def some_of_one_size(
    dataset: VOC2007DetectionTiny, number: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of one and the same non-square size, as one batch.

    Returns:
        Images (B, 3, H, W) and true boxes (B, M, 5).
    """
    by_size: dict[tuple[int, ...], list[Example]] = {}
    for index in range(len(dataset)):
        _, image, rows = dataset[index]
        if image.shape[1] == image.shape[2]:
            continue
        same = by_size.setdefault(tuple(image.shape), [])
        same.append((image, rows))
        if len(same) == number:
            return torch.stack([image for image, _ in same]), torch.stack(
                [rows for _, rows in same]
            )
    raise CourseError(f"no {number} images of the data have one non-square size")


@torch.no_grad()
def surest_boxes(
    model: nn.Module, image: torch.Tensor, number: int = SURE_LOCATIONS
) -> Prediction:
    """Boxes (n, 4), classes (n,), probabilities (n,) of the surest locations."""
    device = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    model.eval()
    ((boxes, classes, probability),) = model.candidates(  # type: ignore[operator]
        image[None].to(device), number
    )
    for module, was_training in modes.items():
        module.training = was_training
    return boxes.float().cpu(), classes.cpu(), probability.float().cpu()


def draw_answers(model: nn.Module, examples: Sequence[Example]) -> Figure:
    """The surest boxes in each image; the surer, the stronger the line."""
    figure, panels = make_figure(1, len(examples), height=2.7)
    for axes, (image, rows) in zip(panels, examples, strict=True):
        boxes, classes, probability = surest_boxes(model, image)
        surest = float(probability.max())
        drawn = probability >= LEAST_SURE * surest
        objects = int((rows[:, 4] >= 0).sum())
        title = f"true boxes {objects}, surest answer {surest:.2f}"
        show_image(axes, image, title, ticks=False)
        for box, class_id, sureness in zip(
            boxes[drawn], classes[drawn], probability[drawn].tolist(), strict=True
        ):
            colour = class_colour(int(class_id))
            add_box(
                axes,
                box,
                colour,
                linewidth=0.5 + 2 * sureness,
                alpha=max(sureness, 0.15),
            )
    return figure


def draw_loss_curves(entries: Sequence[dict], total: int) -> Figure:
    """The losses over the iterations, with room for those that are to come."""
    figure, (axes,) = make_figure(1, 1, height=2.6)
    steps = [entry["iteration"] for entry in entries]
    looks = zip(cycle(COLOURS), cycle(("-", "--", ":", "-.")))
    for name, (colour, line) in zip(loss_names(entries), looks, strict=False):
        values = [entry.get(name, math.nan) for entry in entries]
        axes.plot(steps, values, line, color=colour, lw=2.2, label=loss_title(name))
        axes.plot(steps[-1], values[-1], "o", color=colour, ms=4)
    if entries:
        axes.legend(frameon=False, ncols=3)
    axes.set(xlim=(0, total), ylim=(0, None), xlabel="iteration", ylabel="loss")
    axes.xaxis.label.set_fontsize(FONT_PT)
    return figure


class LiveView:
    """Two pictures below a cell that change while it runs.

    Args:
        examples: images to look at; no gradient comes from them here.
        counts: iterations of the run, and iterations between two looks at the images;
            cells of earlier notebooks, which students keep, give exercise 5.2 before.
    """

    def __init__(self, examples: Sequence[Example], *counts: Any):
        self.examples = examples
        self.total, self.period = counts[-2:]
        self.entries: list[dict] = []
        self._curves: DisplayHandle | None = None
        self._answers: DisplayHandle | None = None

    def add(self, model: nn.Module, entry: dict) -> None:
        """Take one line of a log, draw the losses, and now and then the boxes."""
        self.entries.append(entry)
        curves = draw_loss_curves(self.entries, self.total)
        self._curves = _show(self._curves, curves)
        step = entry["iteration"]
        if not hasattr(model, "candidates"):
            if len(self.entries) == 1:
                print("Only the losses are shown: your detector has no candidates().")
        elif self._answers is None or step % self.period == 0 or step == self.total:
            answers = draw_answers(model, self.examples)
            self._answers = _show(self._answers, answers)

    def step(self, model: nn.Module, number: int, losses: dict) -> None:
        """For a loop of your own: the losses of step `number`, from 1."""
        if number % REDRAW_PERIOD == 0 or number in (1, self.total):
            values = {name: value.item() for name, value in losses.items()}
            self.add(model, {"iteration": number, **values})


def _show(handle: DisplayHandle | None, figure: Figure) -> DisplayHandle | None:
    """Draw a figure in its place; the first time, make the place."""
    if handle is None:
        return display(figure, display_id=True)
    handle.update(figure)
    return handle


def train_live(
    data: str,
    examples: Sequence[Example],
    decode: object = None,
    *,
    stop_at: int | None = None,
    fresh: bool = False,
) -> Path:
    """Train as notebook 7 does; after a stop, the next call goes on where it was.

    Args:
        data: "shapes" or "voc2007".
        examples: images that are shown while it trains.
        decode: not used; cells of earlier notebooks give exercise 5.2 here.
        stop_at: interrupt the run after this iteration, as your stop button would.
        fresh: start again; an earlier run stays, under a name with its date.

    Returns:
        The folder of the run.
    """
    recipe, folder = course_recipe(data), ROOT / DEFAULT_DATA_DIRS[data]
    out = run_folder(data)
    return train_watched(recipe, folder, out, examples, stop_at=stop_at, fresh=fresh)


def train_watched(
    recipe: Recipe,
    data_dir: Path,
    out: Path,
    examples: Sequence[Example],
    *,
    stop_at: int | None = None,
    fresh: bool = False,
) -> Path:
    """Train a recipe while you look on, see train_live.

    Args:
        data_dir: folder of the data set.
        out: folder of the run.

    Returns:
        The folder of the run.
    """
    if fresh and checkpoint_path(out).is_file():
        kept = out.rename(free_name(out, last_write(out)))
        print(f"the run that was here is kept in {kept.relative_to(ROOT)}")
    is_there = checkpoint_path(out).is_file()
    done = read_checkpoint(out)["iteration"] if is_there else 0
    view = LiveView(examples, recipe.iterations, LOOK_PERIOD)
    view.entries = [
        entry for entry in read_log(out / "log.jsonl") if entry["iteration"] <= done
    ]
    if done == recipe.iterations:
        print(f"[OK] trained before: {done} iterations; fresh=True starts again")
        display(draw_loss_curves(view.entries, recipe.iterations))
        return out

    def watch(state: TrainingState, entry: dict) -> None:
        view.add(state.model, entry)
        if stop_at is not None and entry["iteration"] >= stop_at:
            signal.raise_signal(signal.SIGINT)

    try:
        train_run(
            recipe,
            data_dir,
            out,
            resume=is_there,
            save_every=SAVE_PERIOD,
            watch=watch,
        )
    except KeyboardInterrupt as error:
        done = read_checkpoint(out)["iteration"] if checkpoint_path(out).exists() else 0
        print(f"[stopped] {done} of {recipe.iterations} iterations are saved in {out}")
        number = getattr(error, "number", signal.SIGINT)
        if number != signal.SIGINT:  # it is for the whole notebook
            signal.raise_signal(number)
    return out


def summary(model: nn.Module) -> str:
    """Number of weights of each part of a detector."""
    parts = {name: part for name, part in model.named_children()}
    counts = {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in parts.items()
    }
    return json.dumps({name: f"{count:,}" for name, count in counts.items()}, indent=1)


def detector_choices(data: str) -> dict:
    """The arguments of FCOS that the recipe of this data takes, without the classes."""
    config = dataclasses.asdict(course_recipe(data).detector)
    return {
        "fpn_channels": config["fpn_channels"],
        "stem_channels": list(config["stem_channels"]),
        "backbone": config["backbone"],
    }
