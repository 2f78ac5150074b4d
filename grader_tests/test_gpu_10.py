"""Step 10 on a GPU, or on the CPU beside one: answers are where the inputs are."""

from grader_tests import test_10_distances as distances
from grader_tests import test_10_head as head
from grader_tests import test_10_levels as levels
from grader_tests import test_10_stem as stem
from grader_tests.tools import on_each_device


def test_top_layers_on_a_gpu(student):
    """The layers of p6 and p7 move to the GPU with the module that holds them."""
    on_each_device(student, levels.test_top_layers_halve_a_map)


def test_top_levels_on_a_gpu(student):
    """p6 and p7 are where the maps are."""
    on_each_device(student, levels.test_top_levels_equal_a_slow_loop)


def test_stem_on_a_gpu(student):
    """All layers of a stem move to the GPU with it."""
    on_each_device(student, stem.test_stem_equals_a_slow_loop)


def test_start_stem_on_a_gpu(student):
    """A stem of the GPU is still there, and works, when its weights were drawn."""
    on_each_device(student, stem.expect_answers_when_started)


def test_distances_of_output_on_a_gpu(student):
    """Distances are where the outputs are, whether the scale is a tensor or not."""
    on_each_device(
        student,
        distances.test_distances_of_output_by_hand,
        distances.test_distances_of_output_of_any_shape,
        distances.test_distances_of_output_at_most_1000,
    )


def test_published_head_on_a_gpu(student):
    """Maps of a GPU get their answers there, with the scales and without."""
    on_each_device(
        student,
        head.test_published_head_distances,
        head.test_published_head_distances_without_scales,
    )
