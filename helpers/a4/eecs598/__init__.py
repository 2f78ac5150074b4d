"""What cells of EECS 498's assignment 4 import from `eecs598`."""

import random

import torch


def reset_seed(number: int) -> None:
    """Start Python's and torch's random generators anew."""
    random.seed(number)
    torch.manual_seed(number)
