"""A model of one weight, to train in a moment."""

import dataclasses
from typing import Any

import torch
from torch import nn

from helpers.training.loop import (
    TrainingState,
    make_optimizer,
    train_loop,
)
from helpers.training.recipes import RECIPES, Recipe

CPU = torch.device("cpu")


class Line(nn.Module):
    """A "detector" with one weight; its loss is the weight times the images' mean."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[3.0]]))
        self.register_buffer("calls", torch.tensor(0))
        self.backbone = nn.Module()
        self.backbone.backbone = nn.Identity()

    def forward(self, images, gt_boxes):
        self.calls += 1
        return {"loss_cls": self.weight.sum() * images.mean()}


def line_recipe(**changes: Any) -> Recipe:
    """Plain steps of SGD at rate 0.1."""
    recipe = dataclasses.replace(
        RECIPES["a4"], iterations=10, learning_rate=0.1, weight_decay=0.0
    )
    return dataclasses.replace(recipe, **changes)


def line_state(recipe: Recipe) -> TrainingState:
    """A fresh model with its optimizer."""
    model = Line()
    return TrainingState(model, make_optimizer(model, recipe))


def line_batches(count: int, value: float = 1.0) -> list[tuple]:
    """Batches of one image that has this value everywhere."""
    image = torch.full((1, 3, 2, 2), value)
    return [((f"img{i}.jpg",), image, torch.zeros(1, 0, 5)) for i in range(count)]


def run_loop(state, recipe, batches):
    """Train and return what was logged."""
    log: list[dict] = []
    train_loop(
        state,
        recipe,
        batches,
        CPU,
        torch.float32,
        log_period=4,
        on_log=log.append,
    )
    return log
