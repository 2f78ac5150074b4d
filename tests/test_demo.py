"""`python -m helpers.demo`: a demo of two iterations, and the folders it refuses."""

import dataclasses
import json
from pathlib import Path

import pytest

from core.command import CourseError
from core.files import clear_folder
from helpers.demo import OWN_FOLDERS, DemoPlan, run_demo
from helpers.training.recipes import get_recipe

SHORT_RECIPE = dataclasses.replace(get_recipe("tiny"), iterations=2, batch_size=2)


def test_run_demo_leaves_page_figures_and_checkpoint(tmp_path: Path):
    """After a demo, the page, its links and every promised figure are there."""
    out = tmp_path / "demo"
    quality = run_demo(DemoPlan(out, SHORT_RECIPE, 3, 2, "cpu"))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["voc_ap50"] == pytest.approx(quality, abs=1e-6)
    assert {"voc_ap50", "coco_ap", "seconds", "versions"} <= set(metrics)
    assert {"python", "torch", "torchvision"} <= set(metrics["versions"])
    assert set(metrics["seconds_by_step"]) == {"draw", "train", "evaluate"}
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2
    for link in ("metrics.json", "train/log.jsonl", "train/losses.png"):
        assert f'href="{link}"' in page
        assert (out / link).is_file()
    assert (out / "train" / "checkpoint.pt").is_file()


def test_clear_folder_makes_a_missing_folder(tmp_path: Path):
    """The first demo needs no preparation."""
    clear_folder(tmp_path / "runs" / "demo", OWN_FOLDERS)
    assert (tmp_path / "runs" / "demo").is_dir()


def test_clear_folder_removes_only_what_a_demo_made(tmp_path: Path):
    """A second demo starts afresh and leaves files that you put beside it."""
    clear_folder(tmp_path / "demo", OWN_FOLDERS)
    (tmp_path / "demo" / "train").mkdir()
    (tmp_path / "demo" / "train" / "checkpoint.pt").touch()
    (tmp_path / "demo" / "notes.txt").touch()
    clear_folder(tmp_path / "demo", OWN_FOLDERS)
    assert not (tmp_path / "demo" / "train").exists()
    assert (tmp_path / "demo" / "notes.txt").is_file()


def test_clear_folder_refuses_a_folder_of_something_else(tmp_path: Path):
    """A folder with work of yours is never cleared, also if the names would fit."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "thesis.txt").touch()
    with pytest.raises(CourseError, match=r"no demo wrote; give another --out"):
        clear_folder(tmp_path, OWN_FOLDERS)
    assert (tmp_path / "train" / "thesis.txt").is_file()


def test_clear_folder_names_a_file_in_the_way(tmp_path: Path):
    """Where the folder should be, there is a file: said in one sentence."""
    (tmp_path / "demo").touch()
    with pytest.raises(CourseError, match=r"demo cannot be written"):
        clear_folder(tmp_path / "demo", OWN_FOLDERS)
