"""The log of a run that was stopped and resumed reads like that of one run."""

import json

import torch

from helpers.training.checkpoint import read_checkpoint
from helpers.training.loop import TrainingState
from helpers.training.run_folder import RunFolder, checkpoint_path, read_log


def write_log(out, *lines):
    (out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_fresh_run_starts_its_clock_at_zero(tmp_path):
    """No log, no earlier seconds."""
    RunFolder(tmp_path, {}, iteration=0).log({"iteration": 20})
    (entry,) = read_log(tmp_path / "log.jsonl")
    assert 0 <= entry["seconds"] < 100
    assert 0 <= entry["cpu_seconds"] < 100


def test_resumed_run_goes_on_counting_its_seconds(tmp_path):
    """Figures such as "42 % after 900 CPU seconds" are of the whole run."""
    write_log(tmp_path, {"iteration": 20, "seconds": 1000.0, "cpu_seconds": 2000.0})
    RunFolder(tmp_path, {}, iteration=20).log({"iteration": 40})
    last = read_log(tmp_path / "log.jsonl")[-1]
    assert 1000 <= last["seconds"] < 1100
    assert 2000 <= last["cpu_seconds"] < 2100


def test_seconds_after_the_checkpoint_are_forgotten_with_their_iterations(tmp_path):
    """What is trained again is counted again, once."""
    write_log(
        tmp_path,
        {"iteration": 20, "seconds": 1000.0, "cpu_seconds": 2000.0},
        {"iteration": 40, "seconds": 3000.0, "cpu_seconds": 6000.0},
    )
    RunFolder(tmp_path, {}, iteration=30).log({"iteration": 40})
    entries = read_log(tmp_path / "log.jsonl")
    assert [entry["iteration"] for entry in entries] == [20, 40]
    assert 1000 <= entries[-1]["seconds"] < 1100


def test_checkpoint_holds_facts_and_state(tmp_path):
    """Both what the run was asked for and how far it is."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    facts = {"config": {"image_size": 32}, "seed": 3}
    state = TrainingState(model, optimizer, iteration=7)
    RunFolder(tmp_path, facts, iteration=0).save(state)
    saved = read_checkpoint(checkpoint_path(tmp_path))
    assert saved["seed"] == 3 and saved["iteration"] == 7
    assert torch.equal(saved["model"]["weight"], model.weight)
