"""Notebook 8 imported this."""

from helpers.models.detector import predict  # noqa: F401
