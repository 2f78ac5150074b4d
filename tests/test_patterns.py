"""What wrong numbers have in common is said where it is so, and only there."""

import pytest
import torch

from helpers.checks.expect import CheckError, expect_as_usual, expect_close
from helpers.checks.patterns import (
    CUT_ABOVE,
    CUT_BELOW,
    DROPPED,
    FIRST_FOR_ALL,
    MANY_ROWS,
    PLACES,
    ROWS_LOST,
    SMALL_LOST,
    WHOLE,
)

RIGHT = torch.tensor(
    [[-7.5, 0.25, 3.0, 40.5], [9.75, -2.25, 0.5, -60.25], [0.125, 6.5, 88.5, 71.0]]
)
IMAGES = torch.stack([RIGHT, RIGHT * 2 + 1, RIGHT - 3])
ROWS = torch.arange(2.0 * MANY_ROWS * 4).reshape(-1, 4) + 0.5


def cause_of(got: torch.Tensor, right: torch.Tensor) -> str | None:
    with pytest.raises(CheckError) as caught:
        expect_close(got, right, "deltas")
    return caught.value.cause


def without_last_rows() -> torch.Tensor:
    lost = ROWS.clone()
    lost[300:] = 0
    return lost


@pytest.mark.parametrize(
    ("got", "right", "cause"),
    [
        (RIGHT.clamp(max=40), RIGHT, CUT_ABOVE),
        (RIGHT.clamp(min=-1), RIGHT, CUT_BELOW),
        (torch.where(RIGHT.abs() < 1, 0.0, RIGHT), RIGHT, SMALL_LOST),
        (RIGHT.floor(), RIGHT, WHOLE),
        (IMAGES[:1].expand(3, -1, -1), IMAGES, FIRST_FOR_ALL),
        (RIGHT.flip(0), RIGHT, PLACES),
        (without_last_rows(), ROWS, ROWS_LOST),
        (RIGHT[:1].squeeze(), RIGHT[:1], DROPPED),
    ],
)
def test_pattern_of_a_wrong_answer_is_said(got, right, cause):
    assert cause_of(got, right) == cause


def with_one_changed(to: float) -> torch.Tensor:
    changed = RIGHT.clone()
    changed[2, 2] = to
    return changed


@pytest.mark.parametrize(
    ("got", "right"),
    [
        (RIGHT + 1, RIGHT),
        (RIGHT * 2, RIGHT),
        (torch.zeros_like(RIGHT), RIGHT),
        (torch.full_like(RIGHT, 100.0), RIGHT),
        (torch.full_like(RIGHT, -100.0), RIGHT),
        (with_one_changed(71.0), RIGHT),  # one number is cut where another ends
        (with_one_changed(0.0), RIGHT),  # and that is not a small one
        (with_one_changed(float("inf")), RIGHT),
        (RIGHT[:1].expand(3, -1), RIGHT),  # rows, of which one may be right for many
        (torch.cat([ROWS[:MANY_ROWS], ROWS[MANY_ROWS:] + 1])[:199], ROWS[:199] + 2),
        (ROWS + (torch.arange(len(ROWS)) % 2)[:, None], ROWS),
        (torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])),  # too few to tell
        (torch.tensor(3.0), torch.tensor(2.5)),
        (RIGHT.T, RIGHT),
        (RIGHT[:2].reshape(1, 8), RIGHT[:2]),
    ],
)
def test_nothing_is_said_of_other_wrong_answers(got, right):
    assert cause_of(got, right) is None


def fails(category: str, cause: str | None = None) -> None:
    raise CheckError(category, "iou", "of boxes that leave the image", cause)


def cause_of_the_unusual(category: str, cause: str | None, usual) -> str | None:
    with pytest.raises(CheckError) as caught, expect_as_usual("it leaves", usual):
        fails(category, cause)
    return caught.value.cause


@pytest.mark.parametrize("category", ["wrong value", "wrong shape", "NaN"])
def test_unusual_case_is_the_cause_where_the_usual_one_is_right(category):
    """A cause of its own stays, if it says more than what the numbers look like."""
    for before, after in ((None, "it leaves"), (PLACES, "it leaves"), ("r", "r")):
        assert cause_of_the_unusual(category, before, lambda: None) == after
        assert cause_of_the_unusual(category, before, lambda: fails("NaN")) == before
    with expect_as_usual("it leaves", lambda: fails("NaN")):
        pass  # what is right needs no other case


@pytest.mark.parametrize("category", ["exception", "timeout", "not implemented"])
def test_no_answer_may_have_other_reasons(category):
    assert cause_of_the_unusual(category, None, lambda: None) is None
