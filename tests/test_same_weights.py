"""With torchvision's weights our FCOS is torchvision's, and every choice is seen."""

import dataclasses
import math
from typing import Any

import pytest
import torch

from assignment.fcos_published import PublishedFCOS
from benchmarks import same_weights
from benchmarks.same_fcos import (
    TOP_K,
    answers_of,
    compare,
    compare_detections,
    compare_losses,
    compare_outputs,
    make_ours,
    make_torchvision,
    seen_in,
    version_of,
)
from benchmarks.same_scene import Scene, difference, make_scene, read_changes
from benchmarks.same_weights import LARGEST, main
from core.fcos_config import FCOSConfig

BODY, CHANNELS = "tiny", 32
# Another value of each choice, and where the difference must be seen.
IN_LOSSES = {
    "centre_radius": "0.0",
    "range_ends": "both",
    "range_scale": "0.9",
    "last_limit": "550.0",
    "smallest": "area",
    "box_loss": "linear_iou",
    "box_weight": "1.5",
    "loss_unit": "stride",
    "iou_plus": "1.0",
    "giou_eps": "1e-4",
    "weigh_boxes": "true",
    "divide_by": "per_batch",
}
IN_DETECTIONS = {
    "location_offset": "0.5",
    "spacing": "stride",
    "unit": "pixel",
    "threshold_on": "class",
    "multi_label": "false",
    "top_k": "149",
    "top_k_of": "image",
    "max_detections": "99",
    "clip_to": "pixel",
    "score_threshold": "0.46",
    "nms_threshold": "0.25",
}
IN_OUTPUTS = {
    "norm_groups": "16",
    "centerness_on": "class",
    "box_output": "exp",
}
OTHER_WEIGHTS = {"num_levels": "3", "level_scales": "true"}
# Nothing to see: the first weights are replaced, nothing asks for the mean's start, and
# random weights give no two equal scores.
UNSEEN = {"stem_start", "first_divisor", "keep_ties"}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene()


@pytest.fixture(scope="module")
def theirs(scene: Scene) -> Any:
    return make_torchvision(BODY, CHANNELS, scene)


@pytest.fixture(scope="module")
def expected(theirs: Any, scene: Scene) -> dict[str, Any]:
    return answers_of(theirs, scene)


def ours_with(theirs: Any, **changes: str) -> PublishedFCOS:
    texts = [f"{name}={value}" for name, value in changes.items()]
    return make_ours(
        BODY, CHANNELS, version_of(theirs, read_changes(texts, FCOSConfig)), theirs
    )


@pytest.fixture(scope="module")
def features(theirs: Any, scene: Scene) -> dict[bool, dict]:
    """The five levels, in training and not; a choice of what follows changes none."""
    backbone = ours_with(theirs).backbone
    with torch.no_grad():
        return {mode: backbone.train(mode)(scene.batch) for mode in (False, True)}


@pytest.fixture
def ours_after(theirs: Any, features: dict[bool, dict]) -> Any:
    """Our detector with another choice, whose backbone need not compute again."""

    def make(**changes: str) -> Any:
        ours: Any = ours_with(theirs, **changes)
        ours.backbone.forward = lambda images: features[ours.training]
        return ours

    return make


def test_all_is_equal_and_there_is_something_to_see(theirs, scene, expected):
    """Every level has true boxes and candidates, and every threshold bites."""
    ours = ours_with(theirs)
    seen = seen_in(ours, scene)  # before batch norm learns
    assert max(compare(ours, expected, scene).values()) <= LARGEST
    assert min(seen["foreground"].values()) > 0
    assert seen["into_nms"] < sum(seen["candidates"].values())
    assert sum(seen["out_of_nms"]) <= 0.8 * seen["into_nms"]
    assert sum(count >= 50 for count in seen["detections"].values()) >= 3
    number = ours.version.max_detections
    assert min(seen["out_of_nms"]) <= number < max(seen["out_of_nms"])
    assert seen["kept"] == [min(count, number) for count in seen["out_of_nms"]]


@pytest.mark.parametrize("name", IN_LOSSES)
def test_choice_of_targets_and_losses_is_seen(name, ours_after, scene, expected):
    ours = ours_after(**{name: IN_LOSSES[name]})
    found = compare_losses(ours, expected["losses"], scene)
    assert max(found.values()) > LARGEST


@pytest.mark.parametrize("name", IN_DETECTIONS)
def test_choice_of_inference_is_seen(name, ours_after, scene, expected):
    ours = ours_after(**{name: IN_DETECTIONS[name]})
    found = compare_detections(ours, expected["detections"], scene)
    assert max(found.values()) > LARGEST


@pytest.mark.parametrize("name", IN_OUTPUTS)
def test_choice_of_the_head_is_seen(name, ours_after, scene, expected):
    ours = ours_after(**{name: IN_OUTPUTS[name]})
    found = compare_outputs(ours, expected["outputs"], scene)
    assert max(found.values()) > LARGEST


@pytest.mark.parametrize("name", OTHER_WEIGHTS)
def test_other_weights_do_not_fit(name, theirs):
    with pytest.raises(RuntimeError, match=r"place for|Missing"):
        ours_with(theirs, **{name: OTHER_WEIGHTS[name]})


def test_no_choice_is_left_out():
    tried = {*IN_LOSSES, *IN_DETECTIONS, *IN_OUTPUTS, *OTHER_WEIGHTS, *UNSEEN}
    assert {field.name for field in dataclasses.fields(FCOSConfig)} == tried


def test_command_ends_with_one_where_something_differs(monkeypatch, capsys):
    """Its exit code is what a reader trusts."""
    monkeypatch.setattr(same_weights, "make_scene", lambda: make_scene(64))
    small = ["fcos", "--body", BODY, "--channels", str(CHANNELS), "--set"]
    assert main([*small, "centre_radius=0.5"]) == 1
    assert "largest difference" in capsys.readouterr().out
    assert main([*small, "num_levels=3"]) == 1
    assert main([*small, f"top_k={TOP_K}"]) == 0  # what it is without this


def test_number_that_is_none_is_a_difference(monkeypatch):
    """A NaN among zeros, in one tensor or in one of several answers, is not lost."""
    right, wrong = torch.zeros(3), torch.tensor([0.0, math.nan, 0.0])
    assert difference(wrong, right) == difference(wrong, wrong) == math.inf
    monkeypatch.setattr(same_weights, "make_scene", lambda: make_scene(64))
    forward = PublishedFCOS.forward

    def broken(*given: Any) -> dict[str, torch.Tensor]:
        losses = forward(*given)
        return {**losses, "loss_fcos_ctr": losses["loss_fcos_ctr"] * math.nan}

    monkeypatch.setattr(PublishedFCOS, "forward", broken)
    small = ["fcos", "--body", BODY, "--channels", str(CHANNELS), "--set"]
    assert main([*small, f"top_k={TOP_K}"]) == 1


def test_resnet18_is_equal():
    """A real backbone, with torchvision's own names of its weights."""
    scene = make_scene(128)
    theirs = make_torchvision("resnet18", CHANNELS, scene)
    ours = make_ours("resnet18", CHANNELS, version_of(theirs, {}), theirs)
    found = compare(ours, answers_of(theirs, scene), scene)
    assert max(found.values()) <= LARGEST
    assert torch.get_default_dtype() is torch.float32
