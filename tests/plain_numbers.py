"""Numbers for the tests that look random and come from plain arithmetic.

No test may depend on a random generator, whose numbers change between versions.
"""

import torch

from grader_tests.tools import spread, spread_boxes

__all__ = ["fill_parameters", "spread", "spread_boxes"]


def fill_parameters(module: torch.nn.Module, scale: float = 0.1) -> None:
    """Set all weights and biases, so that a test knows them."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            values = spread(*parameter.shape, low=-scale, high=scale, start=number + 1)
            parameter.copy_(values)
