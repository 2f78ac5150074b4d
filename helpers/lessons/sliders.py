"""Pictures that follow a slider; several still pictures where sliders do not run."""

import importlib.util
import io
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from helpers.show.draw import make_sheet

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

    Where the notebook is only looked at, as a page, the stills stand in the same place.

    Args:
        draw: returns what is to be shown, a figure or an image. What it raises is told
            below the sliders, but for the first picture, where it ends the cell.
        stills: the arguments of the pictures that are shown without sliders; the first
            is where the sliders begin.
        plain: take the stills, whatever runs here.
        ranges: name of an argument -> (low, high, step), or a list of choices.
    """
    if plain or not has_widgets():
        for picture in _draw_stills(draw, stills):
            display(picture)
        return
    widgets: Any = importlib.import_module("ipywidgets")
    controls = {
        name: _control(widgets, name, values, stills[0].get(name))
        for name, values in ranges.items()
    }
    fixed = {name: value for name, value in stills[0].items() if name not in ranges}

    def draw_chosen() -> bytes:
        chosen = {name: control.value for name, control in controls.items()}
        return _as_png(draw(**fixed, **chosen))

    # Not in widgets.Output: with that, commands that run notebooks wait for ever, now
    # and then (https://github.com/jupyter/nbclient/issues/312).
    layout = widgets.Layout(max_width="100%", align_self="flex-start")
    picture = widgets.Image(value=draw_chosen(), layout=layout)
    mistake = widgets.Label()

    def redraw(change: object) -> None:
        try:
            picture.value, mistake.value = draw_chosen(), ""
        except Exception as error:  # noqa: BLE001 - a student's code; it is shown
            mistake.value = f"{type(error).__name__}: {error}"

    for control in controls.values():
        control.observe(redraw, names="value")
    box = widgets.VBox([*controls.values(), mistake, picture])
    _show(box, _as_html(_draw_stills(draw, stills)))


def _show(box: Any, page: str) -> None:
    """Sliders where somebody can move them, and the page's pictures elsewhere."""
    display({**box._repr_mimebundle_(), "text/html": page}, raw=True)


def _draw_stills(
    draw: Callable[..., Any], stills: Sequence[dict[str, Any]]
) -> list[Any]:
    shown = [draw(**arguments) for arguments in stills]
    if all(isinstance(picture, Image.Image) for picture in shown):
        return [make_sheet(shown)]
    return shown


def _as_html(pictures: Sequence[Figure | Image.Image]) -> str:
    return "".join(
        f'<img alt="one of {len(pictures)} still pictures" style="max-width:100%" '
        f'src="data:image/png;base64,{b64encode(_as_png(picture)).decode()}">'
        for picture in pictures
    )


def _as_png(picture: Figure | Image.Image) -> bytes:
    file = io.BytesIO()
    if isinstance(picture, Image.Image):
        picture.save(file, format="png")
    else:  # nothing is cut off, as in notebooks
        picture.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()


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
    whole = all(isinstance(value, int) for value in values)
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    begin = low if start is None else start
    return kind(
        value=begin, min=low, max=high, step=step, continuous_update=False, **look
    )
