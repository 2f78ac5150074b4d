"""`drive.mount("/content/drive")`, which is written at the top of a file."""

from typing import Any


def mount(*args: Any, **named: Any) -> None:
    """There is no drive here; what is read from it is not found."""


def flush_and_unmount(*args: Any, **named: Any) -> None:
    """There is no drive here."""
