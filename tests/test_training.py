"""The training loop and its parts, without files: rates, average, freezing, stops."""

import dataclasses
import math
import os
import signal
from typing import Any

import pytest
import torch
from torch import nn

from data_scripts.command import CourseError
from helpers.backbones import build_backbone
from helpers.improved_fcos import ImprovedFCOS
from helpers.interrupt import StoppedError
from helpers.recipes import RECIPES, Recipe, get_recipe
from helpers.training import (
    TrainingState,
    learning_rate_factor,
    make_optimizer,
    set_train_mode,
    train_loop,
    train_step,
    update_average,
)
from tests.plain_numbers import spread

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


def run_loop(state, recipe, batches, log_period=4, on_iteration=lambda: None):
    """Train and return what was logged."""
    log: list[dict] = []
    train_loop(
        state, recipe, batches, CPU, torch.float32, log_period, log.append, on_iteration
    )
    return log


# ------------------------------------------------------------ learning rate


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


# ------------------------------------------------------------ average of weights


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


# ------------------------------------------------------------ groups and freezing


@pytest.mark.parametrize("backbone", ["tiny", "resnet18", "efficientnet_lite0"])
@pytest.mark.parametrize("freeze", ["none", "norm", "early"])
def test_freeze_decides_which_parts_get_no_gradient(backbone, freeze):
    """Only "early" takes parameters out, and only those before c3."""
    recipe = get_recipe("tiny", {"freeze": freeze, "stem_channels": "[8]"})
    config = dataclasses.replace(recipe.detector, class_names=("a", "b"))
    model = ImprovedFCOS(config, build_backbone(backbone, pretrained=False))
    make_optimizer(model, recipe)
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    if freeze == "early":
        # c3 itself is learned: stage3, layer2 and block 4 make it.
        late = ("stage3", "layer2", "layer3", "blocks.4", "blocks.5", "fpn", "pred_net")
        assert frozen
        assert all(n.startswith("backbone.backbone.") for n in frozen)
        assert not [n for n in frozen if any(part in n for part in late)]
    else:
        assert not frozen
    set_train_mode(model, recipe)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert {norm.training for norm in norms} == {freeze == "none"}


def test_frozen_parameters_stay_as_they_are():
    """One step with freeze=early: the stem is the same, the head is not."""
    recipe = get_recipe("tiny", {"freeze": "early", "stem_channels": "[8]"})
    config = dataclasses.replace(recipe.detector, class_names=("a", "b"))
    model = ImprovedFCOS(config, build_backbone("tiny"))
    state = TrainingState(model, make_optimizer(model, recipe))
    set_train_mode(model, recipe)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    boxes = torch.tensor([[[8.0, 4, 50, 30, 1]]])
    batch = (("a.jpg",), spread(1, 3, 64, 64).float(), boxes)
    train_step(state, recipe, batch, CPU, torch.float32)
    changed = {
        n for n, v in model.state_dict().items() if not torch.equal(before[n], v)
    }
    assert "backbone.backbone.stem.0.weight" not in changed
    assert "backbone.backbone.stem.1.running_mean" not in changed
    assert "pred_net.pred_cls.weight" in changed


def test_optimizer_has_a_rate_of_its_own_for_the_backbone():
    """Factor 0.2 for the backbone; AdamW shrinks matrices but no biases."""
    choices = {"backbone_rate": "0.2", "weight_decay": "0.01", "freeze": "none"}
    recipe = get_recipe("cpu", choices)
    config = dataclasses.replace(recipe.detector, class_names=("a", "b"))
    model = ImprovedFCOS(config, build_backbone("tiny"))
    optimizer = make_optimizer(model, recipe)
    groups = {id(p): g for g in optimizer.param_groups for p in g["params"]}
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


# ------------------------------------------------------------ loop


def test_loop_logs_the_mean_loss_since_the_last_entry():
    """10 iterations, an entry every 4 and one for the end."""
    recipe = line_recipe(learning_rate=0.0)
    batches = [line_batches(1, float(i))[0] for i in range(10)]
    log = run_loop(line_state(recipe), recipe, batches)
    assert [entry["iteration"] for entry in log] == [4, 8, 10]
    # weight 3 times the mean of (0, 1, 2, 3), (4, 5, 6, 7) and (8, 9)
    assert [entry["loss_cls"] for entry in log] == [4.5, 16.5, 25.5]


def test_loop_that_goes_on_logs_the_mean_of_what_it_saw():
    """From iteration 3 on, the entry at 4 is the mean of one loss, not a quarter."""
    recipe = line_recipe(learning_rate=0.0)
    state = line_state(recipe)
    state.iteration = 3
    log = run_loop(state, recipe, line_batches(7))
    assert [entry["loss_cls"] for entry in log] == [3, 3, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_stops_with_the_images_named(value):
    """The message has the iteration, the images and what to try."""
    recipe = line_recipe()
    batches = [
        *line_batches(2),
        (("bad1.jpg", "bad2.jpg"), *line_batches(1, value)[0][1:]),
    ]
    state = line_state(recipe)
    with pytest.raises(CourseError) as caught:
        run_loop(state, recipe, batches)
    message = str(caught.value)
    assert "iteration 2" in message
    assert "bad1.jpg, bad2.jpg" in message
    assert "--set learning_rate=0.05" in message
    assert math.isfinite(state.model.weight.item())


def test_gradient_that_is_not_finite_stops_before_the_weights_change():
    """The square root has a finite value at 0, and no finite slope."""
    recipe = line_recipe()
    state = line_state(recipe)

    def slope(images, gt_boxes):
        return {"loss_cls": (state.model.weight.sum() * images.mean()).sqrt()}

    state.model.forward = slope
    with pytest.raises(CourseError, match=r"gradient is not .*iteration 0 .*img0\.jpg"):
        run_loop(state, recipe, line_batches(1, 0.0))
    assert state.model.weight.item() == 3


def test_ctrl_c_finishes_the_iteration_and_stops():
    """The signal comes in the middle of iteration 3; 3 iterations are whole."""
    recipe = line_recipe()
    state = line_state(recipe)

    def batches():
        for number, batch in enumerate(line_batches(10)):
            if number == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(StoppedError):
        run_loop(state, recipe, batches())
    assert state.iteration == 3
    assert state.model.calls.item() == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_second_ctrl_c_interrupts_at_once():
    """Somebody who presses twice does not want to wait."""
    recipe = line_recipe()

    def batches():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        yield from line_batches(10)

    with pytest.raises(KeyboardInterrupt):
        run_loop(line_state(recipe), recipe, batches())


def test_ctrl_c_in_the_last_iteration_changes_nothing():
    """The run is complete, so there is nothing to stop."""
    recipe = line_recipe(iterations=1)
    state = line_state(recipe)

    def batches():
        os.kill(os.getpid(), signal.SIGINT)
        yield from line_batches(1)

    run_loop(state, recipe, batches())
    assert state.iteration == 1
