"""matplotlib for files that import it: once for all tests, and without a screen.

It wants a folder of its own that it can write to, looks for the machine's fonts, and
takes a second: too much for each test's process, which can make no files either.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Whoever names one of these loads matplotlib; a4_helper gives plt without its name.
WORDS = (b"matplotlib", b"pylab", b"helpers.lessons", b"helpers.a4", b"plt")
FOLDERS = (".config/matplotlib", ".cache", ".ipython", ".jupyter", ".local/share")
THREAD_S = 10.0


def make_home() -> None:
    """Make $HOME, with the folders that packages ask for when they are imported.

    They only look whether they could write there: a test's process cannot.
    """
    home = Path.home()
    for name in FOLDERS:
        (home / name).mkdir(parents=True, exist_ok=True)
    for folder in (home, *home.rglob("*")):
        folder.chmod(0o1777)  # for the user that comes next


def import_plots(submission: Path) -> None:
    """Import matplotlib if a file of the submission names it.

    Args:
        submission: folder with the files that are going to run.
    """
    texts = (path.read_bytes() for path in submission.glob("*.py"))
    if not any(word in text for text in texts for word in WORDS):
        return
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return
    with suppress(Exception), _own_fonts(Path(spec.origin).parent):
        import matplotlib.pyplot as plt

        plt.switch_backend = _without_screen(plt.switch_backend)
    # One that looks after the search for fonts; a fork would be without it.
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(THREAD_S)


@contextmanager
def _own_fonts(package: Path) -> Iterator[None]:
    """Let it find the fonts that it brings: the machine's may be thousands."""
    walk, path = os.walk, os.environ["PATH"]

    def walk_package(top: Any, *args: Any, **named: Any) -> Iterator[Any]:
        if Path(top).is_relative_to(package):
            yield from walk(top, *args, **named)

    os.walk = walk_package
    os.environ["PATH"] = ""  # no program that lists them
    try:
        yield
    finally:
        os.walk, os.environ["PATH"] = walk, path


def _without_screen(switch: Any) -> Any:
    """`matplotlib.use("TkAgg")` and the like leave it as it is."""

    def switch_backend(name: str) -> None:
        with suppress(ImportError):
            switch(name)

    return switch_backend
