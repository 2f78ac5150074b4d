"""The head of FCOS: layers, first values, and the flattening of maps."""

import math

import pytest
import torch
from torch import nn

from assignment.one_stage_detector import FCOSPredictionNetwork
from tests.plain_numbers import fill_parameters, spread


def features() -> dict[str, torch.Tensor]:
    """Three levels that are wider than high."""
    sizes = {"p3": (3, 5), "p4": (2, 3), "p5": (1, 2)}
    return {
        level: spread(2, 3, *size, low=-1, start=10 * size[1]).float()
        for level, size in sizes.items()
    }


def test_head_shapes_are_one_row_for_each_location():
    """(B, H * W, K), (B, H * W, 4) and (B, H * W, 1), with the keys of the input."""
    head = FCOSPredictionNetwork(7, 3, [4, 6])
    outputs = head(features())
    for output, channels in zip(outputs, (7, 4, 1), strict=True):
        shapes = {level: tuple(value.shape) for level, value in output.items()}
        expected = {"p3": (2, 15, channels), "p4": (2, 6, channels)}
        assert shapes == {**expected, "p5": (2, 2, channels)}
        assert list(output) == ["p3", "p4", "p5"]


def test_head_without_stem_convolutions_works():
    """An empty list of stem channels leaves only the predictors."""
    outputs = FCOSPredictionNetwork(2, 3, [])(features())
    assert outputs[0]["p3"].shape == (2, 15, 2)


def test_head_layers_are_convolutions_and_relus_in_turn():
    """Each entry of stem_channels is a 3x3 convolution and a ReLU, in both stems."""
    head = FCOSPredictionNetwork(7, 3, [4, 6])
    for stem in (head.stem_cls, head.stem_box):
        assert [type(layer) for layer in stem] == [nn.Conv2d, nn.ReLU] * 2
        assert [(conv.in_channels, conv.out_channels) for conv in stem[::2]] == [
            (3, 4),
            (4, 6),
        ]
    predictors = {head.pred_cls: 7, head.pred_box: 4, head.pred_ctr: 1}
    for predictor, channels in predictors.items():
        assert (predictor.in_channels, predictor.out_channels) == (6, channels)
    convs = [module for module in head.modules() if isinstance(module, nn.Conv2d)]
    assert all(conv.kernel_size == (3, 3) and conv.padding == (1, 1) for conv in convs)


def test_head_starts_with_small_weights_and_zero_biases():
    """N(0, 0.01): of 200,000 weights the deviation is known to better than 1 %."""
    head = FCOSPredictionNetwork(20, 64, [128, 128])
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            if module is not head.pred_cls:
                assert not module.bias.any()
            weight = module.weight.detach()
            if weight.numel() > 50_000:
                # 1 / sqrt(2 * 50,000) is 0.3 % for one standard error
                assert float(weight.std()) == pytest.approx(0.01, rel=0.02)
                assert abs(float(weight.mean())) < 3e-4


def test_head_starts_with_one_percent_for_each_class():
    """The bias of the class predictor is -ln 99, whose sigmoid is 0.01."""
    head = FCOSPredictionNetwork(5, 8, [8])
    expected = torch.full((5,), -math.log(99))
    torch.testing.assert_close(head.pred_cls.bias, expected)
    zeros = {"p3": torch.zeros(1, 8, 2, 3)}
    probability = head(zeros)[0]["p3"].sigmoid()
    torch.testing.assert_close(probability, torch.full((1, 6, 5), 0.01))


def test_head_row_is_the_location_row_times_width_plus_column():
    """Row 1 * 5 + 2 of a 3 x 5 map is what the predictor says at row 1, column 2."""
    head = FCOSPredictionNetwork(7, 3, [4])
    fill_parameters(head, scale=0.5)
    maps = features()
    stem_cls, stem_box = head.stem_cls(maps["p3"]), head.stem_box(maps["p3"])
    # Centerness reads the stem of the boxes, not that of the classes.
    expected = (
        head.pred_cls(stem_cls)[:, :, 1, 2],
        head.pred_box(stem_box)[:, :, 1, 2],
        head.pred_ctr(stem_box)[:, :, 1, 2],
    )
    for output, value in zip(head(maps), expected, strict=True):
        # One convolution on the same numbers; float32 sums of about 40 terms.
        torch.testing.assert_close(output["p3"][:, 7], value, rtol=0, atol=1e-5)


def test_head_outputs_are_raw_numbers():
    """No sigmoid inside: logits go below 0 and above 1, deltas too."""
    head = FCOSPredictionNetwork(7, 3, [4])
    fill_parameters(head, scale=3.0)
    for output in head(features()):
        assert float(output["p3"].detach().min()) < 0
        assert float(output["p3"].detach().max()) > 1


def test_head_of_a_batch_equals_its_single_images():
    """Images of a batch do not see each other."""
    head = FCOSPredictionNetwork(4, 3, [4]).double()
    fill_parameters(head, scale=0.5)
    maps = {level: value.double() for level, value in features().items()}
    together = head(maps)
    for b in range(2):
        alone = head({level: value[b : b + 1] for level, value in maps.items()})
        for whole, single in zip(together, alone, strict=True):
            for level in maps:
                torch.testing.assert_close(whole[level][b : b + 1], single[level])
