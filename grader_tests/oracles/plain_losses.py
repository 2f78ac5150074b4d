"""The three losses as slow float64 loops, right and with each known mistake.

Every function takes the right way by default; its other arguments are what a mistake
changes. Source: Lin et al., "Focal Loss", 2017, equation 5; Tian et al., "FCOS", 2019.
"""

import math
from collections.abc import Callable, Iterator

import torch

ALPHA = 0.25
GAMMA = 2.0


def _softplus(x: float) -> float:
    """ln(1 + e^x) without overflow."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sigmoid(x: float) -> float:
    return math.exp(-_softplus(-x))


def _rows(values: torch.Tensor) -> Iterator[list[float]]:
    return iter(values.detach().cpu().double().reshape(-1, values.shape[-1]).tolist())


def focal_of_logit(logit: float, answer: bool, alpha: float, gamma: float) -> float:
    """Focal loss of one yes-or-no question; alpha below 0 means no alpha."""
    cross_entropy = _softplus(-logit) if answer else _softplus(logit)
    p_wrong = _sigmoid(-logit) if answer else _sigmoid(logit)
    weight = 1.0 if alpha < 0 else (alpha if answer else 1 - alpha)
    return float(weight * p_wrong**gamma * cross_entropy)


def class_loss(
    logits: torch.Tensor,
    classes: torch.Tensor,
    *,
    alpha: float = ALPHA,
    gamma: float = GAMMA,
    lowest_class: int = 0,
    background_asks: int | None = None,
    counts_background: bool = True,
    mean: bool = False,
    sigmoid_first: bool = False,
) -> torch.Tensor:
    """(..., K) logits and (...) classes -> (...) float64.

    Args:
        lowest_class: 1 takes class 0 for background.
        background_asks: class that background says "yes" to.
        counts_background: False leaves background out.
        mean: over the classes, for their sum.
        sigmoid_first: takes the probabilities for logits.
    """
    logits = logits.double().sigmoid() if sigmoid_first else logits
    result = []
    for row, number in zip(_rows(logits), classes.reshape(-1).tolist(), strict=True):
        is_background = number < lowest_class
        yes = background_asks if is_background else int(number)
        if is_background and yes is not None:
            yes %= len(row)
        total = sum(
            focal_of_logit(v, k == yes, alpha, gamma) for k, v in enumerate(row)
        )
        total = 0.0 if is_background and not counts_background else total
        result.append(total / len(row) if mean else total)
    return torch.tensor(result, dtype=torch.float64).reshape(classes.shape)


def _absolute(x: float) -> float:
    return abs(x)


def smooth_l1(x: float) -> float:
    """Half the square up to 1, then straight."""
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def squared(x: float) -> float:
    """The square."""
    return x * x


def box_loss(
    deltas: torch.Tensor,
    targets: torch.Tensor,
    *,
    factor: float = 0.25,
    distance: Callable[[float], float] = _absolute,
    counts_background: bool = False,
) -> torch.Tensor:
    """(..., 4) and (..., 4) -> (...) float64."""
    result = []
    for row, target in zip(_rows(deltas), _rows(targets), strict=True):
        is_background = all(number == -1 for number in target)
        total = sum(distance(a - b) for a, b in zip(row, target, strict=True))
        counts = counts_background or not is_background
        result.append(factor * total if counts else 0.0)
    return torch.tensor(result, dtype=torch.float64).reshape(targets.shape[:-1])


def without_small(each: torch.Tensor, got: torch.Tensor) -> torch.Tensor:
    """Sums that leave out what is small, up to the limit that comes nearest to `got`.

    Args:
        each: (..., K), what is summed over the last dimension.
        got: (...), an answer.
    """
    small = each.flatten().sort().values[: each.numel() // 2]
    answers = [torch.where(each <= limit, 0.0, each).sum(dim=-1) for limit in small]
    return min(answers, key=lambda answer: float((answer - got).abs().max()))


def centerness_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    background_target: float | None = None,
    lowest_target: float = 0.0,
    sigmoid_first: bool = False,
) -> torch.Tensor:
    """(...) and (...) -> (...) float64.

    Args:
        background_target: target that background gets instead of no loss.
        lowest_target: what is below counts as background.
        sigmoid_first: takes the probabilities for logits.
    """
    result = []
    pairs = zip(
        logits.detach().cpu().double().reshape(-1).tolist(),
        targets.detach().cpu().double().reshape(-1).tolist(),
        strict=True,
    )
    for logit, target in pairs:
        if target < lowest_target:
            if background_target is None:
                result.append(0.0)
                continue
            target = background_target
        x = _sigmoid(logit) if sigmoid_first else logit
        result.append(target * _softplus(-x) + (1 - target) * _softplus(x))
    return torch.tensor(result, dtype=torch.float64).reshape(targets.shape)
