"""Pictures that follow a slider; several still pictures where sliders do not run."""

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

from IPython.display import display
from PIL import Image

from helpers.draw import make_sheet

# Set to "off" where nobody can move a slider, as when notebooks are run by a command.
SWITCH = "FCOS_COURSE_WIDGETS"


def has_widgets() -> bool:
    """Whether sliders can be shown."""
    if os.environ.get(SWITCH, "on") == "off":
        return False
    return importlib.util.find_spec("ipywidgets") is not None


def slide(
    draw: Callable[..., Any],
    stills: Sequence[dict[str, Any]],
    plain: bool = False,
    **ranges: Any,
) -> None:
    """Show draw(...) with a slider for each of its arguments.

    Args:
        draw: returns what is to be shown (a figure, an image).
        stills: the arguments of the pictures that are shown without sliders; the first
            is where the sliders begin.
        plain: take the stills, whatever runs here.
        ranges: name of an argument -> (low, high, step), or a list of choices.
    """
    if plain or not has_widgets():
        shown = [draw(**arguments) for arguments in stills]
        if all(isinstance(each, Image.Image) for each in shown):
            shown = [make_sheet(shown)]
        for each in shown:
            display(each)
        return
    widgets: Any = importlib.import_module("ipywidgets")
    controls = {
        name: _control(widgets, name, values, stills[0].get(name))
        for name, values in ranges.items()
    }
    fixed = {name: value for name, value in stills[0].items() if name not in ranges}

    def show(**chosen: Any) -> None:
        display(draw(**fixed, **chosen))

    output = widgets.interactive_output(show, controls)
    display(widgets.VBox([*controls.values(), output]))


def _control(widgets: Any, name: str, values: Any, start: Any) -> Any:
    """A slider for (low, high, step), a menu for a list of choices."""
    look = {
        "description": name.replace("_", " "),
        "layout": widgets.Layout(width="420px"),
        "style": {"description_width": "90px"},
    }
    if isinstance(values, list):
        return widgets.Dropdown(options=values, value=start or values[0], **look)
    low, high, step = values
    whole = all(isinstance(each, int) for each in values)
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    begin = low if start is None else start
    return kind(
        value=begin, min=low, max=high, step=step, continuous_update=False, **look
    )
