"""How a notebook ends: what has been won so far, and a page of your own detector."""

import io
from pathlib import Path

import numpy as np
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from core.course import read_registry
from helpers.data.voc import VOC2007DetectionTiny
from helpers.drive.copies import keep_version, last_write
from helpers.evaluation.coco_ap import evaluate_coco
from helpers.evaluation.types import Detections, GroundTruth
from helpers.evaluation.voc_ap import evaluate_voc
from helpers.lessons.live import run_folder
from helpers.models.detector import LoadedDetector
from helpers.notebook import ROOT
from helpers.show.demo_page import ClassResult, DemoReport, Step, write_page
from helpers.show.demo_svg import draw_picture
from helpers.show.style import BLUE, FONT_PT, GREY, ORANGE, make_figure
from helpers.training.checkpoint import read_checkpoint, versions
from helpers.training.run_folder import read_log

MY_DETECTOR = Path("runs/my_detector")
NUM_PICTURES = 12
LEAST_DRAWN_SCORE = 0.5
MINE = (
    "Every part of it was written by hand in this course, one function at a time: the "
    "pyramid, the head, the matching, the losses, and the way from answers to boxes."
)
STRIP_HEIGHT, MOST_HEIGHT = 1.1, 4.5  # inches


def draw_won(step: int, picture: Figure | Image.Image) -> Figure:
    """Your own result of a notebook, above the parts of the detector won so far.

    Args:
        step: number of the notebook.
        picture: what your code has just drawn.
    """
    image = np.asarray(_as_image(picture))
    width = 9.0
    height = min(width * image.shape[0] / image.shape[1], MOST_HEIGHT)
    figure, _ = make_figure(height=height + STRIP_HEIGHT, width=width)
    figure.clear()
    ratios = (height, STRIP_HEIGHT)
    top, strip = figure.subplots(2, 1, gridspec_kw={"height_ratios": ratios})
    top.imshow(image)
    top.set_axis_off()
    _draw_strip(strip, step)
    return figure


def _as_image(picture: Figure | Image.Image) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    file = io.BytesIO()
    picture.savefig(file, format="png", bbox_inches="tight")
    return Image.open(file).convert("RGB")


def _draw_strip(axes: Axes, done: int) -> None:
    """A field for each notebook: done, next, and those that are to come."""
    steps = list(read_registry(ROOT).steps.values())
    axes.set(xlim=(0, len(steps)), ylim=(0, 1))
    axes.set_axis_off()
    for place, step in enumerate(steps):
        is_done, is_next = step.number <= done, step.number == done + 1
        edge = ORANGE if is_next else BLUE if is_done else GREY
        field = Rectangle(
            (place + 0.04, 0.05),
            0.92,
            0.9,
            facecolor=BLUE if is_done else "white",
            edgecolor=edge,
            linewidth=2.5 if is_next else 1.2,
            linestyle="--" if is_next else "-",
        )
        axes.add_patch(field)
        words = _folded(f"{step.number} {step.title}")
        axes.text(
            place + 0.5,
            0.5,
            words + ("\nnext" if is_next else ""),
            color="white" if is_done else "black",
            ha="center",
            va="center",
            fontsize=FONT_PT - 3.5,
        )


def _folded(text: str) -> str:
    """One word a line; short words share one."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < 10:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def write_my_page(
    data: str,
    detector: LoadedDetector | None,
    train: VOC2007DetectionTiny,
    val: VOC2007DetectionTiny,
    found: list[Detections],
    truths: list[GroundTruth],
    *,
    run: Path | None = None,
    trained_in: str = "notebook 7",
) -> Markdown:
    """Write runs/my_detector/index.html, one file that you can send to anybody.

    The page of an earlier run stays beside it, under a name with its date.

    Args:
        data: "shapes" or "voc2007".
        detector: your run; None if there is none yet.
        found, truths: of the first validation pictures.
        run: its folder; by default that of notebook 7.
        trained_in: the notebook of the run.
    """
    if detector is None:
        return Markdown(
            f"There is no run of {trained_in} yet: train there, then run this cell "
            "again."
        )
    voc = evaluate_voc(found, truths, val.class_names)
    coco = evaluate_coco(found, truths, val.class_names)
    run = run or run_folder(data)
    checkpoint = read_checkpoint(run)
    seen = checkpoint["iteration"] * checkpoint["recipe"]["batch_size"]
    log = read_log(run / "log.jsonl")
    seconds = float(log[-1].get("seconds", 0.0)) if log else 0.0
    report = DemoReport(
        voc_ap50=voc.map_area,
        coco_ap=coco.summary["AP"],
        seconds=seconds,
        train_images=min(seen, len(train)),
        val_images=len(truths),
        iterations=checkpoint["iteration"],
        least_score=LEAST_DRAWN_SCORE,
        pictures=tuple(
            draw_picture(
                val.records[index].path,
                found[index],
                truths[index],
                val.class_names,
                LEAST_DRAWN_SCORE,
            )
            for index in range(min(NUM_PICTURES, len(found)))
        ),
        log=log,
        classes=tuple(
            ClassResult(row.name, row.num_objects, row.ap_area, ap)
            for row, ap in zip(voc.classes, coco.class_ap, strict=True)
        ),
        steps=(Step("Train", trained_in, seconds),),
        versions=versions(),
        files={},
        about=MINE,
    )
    page = ROOT / MY_DETECTOR / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    before = ""
    if page.is_file():
        kept, _ = keep_version(page, page, last_write(page))
        before = f" The page of before is kept as {kept.name}, beside it."
    write_page(report, page)
    name = page.relative_to(ROOT).as_posix()
    up = "../" if any((ROOT / "notebooks").glob("*.ipynb")) else ""
    size = page.stat().st_size / 1e6
    return Markdown(
        f"**[{name}]({up}{name})** is the page of your detector: one file of "
        f"{size:.1f} MB, with its pictures in it. Open it, and send it to somebody."
        f"{before}"
    )
