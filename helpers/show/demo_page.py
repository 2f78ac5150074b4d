"""The page that `make demo` writes: one HTML file that needs no network.

14 kB beside its pictures, written in 13 ms, without one address in it
(benchmarks/results/own_parts.json).
"""

import math
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.files import write_atomically
from helpers.show import demo_svg
from helpers.show.demo_svg import Curve, DrawnPicture, draw_curve
from helpers.training.run_folder import loss_names, loss_title

TEMPLATES = Path(__file__).resolve().parent / "templates"
SECONDS_A_MINUTE = 60
GIVEN = (
    "It is what you write in this course, one function at a time: FCOS in notebooks 1 "
    "to 8, and what made it better in the years after in notebooks 10 to 12."
)


@dataclass(frozen=True)
class ClassResult:
    """A row of the table: average precisions in [0, 1], nan where no object counts."""

    name: str
    objects: int
    voc_ap50: float
    coco_ap: float


@dataclass(frozen=True)
class Step:
    """A part of the demo: what ran, how to run it alone, and how long it took."""

    title: str
    command: str
    seconds: float


@dataclass(frozen=True)
class DemoReport:
    """All that the page shows.

    Attributes:
        least_score: of the detections that are drawn.
        log: lines of the training log, with "iteration" and the losses.
        versions: what it ran on, name -> version.
        files: label -> path relative to the page.
        about: which detector this is, a sentence or two.
    """

    voc_ap50: float
    coco_ap: float
    seconds: float
    train_images: int
    val_images: int
    iterations: int
    least_score: float
    pictures: tuple[DrawnPicture, ...]
    log: list[dict]
    classes: tuple[ClassResult, ...]
    steps: tuple[Step, ...]
    versions: dict[str, str]
    files: dict[str, str]
    about: str = GIVEN


def loss_curves(log: list[dict]) -> list[Curve]:
    """One curve for each loss."""
    iterations = [entry["iteration"] for entry in log]
    return [
        draw_curve(loss_title(name), iterations, [entry[name] for entry in log])
        for name in loss_names(log)
    ]


def format_share(value: float) -> str:
    """A share in [0, 1] as the field writes it, in per cent without the sign.

    Example:
        >>> format_share(0.8734), format_share(float("nan"))
        ('87.3', '–')
    """
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def format_seconds(seconds: float) -> str:
    """Seconds in words.

    Example:
        >>> format_seconds(8.04), format_seconds(215)
        ('8.0 s', '3 min 35 s')
    """
    if seconds < SECONDS_A_MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), SECONDS_A_MINUTE)
    return f"{minutes} min {rest:02d} s"


def render_page(report: DemoReport) -> str:
    """The HTML text; every value is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = format_share
    environment.filters["duration"] = format_seconds
    return environment.get_template("demo.html").render(
        report=report, curves=loss_curves(report.log), svg=demo_svg
    )


def write_page(report: DemoReport, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_atomically(path, render_page(report))
