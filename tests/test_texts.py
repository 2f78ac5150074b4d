"""What the texts for students say holds for the code."""

import re
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest

from assignment.common import get_fpn_location_coords
from assignment.fcos_matching import fcos_match_locations_to_gt
from core.course import read_registry
from data_scripts.make_shapes import make_shapes
from helpers.data.voc import VOC2007DetectionTiny
from helpers.lessons.matching_counts import count_matches

ROOT = Path(__file__).resolve().parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
READING = 250  # words a minute
PREDICTION, QUESTION, TRAINING = 1, 3, 8  # minutes each
ONLY_INSTRUCTORS = ("benchmarks", "grader", "grader_tests", "tests")
LONGEST_CELL = 330  # words
IMAGES = 200


def texts(path: Path) -> list[str]:
    """All cells of text without what only graders read."""
    return [
        cell.source
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "markdown" and "*Rubric.*" not in cell.source
    ]


def student_files() -> list[Path]:
    """All that students read, besides what the release leaves out."""
    return [
        *PATHS,
        *(ROOT / "assignment").glob("*.py"),
        ROOT / "helpers" / "checks" / "hints.toml",
        ROOT / "grader" / "release" / "student_readme.md",
    ]


@pytest.mark.parametrize("path", student_files(), ids=lambda path: path.name)
def test_no_text_for_students_names_a_command_that_they_do_not_have(path: Path):
    """The benchmarks and the grader stay with the instructors."""
    text = path.read_text("utf-8")
    for package in ONLY_INSTRUCTORS:
        assert not re.search(rf"-m {package}\b", text), package
    assert "instructors' copy" not in text


def test_students_read_what_they_may_not_take_from_torchvision():
    """The grader has it not; so it stands where one begins, and in the README."""
    readme = (ROOT / "grader" / "release" / "student_readme.md").read_text("utf-8")
    for text in (readme, "\n".join(texts(PATHS[0]))):
        words = " ".join(text.split())
        assert "torchvision" in words and "the grader does not have" in words
        assert (
            "changes none of its inputs" in words
        )  # hidden tests look, most checks not


def test_readme_has_a_line_for_every_folder_and_command():
    """Also for the newest; and the students' README for theirs."""
    text = (ROOT / "README.md").read_text("utf-8")
    tree = text.partition("## What is where")[2].partition("## Conventions")[0]
    folders = [
        path.parent.relative_to(ROOT)
        for pattern in (
            "*/__init__.py",
            "helpers/*/__init__.py",
            "grader/*/__init__.py",
        )
        for path in ROOT.glob(pattern)
    ]
    assert len(folders) > 30
    for folder in [*folders, Path("notebooks"), Path("docs")]:
        assert f"{folder.name}/" in tree, folder
    for path in (ROOT / "helpers").glob("[a-z]*.py"):
        assert path.name in tree, path
    readme = (ROOT / "grader" / "release" / "student_readme.md").read_text("utf-8")
    for said in ("helpers.submit", "submit()", "bring()", "progress()", 'reset("1.1")'):
        assert said in readme, said
    for path in PATHS:
        last = texts(path)[-1]
        assert "submit()" in last and "progress()" in last, path.name


def test_minutes_of_a_notebook_are_enough_for_what_is_in_it():
    """Reading, predictions, questions and exercises together."""
    registry = read_registry(ROOT)
    for path, step in zip(PATHS, registry.steps.values(), strict=True):
        text = "\n".join(texts(path))
        exercises = sum(
            each.minutes
            for each in registry.exercises.values()
            if each.id.startswith(f"{step.number}.")
        )
        needed = (
            len(text.split()) / READING
            + PREDICTION * text.count("**Predict")
            + QUESTION * text.count("**Question")
            + exercises
        )
        training = TRAINING if step.number == 7 else 0
        assert step.minutes >= needed + training, (path.name, needed)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_no_cell_is_a_wall_of_text(path: Path):
    """One idea, one cell."""
    longest = max(texts(path), key=lambda text: len(text.split()))
    assert len(longest.split()) <= LONGEST_CELL, longest[:80]


def test_share_of_a_box_that_keeps_half_of_its_score():
    """Notebook 5, after the picture of the root."""
    x = (np.arange(2000) + 0.5) / 2000
    ratio = np.minimum(x, 1 - x) / np.maximum(x, 1 - x)
    bare = ratio[:, None] * ratio[None, :]
    text = "\n".join(texts(PATHS[5]))
    assert (
        f"left to {(bare > 0.5).mean():.0%} of a box's area".replace("%", " %") in text
    )
    assert f"with it, to {(np.sqrt(bare) > 0.5).mean():.0%}".replace("%", " %") in text


def test_lines_of_equal_centerness_are_diamonds_near_the_middle():
    """A line through two points of one is inside of it: no star, and no rectangle."""

    def centerness(right: float, down: float) -> float:  # of a box of 2 x 2
        ratios = [(1 - abs(way)) / (1 + abs(way)) for way in (right, down)]
        return float(np.sqrt(ratios[0] * ratios[1]))

    point = 0.1  # from the middle to the point of a diamond
    level = centerness(point, 0)
    for share in (0.25, 0.5, 0.75):
        on_the_side = centerness(share * point, (1 - share) * point)
        assert level < on_the_side < level * 1.002
    assert centerness(point, point) < level * 0.91
    (text,) = [each for each in texts(PATHS[5]) if "lines of equal centerness" in each]
    assert "are diamonds" in text


def test_share_of_p5_is_what_notebook_4_says(tmp_path: Path):
    """Of the foreground locations, at the size of the course and at twice that size."""
    make_shapes(tmp_path, IMAGES, 1)
    shares = []
    for size in (128, 256):
        dataset = VOC2007DetectionTiny(
            tmp_path, "train", image_size=size, whole_image=True
        )
        counts = count_matches(
            dataset, IMAGES, get_fpn_location_coords, fcos_match_locations_to_gt
        )
        levels = [counts[f"foreground of {level}"] for level in ("p3", "p4", "p5")]
        shares.append(100 * levels[-1] / sum(levels))
    text = "\n".join(texts(PATHS[4]))
    assert (
        f"p5 has {shares[0]:.1f} at this" in text and f"and {shares[1]:.0f} at" in text
    )


def test_example_of_exercises_of_your_own_takes_nothing_that_the_course_has():
    """Names that the course has already are refused, so the page must not show them."""
    page = (ROOT / "docs" / "own-exercises.md").read_text()
    (block,) = re.findall(r"```\n(drop = .*?)```", page, re.DOTALL)
    example, course = tomllib.loads(block), read_registry(ROOT)
    step, exercise = example["step"][0], example["exercise"][0]
    assert step["number"] not in course.steps
    assert exercise["id"] not in course.exercises
    assert exercise["id"].startswith(f"{step['number']}.")
    for shown in re.findall(r"(?:test_|hints_|notebooks/|@exercise\(\")(\d+)", page):
        assert int(shown) in (1, step["number"]), shown


def test_self_study_grades_the_parts_that_it_hands_out():
    """Without --parts only part one is graded."""
    page = (ROOT / "docs" / "self-study.md").read_text()
    (parts,) = set(re.findall(r"make release PARTS='([a-z_ ]+)'", page))
    (command,) = re.findall(r"`([^`]*grader grade [^`]*)`", page)
    assert f"--parts {parts} " in " ".join(command.split())


def test_local_links_and_pictures_of_the_pages_lead_to_files():
    """Pictures of steps are made by hand, see benchmarks.readme_steps."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"
