"""The climb of notebook 12: stored runs, your own runs, and what is chance.

A step is a recipe with some choices of --set, so its command and its stored runs come
from one place, climb.toml. benchmarks/recorded_climb.py wrote climb.json.
"""

import html
import json
import math
import os
import shlex
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from IPython.display import HTML
from matplotlib.figure import Figure

from core.command import CourseError
from core.files import write_json
from helpers.data.voc import DEFAULT_DATA_DIRS, VOC2007DetectionTiny
from helpers.evaluate import evaluate_detector
from helpers.lessons.live import Example, train_watched
from helpers.models.detector import load_detector
from helpers.notebook import ROOT
from helpers.show.style import BLACK, BLUE, FONT_PT, GREY, ORANGE, make_figure
from helpers.training.checkpoint import read_checkpoint
from helpers.training.recipes import Recipe, get_recipe
from helpers.training.run_folder import checkpoint_path

STEPS = Path(__file__).with_name("climb.toml")
STORED = Path(__file__).with_name("climb.json")
DATA = "shapes"
FIGURES = "figures.json"  # in the folder of a run: what it reaches
# Where runs of notebooks are only tried out: so many iterations, in a folder apart.
SWITCH = "FCOS_COURSE_ITERATIONS"
FEWEST_SEEDS = 3  # of both steps, from which one is said to be above chance
SAID = {True: "yes", False: "no", None: "not known"}


@dataclass(frozen=True)
class Step:
    """A step of the climb.

    Attributes:
        name: as its folder is called.
        title: what is switched on.
        recipe: its name.
        changes: choices of --set, as text.
    """

    name: str
    title: str
    recipe: str
    changes: Mapping[str, str]

    def train(self) -> Recipe:
        """How it is trained."""
        return get_recipe(self.recipe, dict(self.changes))

    def command(self) -> str:
        """What trains it."""
        words = ["python", "-m", "helpers.train", "--recipe", self.recipe]
        for name, value in self.changes.items():
            words += ["--set", f"{name}={value}"]
        out = run_of(self).relative_to(ROOT).as_posix()
        return shlex.join([*words, "--data", DATA, "--out", out])


@dataclass(frozen=True)
class Reached:
    """What one run reached on the validation pictures, in [0, 1].

    Attributes:
        voc_ap50: mean average precision at IoU 0.5.
        coco_ap: its mean over IoU 0.5 to 0.95.
        iterations: of its training.
    """

    voc_ap50: float
    coco_ap: float
    iterations: int


@cache
def steps() -> dict[str, Step]:
    """All steps by name, in the order of the climb."""
    entries = tomllib.loads(STEPS.read_text("utf-8"))["step"]
    return {
        entry["name"]: Step(
            entry["name"], entry["title"], entry["recipe"], entry["set"]
        )
        for entry in entries
    }


def find_step(name: str) -> Step:
    """A step by name.

    Raises:
        CourseError: there is none of this name.
    """
    if name not in steps():
        raise CourseError(f"there is no step {name!r}; take {', '.join(steps())}")
    return steps()[name]


def stored() -> dict[str, list[Reached]]:
    """For each step its stored runs, one for each seed; none for some."""
    runs = json.loads(STORED.read_text("utf-8"))["runs"]
    return {
        name: [
            Reached(run["voc_ap50"], run["coco_ap"], run["iterations"])
            for run in runs[name]
        ]
        for name in steps()
    }


def run_of(step: Step) -> Path:
    """The folder of your run of a step."""
    short = os.environ.get(SWITCH)
    return ROOT / "runs" / "climb" / (f"{step.name}_{short}" if short else step.name)


def climb_live(name: str, examples: Sequence[Example], **options: bool) -> Path:
    """Train one step while you look on; a stopped run goes on with the next call.

    Args:
        name: of the step.
        examples: images that are shown while it trains.
        options: fresh=True starts again, see train_live.

    Returns:
        The folder of the run.
    """
    step = find_step(name)
    recipe = step.train()
    if os.environ.get(SWITCH):
        recipe = get_recipe(
            step.recipe, {**step.changes, "iterations": os.environ[SWITCH]}
        )
    folder = ROOT / DEFAULT_DATA_DIRS[DATA]
    return train_watched(recipe, folder, run_of(step), examples, **options)


def own(val: VOC2007DetectionTiny, limit: int | None = None) -> dict[str, Reached]:
    """What each of your whole runs reaches; a run is judged once.

    Args:
        val: the validation pictures.
        limit: only the first so many of them.
    """
    found = {}
    for name, step in steps().items():
        if checkpoint_path(run_of(step)).is_file():
            reached = _judge(step, val, limit)
            if reached is not None:
                found[name] = reached
    return found


def _judge(step: Step, val: VOC2007DetectionTiny, limit: int | None) -> Reached | None:
    """What a run reaches; None, and a word about it, where it is not at its end."""
    folder = run_of(step)
    saved = read_checkpoint(folder)
    iterations, wanted = saved["iteration"], saved["recipe"]["iterations"]
    if iterations < wanted:
        print(f"{step.name}: stopped at {iterations} of {wanted}; let it go on first")
        return None
    pictures = min(limit or len(val), len(val))
    kept = _read_figures(folder / FIGURES)
    if (kept.get("iterations"), kept.get("pictures")) != (iterations, pictures):
        result = evaluate_detector(load_detector(folder), val, limit=limit)
        kept = {
            "voc_ap50": result.voc.map_area,
            "coco_ap": result.coco.summary["AP"],
            "iterations": iterations,
            "pictures": pictures,
        }
        write_json(folder / FIGURES, kept)
    return Reached(kept["voc_ap50"], kept["coco_ap"], kept["iterations"])


def _read_figures(path: Path) -> dict:
    try:
        found: dict = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def mean_of(runs: Sequence[Reached]) -> float:
    """Mean mAP at IoU 0.5; nan of no run."""
    return statistics.fmean(run.voc_ap50 for run in runs) if runs else math.nan


def is_above_chance(runs: Sequence[Reached], before: Sequence[Reached]) -> bool | None:
    """Whether each run of a step is above each run of the step before it.

    Where the step changes nothing, all orders of the six figures are equally likely,
    and three of one step lie above three of the other in one of twenty.

    Returns:
        None where one of the two was trained from fewer than three seeds.
    """
    if min(len(runs), len(before)) < FEWEST_SEEDS:
        return None
    return min(run.voc_ap50 for run in runs) > max(run.voc_ap50 for run in before)


def ranges(of_steps: Mapping[str, Sequence[Reached]]) -> list[float]:
    """Largest less smallest mAP of each step with three seeds or more: chance alone."""
    return [
        max(run.voc_ap50 for run in runs) - min(run.voc_ap50 for run in runs)
        for runs in of_steps.values()
        if len(runs) >= FEWEST_SEEDS
    ]


def gains(of_steps: Mapping[str, Sequence[Reached]]) -> dict[str, float]:
    """By how much each stored step is above the stored one before it.

    A step without a stored run is left out, and the next one's gain counts from the one
    before that.
    """
    found = {}
    before = math.nan
    for name, runs in of_steps.items():
        if runs:
            if not math.isnan(before):
                found[name] = mean_of(runs) - before
            before = mean_of(runs)
    return found


def draw_climb(mine: Mapping[str, Reached] | None = None) -> Figure:
    """A bar for each step: the stored mean, all seeds, and your own run.

    Args:
        mine: what your runs reach, see `own`.
    """
    runs = stored()
    figure, (axes,) = make_figure(height=3.8)
    for row, name in enumerate(steps()):
        if runs[name]:
            value = 100 * mean_of(runs[name])
            axes.barh(row, value, color=BLUE, height=0.62)
            axes.text(1, row, f"{value:.1f}", va="center", color="white",
                      fontsize=FONT_PT, weight="bold")  # fmt: skip
            seeds = [100 * run.voc_ap50 for run in runs[name]]
            axes.plot(seeds, [row] * len(seeds), "|", color=BLACK, ms=13, mew=1.5)
        else:
            axes.text(1, row, "no stored run: yours to fill", va="center", color=GREY,
                      fontsize=FONT_PT)  # fmt: skip
        if mine and name in mine:
            value = 100 * mine[name].voc_ap50
            axes.plot(value, row, "D", color=ORANGE, ms=9, mec=BLACK)
    axes.set_yticks(range(len(steps())), [step.title for step in steps().values()])
    axes.set(xlim=(0, 100), ylim=(len(steps()) - 0.4, -0.6))
    axes.set_xlabel("mAP at IoU 0.5, in percent; a stroke is a run, a diamond is yours")
    axes.tick_params(labelsize=FONT_PT - 1)
    return figure


def show_table(mine: Mapping[str, Reached]) -> HTML:
    """Your figures beside the stored ones, and which steps are above chance.

    Args:
        mine: what your runs reach, see `own`.
    """
    runs = stored()
    won, apart = gains(runs), ranges(runs)
    head = ("step", "stored mAP", "runs", "gain", "above chance?", "yours", "its AP")
    lines = [_row(head, "th")]
    before: Sequence[Reached] = []
    for name, step in steps().items():
        gain = won.get(name)
        cells = [
            step.title,
            _percent(mean_of(runs[name])),
            str(len(runs[name])) if runs[name] else "none",
            "" if gain is None else f"{100 * gain:+.1f}",
            "" if gain is None else SAID[is_above_chance(runs[name], before)],
            _yours(mine.get(name), step),
            _percent(mine[name].coco_ap) if name in mine else "",
        ]
        lines.append(_row(cells, "td"))
        before = runs[name] or before
    said = "chance is not known: no step is stored from three seeds"
    if apart:
        said = (
            "yes: each run of the step is above each run of the one before it. Runs "
            "of one step, which differ in nothing but their seed, lie "
            f"{100 * min(apart):.1f} to {100 * max(apart):.1f} points apart"
        )
    return HTML(f"<table>{''.join(lines)}</table><p>{html.escape(said)}</p>")


def _yours(reached: Reached | None, step: Step) -> str:
    if reached is None:
        return ""
    whole = step.train().iterations
    short = f" after {reached.iterations}" if reached.iterations != whole else ""
    return _percent(reached.voc_ap50) + short


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def _row(cells: Sequence[str], kind: str) -> str:
    style = ' style="text-align:left;padding:2px 12px"'
    written = (f"<{kind}{style}>{html.escape(cell)}</{kind}>" for cell in cells)
    return f"<tr>{''.join(written)}</tr>"
