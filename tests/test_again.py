"""Asking twice, and the gradient of one part of an answer."""

import pytest
import torch

from helpers.checks.again import KEPT, expect_own_answers
from helpers.checks.expect import CheckError, expect_close
from helpers.checks.student import DirectStudent

NUMBERS = [torch.tensor([1.0, 2, 3, 4]), torch.tensor([3.0, 5, 7, 9])]


def cases(expected):
    """Numbers, and their doubles."""
    return [
        ((given,), lambda got, right=right: expect_close(got, right, "twice"))
        for given, right in zip(NUMBERS, expected, strict=True)
    ]


def kept_by_shape():
    """A function that doubles, and keeps its answers by shape."""
    answers = {}

    def twice(given):
        return answers.setdefault(given.shape, 2 * given)

    return twice


def counting():
    """A function that is right once."""
    calls = []

    def twice(given):
        calls.append(given)
        return given * (2 if len(calls) < 3 else 5)

    return twice


@pytest.mark.parametrize(
    ("function", "fails", "cause"),
    [
        (lambda given: 2 * given, False, None),
        (kept_by_shape(), True, KEPT),
        (counting(), True, None),
        (lambda given: torch.zeros(4), True, None),
    ],
)
def test_answer_that_was_kept_is_told_from_one_that_is_wrong(function, fails, cause):
    """The cause is given only where an earlier answer comes again."""
    right = cases([2 * given for given in NUMBERS])
    if not fails:
        expect_own_answers(function, *right)
        return
    with pytest.raises(CheckError) as caught:
        expect_own_answers(function, *right)
    assert caught.value.cause == cause


def test_one_number_says_nothing_of_an_earlier_call():
    """It may be that of another call by chance, so there is no cause."""
    given = torch.ones(1)
    cases = [
        (
            (given * times,),
            lambda got, times=times: expect_close(got, times * given, ""),
        )
        for times in (1, 2)
    ]
    with pytest.raises(CheckError) as caught:
        expect_own_answers(lambda given: torch.ones(1), *cases)
    assert caught.value.cause is None


def test_arguments_of_each_call_are_copies():
    """What the code writes into its inputs does not reach the next call."""

    def spoils(given):
        answer = 2 * given
        given.zero_()
        return answer

    expect_own_answers(spoils, *cases([2 * given for given in NUMBERS]))
    assert [given.sum() for given in NUMBERS] == [10, 24]


def test_gradient_of_one_part_of_an_answer():
    """Only this part is added up; dicts of tensors have a dict of gradients."""
    x = {"a": torch.tensor([1.0, 2]), "b": torch.tensor([3.0])}
    layer = torch.nn.Linear(1, 1)
    answer = [{"p": 0}, {"p": 0, "q": 0}]

    def call(given, factor):
        answer[0]["p"] = given["a"] * factor
        answer[1] = {"p": layer(given["b"]), "q": given["a"].detach() * factor}
        return answer

    student = DirectStudent({})
    factor = torch.tensor(4.0)
    _, (of_x, of_factor), of_layer = student.gradients(
        call, x, factor, inputs=(0, 1), module=layer, part=(0, "p")
    )
    assert of_x["a"].tolist() == [4, 4] and of_x["b"] is None and of_factor == 3
    assert of_layer == {"weight": None, "bias": None}
    _, (of_x,), of_layer = student.gradients(
        call, x, factor, inputs=(0,), module=layer, part=(1, "p")
    )
    assert of_x["a"] is None and of_layer["weight"].tolist() == [[3.0]]
    _, (of_x,), _ = student.gradients(call, x, factor, inputs=(0,), part=(1, "q"))
    assert of_x == {"a": None, "b": None}
    _, (of_x,), _ = student.gradients(call, x, factor, inputs=(0,))
    assert of_x["a"].tolist() == [4, 4] and of_x["b"] is not None
