"""The losses of a batch, held against those that known mistakes would give."""

from collections.abc import Callable
from typing import Any

import torch

from grader_tests.detector_parts import (
    NORMALIZER_START,
    Predictions,
    batch_losses,
    updated_normalizer,
)
from grader_tests.oracles.plain_losses import smooth_l1
from grader_tests.oracles.plain_targets import Targets
from helpers.checks.expect import expect_close

Losses = dict[str, torch.Tensor]
WITH_BOX_ONLY = "divided by the images with a box only"
CLASS_0_LOST = "class 0 is taken for background"
# Float32 sums of some hundred numbers, against float64
NEAR = 1e-4


def _mistakes(
    predictions: Predictions, targets: Targets, swapped: Targets | None
) -> dict[str, Callable[[], Losses]]:
    """Known mistake -> the three losses that it gives.

    Args:
        predictions: of the head.
        targets: the right ones.
        swapped: the targets of locations with x and y swapped.
    """
    classes = targets.classes
    batch, locations = classes.shape
    foreground = int((classes >= 0).sum())
    after = updated_normalizer(classes)
    with_box = max(int((classes >= 0).any(dim=1).sum()), 1)
    own = 0.9 * NORMALIZER_START + 0.1 * foreground / with_box

    def other(**mistake: Any) -> Callable[[], Losses]:
        return lambda: batch_losses(predictions, targets, **mistake)

    return {
        "the normalizer is updated after it divides": other(
            normalizer=NORMALIZER_START
        ),
        "the normalizer counts foreground per batch, not per image": other(
            normalizer=0.9 * NORMALIZER_START + 0.1 * foreground
        ),
        "divided by the foreground of the batch, not by the normalizer": other(
            normalizer=max(foreground, 1) / batch
        ),
        "not divided by the number of images": other(normalizer=after / batch),
        "a mean over the locations, which is divided again": other(
            normalizer=after * batch * locations
        ),
        "not divided by the normalizer": other(normalizer=1.0),
        f"{WITH_BOX_ONLY}, in the losses": other(normalizer=after * with_box / batch),
        f"{WITH_BOX_ONLY}, in the normalizer": other(normalizer=own),
        f"{WITH_BOX_ONLY}, in both": other(normalizer=own * with_box / batch),
        CLASS_0_LOST: other(lowest_class=1),
        "background locations are counted": other(
            box={"counts_background": True}, ctr={"background_target": -1.0}
        ),
        "background gets the target 0": other(ctr={"background_target": 0.0}),
        "background asks for the last class": other(cls={"background_asks": -1}),
        "background locations are left out": other(cls={"counts_background": False}),
        "alpha and 1 - alpha are swapped": other(cls={"alpha": 0.75}),
        "the factor (1 - p)^gamma is forgotten": other(cls={"gamma": 0.0}),
        "0.25 is forgotten": other(box={"factor": 1.0}),
        "smooth L1 instead of L1": other(box={"distance": smooth_l1}),
        "x and y of the locations are swapped": lambda: batch_losses(
            predictions, swapped or targets
        ),
    }


def _one_of(losses: Callable[[], Losses], name: str) -> Callable[[], torch.Tensor]:
    return lambda: losses()[name]


def expect_loss(
    name: str,
    losses: Losses,
    predictions: Predictions,
    targets: Targets,
    swapped: Targets | None = None,
) -> None:
    """One loss is that of the slow loop; where not, the known mistake is named.

    Args:
        name: of the loss.
        losses: as FCOS returned them.
        predictions, targets, swapped: see _mistakes.

    Raises:
        CheckError: the loss is another.
    """
    mistakes = _mistakes(predictions, targets, swapped)
    expect_close(
        losses[name],
        batch_losses(predictions, targets)[name],
        name,
        causes={cause: _one_of(wrong, name) for cause, wrong in mistakes.items()},
        atol=0,
        rtol=NEAR,
        check_dtype=False,
    )
