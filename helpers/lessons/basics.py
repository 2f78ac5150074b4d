"""What every notebook uses: its data, and where an exercise is."""

import ast
import textwrap
from pathlib import Path

from IPython.display import Markdown

from core.command import CourseError
from core.course import FILE, PACKAGE, read_registry
from data_scripts import download_voc2007
from helpers.checks.places import find_function, split_lines
from helpers.data.voc import DEFAULT_DATA_DIRS, VOC2007DetectionTiny
from helpers.notebook import ROOT, is_colab

# Shorter side of the images in pixels, as the recipes use it.
IMAGE_SIZES = {"shapes": 128, "voc2007": 224}


def open_data(
    name: str = "shapes", image_size: int | None = None
) -> tuple[VOC2007DetectionTiny, VOC2007DetectionTiny]:
    """The images for training and for validation, whole ones in both.

    Args:
        name: "shapes", or "voc2007", which is fetched (450 MB) where it is missing.
        image_size: shorter side in pixels; by default 128 and 224.

    Raises:
        CourseError: there is no such data set, or it cannot be had.
    """
    if name not in DEFAULT_DATA_DIRS:
        raise CourseError(f"there is no data set {name!r}; take shapes or voc2007")
    folder = ROOT / DEFAULT_DATA_DIRS[name]
    if name == "voc2007" and not folder.exists():
        download_voc2007.download(folder)
    train, val = (
        VOC2007DetectionTiny(
            folder,
            split,
            image_size=image_size or IMAGE_SIZES[name],
            whole_image=True,
        )
        for split in ("train", "val")
    )
    return train, val


def find_exercise(number: str) -> tuple[Path, int, str]:
    """File, line of the `def`, and source up to the end of the docstring.

    Raises:
        CourseError: no exercise has this number.
    """
    exercise = read_registry(ROOT).exercises.get(number)
    if exercise is None:
        raise CourseError(f"there is no exercise {number} in {FILE}")
    path = ROOT / PACKAGE / exercise.file
    text = path.read_text("utf-8")
    begin, end = find_function(text, exercise.function, path)
    lines = split_lines(text)[begin - 1 : end]
    function = textwrap.dedent("\n".join(lines))
    try:
        (node,) = ast.parse(function).body
    except (SyntaxError, ValueError):
        return path, begin, function  # the student is just writing there
    assert isinstance(node, ast.FunctionDef)
    last = node.body[0].end_lineno or 0
    return path, begin, "\n".join(split_lines(function)[:last])


def open_exercise(number: str) -> Markdown:
    """Where an exercise is and what it asks; on Colab its file opens beside."""
    path, line, source = find_exercise(number)
    name = path.relative_to(ROOT).as_posix()
    if is_colab():
        import importlib

        importlib.import_module("google.colab.files").view(str(path))
    # nbgrader has the notebooks beside assignment/, not in a folder of their own.
    up = "../" if any((ROOT / "notebooks").glob("*.ipynb")) else ""
    return Markdown(
        f"Write it in [{name}]({up}{name}), line {line}:\n\n```python\n{source}\n```"
    )
