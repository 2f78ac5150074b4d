"""Predictions in the notebooks: hidden without a guess, and judged with one."""

import ast
import math
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from core.command import CourseError
from helpers.lessons.guesses import (
    SWITCH,
    compare_guess,
    compare_stored,
    stored_answers,
)

ROOT = Path(__file__).resolve().parent.parent
# How each answer that is one calculation comes about; the others are said in words.
CALCULATED = {
    "IoU of A and B": 225 / (750 + 500 - 225),
    "moved by a third of its width": 300 / (450 + 450 - 300),
    "numbers of the head": 504 * (7 + 4 + 1),
    "sigmoid of 2.5": 1 / (1 + math.exp(-2.5)),
    "weights more": 2 * 162_137,
    "bias of pred_cls": -math.log((1 - 0.01) / 0.01),
    "place in the list": 3 * 12 + 5,
    "left, in strides": (30 - 10) / 8,
    "centerness at a quarter": math.sqrt((0.25 / 0.75) * 1),
    "times smaller": 1 / (1 - 0.9) ** 2,
    "the box loss": 0.25 * (abs(1 - 1) + abs(2 - 1) + abs(3 - 5) + abs(4 - 4)),
    "cross-entropy at 0.5": -(0.5 * math.log(0.5) + 0.5 * math.log(0.5)),
    "locations": sum(math.ceil(128 / s) * math.ceil(176 / s) for s in (8, 16, 32)),
    "the normalizer": 0.9 * 150 + 0.1 * 60 / 2,
    "the score": math.sqrt(0.9 * 0.4),
}
IN_WORDS = {
    "the step that is not a doubling",
    "location at place 3",
    "the box",
    "times as many",
    "kept at 0.3",
    "correct detections",
}


def guess_cells() -> list[tuple[str, str]]:
    """(name of the notebook, source) of every cell that asks for a prediction."""
    return [
        (path.name, cell.source)
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code" and "guess = ..." in cell.source
    ]


def calls(source: str, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    ]


@pytest.mark.parametrize("name", CALCULATED)
def test_stored_answer_is_what_the_calculation_gives(name: str):
    """The file of answers is worked out again."""
    assert stored_answers()[name]["answer"] == pytest.approx(CALCULATED[name], rel=1e-9)


def test_every_stored_answer_is_asked_for_and_known_here():
    """No answer without a cell, no cell without an answer."""
    asked = [
        ast.literal_eval(call.args[1])
        for _, source in guess_cells()
        for call in calls(source, "compare_stored")
    ]
    assert sorted(asked) == sorted(stored_answers()) == sorted({*CALCULATED, *IN_WORDS})
    assert all(entry["how"] for entry in stored_answers().values())


def test_no_cell_shows_its_answer():
    """What is compared comes out of code that runs; arithmetic and texts are stored."""
    cells = guess_cells()
    assert len(cells) > 40
    for notebook, source in cells:
        found = calls(source, "compare_guess") + calls(source, "compare_stored")
        assert len(found) == 1, (notebook, source)
        for call in calls(source, "compare_guess"):
            names = {n.id for n in ast.walk(call.args[1]) if isinstance(n, ast.Name)}
            own = names - {"abs", "float", "int", "len", "round", "sum", "tuple"}
            assert own, (notebook, source)
        assert "print(" not in source or notebook == "09_evaluation.ipynb", source


@pytest.mark.parametrize("truth", [7, 0.44, "A, C", (1, 2.5), torch.ones(2)])
def test_answer_stays_hidden_until_there_is_a_guess(truth):
    """Dots show nothing of it; show=True does."""
    hidden = compare_guess(..., truth, "scores").data
    assert "guess first" in hidden and "scores" in hidden
    assert (
        hidden == compare_guess(..., None, "scores").data
    )  # nothing of it is in there
    shown = compare_guess(..., truth, "scores", show=True).data
    assert "guess first" not in shown and shown != hidden


@pytest.mark.parametrize(
    ("guess", "truth", "mark"),
    [
        (41, 41, "right"),
        (41.0, 41, "right"),
        ("41", 41, "right"),
        (np.int64(41), 41, "right"),
        (torch.tensor(41), 41, "right"),
        (40, 41, "near"),
        (30, 41, "wrong"),
        (-41, 41, "wrong"),
        (0.58, 0.57735, "right"),
        (0.577, 0.57735, "right"),
        (0.6, 0.57735, "right"),
        (0.57, 0.57735, "near"),
        (0.5, 0.57735, "near"),
        (0.3, 0.57735, "wrong"),
        (0, 0.44, "wrong"),
        (1, 0.57735, "wrong"),
        (2, 2.5, "wrong"),
        (96, 95.7, "right"),
        ("96 %", 95.7, "right"),
        (90, 95.7, "near"),
        (-4.6, -4.59512, "right"),
        (0, 0, "right"),
        (0.01, 0, "wrong"),
        (0.0, -0.0, "right"),
        ((4, 12), [4.0, 12.0], "right"),
        ([12, 4], [4.0, 12.0], "wrong"),
        (torch.tensor([4.0, 11.0]), (4.0, 12.0), "near"),
        ([(10, 14), (19, 27)], [(10, 14), (19, 27)], "right"),
        (((10, 14), (19, 26)), [(10, 14), (19, 27)], "near"),
        ("a,c", "A, C", "right"),
        ("C, A", "A, C", "right"),
        ("A, B", "A, C", "wrong"),
        ("Rarer ", "rarer", "right"),
    ],
)
def test_right_near_and_wrong_are_told_apart(guess, truth, mark):
    """By digits given for fractions, exactly for whole numbers, by words for texts."""
    shown = compare_guess(guess, truth, "x").data
    assert f">{mark}</b>" in shown
    assert "your guess" in shown and "the answer" in shown


@pytest.mark.parametrize(
    ("guess", "truth", "says"),
    [
        ("many", 41, "a number"),
        (None, 41, "a number"),
        (float("nan"), 41, "a number"),
        ((1, 2), 41, "a number"),
        (41, "A, C", "a text"),
        (41, (1, 2), "(..., ...)"),
        ((1, 2, 3), (1, 2), "(..., ...)"),
        ((1, "b"), (1, 2), "a number"),
    ],
)
def test_guess_of_another_kind_is_told_without_the_answer(guess, truth, says):
    """The form is named, and the answer stays hidden."""
    shown = compare_guess(guess, truth, "x").data
    assert says in shown and "not comparable" in shown
    assert ">the answer<br>" not in shown


def test_guess_may_be_any_text_and_is_escaped():
    """It becomes part of a page."""
    shown = compare_guess("<script>", "<b>", "<i>").data
    assert "&lt;script&gt;" in shown and "<script>" not in shown
    assert "(0.3333, 2)" in compare_guess((1, 2), (1 / 3, 2.0), "x").data
    assert "10,170" in compare_guess(1, 10_170.0).data


def test_stored_answer_is_shown_with_the_way_to_it():
    """And a name without one is said."""
    assert "0.9 * 150" in compare_stored(138, "the normalizer").data
    assert "0.9 * 150" not in compare_stored(..., "the normalizer").data
    with pytest.raises(CourseError, match="no answer is stored for 'the noise'"):
        compare_stored(1, "the noise")


def test_pages_to_look_at_fold_the_answer(monkeypatch: pytest.MonkeyPatch):
    """There nobody can write a guess; the reader opens the answer."""
    monkeypatch.setenv(SWITCH, "fold")
    shown = compare_guess(..., 41, "place").data
    assert shown.startswith("<details><summary>guess first") and "41" in shown
    assert "<details>" not in compare_guess(41, 41, "place").data
