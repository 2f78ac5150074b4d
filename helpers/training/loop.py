"""The training loop: any detector that returns a dict of losses, on any batches."""

import contextlib
import ctypes
import math
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from core.command import CourseError
from core.course import read_registry
from core.interrupt import StoppedError, StopRequest
from helpers.data.stream import until_stopped
from helpers.training.recipes import Recipe

MOMENTUM = 0.9
STEP_DECAY = 0.1
FINAL_RATE = 0.01  # share of the learning rate that cosine ends with
# Parameters of the backbones' parts before c3, by the start of their names.
EARLY_PARTS = (
    "conv_stem.",
    "bn0.",
    "blocks.0.",
    "blocks.1.",
    "blocks.2.",
    "stem.",
    "trunk_output.block1.",
    "conv1.",
    "bn1.",
    "layer1.",
)
C3_PARTS = ("blocks.3.", "blocks.4.", "trunk_output.block2.", "layer2.", "stage3.")
FROZEN_PARTS = {"early": EARLY_PARTS, "c3": EARLY_PARTS + C3_PARTS}
# Numbers of glibc's mallopt, from its malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
NEVER = -1
TOP_PAD_BYTES = 64 * 2**20
TRIALS = 3
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class TrainingState:
    """All that changes during a run.

    Attributes:
        average: running mean of the weights, or None where the recipe keeps none.
        iteration: number of finished iterations.
        loss_sums: of the losses since the last line of the log.
        loss_count: iterations in these sums.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, torch.Tensor] | None = None
    iteration: int = 0
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_count: int = 0


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer, with a learning rate of its own for the backbone."""
    freeze_early_parts(model, recipe)
    body = body_path(recipe)
    groups = []
    trained = [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    ]
    for in_backbone in (True, False):
        factor = recipe.backbone_rate if in_backbone else 1.0
        own = [
            parameter
            for name, parameter in trained
            if name.startswith(f"{body}.") == in_backbone
        ]
        # AdamW shrinks weights, not biases and norms; SGD here shrinks all.
        shrunk = [
            parameter
            for parameter in own
            if parameter.dim() > 1 or recipe.optimizer == "sgd"
        ]
        others = [
            parameter
            for parameter in own
            if not (parameter.dim() > 1 or recipe.optimizer == "sgd")
        ]
        for parameters, decay in ((shrunk, recipe.weight_decay), (others, 0.0)):
            if parameters:
                rate = {"factor": factor, "lr": 0.0, "weight_decay": decay}
                groups.append({"params": parameters, **rate})
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=MOMENTUM)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0)
    raise CourseError(f"optimizer {recipe.optimizer!r} is neither sgd nor adamw")


def body_path(recipe: Recipe) -> str:
    """Where in the detector the backbone's own layers are, as course.toml says.

    Raises:
        CourseError: the recipe treats them apart, and the detector has none.
    """
    path = read_registry().detectors[recipe.detector.model].body
    if not path and (recipe.freeze != "none" or recipe.backbone_rate != 1):
        raise CourseError(
            f"the detector {recipe.detector.model} has no backbone to freeze or to "
            "train more slowly; add --set freeze=none --set backbone_rate=1"
        )
    return path


def freeze_early_parts(model: nn.Module, recipe: Recipe) -> None:
    """No gradient for the backbone's first layers, where the recipe says so."""
    frozen = FROZEN_PARTS.get(recipe.freeze, ())
    if not frozen:
        return
    for name, parameter in model.get_submodule(body_path(recipe)).named_parameters():
        if name.startswith(frozen):
            parameter.requires_grad_(False)


def set_train_mode(model: nn.Module, recipe: Recipe) -> None:
    """Training mode; frozen batch norm goes on using its stored statistics."""
    model.train()
    if recipe.freeze != "none":
        for module in model.get_submodule(body_path(recipe)).modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def learning_rate_factor(recipe: Recipe, iteration: int) -> float:
    """Share of the recipe's learning rate that iteration (from 0) uses."""
    if iteration < recipe.warmup:
        return (iteration + 1) / (recipe.warmup + 1)
    if recipe.schedule == "steps":
        passed = sum(
            iteration >= step * recipe.iterations for step in recipe.rate_steps
        )
        return STEP_DECAY**passed
    done = (iteration - recipe.warmup) / max(1, recipe.iterations - recipe.warmup)
    return FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * done)) / 2


def update_average(state: TrainingState, decay: float) -> None:
    """Move the averaged weights towards the current ones; quickly at first."""
    current = state.model.state_dict()
    if state.average is None:
        state.average = {name: value.clone() for name, value in current.items()}
        return
    decay = min(decay, (1 + state.iteration) / (10 + state.iteration))
    for name, value in current.items():
        if value.is_floating_point():
            state.average[name].lerp_(value, 1 - decay)
        else:
            state.average[name].copy_(value)


def check_finite(
    what: str,
    values: Iterable[float],
    iteration: int,
    recipe: Recipe,
    paths: Sequence[str],
) -> None:
    """Raise a CourseError with iteration and images where a value is not finite."""
    if all(math.isfinite(value) for value in values):
        return
    raise CourseError(
        f"the {what} is not a finite number any more at iteration {iteration} with the "
        f"images {', '.join(paths)}; try a lower learning rate (--set learning_rate="
        f"{recipe.learning_rate / 2:g}) or check these images"
    )


def train_step(
    state: TrainingState,
    recipe: Recipe,
    batch: tuple,
    device: torch.device,
    precision: torch.dtype,
) -> dict[str, float]:
    """One iteration.

    Args:
        batch: paths, images (B, 3, S, S), boxes (B, M, 5).

    Returns:
        The losses of the batch.

    Raises:
        CourseError: a loss or the gradient is not finite; the images are named.
    """
    paths, images, gt_boxes = batch
    images = images.to(device, non_blocking=True)
    images = images.contiguous(memory_format=torch.channels_last)
    gt_boxes = gt_boxes.to(device, non_blocking=True)
    rate = recipe.learning_rate * learning_rate_factor(recipe, state.iteration)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group["factor"]
    reduced = precision != torch.float32
    with torch.autocast(device.type, dtype=precision, enabled=reduced):
        losses = state.model(images, gt_boxes)
    total = torch.stack(list(losses.values())).sum()
    values = {name: float(value.detach()) for name, value in losses.items()}
    check_finite("loss", values.values(), state.iteration, recipe, paths)
    state.optimizer.zero_grad(set_to_none=True)
    total.backward()
    largest = recipe.clip_norm if recipe.clip_norm > 0 else math.inf
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), largest)
    check_finite("gradient", [float(norm)], state.iteration, recipe, paths)
    state.optimizer.step()
    state.iteration += 1
    if recipe.average > 0:
        update_average(state, recipe.average)
    return values


def train_loop(
    state: TrainingState,
    recipe: Recipe,
    batches: Iterable,
    device: torch.device,
    precision: torch.dtype,
    *,
    log_period: int,
    on_log: Callable[[dict], None],
    on_iteration: Callable[[], None] = lambda: None,
    stop: StopRequest | None = None,
) -> None:
    """Train until recipe.iterations, with a progress bar.

    Args:
        log_period: iterations between calls of on_log.
        on_log: gets the iteration, the mean losses since the last call and the rate.
        on_iteration: called after each iteration, behind on_log.
        stop: listens to signals already; default: only in here.

    Raises:
        StoppedError: a signal, as of Ctrl-C; the iteration it came in is done.
        CourseError: a loss is not a finite number.
    """
    set_train_mode(state.model, recipe)
    bar = tqdm(
        initial=state.iteration,
        total=recipe.iterations,
        desc=f"train {recipe.name}",
        unit="it",
        dynamic_ncols=True,
        mininterval=1.0,
    )
    listening = StopRequest() if stop is None else contextlib.nullcontext(stop)
    with (
        bar,
        listening as request,
        contextlib.closing(until_stopped(batches, request)) as stream,
    ):
        for batch in stream:
            values = train_step(state, recipe, batch, device, precision)
            for name, value in values.items():
                state.loss_sums[name] = state.loss_sums.get(name, 0.0) + value
            state.loss_count += 1
            bar.update()
            is_last = state.iteration == recipe.iterations
            if state.iteration % log_period == 0 or is_last:
                means = {
                    name: total / state.loss_count
                    for name, total in state.loss_sums.items()
                }
                bar.set_postfix(
                    {
                        name.removeprefix("loss_"): f"{mean:.3f}"
                        for name, mean in means.items()
                    }
                )
                state.loss_sums, state.loss_count = {}, 0
                rate = state.optimizer.param_groups[-1]["lr"]
                on_log({"iteration": state.iteration, **means, "learning_rate": rate})
            on_iteration()
            if request.requested and not is_last:
                raise StoppedError


def keep_freed_memory() -> bool:
    """Let the process keep the memory of freed tensors; True where that is possible.

    A training step makes and frees the same large tensors each time. glibc asks the
    operating system for every one of them and gives it back, and each page is zeroed
    again at its first use: a tenth of a step on a processor. Kept, the process stays as
    large as its largest step. Other systems' memory managers are left as they are.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    wanted = (
        (M_TRIM_THRESHOLD, NEVER),
        (M_MMAP_MAX, 0),
        (M_TOP_PAD, TOP_PAD_BYTES),
    )
    return all(mallopt(number, value) == 1 for number, value in wanted)


def faster_precision(device: torch.device) -> str:
    """The name in PRECISIONS in which a convolution runs faster on this device.

    Measured, because it is not to be guessed: bfloat16 halves the time of a step on
    GPUs and on processors made for it; on others it is emulated and ten times slower.
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    if device.type != "cpu":
        return "float32"
    times = {name: _convolution_time(dtype) for name, dtype in PRECISIONS.items()}
    return min(times, key=lambda name: times[name])


def _convolution_time(dtype: torch.dtype) -> float:
    images = torch.ones(4, 64, 32, 32, dtype=dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, dtype=dtype)
    F.conv2d(images, weight, padding=1)
    times = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        F.conv2d(images, weight, padding=1)
        times.append(time.perf_counter() - start)
    return min(times)
