"""What wrong numbers have in common, whatever function gave them.

Looked at where no known mistake gives an answer. A sentence says what can be seen in
the answer, no more, so that it is true for whatever reason the answer is so.
"""

from collections.abc import Callable, Mapping

import torch

DROPPED = "a dimension of size 1 is dropped; keep it, also where there is one of a kind"
CUT_ABOVE = "numbers above a limit end at that limit; nothing asks for one"
CUT_BELOW = "numbers below a limit end at that limit; nothing asks for one"
SMALL_LOST = "small numbers become 0; nothing asks for that"
WHOLE = "the numbers are whole; keep their fractions"
ROWS_LOST = "the first rows are right, and none of those after them"
FIRST_FOR_ALL = "all along the first dimension is the same as the first"
PLACES = "the right numbers stand in wrong places"
MANY_ROWS = 200  # fewer may be those of one level, or of one image
SOME = 3  # different numbers; fewer may be as they are by chance

# Answer, what it should be, and where they differ: float64 and bool of one shape.
Pattern = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], bool]


def shape_pattern(got: tuple[int, ...], right: tuple[int, ...]) -> str | None:
    """What a wrong shape has in common with the right one."""
    sides = [[side for side in shape if side != 1] for shape in (got, right)]
    return DROPPED if len(got) < len(right) and sides[0] == sides[1] else None


def pattern_of(
    got: torch.Tensor, right: torch.Tensor, is_wrong: torch.Tensor
) -> str | None:
    """What the wrong numbers of an answer have in common; None if nothing known.

    Args:
        got, right: float64, of one shape.
        is_wrong: where they differ by more than they may, bool, at least one.
    """
    if not got.dim() or not bool(got.isfinite().all()):
        return None
    return next(
        (said for said, holds in PATTERNS.items() if holds(got, right, is_wrong)), None
    )


def _is_cut_above(got: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> bool:
    lost, limit = right[wrong], got.max()
    return bool(
        torch.isclose(got[wrong], limit).all()
        and (lost > limit).all()
        and _are_some(lost)
        and _are_some(got[~wrong])
    )


def _is_cut_below(got: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> bool:
    return _is_cut_above(-got, -right, wrong)


def _is_small_lost(got: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> bool:
    lost, kept = right[wrong].abs(), right[~wrong & (right != 0)].abs()
    return bool(
        (got[wrong] == 0).all()
        and _are_some(lost)
        and _are_some(kept)
        and lost.max() < kept.min()
    )


def _is_whole(got: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> bool:
    return bool(
        (got == got.round()).all()
        and ((got - right).abs() < 1).all()
        and _are_some(right[wrong])
        and _are_some(got[wrong])
    )


def _are_rows_lost(got: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> bool:
    del got, right
    rows = wrong.flatten(1).any(dim=1) if wrong.dim() > 1 else wrong
    first = int(rows.to(torch.uint8).argmax())
    return len(rows) >= MANY_ROWS and first >= SOME and bool(rows[first:].all())


def _is_first_for_all(
    got: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor
) -> bool:
    return bool(
        len(got) > 1
        and got.dim() > 2
        and not wrong[0].any()
        and torch.equal(got, got[:1].expand_as(got))
        and _are_some(right[wrong])
    )


def _are_places_wrong(
    got: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor
) -> bool:
    mine, true = got[wrong].sort().values, right[wrong].sort().values
    return torch.equal(mine, true) and _are_some(true)


def _are_some(numbers: torch.Tensor) -> bool:
    """Whether there are so many different ones that it is no chance."""
    return len(numbers.unique()) >= SOME


# The first that holds is said.
PATTERNS: Mapping[str, Pattern] = {
    FIRST_FOR_ALL: _is_first_for_all,
    CUT_ABOVE: _is_cut_above,
    CUT_BELOW: _is_cut_below,
    SMALL_LOST: _is_small_lost,
    WHOLE: _is_whole,
    ROWS_LOST: _are_rows_lost,
    PLACES: _are_places_wrong,
}
SEEN = frozenset({DROPPED, *PATTERNS})  # all the sentences
