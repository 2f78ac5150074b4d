"""The parts of training, without files: rates, average, freezing, optimizers."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from core.command import CourseError
from helpers.models.detector import build_detector
from helpers.training.loop import (
    TrainingState,
    learning_rate_factor,
    make_optimizer,
    set_train_mode,
    train_step,
    update_average,
)
from helpers.training.recipes import DetectorConfig, get_recipe
from tests.line_model import CPU, line_batches, line_recipe, line_state, run_loop
from tests.plain_numbers import spread


@pytest.mark.parametrize(
    ("iteration", "factor"),
    [(0, 1), (5399, 1), (5400, 0.1), (8099, 0.1), (8100, 0.01), (8999, 0.01)],
)
def test_rate_of_steps_drops_at_60_and_at_90_percent(iteration, factor):
    """Recipe a4: 9,000 iterations, times 0.1 at 5,400 and at 8,100."""
    got = learning_rate_factor(get_recipe("a4"), iteration)
    assert got == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("iteration", "factor"),
    [
        (0, 1 / 11),  # the first step is small, but not nothing
        (4, 5 / 11),
        (9, 10 / 11),
        (10, 1.0),
        (60, 0.505),  # half of the way down from 1 to 0.01
        (110, 0.01),
    ],
)
def test_rate_of_cosine_rises_and_falls(iteration, factor):
    """10 iterations up, 100 iterations down to a hundredth."""
    recipe = line_recipe(schedule="cosine", warmup=10, iterations=110)
    assert learning_rate_factor(recipe, iteration) == pytest.approx(factor, rel=1e-12)


def test_rate_of_a_quarter_of_cosine_by_hand():
    """0.01 + 0.99 * (1 + cos 45 degrees) / 2."""
    recipe = line_recipe(schedule="cosine", iterations=100)
    expected = 0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2
    assert learning_rate_factor(recipe, 25) == pytest.approx(expected, rel=1e-12)


def test_step_uses_the_rate_of_its_iteration():
    """SGD with gradient 2 and rate 0.1 moves 3 to 2.8."""
    recipe = line_recipe()
    state = line_state(recipe)
    losses = train_step(state, recipe, line_batches(1, 2.0)[0], CPU, torch.float32)
    assert losses == {"loss_cls": 6.0}
    assert state.model.weight.item() == pytest.approx(2.8, abs=1e-6)
    assert state.iteration == 1


def test_clip_norm_shortens_a_long_gradient():
    """Gradient 50 clipped to 0.5 moves 3 by 0.05."""
    recipe = line_recipe(clip_norm=0.5)
    state = line_state(recipe)
    train_step(state, recipe, line_batches(1, 50.0)[0], CPU, torch.float32)
    assert state.model.weight.item() == pytest.approx(2.95, abs=1e-4)


def test_average_of_weights_by_hand():
    """Iteration i keeps min(decay, (1 + i) / (10 + i)) of the old average."""
    state = line_state(line_recipe())
    expected = 0.0
    for iteration, weight in enumerate((4.0, 6.0, 1.0), start=1):
        state.iteration = iteration
        nn.init.constant_(state.model.weight, weight)
        update_average(state, decay=0.2)
        # 3/12 and 4/13 are more than 0.2, so 0.2 counts from the second on
        expected = weight if iteration == 1 else 0.2 * expected + 0.8 * weight
        assert state.average is not None
        assert state.average["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_average_follows_quickly_at_first():
    """At iteration 2 a decay of 0.999 counts as 3/12."""
    state = line_state(line_recipe())
    state.iteration = 1
    update_average(state, 0.999)
    state.iteration = 2
    nn.init.constant_(state.model.weight, 7.0)
    update_average(state, 0.999)
    assert state.average is not None
    assert state.average["weight"].item() == pytest.approx(3 * 0.25 + 7 * 0.75)


def test_average_takes_counters_as_they_are():
    """Whole numbers, such as batch norm's counter, are not averaged."""
    recipe = line_recipe(average=0.9)
    state = line_state(recipe)
    run_loop(state, recipe, line_batches(3))
    assert state.average is not None
    assert state.average["calls"].item() == 3


def make_model(config: DetectorConfig, backbone: str) -> nn.Module:
    """The recipe's detector on this backbone, from random start."""
    config = dataclasses.replace(config, backbone=backbone)
    return build_detector(config, pretrained=False)


@pytest.mark.parametrize("backbone", ["tiny", "resnet18", "efficientnet_lite0"])
@pytest.mark.parametrize("freeze", ["none", "norm", "early", "c3"])
def test_freeze_decides_which_parts_get_no_gradient(backbone, freeze):
    """Only "early" (before c3) and "c3" (what makes it, too) take parameters out."""
    recipe = get_recipe("tiny", {"freeze": freeze, "stem_channels": "[8]"})
    config = dataclasses.replace(recipe.detector, class_names=("a", "b"))
    model = make_model(config, backbone)
    make_optimizer(model, recipe)
    frozen = [
        name
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    ]
    if freeze in ("early", "c3"):
        makes_c3 = ("stage3", "layer2", "blocks.3.", "blocks.4")
        late = ("stage4", "layer3", "blocks.5", "fpn", "pred_net")
        assert frozen
        is_c3_frozen = [
            name for name in frozen if any(part in name for part in makes_c3)
        ]
        assert bool(is_c3_frozen) == (freeze == "c3")
        assert all(name.startswith("backbone.backbone.") for name in frozen)
        assert not [name for name in frozen if any(part in name for part in late)]
    else:
        assert not frozen
    set_train_mode(model, recipe)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert {norm.training for norm in norms} == {freeze == "none"}


def test_frozen_parameters_stay_as_they_are():
    """One step with freeze=early: the stem is the same, the head is not."""
    recipe = get_recipe("tiny", {"freeze": "early", "stem_channels": "[8]"})
    config = dataclasses.replace(recipe.detector, class_names=("a", "b"))
    model = make_model(config, "tiny")
    state = TrainingState(model, make_optimizer(model, recipe))
    set_train_mode(model, recipe)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    boxes = torch.tensor([[[8.0, 4, 50, 30, 1]]])
    batch = (("a.jpg",), spread(1, 3, 64, 64).float(), boxes)
    train_step(state, recipe, batch, CPU, torch.float32)
    changed = {
        name
        for name, value in model.state_dict().items()
        if not torch.equal(before[name], value)
    }
    assert "backbone.backbone.stem.0.weight" not in changed
    assert "backbone.backbone.stem.1.running_mean" not in changed
    assert "pred_net.pred_cls.weight" in changed


def test_optimizer_has_a_rate_of_its_own_for_the_backbone():
    """Factor 0.2 for the backbone; AdamW shrinks matrices but no biases."""
    choices = {"backbone_rate": "0.2", "weight_decay": "0.01", "freeze": "none"}
    recipe = get_recipe("cpu", choices)
    config = dataclasses.replace(recipe.detector, class_names=("a", "b"))
    model = make_model(config, "tiny")
    optimizer = make_optimizer(model, recipe)
    groups = {
        id(parameter): group
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(groups) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        group = groups[id(parameter)]
        in_backbone = name.startswith("backbone.backbone.")
        assert group["factor"] == (0.2 if in_backbone else 1.0)
        assert group["weight_decay"] == (0.01 if parameter.dim() > 1 else 0.0)


def test_unknown_optimizer_is_an_error():
    """Also where the recipe was not made by get_recipe."""
    with pytest.raises(CourseError, match="neither sgd nor adamw"):
        line_state(line_recipe(optimizer="adam"))
