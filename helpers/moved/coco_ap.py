"""Notebook 9 imported this."""

from helpers.evaluation.coco_ap import evaluate_coco  # noqa: F401
