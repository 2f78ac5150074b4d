"""Notebook 9 imported this."""

from helpers.evaluation.report import class_table, summary_lines  # noqa: F401
