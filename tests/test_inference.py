"""From raw predictions to detections: FCOS.inference and detector.predict."""

import math

import pytest
import torch
from torch import nn

from assignment.common import get_fpn_location_coords
from assignment.one_stage_detector import FCOS
from core.backbones.build import build_backbone
from helpers.models.detector import LoadedDetector, predict
from helpers.training.recipes import DetectorConfig
from tests.plain_numbers import spread

STRIDES = {"p3": 8, "p4": 16, "p5": 32}
NUM_CLASSES = 3
HEIGHT, WIDTH = 50, 90  # neither square nor a multiple of 8


class NoBackbone(nn.Module):
    """Stands where a backbone must be; inference does not use it."""

    def forward(self, images):
        maps = torch.zeros(len(images), 1, 1, 1)
        return {"c3": maps, "c4": maps, "c5": maps}


@pytest.fixture
def model() -> FCOS:
    """FCOS in eval mode."""
    return FCOS(NUM_CLASSES, 4, [4], NoBackbone()).eval()


def make_outputs(start: int = 1, low: float = -3.0):
    """Locations and predictions of a HEIGHT x WIDTH image, by arithmetic."""
    shapes = {
        level: (1, 1, -(-HEIGHT // stride), -(-WIDTH // stride))
        for level, stride in STRIDES.items()
    }
    locations = get_fpn_location_coords(shapes, STRIDES)
    outputs: list[dict[str, torch.Tensor]] = [{}, {}, {}]
    for number, (level, points) in enumerate(locations.items()):
        first = start + 1000 * number
        n = len(points)
        logits = spread(1, n, NUM_CLASSES, low=low, high=3, start=first)
        outputs[0][level] = logits.float()
        deltas = spread(1, n, 4, low=-0.5, high=4, start=first + 300)
        outputs[1][level] = deltas.float()
        outputs[2][level] = spread(1, n, 1, low=-3, high=3, start=first + 600).float()
    return locations, outputs


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x)."""
    return 1 / (1 + math.exp(-x))


def overlap(a, b) -> float:
    """IoU of two boxes as Python numbers."""
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (area - w * h) if area > w * h else 0.0


def slow_inference(locations, outputs, score_threshold, nms_threshold):
    """(box, class, score) of each detection, best first; Python numbers only."""
    candidates = []
    for level, points in locations.items():
        for n, (x, y) in enumerate(points.tolist()):
            classes = outputs[0][level][0, n].tolist()
            class_id = max(range(NUM_CLASSES), key=lambda k: classes[k])
            quality = sigmoid(float(outputs[2][level][0, n, 0]))
            score = math.sqrt(sigmoid(classes[class_id]) * quality)
            if score <= score_threshold:
                continue
            d = [max(0.0, v) * STRIDES[level] for v in outputs[1][level][0, n].tolist()]
            box = (
                min(max(x - d[0], 0), WIDTH),
                min(max(y - d[1], 0), HEIGHT),
                min(max(x + d[2], 0), WIDTH),
                min(max(y + d[3], 0), HEIGHT),
            )
            candidates.append((box, class_id, score))
    candidates.sort(key=lambda candidate: -candidate[2])
    kept: list[tuple] = []
    for box, class_id, score in candidates:
        rivals = [detection for detection in kept if detection[1] == class_id]
        if all(overlap(box, rival[0]) <= nms_threshold for rival in rivals):
            kept.append((box, class_id, score))
    return kept


def test_inference_where_nothing_passes_is_empty(model):
    """No score above the threshold: empty tensors of the right shapes and dtypes."""
    locations, outputs = make_outputs()
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    boxes, classes, scores = model.inference(
        image, locations, *outputs, test_score_thresh=0.999
    )
    assert (boxes.shape, classes.shape, scores.shape) == ((0, 4), (0,), (0,))
    assert classes.dtype == torch.int64


@pytest.mark.parametrize("thresholds", [(0.3, 0.5), (0.6, 0.2), (0.05, 0.9)])
def test_inference_equals_a_slow_loop(model, thresholds):
    """Scores, classes, boxes and their order, for three pairs of thresholds."""
    locations, outputs = make_outputs()
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    boxes, classes, scores = model.inference(image, locations, *outputs, *thresholds)
    expected = slow_inference(locations, outputs, *thresholds)
    assert len(boxes) == len(expected) > 5
    assert classes.tolist() == [row[1] for row in expected]
    # float32 against float64: seven digits of a number up to 1, and up to 90
    expected_scores = torch.tensor([row[2] for row in expected])
    torch.testing.assert_close(scores, expected_scores, rtol=0, atol=1e-6)
    expected_boxes = torch.tensor([row[0] for row in expected], dtype=torch.float32)
    torch.testing.assert_close(boxes, expected_boxes, rtol=0, atol=1e-4)


def one_location(class_logits, deltas, centerness_logit):
    """Predictions of a single location of p3."""
    outputs = [
        {"p3": torch.tensor([[class_logits]])},
        {"p3": torch.tensor([[deltas]])},
        {"p3": torch.tensor([[[centerness_logit]]])},
    ]
    return {"p3": torch.tensor([[20.0, 12.0]])}, outputs


def test_inference_score_is_the_root_of_class_times_centerness(model):
    """The sigmoids of ln 9 and ln(2/3) are 0.9 and 0.4; sqrt(0.36) = 0.6."""
    locations, outputs = one_location(
        [-2.0, math.log(9), 0.0], [1.0, 0.5, 2.0, 1.0], math.log(2 / 3)
    )
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    boxes, classes, scores = model.inference(image, locations, *outputs, 0.5)
    assert boxes.tolist() == [[12, 8, 36, 20]]
    assert classes.tolist() == [1]
    assert float(scores) == pytest.approx(0.6, abs=1e-6)


def test_inference_drops_a_score_equal_to_the_threshold(model):
    """Above the threshold, not at it: sigmoid(0) twice is exactly 0.5."""
    locations, outputs = one_location([0.0, -1.0, -1.0], [1.0, 1.0, 1.0, 1.0], 0.0)
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    assert len(model.inference(image, locations, *outputs, 0.5)[0]) == 0
    assert len(model.inference(image, locations, *outputs, 0.4999)[0]) == 1


def test_inference_clips_x_to_the_width_and_y_to_the_height(model):
    """A 50 x 90 image: the box ends at (90, 50), not at (50, 90)."""
    locations, outputs = one_location([3.0, 0, 0], [9.0, 9.0, 99.0, 99.0], 3.0)
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    boxes, _, _ = model.inference(image, locations, *outputs)
    assert boxes.tolist() == [[0, 0, 90, 50]]


def test_inference_leaves_the_predictions_alone(model):
    """A second call with the same logits must find the same."""
    locations, outputs = make_outputs()
    before = [{k: v.clone() for k, v in output.items()} for output in outputs]
    points = {level: xy.clone() for level, xy in locations.items()}
    model.inference(torch.zeros(1, 3, HEIGHT, WIDTH), locations, *outputs)
    for output, old in zip(outputs, before, strict=True):
        assert all(torch.equal(output[level], old[level]) for level in old)
    assert all(torch.equal(locations[level], points[level]) for level in points)


def test_inference_keeps_two_classes_at_one_place(model):
    """NMS runs within each class: equal boxes of classes 0 and 2 both stay."""
    locations = {"p3": torch.tensor([[20.0, 12.0]] * 3)}
    outputs = [
        {"p3": torch.tensor([[[2.0, 0, 0], [0, 0, 3.0], [0, 0, 2.5]]])},
        {"p3": torch.ones(1, 3, 4)},
        {"p3": torch.full((1, 3, 1), 4.0)},
    ]
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    _, classes, _ = model.inference(image, locations, *outputs, 0.3, 0.5)
    assert classes.tolist() == [2, 0]


def test_inference_refuses_a_batch(model):
    """One image at a time, as in the original interface."""
    locations, outputs = make_outputs()
    with pytest.raises(ValueError, match="batch of 2"):
        model.inference(torch.zeros(2, 3, HEIGHT, WIDTH), locations, *outputs)


def test_forward_hands_its_thresholds_to_inference(model):
    """None takes the defaults of inference; numbers are passed on."""
    asked = []
    model.inference = lambda *_, **chosen: asked.append(chosen)
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    model(image)
    model(image, test_score_thresh=0.0, test_nms_thresh=0.7)
    assert asked == [{}, {"test_score_thresh": 0.0, "test_nms_thresh": 0.7}]


@pytest.fixture(scope="module")
def detector() -> LoadedDetector:
    """A detector on the tiny backbone that finds something nearly everywhere."""
    with torch.random.fork_rng():
        torch.manual_seed(0)  # whatever ran before
        model = FCOS(NUM_CLASSES, 8, [8], build_backbone("tiny"))
    with torch.no_grad():
        for number, parameter in enumerate(model.pred_net.parameters()):
            values = spread(*parameter.shape, low=-0.4, high=0.4, start=number + 1)
            parameter.copy_(values)
        nn.init.constant_(dict(model.named_parameters())["pred_net.pred_box.bias"], 1.5)
    model.eval()
    return LoadedDetector(model, ("a", "b", "c"), DetectorConfig(), torch.device("cpu"))


def test_predict_without_images(detector):
    """No image, no detection."""
    assert predict(detector, [], 0.3, 0.5) == []


def test_predict_of_a_batch_equals_its_single_images(detector):
    """Two images of one size and one of another, in their order."""
    sizes = [(64, 96), (75, 60), (64, 96)]
    images = [
        spread(3, *size, low=-2, high=2, start=100 * number).float()
        for number, size in enumerate(sizes)
    ]
    together = predict(detector, images, 0.3, 0.5)
    for image, found in zip(images, together, strict=True):
        boxes, classes, scores = predict(detector, [image], 0.3, 0.5)[0]
        assert len(boxes) > 3
        assert torch.equal(found[1], classes)
        # a batch may sum its convolutions in another order
        torch.testing.assert_close(found[0], boxes, rtol=0, atol=1e-3)
        torch.testing.assert_close(found[2], scores, rtol=0, atol=1e-5)


def test_predict_equals_forward_of_the_model(detector):
    """The model's own way for one image gives the same detections."""
    image = spread(3, 64, 96, low=-2, high=2).float()
    found = predict(detector, [image], 0.3, 0.5)[0]
    with torch.inference_mode():
        own = detector.model(image[None], None, 0.3, 0.5)
    for ours, theirs in zip(found, own, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


class WithoutDetect(nn.Module):
    """A solution of before `detect` was given: losses or detections from forward."""

    def __init__(self, inner: FCOS):
        super().__init__()
        self.inner = inner

    def forward(
        self, images, gt_boxes=None, test_score_thresh=None, test_nms_thresh=None
    ):
        return self.inner(images, gt_boxes, test_score_thresh, test_nms_thresh)


def test_predict_of_a_detector_without_detect(detector):
    """Solutions of the original assignment have none; their forward takes one image."""
    images = [spread(3, 64, 96, low=-2, high=2, start=n).float() for n in (0, 50)]
    old = LoadedDetector(
        WithoutDetect(detector.model), ("a", "b", "c"), detector.config, detector.device
    )
    ours, theirs = predict(detector, images, 0.3, 0.5), predict(old, images, 0.3, 0.5)
    for mine, other in zip(ours, theirs, strict=True):
        assert len(mine[0]) > 3
        torch.testing.assert_close(mine[0], other[0], rtol=0, atol=1e-3)


def test_candidates_are_the_surest_locations_decoded(detector):
    """Of all levels, surest first, before NMS; at most as many as there are."""
    images = spread(3, 3, 64, 96, low=-2, high=2).float()
    model = detector.model
    with torch.inference_mode():
        locations = model.locations(model.backbone(images))
        logits, deltas, _ = model.pred_net(model.backbone(images))
        found = model.candidates(images, 5)
        (boxes, _, _), *_ = model.candidates(images[:1], 10_000)
    assert len(found) == 3
    assert len(boxes) == sum(map(len, locations.values()))
    for place, (boxes, classes, probability) in enumerate(found):
        sure = [
            (float(values[place, row, k].sigmoid()), level, row, k)
            for level, values in logits.items()
            for row, k in [divmod(int(i), 3) for i in values[place].flatten().argsort()]
        ]
        best = {}
        for chance, level, row, k in sorted(sure, reverse=True):
            best.setdefault((level, row), (chance, k))
        first = sorted(best.items(), key=lambda item: -item[1][0])[:5]
        torch.testing.assert_close(
            probability, torch.tensor([chance for _, (chance, _) in first])
        )
        assert classes.tolist() == [class_id for _, (_, class_id) in first]
        for box, ((level, row), _) in zip(boxes, first, strict=True):
            x, y = locations[level][row].tolist()
            stride = model.backbone.fpn_strides[level]
            left, top, right, bottom = (
                max(float(delta), 0.0) * stride for delta in deltas[level][place, row]
            )
            expected = torch.tensor([x - left, y - top, x + right, y + bottom])
            torch.testing.assert_close(box, expected, rtol=0, atol=1e-3)
