"""Notebook 9 imported this."""

from helpers.evaluation.box_shift import median_box_shift, shift_line  # noqa: F401
