"""Notebook 9 imported this."""

from helpers.evaluation.voc_ap import (  # noqa: F401
    average_precision_11,
    average_precision_area,
    evaluate_voc,
    precision_recall,
)
