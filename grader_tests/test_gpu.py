"""Every step: the answers are on the device of the inputs, with a GPU or beside one.

Each runs tests of its exercise on a GPU, and one of them on the CPU beside it. 4.1,
which is told its device, is in test_4_locations.py.
"""

import torch

from grader_tests import test_1_boxes as boxes
from grader_tests import test_2_layers as layers
from grader_tests import test_2_merging as merging
from grader_tests import test_3_head as head
from grader_tests import test_3_layers as head_layers
from grader_tests import test_4_matching as matching
from grader_tests import test_4_matching_parts as parts
from grader_tests import test_5_boxes as predicted
from grader_tests import test_5_centerness as centerness
from grader_tests import test_5_deltas as deltas
from grader_tests import test_6_focal_loss as focal_loss
from grader_tests import test_6_losses as losses
from grader_tests import test_7_fcos as fcos
from grader_tests import test_7_targets as targets
from grader_tests import test_7_training as training
from grader_tests import test_8_inference as inference
from grader_tests import test_8_nms as nms
from grader_tests.references import load_cases
from grader_tests.tools import give, on_each_device


def _losses_of_background(student):
    """Given predictions of an image without any box: nothing of the detector moves."""
    cases = load_cases("step7", "training_losses")
    places = load_cases("step7", "make_targets")["locations"]
    predictions = [
        {level: give(student, cases[name][level]) for level in places}
        for name in ("cls", "box", "ctr")
    ]
    none = torch.full((3, 2, 5), -1.0, device=student.device)
    locations = {level: give(student, own) for level, own in places.items()}
    fcos = student.make_detector(4, 8, [8])
    fcos.training_losses(locations, predictions, none)


def _answers(student):
    """Of a detector, for images whose sides fit every stride."""
    fcos.expect_answers(student, 64, 96)


def test_iou_on_a_gpu(student):
    """Boxes of a GPU give a table on the GPU, those of the CPU one on the CPU."""
    on_each_device(student, boxes.test_iou_of_all_pairs, boxes.test_iou_without_boxes)


def test_fpn_layers_on_a_gpu(student):
    """The layers move to the GPU with the module that holds them."""
    on_each_device(student, layers.test_fpn_layers_keep_the_size_of_a_map)


def test_merge_levels_on_a_gpu(student):
    """Maps of a GPU are merged there, those of the CPU on the CPU."""
    on_each_device(student, merging.test_merge_levels_keeps_places)


def test_head_layers_on_a_gpu(student):
    """All layers of the head move to the GPU with it."""
    on_each_device(student, head_layers.test_head_layers_keep_the_size_of_a_map)


def test_head_on_a_gpu(student):
    """Maps of a GPU get their answers there, those of the CPU on the CPU."""
    on_each_device(student, head.test_head_class_logits)


def test_distances_on_a_gpu(student):
    """Distances are where the locations and boxes are."""
    on_each_device(
        student,
        parts.test_distances_of_all_pairs,
        parts.test_distances_without_boxes_or_locations,
    )


def test_is_candidate_on_a_gpu(student):
    """What is a candidate is said where the distances are."""
    on_each_device(
        student,
        parts.test_is_candidate_equals_a_loop,
        parts.test_is_candidate_without_boxes,
    )


def test_pick_smallest_box_on_a_gpu(student):
    """Indices are where the areas are, also if no box is a candidate."""
    on_each_device(
        student,
        parts.test_pick_smallest_box_equals_a_loop,
        parts.test_pick_smallest_box_of_no_candidate_is_background,
    )


def test_match_on_a_gpu(student):
    """Matches are where the locations and boxes are, without boxes as well."""
    on_each_device(
        student,
        matching.test_match_of_one_box,
        matching.test_match_of_an_image_without_boxes,
    )


def test_get_deltas_on_a_gpu(student):
    """Deltas are where the locations and boxes are, background as well."""
    on_each_device(
        student,
        deltas.test_get_deltas_of_locations_in_boxes,
        deltas.test_get_deltas_of_background_is_minus_one,
    )


def test_apply_deltas_on_a_gpu(student):
    """Boxes are where the deltas and locations are."""
    on_each_device(
        student,
        predicted.test_apply_deltas_gives_boxes,
        predicted.test_apply_deltas_of_no_and_of_one_location,
    )


def test_centerness_on_a_gpu(student):
    """Centerness is where the deltas are, background as well."""
    on_each_device(
        student,
        centerness.test_centerness_equals_the_equation,
        centerness.test_centerness_of_background_is_minus_one,
    )


def test_classification_loss_on_a_gpu(student):
    """The loss is where the logits and classes are."""
    on_each_device(
        student,
        focal_loss.test_classification_loss_equals_torchvision,
        focal_loss.test_classification_loss_without_locations,
    )


def test_box_loss_on_a_gpu(student):
    """The loss is where the deltas are, that of background as well."""
    on_each_device(student, losses.test_box_loss_equals_a_slow_loop)


def test_centerness_loss_on_a_gpu(student):
    """The loss is where the logits are, that of background as well."""
    on_each_device(student, losses.test_centerness_loss_equals_a_slow_loop)


def test_fcos_on_a_gpu(student):
    """A detector that was moved to a GPU answers there, one of the CPU on the CPU."""
    on_each_device(student, _answers)


def test_make_targets_on_a_gpu(student):
    """Targets are where the locations and boxes are, without any row as well."""
    on_each_device(
        student,
        targets.test_make_targets_equals_a_slow_loop,
        targets.test_make_targets_without_any_row,
    )


def test_update_normalizer_on_a_gpu(student):
    """A count that is a tensor of a GPU is taken as one of the CPU is."""
    on_each_device(student, fcos.test_update_normalizer_by_hand)


def test_training_losses_on_a_gpu(student):
    """The losses are where the predictions are, without any box as well."""
    on_each_device(
        student,
        training.test_training_losses_equal_a_slow_loop,
        _losses_of_background,
    )


def test_nms_on_a_gpu(student):
    """Indices are where the boxes are."""
    on_each_device(student, nms.test_nms_by_hand)


def test_nms_without_boxes_on_a_gpu(student):
    """No index at all is where the boxes would be."""
    on_each_device(
        student, nms.test_nms_by_hand, nms.test_nms_without_boxes_gives_no_index
    )


def test_inference_on_a_gpu(student):
    """Detections are where the predictions are, also if nothing is found."""
    on_each_device(
        student,
        inference.test_inference_keeps_two_classes_at_one_place,
        inference.test_inference_where_nothing_passes_is_empty,
    )
