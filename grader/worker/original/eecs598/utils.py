"""`from eecs598.utils import reset_seed, detection_visualizer`."""

from grader.worker.original import not_here
from helpers.a4.eecs598 import reset_seed

__all__ = [
    "detection_visualizer",
    "reset_seed",
    "tensor_to_image",
    "visualize_dataset",
]

detection_visualizer = not_here("detection_visualizer")
tensor_to_image = not_here("tensor_to_image")
visualize_dataset = not_here("visualize_dataset")
