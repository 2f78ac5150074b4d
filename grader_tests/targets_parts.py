"""What the tests of step 11 share: configs, a batch of three images, a detector."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from core.fcos_config import PRESETS, FCOSConfig
from grader_tests.oracles.plain_matching import (
    STRIDES,
)
from grader_tests.oracles.plain_training import (
    LOSSES,
    Batch,
)
from grader_tests.oracles.step11 import NUM_CLASSES, all_locations
from grader_tests.references import load_cases
from grader_tests.tools import give
from helpers.checks import answers
from helpers.checks.expect import expect_tensor, expect_true
from helpers.checks.student import Student

# The head of a version may be built without norm and of any start: it is not asked.
VERSIONS = {
    name: replace(config, norm_groups=0, stem_start="small")
    for name, config in PRESETS.items()
}
PLAIN = replace(FCOSConfig(), norm_groups=0)
PADDING = [-1.0] * 5
LOCATIONS_OF_ALL = 69  # of five levels, in an image


def config_of(student: Student, config: FCOSConfig) -> Any:
    """A config where the student's code runs."""
    return student.fcos_published.FCOSConfig(**asdict(config))


def changed(config: FCOSConfig, **choices: Any) -> FCOSConfig:
    """A config with other choices."""
    return replace(config, **choices)


def strides_of(config: FCOSConfig) -> dict[str, int]:
    """The strides of its levels."""
    return dict(list(STRIDES.items())[: config.num_levels])


def stored_batch(config: FCOSConfig = PLAIN) -> Batch:
    """Three images of 40 x 72 pixels, one of them without boxes, in float64."""
    cases = load_cases("step11", "training_losses")
    strides = strides_of(config)
    outputs = [
        {level: cases[name][level].double() for level in strides}
        for name in ("cls", "box", "ctr")
    ]
    gt_boxes = cases["batch"]["gt_boxes"]
    return Batch(all_locations(strides), strides, outputs, gt_boxes)


def images_of(batch: Batch, chosen: list[int]) -> Batch:
    """Some images of a batch."""
    outputs = [
        {level: values[chosen] for level, values in output.items()}
        for output in batch.outputs
    ]
    return batch._replace(outputs=outputs, gt_boxes=batch.gt_boxes[chosen])


def give_levels(
    student: Student,
    levels: Mapping[str, torch.Tensor],
    dtype: torch.dtype = torch.float32,
) -> dict[str, torch.Tensor]:
    """The tensors of all levels as the code under test gets them."""
    return {level: give(student, values, dtype) for level, values in levels.items()}


def give_batch(
    student: Student, batch: Batch, dtype: torch.dtype = torch.float32
) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]], torch.Tensor]:
    """The arguments of training_losses."""
    return (
        give_levels(student, batch.locations, dtype),
        [give_levels(student, output, dtype) for output in batch.outputs],
        give(student, batch.gt_boxes, dtype),
    )


def make_published(
    student: Student, config: FCOSConfig, num_classes: int = NUM_CLASSES
) -> Any:
    """A small PublishedFCOS of a version, on the student's device."""
    fcos = student.fcos_published.PublishedFCOS(
        num_classes, 8, [8], backbone="tiny", version=config_of(student, config)
    )
    if student.device.type != "cpu":
        fcos.to(str(student.device))
    return fcos


def expect_losses(answer: Any, what: str) -> dict[str, torch.Tensor]:
    """Three scalars by name, on the CPU."""
    losses = {}
    for name, loss in answers.expect_keys(answer, LOSSES, f"names of {what}").items():
        cause = "not summed over the locations"
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            losses[name] = loss.detach().cpu().reshape(())  # NaN is told as a value
            continue
        found = expect_tensor(loss, f"{name} of {what}")
        message = f"expected one number, got shape {tuple(found.shape)}"
        is_of_each = found.numel() >= LOCATIONS_OF_ALL
        expect_true(False, f"{name} of {what}", message, cause if is_of_each else None)
    return losses


def stacked(losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(3,) float64: the losses in the order of their names."""
    return torch.stack([losses[name].double() for name in LOSSES])


def each_mistake(
    wrong: Callable[..., torch.Tensor],
    mistakes: Iterable[str],
) -> dict[str, Callable[[], torch.Tensor]]:
    """Known mistake -> what makes its answer; wrong(mistake=...) gives it."""
    return {mistake: partial(wrong, mistake=mistake) for mistake in mistakes}
