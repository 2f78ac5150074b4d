"""Why a detector does not find what it was trained on, found out by small questions."""

from collections.abc import Callable

import torch

from grader_tests.head_parts import make_head
from grader_tests.tools import give
from helpers.checks.answers import expect_state
from helpers.checks.expect import CheckError, any_of, expect_tensor
from helpers.checks.student import Student

CLASS_0_LOST = "class 0 is taken for background"
SWAPPED = "x and y of the locations are swapped"
RESHAPED = "reshape instead of permute: channels and places are mixed"
# Two channels, H = 2, W = 3.
FEATURES = torch.arange(12.0).reshape(1, 2, 2, 3)


def cause_of_learning_wrong(student: Student) -> str | None:
    """Each known mistake is looked for where it is made."""
    questions: dict[str, Callable[[Student], bool]] = {
        CLASS_0_LOST: _loses_class_0,
        SWAPPED: _swaps_x_and_y,
        RESHAPED: _reshapes,
    }
    return any_of(
        cause for cause, is_so in questions.items() if _answer(is_so, student)
    )


def _answer(is_so: Callable[[Student], bool], student: Student) -> bool:
    """The answer; where the code cannot be asked, nothing is known."""
    try:
        return is_so(student)
    except CheckError:
        return False


def _loses_class_0(student: Student) -> bool:
    """The loss of class 0 is that of background."""
    loss = student.one_stage_detector.fcos_classification_loss
    logits = give(student, torch.tensor([[3.0, -2.0]]))
    answers = [
        expect_tensor(loss(logits, torch.tensor([k], device=student.device)), "loss")
        for k in (0, -1)
    ]
    return torch.equal(*answers)


def _swaps_x_and_y(student: Student) -> bool:
    coords = student.common.get_fpn_location_coords
    got = expect_tensor(coords({"p3": (1, 8, 1, 3)}, {"p3": 8})["p3"], "locations")
    return got.tolist() == [[4, 4], [4, 12], [4, 20]]


def _reshapes(student: Student) -> bool:
    """The class logits of a head that passes its maps on."""
    head = make_head(student, 2, 2, [2, 2])
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    for name, old in state.items():
        state[name] = torch.zeros_like(old)
        if old.dim() == 4 and name.startswith(("stem_cls", "pred_cls")):
            state[name][:, :, 1, 1] = torch.eye(2).to(old)
    head.load_state_dict(state)
    got = expect_tensor(head({"p3": give(student, FEATURES)})[0]["p3"], "class logits")
    return torch.equal(got, FEATURES.reshape(1, 6, 2))
