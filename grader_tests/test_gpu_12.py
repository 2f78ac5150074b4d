"""Step 12: the answers are on the device of the inputs, with a GPU or beside one."""

from grader_tests import test_12_candidates as candidates
from grader_tests import test_12_levels as levels
from grader_tests import test_12_suppress as suppress
from grader_tests.tools import on_each_device


def test_candidates_on_a_gpu(student):
    """Candidates are where the logits are, also if nothing passes."""
    on_each_device(
        student,
        candidates.test_candidates_of_a_class_threshold,
        candidates.test_candidates_where_nothing_passes,
        candidates.test_candidates_of_the_best_class_alone,
    )


def test_level_on_a_gpu(student):
    """Boxes are where the points are, also if nothing passes."""
    on_each_device(
        student,
        levels.test_level_lets_the_best_through,
        levels.test_level_where_nothing_passes,
        levels.test_level_without_a_limit,
    )


def test_suppress_on_a_gpu(student):
    """What stays is where it was, with and without a limit, ties or a box."""
    on_each_device(
        student,
        suppress.test_suppress_keeps_the_best,
        suppress.test_suppress_without_boxes,
        suppress.test_suppress_keeps_ties_if_asked,
    )
