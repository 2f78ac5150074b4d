"""Numbers for the tests that look random and come from plain arithmetic.

No test may depend on a random generator, whose numbers change between versions.
"""

import torch

GOLDEN_RATIO = 0.6180339887498949  # multiples of it spread evenly over [0, 1)


def spread(
    *shape: int, low: float = 0.0, high: float = 1.0, start: int = 1
) -> torch.Tensor:
    """Float64 numbers between low and high, no two alike; another start, others."""
    count = int(torch.tensor(shape).prod()) if shape else 1
    index = torch.arange(start, start + count, dtype=torch.float64)
    # The square keeps rows and columns of the shape from repeating each other.
    fraction = (index * GOLDEN_RATIO + index**2 * 0.0137) % 1
    return (low + (high - low) * fraction).reshape(shape)


def spread_boxes(
    count: int, width: float, height: float, start: int = 1
) -> torch.Tensor:
    """(count, 4) float64 XYXY boxes of many shapes inside an image of that size."""
    numbers = spread(count, 4, start=start)
    box_width = 4 + numbers[:, 2] ** 2 * (width - 5)
    box_height = 4 + numbers[:, 3] ** 2 * (height - 5)
    x1 = numbers[:, 0] * (width - box_width)
    y1 = numbers[:, 1] * (height - box_height)
    return torch.stack((x1, y1, x1 + box_width, y1 + box_height), dim=1)


def fill_parameters(module: torch.nn.Module, scale: float = 0.1) -> None:
    """Set all weights and biases, so that a test knows them."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            values = spread(*parameter.shape, low=-scale, high=scale, start=number + 1)
            parameter.copy_(values)
