"""Step 10: coarser levels, stems with group norm, the head; by loops over numbers."""

import math

import torch

from grader_tests.oracles import slow

BATCH = 2
TOP_CHANNELS = 3
# Rows, columns; p5 has odd numbers of both, so that halves are rounded up.
TOP_SIZES = {"p3": (6, 4), "p4": (3, 2), "p5": (5, 7)}
STEM_IN, STEM_WIDTHS, STEM_GROUPS = 3, (4, 6), 2
STEM_SIZE = (4, 5)
NUM_CLASSES, HEAD_IN, HEAD_WIDTHS, HEAD_GROUPS = 3, 4, (4, 4), 2
HEAD_SIZES = {"p3": (3, 5), "p4": (2, 3), "p5": (1, 2)}
PREDICTORS = {"cls": NUM_CLASSES, "box": 4, "ctr": 1}
EPS = 1e-5  # of group norm, PyTorch's own
LARGEST = 1000.0  # strides or pixels
Weights = dict[str, torch.Tensor]


def make(generator: torch.Generator) -> Weights:
    """Inputs, weights, and what right solutions answer."""
    return {
        **make_top(generator),
        **make_stem(generator),
        **make_head(generator),
    }


def layer(generator: torch.Generator, *shape: int) -> Weights:
    """Weight and bias of a convolution."""
    return {
        "weight": slow.random(generator, *shape, low=-0.6, high=0.6),
        "bias": slow.random(generator, shape[0], low=-0.5, high=0.5),
    }


def norm(generator: torch.Generator, channels: int) -> Weights:
    """Weight and bias of a group norm, other ones than those it starts with."""
    return {
        "weight": slow.random(generator, channels, low=0.5, high=1.5),
        "bias": slow.random(generator, channels, low=-0.5, high=0.5),
    }


def every_second(x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """A 3x3 convolution with padding 1 and stride 2."""
    same_size = slow.convolution(x, weights["weight"], weights["bias"])
    return same_size[:, :, ::2, ::2]


def make_top(generator: torch.Generator) -> Weights:
    """Maps, the weights of p6 and p7, and the two maps that they give."""
    features = {
        level: slow.random(generator, BATCH, TOP_CHANNELS, *size, low=-1.0)
        for level, size in TOP_SIZES.items()
    }
    layers = {
        level: layer(generator, TOP_CHANNELS, TOP_CHANNELS, 3, 3)
        for level in ("p6", "p7")
    }
    p6 = every_second(features["p5"], layers["p6"])
    p7 = every_second(p6.clamp(min=0), layers["p7"])
    return {
        **{f"top.features.{level}": value for level, value in features.items()},
        **{
            f"top.weights.{level}.{name}": value
            for level, own in layers.items()
            for name, value in own.items()
        },
        "top.expected.p6": p6,
        "top.expected.p7": p7,
    }


def group_norm(x: torch.Tensor, groups: int, weights: Weights) -> torch.Tensor:
    """Group norm, one image and one group of channels after the other."""
    out = torch.zeros_like(x)
    size = x.shape[1] // groups
    for image in range(len(x)):
        for first in range(0, x.shape[1], size):
            numbers = x[image, first : first + size].flatten().tolist()
            mean = sum(numbers) / len(numbers)
            variance = sum((number - mean) ** 2 for number in numbers) / len(numbers)
            for channel in range(first, first + size):
                unit = (x[image, channel] - mean) / math.sqrt(variance + EPS)
                out[image, channel] = (
                    unit * weights["weight"][channel] + weights["bias"][channel]
                )
    return out


def stem_layers(
    generator: torch.Generator, in_channels: int, widths: tuple[int, ...]
) -> list[Weights]:
    """A convolution and a group norm for each width, one after the other."""
    made = []
    for before, width in zip((in_channels, *widths), widths, strict=False):
        made += [layer(generator, width, before, 3, 3), norm(generator, width)]
    return made


def stem_answer(x: torch.Tensor, layers: list[Weights], groups: int) -> torch.Tensor:
    """Convolution, group norm, ReLU, for each pair of layers."""
    for convolution, own_norm in zip(layers[::2], layers[1::2], strict=True):
        x = slow.convolution(x, convolution["weight"], convolution["bias"])
        x = group_norm(x, groups, own_norm).clamp(min=0)
    return x


def named(place: str, layers: list[Weights]) -> Weights:
    """Layers as they are stored: place.0.weight, place.0.bias, place.1.weight ..."""
    return {
        f"{place}.{number}.{name}": value
        for number, own in enumerate(layers)
        for name, value in own.items()
    }


def make_stem(generator: torch.Generator) -> Weights:
    """A map, the layers of a stem, and what comes out."""
    layers = stem_layers(generator, STEM_IN, STEM_WIDTHS)
    given = slow.random(generator, BATCH, STEM_IN, *STEM_SIZE, low=-1.0, high=2.0)
    return {
        **named("stem.weights", layers),
        "stem.maps.given": given,
        "stem.maps.expected": stem_answer(given, layers, STEM_GROUPS),
    }


def make_head(generator: torch.Generator) -> Weights:
    """Maps of three levels, a head with group norm, and all that it may answer.

    Stored for each level: "cls", "box" before scale and exponential, and "ctr_box" and
    "ctr_class", the centerness logits on either stem.
    """
    stems = {
        stem: stem_layers(generator, HEAD_IN, HEAD_WIDTHS)
        for stem in ("stem_cls", "stem_box")
    }
    predictors = {
        name: layer(generator, channels, HEAD_WIDTHS[-1], 3, 3)
        for name, channels in PREDICTORS.items()
    }
    scales = slow.random(generator, len(HEAD_SIZES), low=0.4, high=0.8)
    made: Weights = {}
    for stem, layers in stems.items():
        made.update(named(f"head.weights.{stem}", layers))
    for name, own in predictors.items():
        made.update(named(f"head.weights.pred_{name}", [own]))
    for number, (level, size) in enumerate(HEAD_SIZES.items()):
        made[f"head.scales.{level}"] = scales[number] * (-1) ** number
        x = slow.random(generator, BATCH, HEAD_IN, *size, low=-1.0)
        made[f"head.features.{level}"] = x
        of_class, of_box = (
            stem_answer(x, stems[stem], HEAD_GROUPS)
            for stem in ("stem_cls", "stem_box")
        )
        for output, features, name in (
            ("cls", of_class, "cls"),
            ("box", of_box, "box"),
            ("ctr_box", of_box, "ctr"),
            ("ctr_class", of_class, "ctr"),
        ):
            own = predictors[name]
            answer = slow.convolution(features, own["weight"], own["bias"])
            made[f"head.{output}.{level}"] = slow.rows_of(answer)
    return made


def distances(raw: torch.Tensor, scale: float, box_output: str) -> torch.Tensor:
    """What the box predictor's numbers stand for, one after the other; float64."""

    def one(number: float) -> float:
        scaled = number * scale
        if box_output == "exp":
            return LARGEST if scaled >= math.log(LARGEST) else math.exp(scaled)
        return max(scaled, 0.0) if box_output == "relu" else scaled

    numbers = [one(number) for number in raw.double().flatten().tolist()]
    return torch.tensor(numbers, dtype=torch.float64).reshape(raw.shape)


def size_ranges(
    strides: dict[str, int], scale: float, last_limit: float
) -> dict[str, tuple[float, float]]:
    """The ranges, level by level."""
    ranges = {}
    for level, stride in strides.items():
        low, high = 4 * stride * scale, 8 * stride * scale
        if all(stride <= other for other in strides.values()):
            low = 0.0
        if all(stride >= other for other in strides.values()):
            high = last_limit
        ranges[level] = (low, high)
    return ranges
