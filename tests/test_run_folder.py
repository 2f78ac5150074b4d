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


def test_log_of_another_run_is_kept(tmp_path, capsys):
    """Its checkpoint was moved away; the log is still somebody's result."""
    write_log(tmp_path, {"iteration": 20, "loss_box": 1.0})
    before = (tmp_path / "log.jsonl").read_bytes()
    RunFolder(tmp_path, {}, iteration=0).log({"iteration": 20})
    (kept,) = tmp_path.glob("log_*.jsonl")
    assert kept.read_bytes() == before and kept.name in capsys.readouterr().out
    assert len(read_log(tmp_path / "log.jsonl")) == 1


def test_line_that_was_cut_off_costs_no_other(tmp_path):
    """A disk was full for a moment; the next line stands behind half of one."""
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"iteration": number}) for number in (20, 40, 60, 80)]
    path.write_text("\n".join([lines[0], lines[1][:6] + lines[2], lines[3], "[1]", ""]))
    assert [entry["iteration"] for entry in read_log(path)] == [20, 80]
    RunFolder(tmp_path, {}, iteration=80)
    assert [entry["iteration"] for entry in read_log(path)] == [20, 80]
