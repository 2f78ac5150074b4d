"""python -m helpers.train as a user runs it: kill, resume, stop, wrong arguments."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from core.command import run_command
from core.files import locked_folder
from data_scripts.make_shapes import make_shapes
from helpers.train import main, train_run
from helpers.training import save_points
from helpers.training.checkpoint import read_checkpoint
from helpers.training.recipes import get_recipe
from helpers.training.run_folder import RunFolder
from tests.small_trees import Picture, Thing, write_tree

ROOT = Path(__file__).resolve().parent.parent
SMALL = {
    "iterations": "6",
    "batch_size": "2",
    "image_size": "64",
    "fpn_channels": "8",
    "stem_channels": "[8]",
    "warmup": "2",
}
# Signals that stop a run, and after which iteration they come.
STOPPED_AFTER = {signal.SIGINT: 1, signal.SIGTERM: 2}
LOSSES = ("loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr")
TIME_LIMIT_S = 120  # only against a test that hangs


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    """Twelve training images of the course's own data."""
    data_dir = tmp_path_factory.mktemp("shapes") / "data"
    make_shapes(data_dir, train=12, val=1)
    return data_dir


def arguments(shapes: Path, out: Path, *more: str, **choices: str) -> list[str]:
    """A command line for a run of a few small iterations on the CPU."""
    line = ["--data", "shapes", "--data-dir", str(shapes), "--recipe", "tiny"]
    line += ["--out", str(out), "--device", "cpu", "--precision", "float32"]
    for key, value in {**SMALL, **choices}.items():
        line += ["--set", f"{key}={value}"]
    return [*line, *more]


def start(line: list[str]) -> subprocess.Popen:
    """The command in a process of its own, with one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "helpers.train", *line],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def read_losses(out: Path) -> list[list[float]]:
    """Iteration and losses of each line of a log; other columns are times."""
    lines = (out / "log.jsonl").read_text().splitlines()
    return [[json.loads(row)[k] for k in ("iteration", *LOSSES)] for row in lines]


def wait_for_iteration(process: subprocess.Popen, out: Path, iteration: int) -> None:
    """Wait until a checkpoint of this iteration or a later one is there."""
    deadline = time.monotonic() + TIME_LIMIT_S
    checkpoint = out / "checkpoint.pt"
    while time.monotonic() < deadline:
        if (
            checkpoint.is_file()
            and read_checkpoint(checkpoint)["iteration"] >= iteration
        ):
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    pytest.fail("no checkpoint was written in time")


def assert_same_state(ours: dict, expected: dict) -> None:
    """All tensors and numbers of two checkpoints are equal to the bit."""
    for part in ("model", "average"):
        assert list(ours[part]) == list(expected[part])
        for name, value in expected[part].items():
            assert torch.equal(ours[part][name], value), f"{part} {name}"
    moments, expected_moments = (
        checkpoint["optimizer"]["state"] for checkpoint in (ours, expected)
    )
    for number, values in expected_moments.items():
        for name, value in values.items():
            assert torch.equal(moments[number][name], value), f"{number} {name}"
    assert ours["iteration"] == expected["iteration"]


@dataclass(frozen=True)
class Interrupted:
    """What became of a run that got a signal in the middle."""

    out: Path
    line: list[str]
    returncode: int
    stderr: str


def send(process: subprocess.Popen, number: int) -> None:
    """As `timeout` does it: to the process and then to all of its group."""
    process.send_signal(number)
    if number != signal.SIGKILL:
        os.killpg(process.pid, number)


def interrupt(line: list[str], out: Path, iteration: int, number: int) -> Interrupted:
    """Start a run, send the signal after this iteration, and wait for its end."""
    process = start(line)
    try:
        wait_for_iteration(process, out, iteration)
        send(process, number)
        _, stderr = process.communicate(timeout=TIME_LIMIT_S)
    finally:
        process.kill()
    return Interrupted(out, line, process.returncode, stderr)


@pytest.fixture(scope="module")
def interrupted(shapes, tmp_path_factory) -> Iterator[dict[int, Future]]:
    """Runs, two at a time: one is killed, others get a signal that asks to end."""
    with ThreadPoolExecutor(2) as pool:
        futures = {}
        for number, iteration in ((signal.SIGKILL, 3), *STOPPED_AFTER.items()):
            out = tmp_path_factory.mktemp("runs")
            more = ("--workers", "1") if number == signal.SIGTERM else ()
            line = arguments(shapes, out, "--save-every", "1", *more, iterations="40")
            futures[int(number)] = pool.submit(interrupt, line, out, iteration, number)
        yield futures


@pytest.fixture(scope="module")
def whole_run(shapes, tmp_path_factory, interrupted) -> Path:
    """A run of 40 iterations that nobody interrupted.

    With one thread, as in the processes: sums in the same order.
    """
    assert torch.get_num_threads() == 1
    out = tmp_path_factory.mktemp("runs") / "whole"
    line = arguments(shapes, out, "--save-every", "1", iterations="40")
    assert main(line) == 0
    return out


def test_run_writes_checkpoint_log_and_picture(whole_run):
    """Three files, and no half-written ones."""
    names = sorted(path.name for path in whole_run.iterdir())
    assert names == ["checkpoint.pt", "log.jsonl", "losses.png"]
    lines = (whole_run / "log.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["iteration"] for entry in entries] == [20, 40]
    expected = {"iteration", *LOSSES, "learning_rate"}
    assert all(set(entry) > expected for entry in entries)
    with Image.open(whole_run / "losses.png") as picture:
        assert picture.width > picture.height > 100


def test_checkpoint_has_what_is_needed_to_use_it(whole_run):
    """Classes, detector, recipe, versions; loaded without running any code in it."""
    state = torch.load(whole_run / "checkpoint.pt", weights_only=True)
    assert state["config"]["class_names"] == (
        "cross",
        "ellipse",
        "heart",
        "rectangle",
        "ring",
        "star",
        "triangle",
    )
    assert state["config"]["image_size"] == 64
    assert state["recipe"]["iterations"] == 40
    assert state["versions"]["torch"] == str(torch.__version__)
    assert state["iteration"] == 40


def test_killed_run_ends_with_the_weights_of_one_that_ran_through(
    whole_run, interrupted
):
    """SIGKILL at any moment after the first iterations, then --resume."""
    run = interrupted[signal.SIGKILL].result()
    assert run.returncode == -signal.SIGKILL
    assert read_checkpoint(run.out)["iteration"] < 40
    assert main([*run.line, "--resume"]) == 0
    assert_same_state(read_checkpoint(run.out), read_checkpoint(whole_run))
    assert read_losses(run.out) == read_losses(whole_run)


@pytest.mark.parametrize("number", STOPPED_AFTER)
def test_signal_saves_says_so_and_the_run_can_go_on(whole_run, interrupted, number):
    """128 + its number, one sentence with --resume; the end is that of a whole run."""
    run = interrupted[number].result()
    assert run.returncode == 128 + number, run.stderr
    saved = read_checkpoint(run.out)["iteration"]
    last_line = run.stderr.splitlines()[-1]
    assert last_line.startswith(f"stopped after {saved} of 40 iterations")
    assert "--resume" in last_line
    assert "Traceback" not in run.stderr
    assert main([*run.line, "--resume"]) == 0
    assert_same_state(read_checkpoint(run.out), read_checkpoint(whole_run))
    assert read_losses(run.out) == read_losses(whole_run)


def test_run_is_saved_every_few_minutes_whatever_its_interval(
    shapes, tmp_path, monkeypatch
):
    """With 100 s per iteration, the third is saved at the latest."""
    clock = iter(range(0, 100_000, 100))
    now = [0]
    saves = []

    def tick(state, entry=None):
        now[0] = next(clock)

    monkeypatch.setattr(save_points.time, "monotonic", lambda: float(now[0]))
    monkeypatch.setattr(
        RunFolder, "save", lambda folder, state: saves.append(state.iteration)
    )
    monkeypatch.setattr("helpers.train.LOG_PERIOD", 1)
    monkeypatch.setattr(RunFolder, "draw", lambda folder: None)
    recipe = get_recipe("tiny", {**SMALL, "iterations": "8"})
    train_run(recipe, shapes, tmp_path, "cpu", precision="float32", watch=tick)
    assert saves == [4, 7, 8]
    assert save_points.SAVE_SECONDS < 300


def test_resume_of_a_finished_run_changes_nothing(shapes, whole_run):
    """No iteration is left, and nothing goes wrong."""
    before = read_checkpoint(whole_run / "checkpoint.pt")
    line = arguments(shapes, whole_run, "--resume", iterations="40")
    assert main(line) == 0
    assert_same_state(read_checkpoint(whole_run / "checkpoint.pt"), before)


def run_wrong(line: list[str], capsys) -> str:
    """Run a command that must fail with exit code 2; returns its one sentence."""
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: main(line))
    stderr = capsys.readouterr().err
    assert stopped.value.code == 2, stderr
    message = stderr.splitlines()[-1]
    assert message.startswith("error: ")
    assert "Traceback" not in stderr
    return message


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks on folders")
def test_folder_of_a_run_that_is_going_on_is_refused(shapes, tmp_path, capsys):
    """Two runs at once would write into each other's log and checkpoint."""
    with locked_folder(tmp_path):
        said = run_wrong(arguments(shapes, tmp_path), capsys)
    assert "another command is writing here" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "choices", "named"),
    [
        (["--seed", "1"], {}, "seed"),
        ([], {"learning_rate": "0.001"}, "recipe or classes"),
        (["--precision", "bfloat16"], {}, "precision"),
    ],
)
def test_resume_with_other_arguments_is_refused(
    shapes, whole_run, capsys, more, choices, named
):
    """The message says what is different and what to do."""
    choices = {"iterations": "40", **choices}
    line = arguments(shapes, whole_run, "--resume", *more, **choices)
    message = run_wrong(line, capsys)
    assert f"({named})" in message
    assert "another --out" in message


def test_resume_on_other_images_is_refused(whole_run, tmp_path, capsys):
    """The same classes, but another number of images."""
    make_shapes(tmp_path / "data", train=3, val=1)
    line = arguments(tmp_path / "data", whole_run, "--resume", iterations="40")
    assert "(training images)" in run_wrong(line, capsys)


def test_folder_of_another_run_is_refused(shapes, whole_run, capsys):
    """Without --resume a run overwrites nothing."""
    before = (whole_run / "checkpoint.pt").read_bytes()
    message = run_wrong(arguments(shapes, whole_run), capsys)
    assert "is already there" in message
    assert "--resume" in message
    assert (whole_run / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("bad", ["half", "text", "list"])
def test_resume_from_a_bad_checkpoint_is_refused(
    shapes, whole_run, tmp_path, capsys, bad
):
    """Truncated, not a checkpoint at all, and a checkpoint of something else."""
    path = tmp_path / "checkpoint.pt"
    if bad == "half":
        whole = (whole_run / "checkpoint.pt").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif bad == "text":
        path.write_text("weights")
    else:
        torch.save([torch.zeros(2)], path)
    message = run_wrong(arguments(shapes, tmp_path, "--resume"), capsys)
    assert "checkpoint.pt" in message
    assert "helpers.train" in message


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--data-dir", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--device", "abacus"], "'abacus'"),
        (["--device", "cuda:77"], "'cuda:77'"),
        (["--seed", "-1"], "--seed"),
        (["--seed", "1e3"], "--seed"),
        (["--workers", "-1"], "--workers"),
        (["--save-every", "0"], "--save-every"),
        (["--set", "iterations"], "NAME=VALUE"),
        (["--set", "iterations=few"], "iterations"),
        (["--set", "head_norm=group", "--set", "stem_channels=[12]"], "stem_channels"),
        (["--set", "backbone=vgg"], "'vgg'"),
        (["--recipe", "big"], "--recipe"),
        (["--precision", "int8"], "--precision"),
    ],
)
def test_wrong_argument_is_one_sentence(shapes, tmp_path, capsys, change, named):
    """Exit code 2, and the message names the argument."""
    message = run_wrong([*arguments(shapes, tmp_path / "run"), *change], capsys)
    assert named in message


def test_training_on_images_without_one_object_is_refused(tmp_path, capsys):
    """A repair that lost all labels, for example: nothing would be learned."""
    easy, hard = (Thing("cat", (5, 5, 40, 40), difficult=d) for d in (False, True))
    pictures = [Picture("1", (64, 64)), Picture("2", (64, 64), (hard,))]
    write_tree(tmp_path / "data", train=pictures, val=[Picture("3", (64, 64), (easy,))])
    line = arguments(tmp_path / "data", tmp_path / "run")
    said = run_wrong(line, capsys)
    assert "the split 'train' in" in said
    assert "has no object, only 1 marked difficult" in said
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_another_split_can_be_trained(tmp_path):
    """A tree that has only the list trainval."""
    cat = Thing("cat", (5, 5, 40, 40))
    write_tree(tmp_path / "data", trainval=[Picture("1", (64, 64), (cat,))])
    line = arguments(tmp_path / "data", tmp_path / "run", "--split", "trainval")
    assert main([*line, "--set", "iterations=1"]) == 0
    assert read_checkpoint(tmp_path / "run")["data"]["split"] == "trainval"


def test_out_that_is_a_file_is_refused(shapes, tmp_path, capsys):
    """A run needs a folder."""
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    for out in (path, path / "below"):
        assert "notes.txt" in run_wrong(arguments(shapes, out), capsys)
    assert path.read_text() == "mine"


def test_bfloat16_run_keeps_its_weights_in_float32(shapes, tmp_path):
    """Only the arithmetic is reduced; the checkpoint says which it was."""
    choices = {**SMALL, "iterations": "2"}
    recipe = get_recipe("tiny", choices)
    state = read_checkpoint(
        train_run(recipe, shapes, tmp_path, "cpu", precision="bfloat16")
    )
    assert state["precision"] == "bfloat16"
    dtypes = {
        tensor.dtype for tensor in state["model"].values() if tensor.is_floating_point()
    }
    assert dtypes == {torch.float32}


def test_precision_auto_is_decided_and_stored(shapes, tmp_path):
    """A resumed run goes on in the precision of its start."""
    recipe = get_recipe("tiny", {**SMALL, "iterations": "1"})
    state = read_checkpoint(train_run(recipe, shapes, tmp_path, "cpu"))
    assert state["precision"] in ("float32", "bfloat16")
