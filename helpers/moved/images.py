"""Notebook 8 imported this."""

from helpers.data.images import load_image  # noqa: F401
