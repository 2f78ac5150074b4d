"""The notebook around a check: show something below the cell, know what it holds."""

import io
import sys
from typing import Any


def show(figure: Any) -> None:
    """Show a figure below the cell; nothing happens outside of a notebook."""
    if figure is None or "IPython" not in sys.modules:
        return
    from IPython import get_ipython
    from IPython.display import Image, display

    if get_ipython() is not None:
        # As PNG, so that it is seen without `%matplotlib inline`, too.
        png = io.BytesIO()
        figure.savefig(png, format="png")
        display(Image(png.getvalue(), format="png"))


def show_html(text: str) -> bool:
    """Show HTML below the cell; False outside of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython
    from IPython.display import HTML, display

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return False
    display(HTML(text))
    return True


def own_function(name: str) -> bool:
    """Whether the notebook itself defines this function; an imported one is none."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    found = shell.user_ns.get(name) if shell is not None else None
    return getattr(found, "__module__", None) == "__main__"


def is_stale() -> bool:
    """Whether the notebook has imported assignment/ without `%autoreload 2`."""
    if "IPython" not in sys.modules or "assignment.common" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return False
    return "IPython.extensions.autoreload" not in shell.extension_manager.loaded
