"""The climb of notebook 12: its figures are the stored runs, and none is left out."""

import json
import math
import re
import shlex
from pathlib import Path
from unittest import mock

import pytest
import torch

from benchmarks import recorded_climb
from benchmarks.recorded_climb import collect, seed_of, shapes_records
from core.command import CourseError
from data_scripts.make_shapes import make_shapes
from helpers.data.voc import VOC2007DetectionTiny
from helpers.lessons import climb, ending
from helpers.lessons.climb import Reached, Step, gains, ranges, steps
from helpers.lessons.predictions import find_detections
from helpers.models.detector import load_detector
from helpers.training.recipes import get_recipe

ROOT = Path(__file__).resolve().parent.parent
# Of these the notebook speaks by name.
NEEDED = ("notebook_7", "to_the_end", "he_start", "several_classes", "course")


def reached(*values: float) -> list[Reached]:
    return [Reached(value, value / 2, 1800) for value in values]


def test_stored_climb_is_that_of_the_results():
    """After a new stored run: python -m benchmarks.recorded_climb."""
    runs, others = collect(shapes_records())
    said = json.loads(climb.STORED.read_text())
    assert (said["runs"], said["belong_to_no_step"]) == (runs, others)
    assert all(runs[name] for name in NEEDED)


def test_every_stored_run_belongs_to_one_step_or_is_named():
    """Nothing is skipped without a word."""
    runs, others = collect(shapes_records())
    used = [run["name"] for own in runs.values() for run in own]
    assert sorted([*used, *others]) == sorted(shapes_records())


def test_run_belongs_to_a_step_by_its_recipe_and_not_by_its_name():
    """Another name, another seed; another choice, or x and y swapped, is another."""
    record = shapes_records()["shapes_course"]
    again = {**record, "command": record["command"] + " --seed 2"}
    changed = json.loads(json.dumps(record))
    changed["recipe"]["detector"]["fcos"]["centre_radius"] = 0.75
    records = {
        "b": again,
        "a": record,
        "other": changed,
        "swapped": {**record, "transposed": True},
        "judged": {**record, "given_score_threshold": 0.4},
    }
    runs, others = collect(records)
    assert [(run["name"], run["seed"]) for run in runs["course"]] == [
        ("a", 0),
        ("b", 2),
    ]
    assert others == ["other", "swapped", "judged"]


def test_seed_is_the_last_one_of_the_command():
    """Without one it is 0."""
    assert seed_of("python -m x --seed 3") == 3
    assert seed_of("python -m x --seed 0 --seed 2") == 2
    assert seed_of("python -m x") == 0


def test_record_without_a_later_choice_has_its_default():
    """Runs from before a choice of the recipe was there do not say it."""
    first = shapes_records()["shapes_plain"]
    assert "rate_steps" not in first["recipe"] and collect({"x": first})[1] == []
    record = json.loads(json.dumps(shapes_records()["shapes_plain"]))
    del record["recipe"]["clip_norm"]  # 10 here, 0 by default
    assert collect({"x": record})[1] == ["x"]
    del record["recipe"]["iterations"]  # there is no default
    assert collect({"x": record})[1] == ["x"]


def test_steps_are_recipes_with_commands_that_train_them():
    """Each choice exists, and each command says the same recipe."""
    for step in steps().values():
        words = shlex.split(step.command())
        changes = dict(
            words[place + 1].split("=", 1)
            for place, word in enumerate(words)
            if word == "--set"
        )
        recipe = words[words.index("--recipe") + 1]
        assert get_recipe(recipe, changes) == step.train()
        assert words[-1] == f"runs/climb/{step.name}"
    assert len({step.train() for step in steps().values()}) == len(steps())
    with pytest.raises(CourseError, match="no step 'gio'; take notebook_7, to_the_end"):
        climb.find_step("gio")


def test_gain_counts_from_the_stored_step_before():
    """A step without a run has none, and hides none."""
    found = gains({"a": reached(0.3), "b": [], "c": reached(0.5, 0.7), "d": []})
    assert found == {"c": pytest.approx(0.3)}
    assert math.isnan(climb.mean_of([]))


def test_range_needs_three_seeds():
    """Largest less smallest, of each step that was trained so often."""
    assert ranges({"a": reached(0.3), "b": reached(0.5, 0.9)}) == []
    three = {"a": reached(0.3, 0.32, 0.31), "b": reached(0.5, 0.5, 0.5)}
    assert ranges(three) == [pytest.approx(0.02), 0.0]


@pytest.mark.parametrize(
    ("before", "seeds", "said"),
    [
        ((0.48, 0.5, 0.52), (0.80, 0.81, 0.79), "yes"),
        # Runs of the first step are far apart, and yet all lie below.
        ((0.3, 0.5, 0.7), (0.80, 0.81, 0.79), "yes"),
        # The mean is 30 points higher, but one run is not.
        ((0.3, 0.5, 0.7), (0.7, 0.9, 0.8), "no"),
        ((0.48, 0.5, 0.52), (0.8,), "not known"),
        ((0.5,), (0.80, 0.81, 0.79), "not known"),
    ],
)
def test_table_says_which_steps_are_above_chance(
    monkeypatch, before: tuple, seeds: tuple, said: str
):
    """All runs above all of the step before; how others differ is not their matter."""
    names = list(steps())
    runs = {name: reached() for name in names}
    runs[names[0]], runs[names[1]] = reached(*before), reached(*seeds)
    runs[names[3]] = reached(0.1, 0.99, 0.5)
    monkeypatch.setattr(climb, "stored", lambda: runs)
    short = Reached(0.155, 0.07, 200)
    table = climb.show_table({names[0]: short}).data
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:]]
    assert rows[1][3:5] == ["+30.0", said]
    assert rows[0][5:] == ["15.5 after 200", "7.0"]
    assert rows[2][1:3] == ["", "none"]
    climb.draw_climb({names[0]: short}).canvas.draw()


def test_stored_table_says_what_the_notebook_says_of_it():
    """Start, centre sampling and GIoU are above chance; the last three are not."""
    rows = re.findall(r"<tr>(.*?)</tr>", climb.show_table({}).data)[1:]
    said = [re.findall(r"<td[^>]*>(.*?)</td>", row)[4] for row in rows]
    assert said == ["", *["yes"] * 4, *["no"] * 3]


def test_figure_in_the_notebook_is_stored():
    """Part one's detector, trained to its end."""
    text = (ROOT / "notebooks" / "12_as_published.ipynb").read_text()
    (said,) = re.findall(r"has an mAP of (\d+\.\d) %", text)
    assert said == f"{100 * climb.mean_of(climb.stored()['to_the_end']):.1f}"
    seconds = shapes_records()["shapes_course"]["training_seconds"]
    assert f"took {seconds:.0f} s on two processor cores" in text.replace(
        '",\n    "', ""
    )


def expect_page_that_counts(
    run: Path, train: VOC2007DetectionTiny, val: VOC2007DetectionTiny, root: Path
) -> None:
    """Three iterations of two pictures: the page says that it saw six of the eight."""
    detector = load_detector(run)
    found, truths = find_detections(detector, val, limit=2)
    with mock.patch.object(ending, "ROOT", root):
        ending.write_my_page("shapes", detector, train, val, found, truths, run=run)
    (page,) = (root / "runs").rglob("my_detector/index.html")
    assert "It saw 6 pictures" in page.read_text("utf-8")


def test_step_is_trained_live_and_judged_once(tmp_path: Path, monkeypatch, capsys):
    """In a folder apart where it is shortened; a stopped run is not judged."""
    data = tmp_path / "data" / "shapes"
    make_shapes(data, train=8, val=2)
    monkeypatch.setattr(climb, "ROOT", tmp_path)
    monkeypatch.setenv(climb.SWITCH, "3")
    small = {"batch_size": "2", "image_size": "64"}
    monkeypatch.setattr(climb, "steps", lambda: {"s": Step("s", "a", "course", small)})
    assert climb.own(VOC2007DetectionTiny(data, "val", image_size=64)) == {}
    image, rows = torch.zeros(3, 64, 96), torch.tensor([[4.0, 4, 40, 30, 1]])
    run = climb.climb_live("s", [(image, rows)])
    assert run == tmp_path / "runs" / "climb" / "s_3"
    val = VOC2007DetectionTiny(data, "val", image_size=64)
    found = climb.own(val)
    assert found["s"].iterations == 3 and 0 <= found["s"].voc_ap50 <= 1
    monkeypatch.setattr(climb, "evaluate_detector", None)  # it is not asked again
    assert climb.own(val) == found
    expect_page_that_counts(run, VOC2007DetectionTiny(data, "train"), val, tmp_path)
    saved = climb.read_checkpoint(run)
    saved["recipe"]["iterations"] = 9
    torch.save(saved, run / "checkpoint.pt")
    capsys.readouterr()
    assert climb.own(val) == {}
    assert "stopped at 3 of 9" in capsys.readouterr().out


def test_command_writes_and_names_what_is_left(tmp_path: Path, monkeypatch, capsys):
    """Each step is named, and so is each run that belongs to none."""
    monkeypatch.setattr(recorded_climb, "STORED", tmp_path / "climb.json")
    assert recorded_climb.main([]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{name}: " in f"\n{said}" for name in steps())
    assert "belong to no step: shapes_tiny_transposed" in said
    assert (
        json.loads((tmp_path / "climb.json").read_text())["runs"].keys()
        == steps().keys()
    )
