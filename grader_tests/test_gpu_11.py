"""Step 11: the answers are on the device of the inputs, with a GPU or beside one."""

from functools import partial

import torch

from grader_tests import test_11_centre as centre
from grader_tests import test_11_dividing as dividing
from grader_tests import test_11_matching as matching
from grader_tests import test_11_overlaps as overlaps
from grader_tests import test_11_training as training
from grader_tests.targets_parts import VERSIONS, make_published, stored_batch
from grader_tests.tools import on_each_device


def _losses(student, name):
    """Of three images, by one version."""
    batch, config = stored_batch(VERSIONS[name]), VERSIONS[name]
    fcos = make_published(student, config)
    training.expect_batch(training.losses_of(student, fcos, batch), batch, config)


def _losses_of_background(student):
    """Of images without any box."""
    batch = stored_batch()
    fcos = make_published(student, training.PLAIN)
    none = batch._replace(gt_boxes=torch.full((3, 2, 5), -1.0))
    training.expect_batch(training.losses_of(student, fcos, none), none, training.PLAIN)


def test_near_centre_on_a_gpu(student):
    """What is near is said where the boxes are, without boxes as well."""
    on_each_device(
        student,
        centre.test_near_centre_of_three_images,
        centre.test_near_centre_without_boxes,
    )


def test_match_batch_on_a_gpu(student):
    """Matches are where the boxes are, without boxes and of every version as well."""
    on_each_device(
        student,
        matching.test_match_batch_equals_a_slow_loop,
        matching.test_match_batch_without_boxes,
        matching.test_match_batch_of_every_version,
    )


def test_overlap_on_a_gpu(student):
    """Intersection and union are where the distances are."""
    on_each_device(
        student,
        overlaps.test_overlap_by_hand,
        overlaps.test_overlap_without_foreground,
    )


def test_iou_loss_on_a_gpu(student):
    """The loss is where the distances are, without foreground as well."""
    on_each_device(
        student,
        overlaps.test_iou_loss_by_hand,
        overlaps.test_iou_loss_without_foreground,
    )


def test_giou_loss_on_a_gpu(student):
    """The loss is where the distances are, that of empty boxes as well."""
    on_each_device(
        student,
        overlaps.test_giou_loss_by_hand,
        overlaps.test_giou_loss_without_foreground,
        overlaps.test_giou_loss_of_boxes_without_area,
    )


def test_divide_losses_on_a_gpu(student):
    """The losses of a batch are where those of locations are, without any as well."""
    on_each_device(
        student,
        dividing.test_divide_losses_by_hand,
        dividing.test_divide_losses_without_foreground,
    )


def test_published_losses_on_a_gpu(student):
    """The losses are where the predictions are, for each divisor, without any box."""
    on_each_device(
        student,
        partial(_losses, name="paper2019"),
        partial(_losses, name="detectron2"),
        partial(_losses, name="a4"),
        _losses_of_background,
    )
