"""The whole detector: normalizer, losses of a batch, gradients."""

import math

import pytest
import torch
from torch import nn

from assignment.one_stage_detector import FCOS
from core.backbones.build import build_backbone
from tests.plain_numbers import fill_parameters, spread

NUM_CLASSES = 3
PADDING = [-1.0] * 5
# One image without boxes, one with two and padding; 64 x 96 pixels.
GT_BOXES = torch.tensor(
    [[PADDING] * 3, [[10.0, 6, 50, 30, 2], [30.0, 20, 90, 60, 0], PADDING]]
)


class ThreePools(nn.Module):
    """A backbone without anything learned but one factor: fast, and float64 works."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, images):
        pooled = nn.functional.avg_pool2d(images * self.factor, 8, ceil_mode=True)
        c4 = nn.functional.avg_pool2d(pooled, 2, ceil_mode=True)
        c5 = nn.functional.avg_pool2d(c4, 2, ceil_mode=True)
        return {"c3": pooled, "c4": c4, "c5": c5}


def small_fcos() -> FCOS:
    """FCOS with a handful of weights, all of them set by arithmetic."""
    model = FCOS(NUM_CLASSES, 4, [5], ThreePools())
    fill_parameters(model.backbone.fpn_params, scale=0.4)
    fill_parameters(model.pred_net, scale=0.4)
    return model


def images() -> torch.Tensor:
    """(2, 3, 64, 96) float32."""
    return spread(2, 3, 64, 96, low=-2, high=2).float()


def zero_outputs(model: FCOS) -> None:
    """Let the head answer 0 everywhere."""
    head = model.pred_net
    for predictor in (head.pred_cls, head.pred_box, head.pred_ctr):
        for parameter in predictor.parameters():
            nn.init.zeros_(parameter)


def slow_zero_losses(gt_boxes: torch.Tensor) -> tuple[list[float], int]:
    """Sums of the three losses where all outputs are 0, and the foreground count."""
    focal, box, centerness, foreground = 0.0, 0.0, 0.0, 0
    levels = ((8, 0, 64), (16, 64, 128), (32, 128, math.inf))
    for rows in gt_boxes.double().tolist():
        for stride, low, high in levels:
            for i in range(math.ceil(64 / stride)):
                for j in range(math.ceil(96 / stride)):
                    x, y = (j + 0.5) * stride, (i + 0.5) * stride
                    best = None
                    for x1, y1, x2, y2, class_id in rows:
                        ltrb = (x - x1, y - y1, x2 - x, y2 - y)
                        fits = min(ltrb) > 0 and low < max(ltrb) <= high
                        area = (x2 - x1) * (y2 - y1)
                        if class_id >= 0 and fits and (not best or area < best[0]):
                            best = (area, ltrb)
                    # p = 0.5: alpha * 0.5^2 * ln 2, alpha .25 for "yes", .75 for "no"
                    no, yes = 0.75 * 0.25 * math.log(2), 0.25 * 0.25 * math.log(2)
                    focal += NUM_CLASSES * no + (yes - no if best else 0)
                    if best:
                        foreground += 1
                        box += sum(best[1]) / stride / 4
                        centerness += math.log(2)  # for any target
    return [focal, box, centerness], foreground


def test_fcos_of_a_batch_without_any_box_has_finite_losses():
    """Two images of background: classes learn, box and centerness are 0."""
    losses = small_fcos()(images(), torch.full((2, 4, 5), -1.0))
    assert losses["loss_cls"].item() > 0
    assert losses["loss_box"].item() == 0
    assert losses["loss_ctr"].item() == 0
    sum(losses.values()).backward()


def test_fcos_of_a_batch_without_any_row_has_finite_losses():
    """(B, 0, 5) boxes: not even padding."""
    losses = small_fcos()(images(), torch.zeros(2, 0, 5))
    assert all(math.isfinite(value.item()) for value in losses.values())
    assert losses["loss_box"].item() == 0


def test_normalizer_starts_at_150_and_is_part_of_the_state():
    """A buffer: saved with the weights, moved with them, not trained."""
    model = small_fcos()
    assert float(model._normalizer) == 150
    assert float(model.state_dict()["_normalizer"]) == 150
    assert "_normalizer" not in dict(model.named_parameters())


def test_normalizer_follows_the_foreground_count():
    """0.9 * 150 + 0.1 * 40 / 2 = 137, then 0.9 * 137 + 0.1 * 0 = 123.3."""
    model = small_fcos()
    model.update_normalizer(torch.tensor(40), 2)
    assert float(model._normalizer) == pytest.approx(137, abs=1e-4)
    model.update_normalizer(torch.tensor(0), 2)
    assert float(model._normalizer) == pytest.approx(123.3, abs=1e-4)


def test_losses_of_zero_outputs_equal_a_slow_loop():
    """All logits 0: the losses follow from the targets, with the updated normalizer."""
    model = small_fcos()
    zero_outputs(model)
    sums, foreground = slow_zero_losses(GT_BOXES)
    assert foreground > 10
    normalizer = 0.9 * 150 + 0.1 * foreground / 2  # updated before it divides
    losses = model(images(), GT_BOXES)
    assert list(losses) == ["loss_cls", "loss_box", "loss_ctr"]
    for value, expected in zip(losses.values(), sums, strict=True):
        # float32 sums of 126 locations
        assert float(value.detach()) == pytest.approx(
            expected / (normalizer * 2), rel=1e-5
        )
    assert float(model._normalizer) == pytest.approx(normalizer, rel=1e-6)


def test_losses_of_a_batch_are_the_mean_of_its_single_images():
    """With the normalizer held, two images give the mean of their losses."""
    single = []
    for b in (slice(0, 1), slice(1, 2), slice(0, 2)):
        model = small_fcos()
        model.update_normalizer = lambda *_: None
        single.append(model(images()[b], GT_BOXES[b]))
    for name in single[0]:
        mean = (single[0][name] + single[1][name]) / 2
        torch.testing.assert_close(single[2][name], mean, rtol=1e-5, atol=0)


def test_targets_of_a_batch_have_the_classes_and_shapes():
    """(B, N), (B, N, 4), (B, N); all levels one after the other."""
    model = small_fcos()
    locations = model.locations(model.backbone(images()))
    classes, deltas, centerness = model.make_targets(locations, GT_BOXES)
    count = 8 * 12 + 4 * 6 + 2 * 3
    assert (classes.shape, centerness.shape) == ((2, count), (2, count))
    assert deltas.shape == (2, count, 4)
    assert (classes[0] == -1).all()
    assert sorted(set(classes[1].tolist())) == [-1, 0, 2]
    assert torch.equal(classes == -1, centerness == -1)
    # row 1, column 2 of p3 is (20, 12) in the first box
    assert classes[1, 1 * 12 + 2] == 2
    assert deltas[1, 1 * 12 + 2].tolist() == [10 / 8, 6 / 8, 30 / 8, 18 / 8]


def test_gradients_reach_every_parameter():
    """Backbone, pyramid and all layers of the head learn from one batch."""
    model = FCOS(NUM_CLASSES, 8, [8], build_backbone("tiny"))
    # Large enough for all levels: the second image has a box for p5.
    boxes = torch.tensor([[PADDING] * 2, [[4.0, 4, 60, 40, 1], [8.0, 2, 186, 120, 0]]])
    losses = model(spread(2, 3, 128, 192, low=-2, high=2).float(), boxes)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


def test_training_changes_no_input():
    """Images and boxes are the same after a step."""
    batch, boxes = images(), GT_BOXES.clone()
    before = batch.clone()
    small_fcos()(batch, boxes)
    assert torch.equal(batch, before)
    assert torch.equal(boxes, GT_BOXES)


def test_training_without_boxes_is_an_error():
    """While it trains, FCOS says what it needs."""
    with pytest.raises(ValueError, match="needs gt_boxes"):
        small_fcos()(images())


def test_losses_in_bfloat16_are_finite_and_close():
    """Autocast rounds the convolutions to 8 bits; targets and losses stay float32."""
    expected = small_fcos()(images(), GT_BOXES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = small_fcos()(images(), GT_BOXES)
    for name, value in losses.items():
        assert value.dtype == torch.float32
        # 2^-8 of each number, through four layers
        torch.testing.assert_close(value, expected[name], rtol=0.03, atol=0)


def test_losses_in_float64_stay_float64():
    """Dtype follows the input."""
    model = small_fcos().double()
    losses = model(images().double(), GT_BOXES.double())
    assert {value.dtype for value in losses.values()} == {torch.float64}


def test_a_few_steps_of_training_lower_the_loss():
    """The loss times the normalizer falls; the normalizer itself falls from 150."""
    model = small_fcos()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    history = []
    for _ in range(10):
        total = sum(model(images(), GT_BOXES).values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(float((total * model._normalizer).detach()))
    assert history[-1] < 0.9 * history[0]
