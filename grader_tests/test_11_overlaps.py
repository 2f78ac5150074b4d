"""Step 11: two boxes around one location, and the losses of their overlap."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torchvision.ops import generalized_box_iou_loss

from grader_tests.oracles.plain_overlaps import (
    GIOU_LOSS,
    IOU_LOSS,
    LARGER_SIDES,
    NO_MINUS,
    OPPOSITE,
    TURNED,
    Slopes,
    giou_loss,
    giou_slopes,
    iou_loss,
    iou_slopes,
    overlap,
    overlap_slopes,
)
from grader_tests.references import load_cases
from grader_tests.tools import expect_dtype, expect_inputs_kept, give
from helpers.checks import answers
from helpers.checks.again import expect_own_answers
from helpers.checks.expect import (
    expect_as_usual,
    expect_close,
    expect_runs,
    expect_tensor,
    expect_true,
)
from helpers.checks.student import Student

OVERLAP, IOU, GIOU = "overlap_of_distances", "iou_loss", "giou_loss"
PARTS = ("intersection", "union")
NO_ROWS = "a batch without foreground is not foreseen"
DETACHED = (
    "no gradient reaches the prediction; it is detached, rounded or read as a number"
)
MEAN = "each pair gets the mean of all"
SUMMED = "one number for all pairs; each has its own"
A_FEW_ONLY = "right for a few pairs, wrong for the same among hundreds; set no limit"
LARGE = "large distances are changed; nothing asks for a limit"
SMALL = "small boxes are changed, or get another loss; nothing asks for that"
ONE_ROW = "a single pair loses its dimension; squeeze nothing"
Pair = tuple[torch.Tensor, torch.Tensor]


def stored_pairs() -> Pair:
    """Predicted and true distances, (P, 4) float64, no two of them equal."""
    case = load_cases("step11", "pairs")["random"]
    return case["pred"], case["true"]


def many_pairs() -> Pair:
    """1,200 pairs: the stored ones in other orders and sizes."""
    pred, true = stored_pairs()
    parts = [
        (pred.roll(turn, 1) * (1 + turn), true.roll(shift, 0) * (1 + turn))
        for turn in range(4)
        for shift in range(25)
    ]
    preds, trues = zip(*parts, strict=True)
    return torch.cat(preds), torch.cat(trues)


def by_loop(one: Callable[..., float], pair: Pair, *args: Any, **more: Any) -> Any:
    """(P,) float64 of a function of one pair."""
    rows = zip(pair[0].tolist(), pair[1].tolist(), strict=True)
    return torch.tensor(
        [one(a, b, *args, **more) for a, b in rows], dtype=torch.float64
    )


def slow_overlap(pair: Pair, mistake: str = "") -> tuple[torch.Tensor, ...]:
    """Intersection and union (P,) float64."""
    rows = zip(pair[0].tolist(), pair[1].tolist(), strict=True)
    table = [overlap(a, b, mistake)[:2] for a, b in rows]
    found = torch.tensor(table, dtype=torch.float64).reshape(-1, 2)
    return tuple(found.unbind(dim=1))


def call_of(student: Student, name: str, dtype=torch.float32) -> Callable[..., Any]:
    """One of the three functions, called with copies of a pair."""

    def call(pair: Pair, *args: Any, **more: Any) -> Any:
        given = (give(student, part, dtype) for part in pair)
        return getattr(student.fcos_published, name)(*given, *args, **more)

    return call


def overlap_of(
    student: Student, pair: Pair, dtype=torch.float32
) -> Sequence[torch.Tensor]:
    """What 11.3 answers, two parts."""
    return answers.expect_parts(
        call_of(student, OVERLAP, dtype)(pair), PARTS, f"what {OVERLAP} returns"
    )


def expect_overlap(student: Student, pair: Pair) -> None:
    """Both parts as the loop says."""
    right = slow_overlap(pair)
    got = overlap_of(student, pair)
    for place, name in enumerate(PARTS):
        causes: dict[str, Any] = {
            mistake: partial(_part_of, pair, place, mistake)
            for mistake in (NO_MINUS, LARGER_SIDES, OPPOSITE, TURNED)
        }
        causes["intersection and union are exchanged"] = right[1 - place]
        causes["width plus height, not times"] = partial(_added, pair, place)
        inputs = {"pred": pair[0], "true": pair[1]}
        what = f"{name} of {OVERLAP}"
        expect_close(
            got[place],
            right[place].float(),
            what,
            inputs=inputs,
            place="pair",
            causes=causes,
        )


def _part_of(pair: Pair, place: int, mistake: str) -> torch.Tensor:
    """One of the two parts, with a mistake."""
    return slow_overlap(pair, mistake)[place]


def _added(pair: Pair, place: int) -> torch.Tensor:
    """Sides that are added where they are multiplied."""
    inside = torch.minimum(*pair).sum(dim=1)
    union = pair[0].sum(dim=1) + pair[1].sum(dim=1) - inside
    return (inside, union)[place]


# 11.3


def test_overlap_without_foreground(student: Student) -> None:
    """No pair at all: two answers of shape (0,); then pairs again."""
    none = torch.zeros(0, 4), torch.zeros(0, 4)
    with expect_runs(OVERLAP, NO_ROWS, lambda: overlap_of(student, stored_pairs())):
        got = overlap_of(student, none)
    for part, name in zip(got, PARTS, strict=True):
        expect_tensor(part, f"{name} of {OVERLAP}", shape=(0,))
    expect_overlap(student, stored_pairs())


def test_overlap_by_hand(student: Student) -> None:
    """Boxes that lie within one another, cross, touch, or have no area."""
    pred = [[1.0, 2, 3, 4], [1, 1, 1, 1], [5, 1, 5, 1], [2, 3, 0, 1], [0, 0, 0, 0]]
    true = [[1.0, 2, 3, 4], [2, 3, 4, 5], [1, 4, 1, 4], [0, 2, 6, 1], [1, 2, 3, 4]]
    right = [24.0, 4, 4, 0, 0], [24.0, 48, 32, 26, 24]
    pair = torch.tensor(pred), torch.tensor(true)
    got = overlap_of(student, pair)
    for place, name in enumerate(PARTS):
        causes = {
            mistake: slow_overlap(pair, mistake)[place]
            for mistake in (NO_MINUS, LARGER_SIDES, OPPOSITE, TURNED)
        }
        expected = torch.tensor(right[place])
        what = f"{name} of {OVERLAP} by hand"
        expect_close(got[place], expected, what, place="pair", causes=causes)


def test_overlap_equals_a_slow_loop(student: Student) -> None:
    """Pairs of all kinds; 1,200 of them; one alone; distances of 20,000 pixels."""
    pair, many = stored_pairs(), many_pairs()
    usual = partial(expect_overlap, student, pair)
    usual()
    call = student.fcos_published.overlap_of_distances
    turned = pair[0].flip(1), pair[1]

    def case(own: Pair) -> Any:
        right = slow_overlap(own)

        def check(got: Any) -> None:
            for part, expected in zip(got, right, strict=True):
                expect_close(part, expected.float(), OVERLAP, place="pair")

        return tuple(give(student, part) for part in own), check

    expect_own_answers(call, case(pair), case(turned), case((pair[0], pair[1].flip(1))))
    with expect_as_usual(
        A_FEW_ONLY, partial(_in_parts, many, partial(expect_overlap, student))
    ):
        expect_overlap(student, many)
    with expect_as_usual(LARGE, usual):
        expect_overlap(student, (pair[0] * 1000, pair[1] * 1000))
    with expect_as_usual(SMALL, usual):
        expect_overlap(student, (pair[0] / 256, pair[1] / 128))
    with expect_runs(OVERLAP, ONE_ROW, usual):
        expect_overlap(student, (pair[0][:1], pair[1][:1]))


def _in_parts(pair: Pair, check: Callable[[Pair], None]) -> None:
    """The same pairs, a hundred at a time."""
    for part in zip(pair[0].split(100), pair[1].split(100), strict=True):
        check(part)


def test_overlap_pulls_at_the_prediction(student: Student) -> None:
    """The gradients of intersection and union are the lengths of the other side."""
    for place, name in enumerate(PARTS):
        # One pair less each time: what is kept by shape is no matter of gradients.
        pred, true = stored_pairs()
        pair = pred[place:], true[place:]
        rows = list(zip(pair[0].tolist(), pair[1].tolist(), strict=True))
        right = [overlap_slopes(a, b)[place] for a, b in rows]
        _, gradients, _ = student.gradients(
            student.fcos_published.overlap_of_distances,
            *(give(student, part) for part in pair),
            inputs=[0],
            part=(place,),
        )
        what = f"gradient of the {name}"
        inside = torch.tensor([overlap_slopes(a, b).intersection for a, b in rows])
        causes = {"the predicted area is detached": -inside} if place else {}
        _expect_gradient(gradients[0], torch.tensor(right), what, causes)


def _expect_gradient(
    got: Any, right: torch.Tensor, what: str, causes: Mapping[str, torch.Tensor]
) -> None:
    """A gradient by the predicted distances, (P, 4)."""
    expect_true(got is not None, what, "nothing arrives at the prediction", DETACHED)
    expect_close(
        got,
        right.double(),
        what,
        names="l,t,r,b",
        place="pair",
        causes={
            DETACHED: torch.zeros_like(right),
            "the sign is wrong": -right,
            **causes,
        },
        rtol=1e-4,  # float32 differences of numbers of one size
        check_dtype=False,
    )


def test_overlap_keeps_inputs_and_float64(student: Student) -> None:
    """The pair is the same after the call; the digits of float64 are kept."""
    pair = stored_pairs()

    def check(got: Any) -> None:
        parts = answers.expect_parts(got, PARTS, OVERLAP)
        for part, expected in zip(parts, slow_overlap(pair), strict=True):
            expect_close(part, expected.float(), OVERLAP, place="pair")

    expect_inputs_kept(
        student,
        OVERLAP,
        student.fcos_published.overlap_of_distances,
        *(give(student, part) for part in pair),
        check=check,
    )
    fine = pair[0] + 1e-9, pair[1] / 3
    right = slow_overlap(fine)
    got = overlap_of(student, fine, torch.float64)
    for part, expected in zip(got, right, strict=True):
        found = expect_tensor(part, OVERLAP, shape=tuple(expected.shape))
        expect_dtype(found, torch.float64, OVERLAP)
        expect_close(found, expected, f"{OVERLAP} in float64", atol=1e-11, rtol=1e-13)


# 11.4 and 11.5


def expect_loss(
    student: Student,
    name: str,
    pair: Pair,
    *args: Any,
    what: str = "",
    causes: bool = True,
) -> None:
    """The loss of each pair as the loop says.

    Args:
        args: behind the pair: linear and plus, or plus and eps.
    """
    one, mistakes = (iou_loss, IOU_LOSS) if name == IOU else (giou_loss, GIOU_LOSS)
    expected = by_loop(one, pair, *args)
    wrong = {
        mistake: partial(by_loop, one, pair, *args, mistake=mistake)
        for mistake in mistakes
    }
    expect_close(
        call_of(student, name)(pair, *args),
        expected.float(),
        what or name,
        inputs={"pred": pair[0], "true": pair[1]},
        place="pair",
        causes=wrong if causes else None,
    )


def _check_without_foreground(student: Student, name: str, *args: Any) -> None:
    """No pair: no loss, of shape (0,); then the stored pairs."""
    none, call = (torch.zeros(0, 4), torch.zeros(0, 4)), call_of(student, name)
    with expect_runs(name, NO_ROWS, lambda: call(stored_pairs(), *args)):
        got = call(none, *args)
    expect_tensor(got, name, shape=(0,))
    expect_loss(student, name, stored_pairs(), *args, causes=False)


def _check_any_pairs(student: Student, name: str, *args: Any) -> None:
    """Many pairs, one alone, huge and tiny ones, others of the same shape and sum."""
    pair, many = stored_pairs(), many_pairs()
    usual = partial(expect_loss, student, name, pair, *args, causes=False)
    usual()
    one = iou_loss if name == IOU else giou_loss

    def case(own: Pair) -> Any:
        right = by_loop(one, own, *args).float()
        check = partial(expect_close, expected=right, what=name, place="pair")
        return (*(give(student, part) for part in own), *args), check

    call = getattr(student.fcos_published, name)
    turned = pair[0].flip(1), pair[1]
    expect_own_answers(call, case(pair), case(turned), case((pair[0], pair[1].flip(0))))

    def check(own: Pair) -> None:
        expect_loss(student, name, own, *args, causes=False)

    with expect_as_usual(A_FEW_ONLY, partial(_in_parts, many, check)):
        check(many)
    with expect_as_usual(LARGE, usual):
        check((pair[0] * 1000, pair[1] * 800))
    with expect_as_usual(SMALL, usual):
        check((pair[0] / 256, pair[1] / 128))
    with expect_runs(name, ONE_ROW, usual):
        check((pair[0][:1], pair[1][:1]))


def _check_inputs_and_float64(student: Student, name: str, *args: Any) -> None:
    """The pair is the same after the call; the digits of float64 are kept."""
    one = iou_loss if name == IOU else giou_loss
    pair = stored_pairs()
    right = by_loop(one, pair, *args).float()
    check = partial(expect_close, expected=right, what=name, place="pair")
    call = getattr(student.fcos_published, name)
    given = (give(student, part) for part in pair)
    expect_inputs_kept(student, name, call, *given, *args, check=check)
    fine = pair[0] + 1e-9, pair[1] / 3
    right = by_loop(one, fine, *args)
    got = call_of(student, name, torch.float64)(fine, *args)
    found = expect_tensor(got, name, shape=tuple(right.shape))
    expect_dtype(found, torch.float64, name)
    expect_close(found, right, f"{name} in float64", atol=1e-12, rtol=1e-12)


def _check_gradient(student: Student, name: str, slopes: Any, *args: Any) -> None:
    """The gradient by the predicted distances is that of the formula."""
    pair = stored_pairs()
    rows = list(zip(pair[0].tolist(), pair[1].tolist(), strict=True))

    def of_all(fixed: str = "") -> torch.Tensor:
        return torch.tensor([slopes(a, b, *args, fixed) for a, b in rows])

    names = Slopes._fields if name == GIOU else PARTS
    causes = {f"the {part} is detached": of_all(part) for part in names}
    _, gradients, _ = student.gradients(
        getattr(student.fcos_published, name),
        *(give(student, part) for part in pair),
        *args,
        inputs=[0],
    )
    _expect_gradient(gradients[0], of_all(), f"gradient of {name}", causes)


def test_iou_loss_without_foreground(student: Student) -> None:
    """No pair at all: a loss of shape (0,); then pairs again."""
    _check_without_foreground(student, IOU)
    _check_without_foreground(student, IOU, True, 1.0)


def test_iou_loss_by_hand(student: Student) -> None:
    """-ln(1/12) and 1 - 1/12; with plus 1, -ln(5/49): the logarithm to base e."""
    pair = (
        torch.tensor([[1.0, 1, 1, 1], [1.0, 2, 3, 4], [5.0, 1, 5, 1]]),
        torch.tensor([[2.0, 3, 4, 5], [1.0, 2, 3, 4], [1.0, 4, 1, 4]]),
    )
    for args, right in (
        ((), [2.484907, 0.0, 2.079442]),
        ((True,), [0.916667, 0.0, 0.875]),
        ((False, 1.0), [2.282382, 0.0, 1.887070]),
        ((True, 1.0), [0.897959, 0.0, 0.848485]),
    ):
        wrong: dict[str, Any] = {
            mistake: partial(by_loop, iou_loss, pair, *args, mistake=mistake)
            for mistake in IOU_LOSS
        }
        wrong[MEAN] = torch.full((3,), sum(right) / 3)
        got = call_of(student, IOU)(pair, *args)
        what = f"{IOU} by hand"
        expect_tensor(got, what, shape=(3,), shape_causes={SUMMED: ()})
        expect_close(got, torch.tensor(right), what, place="pair", causes=wrong)


def test_iou_loss_equals_a_slow_loop(student: Student) -> None:
    """Both forms, with plus 0, 1 and 0.5."""
    for linear in (False, True):
        for plus in (0.0, 1.0, 0.5):
            what = f"{IOU}, linear {linear}, plus {plus}"
            expect_loss(student, IOU, stored_pairs(), linear, plus, what=what)


def test_iou_loss_of_any_pairs(student: Student) -> None:
    """Hundreds of pairs, one alone, huge and tiny boxes; each its own loss."""
    _check_any_pairs(student, IOU)
    _check_any_pairs(student, IOU, True, 1.0)


def test_iou_loss_stays_finite_with_plus(student: Student) -> None:
    """No overlap, or no area: with plus 1 the logarithm is finite, and has slopes."""
    pair = (
        torch.tensor([[3.0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0], [40, 30, 50, 60]]),
        torch.tensor([[0.0, 1, 3, 1], [8, 8, 24, 8], [0, 0, 0, 0], [0, 0, 0, 0]]),
    )
    expect_loss(student, IOU, pair, False, 1.0, what=f"{IOU} without overlap")
    expect_loss(student, IOU, pair, True, 1.0, what=f"{IOU} without overlap")
    expect_loss(student, IOU, stored_pairs(), False, 1.0)
    _, gradients, _ = student.gradients(
        student.fcos_published.iou_loss,
        *(give(student, part) for part in pair),
        False,
        1.0,
        inputs=[0],
    )
    what = f"gradient of {IOU} without overlap"
    expect_true(gradients[0] is not None, what, "nothing arrives")
    found = expect_tensor(gradients[0], what, shape=(4, 4))
    expect_true(bool(found.isfinite().all()), what, "is not finite")


def test_iou_loss_pulls_hardest_where_little_overlaps(student: Student) -> None:
    """The gradients of both forms are those of the formula."""
    for args in ((False, 0.0), (True, 0.0), (False, 1.0), (True, 1.0)):
        _check_gradient(student, IOU, iou_slopes, *args)


def test_iou_loss_keeps_inputs_and_float64(student: Student) -> None:
    """The pair is the same after the call; the digits of float64 are kept."""
    _check_inputs_and_float64(student, IOU)
    _check_inputs_and_float64(student, IOU, True, 1.0)


def test_giou_loss_without_foreground(student: Student) -> None:
    """No pair at all: a loss of shape (0,); then pairs again."""
    _check_without_foreground(student, GIOU)
    _check_without_foreground(student, GIOU, 1.0)


def test_giou_loss_equals_torchvision(student: Student) -> None:
    """generalized_box_iou_loss with its eps of 1e-7, on boxes around the origin."""
    pair = stored_pairs()
    sign = torch.tensor([-1.0, -1, 1, 1], dtype=torch.float64)
    expected = generalized_box_iou_loss(pair[0] * sign, pair[1] * sign, eps=1e-7)
    wrong = {
        mistake: partial(by_loop, giou_loss, pair, mistake=mistake)
        for mistake in GIOU_LOSS
    }
    what = f"{GIOU}, as torchvision has it"
    got = call_of(student, GIOU)(pair)
    expect_close(got, expected.float(), what, place="pair", causes=wrong)


def test_giou_loss_by_hand(student: Student) -> None:
    """The hull of two crossing boxes is larger than their union; plus 1; eps 2."""
    pair = (
        torch.tensor([[5.0, 1, 5, 1], [1.0, 2, 3, 4], [3.0, 1, 0, 1]]),
        torch.tensor([[1.0, 4, 1, 4], [1.0, 2, 3, 4], [0.0, 1, 3, 1]]),
    )
    # I, U, hull: 4, 32, 80; 24, 24, 24; 0, 12, 12
    for args, right in (
        ((), [1 - 4 / 32 + 48 / 80, 0.0, 1.0]),
        ((1.0,), [1 - 5 / 33 + 48 / 80, 0.0, 1 - 1 / 13]),
        ((0.0, 2.0), [1 - 4 / 34 + 48 / 82, 1 - 24 / 26, 1.0]),
        ((1.0, 2.0), [1 - 5 / 35 + 48 / 82, 1 - 25 / 27, 1 - 1 / 15]),
    ):
        wrong = {
            mistake: partial(by_loop, giou_loss, pair, *args, mistake=mistake)
            for mistake in GIOU_LOSS
        }
        got = call_of(student, GIOU)(pair, *args)
        what = f"{GIOU} by hand"
        expect_tensor(got, what, shape=(3,), shape_causes={SUMMED: ()})
        expect_close(got, torch.tensor(right), what, place="pair", causes=wrong)


def test_giou_loss_equals_a_slow_loop(student: Student) -> None:
    """With plus 0, 1 and 0.5, and with an eps that is seen."""
    for args in ((0.0, 1e-7), (1.0, 1e-7), (0.5, 3.0), (0.0, 10.0)):
        what = f"{GIOU}, plus {args[0]}, eps {args[1]}"
        expect_loss(student, GIOU, stored_pairs(), *args, what=what)


def test_giou_loss_of_boxes_without_area(student: Student) -> None:
    """Empty boxes give 1, no NaN; with plus 1 the loss is finite, and has slopes."""
    pair = (
        torch.tensor([[0.0, 0, 0, 0], [0, 0, 0, 0], [2, 0, 3, 0], [5, 6, 7, 8]]),
        torch.tensor([[0.0, 0, 0, 0], [8, 8, 24, 8], [3, 0, 1, 0], [0, 0, 0, 0]]),
    )
    expect_loss(student, GIOU, pair, what=f"{GIOU} of empty boxes")
    expect_loss(student, GIOU, pair, 1.0, what=f"{GIOU} of empty boxes")
    expect_loss(student, GIOU, stored_pairs())
    _, gradients, _ = student.gradients(
        student.fcos_published.giou_loss,
        *(give(student, part) for part in pair),
        inputs=[0],
    )
    what = f"gradient of {GIOU} of empty boxes"
    expect_true(gradients[0] is not None, what, "nothing arrives")
    found = expect_tensor(gradients[0], what, shape=(4, 4))
    expect_true(bool(found.isfinite().all()), what, "is not finite")


def test_giou_loss_of_any_pairs(student: Student) -> None:
    """Hundreds of pairs, one alone, huge and tiny boxes; each its own loss."""
    _check_any_pairs(student, GIOU)
    _check_any_pairs(student, GIOU, 1.0, 1e-7)


def test_giou_loss_pulls_at_the_prediction(student: Student) -> None:
    """The gradient is that of the formula, the hull's part as well."""
    for args in ((0.0, 1e-7), (1.0, 1e-7), (1.0, 5.0)):
        _check_gradient(student, GIOU, giou_slopes, *args)


def test_giou_loss_keeps_inputs_and_float64(student: Student) -> None:
    """The pair is the same after the call; the digits of float64 are kept."""
    _check_inputs_and_float64(student, GIOU)
    _check_inputs_and_float64(student, GIOU, 1.0, 1e-3)
