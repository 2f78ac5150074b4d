"""Formulas of a notebook as pictures in the page, which then needs no script.

A page with MathJax fetches it from another server, and shows bare LaTeX without it.
"""

import base64
import html
import io
import re

from core.command import CourseError

# Code comes first, so that a dollar in it is none of a formula.
FORMULA = re.compile(r"```.*?```|`[^`\n]*`|\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
# Of LaTeX, what Matplotlib writes in another way.
OTHERWISE = ((r"\\tfrac(\d)(\d)", r"\\frac{\1}{\2}"), (r"\\big\b", ""))
FONT_PT = 12  # an em of the picture


def draw_formulas(text: str) -> str:
    """Markdown in which each formula is a picture; its text is the formula itself."""

    def draw(found: re.Match[str]) -> str:
        if found[1] is not None:
            large = found[1].replace(r"\frac", r"\dfrac")
            image = formula_image(large, words=found[1])
            return image.replace('class="formula"', 'class="formula alone"')
        return formula_image(found[2]) if found[2] is not None else found[0]

    return FORMULA.sub(draw, text)


def formula_image(latex: str, words: str = "") -> str:
    """An <img> with the formula as SVG, on the line of the text around it.

    Args:
        latex: as it stands between dollars.
        words: who cannot see it gets these; by default the same.

    Raises:
        CourseError: Matplotlib cannot draw it.
    """
    from matplotlib.font_manager import FontProperties  # slow to import
    from matplotlib.mathtext import MathTextParser, math_to_image

    written = f"${' '.join(latex.split())}$"
    words = " ".join((words or latex).split())
    for pattern, other in OTHERWISE:
        written = re.sub(pattern, other, written)
    font = FontProperties(size=FONT_PT, math_fontfamily="dejavuserif")
    try:
        parsed = MathTextParser("path").parse(written, dpi=72, prop=font)
    except ValueError as error:
        raise CourseError(
            f"the formula {words} has what Matplotlib cannot draw "
            f"({str(error).splitlines()[-1]}); write it in another way"
        ) from error
    picture = io.BytesIO()
    math_to_image(written, picture, prop=font, dpi=72, format="svg")
    coded = base64.b64encode(picture.getvalue()).decode()
    style = f"height:{parsed.height / FONT_PT:.2f}em;"
    style += f"vertical-align:-{parsed.depth / FONT_PT:.2f}em"
    return (
        f'<img class="formula" style="{style}" alt="{html.escape(words)}" '
        f'src="data:image/svg+xml;base64,{coded}">'
    )
