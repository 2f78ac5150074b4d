"""Nothing that a student writes runs in the browser of whoever reads it."""

import html
import re
import time
from typing import Any

import nbformat
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import markdown2html
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbgrader.preprocessors import NbGraderPreprocessor  # type: ignore[import-untyped]

from grader.nbgrader_course.submitted import Answer

# What draws Markdown, and what colours code, need time that grows with the square of a
# text: `\begin{a}` again and again, in 1.4 MB, took an hour. So a notebook has limits.
MOST_LETTERS = 10_000  # of a cell
MOST_TOGETHER = 60_000  # of the cells of a notebook; the course's have 10,000
MOST_SECONDS = 10.0
MOST_SHOWN = 100_000  # letters of a longer text, which is shown as it is
LEAST_CODE, MOST_CODE = 2_000, 10_000  # letters of code that is left as it is; shown
CUT = "... (cut off here; all of it is in submitted/)"
PLAIN = re.compile(r"[^<&\[]*")  # no tag, no link and no entity can be in it
TAGS = (
    "p",
    "br",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "div",
    "span",
    "blockquote",
    "a",
    "b",
    "i",
    "em",
    "strong",
    "code",
    "pre",
    "del",
    "sub",
    "sup",
    "kbd",
    "ul",
    "ol",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "details",
    "summary",
    "img",
)
ATTRIBUTES: dict[str, Any] = {
    "a": ["href", "title"],
    "img": lambda tag, name, value: (
        name in ("alt", "title") or (name == "src" and is_loaded(value))
    ),
    "ol": ["start"],
    "th": ["align"],
    "td": ["align"],
}
# A file of the assignment beside the notebook, or a mark of a picture that was pasted.
OWN_PICTURE = re.compile(
    r"pasted-picture-\d+|(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+\.(?:png|jpe?g|gif|svg)"
)
NOT_LOADED = re.compile(r'<img(?P<rest>(?: (?:alt|title)="[^"]*")*)/?>')
ALT = re.compile(r'alt="([^"]*)"')
PICTURES = ("image/png", "image/jpeg", "image/gif")
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


class SafeText(NbGraderPreprocessor):
    """Turn texts that could hold HTML into HTML without anything active.

    nbgrader shows them in the feedback, and in formgrader, where a script would have
    the rights of the instructor. What was handed in stays in submitted/.
    """

    def preprocess(
        self, notebook: nbformat.NotebookNode, resources: dict[str, Any]
    ) -> Answer:
        """Change all cells, as long as the time and the letters of a notebook last."""
        self._letters = self._code = MOST_TOGETHER
        self._until = time.monotonic() + MOST_SECONDS
        done: Answer = super().preprocess(notebook, resources)
        return done

    def preprocess_cell(
        self, cell: nbformat.NotebookNode, resources: dict[str, Any], index: int
    ) -> Answer:
        """Change all texts: what says that a cell is locked may be the student's."""
        if cell.cell_type == "raw":
            cell.cell_type = "markdown"
            cell.source = as_it_is(cell.source)
        elif cell.cell_type == "markdown":
            if len(cell.source) <= MOST_LETTERS:  # a longer one is not drawn at all
                self._letters -= len(cell.source)
            if self._letters >= 0 and time.monotonic() < self._until:
                cell.source = safe_markdown(cell.source, cell.get("attachments", {}))
            else:
                cell.source = as_it_is(cell.source)
        else:
            self._code -= min(len(cell.source), MOST_CODE)
            cell.source = short_code(
                cell.source, MOST_CODE if self._code >= 0 else LEAST_CODE // 10
            )
        cell.pop("attachments", None)
        return cell, resources


def as_it_is(source: str) -> str:
    """The text as HTML that shows each letter; a very long one is cut off."""
    shown = source if len(source) <= MOST_SHOWN else f"{source[:MOST_SHOWN]}{CUT}"
    return f"<pre>{_one_line(html.escape(shown))}</pre>"


def short_code(source: str, most: int = MOST_CODE) -> str:
    r"""Code that can be coloured in a second: cut off, without blanks at line ends.

    Args:
        source: of a cell.
        most: letters that are kept.

    Example:
        >>> short_code("x = 1\ny = 2")
        'x = 1\ny = 2'
    """
    if len(source) <= min(LEAST_CODE, most):
        return source
    lines = [line.rstrip() for line in source[:most].splitlines()]
    text = re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines))
    return f"{text}\n# {CUT}" if len(source) > most else text


def is_loaded(address: str) -> bool:
    """Whether a picture may be loaded when somebody reads the page.

    Example:
        >>> is_loaded("notebooks/images/a.svg"), is_loaded("//elsewhere/a.png")
        (True, False)
    """
    return bool(OWN_PICTURE.fullmatch(address))


def safe_markdown(source: str, attachments: dict[str, Any] | None = None) -> str:
    """The text itself if it is plain; else one line of harmless HTML.

    Args:
        source: Markdown.
        attachments: name -> {type: base64} of pictures that were pasted into it.

    Example:
        >>> safe_markdown("*why* one head")
        '*why* one head'
        >>> safe_markdown("<b>why</b> [me](javascript:x)")
        '<div><p><b>why</b> <a>me</a></p></div>'
    """
    if len(source) > MOST_LETTERS:
        return as_it_is(source)
    if PLAIN.fullmatch(source):
        return source
    pictures = {}
    for number, (name, bundle) in enumerate((attachments or {}).items()):
        for kind in PICTURES:
            if kind in bundle:
                mark = f"pasted-picture-{number}"
                source = source.replace(f"attachment:{name}", mark)
                data = re.sub(r"[^A-Za-z0-9+/=]", "", "".join(bundle[kind]))
                pictures[mark] = f"data:{kind};base64,{data}"
    try:
        # nbconvert stops at an attachment that is missing; these come back below.
        unsafe = markdown2html(source.replace("attachment:", "attachment-"))
    except Exception:  # noqa: BLE001 - no text of a student stops the grading
        return as_it_is(source)
    cleaner = SanitizeHTML(tags=list(TAGS), attributes=ATTRIBUTES)
    clean = cleaner.sanitize_html_tags(unsafe)
    clean = NOT_LOADED.sub(_instead, clean)
    for mark, address in pictures.items():
        clean = clean.replace(f'src="{mark}"', f'src="{address}"')
    return f"<div>{_one_line(clean.strip())}</div>"


def _instead(picture: re.Match[str]) -> str:
    """What stands in the place of a picture from elsewhere."""
    alt = ALT.search(picture["rest"])
    return f"<em>(a picture that is not loaded: {alt[1] if alt else ''})</em>"


def _one_line(text: str) -> str:
    """A blank line would end the HTML, and Markdown begin again."""
    return text.replace("\n", "&#10;")


class FeedbackExporter(HTMLExporter):
    """Feedback in which no script runs, whoever wrote it.

    Formulas of the notebook stay TeX there: what draws them is a script.
    """

    def from_notebook_node(  # type: ignore[override]
        self, nb: nbformat.NotebookNode, resources: Any = None, **options: Any
    ) -> tuple[str, Any]:
        """Put the policy first into the page's head.

        Raises:
            ValueError: the template of nbgrader has another form.
        """
        page, resources = super().from_notebook_node(nb, resources, **options)
        policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        safe = page.replace("<head>", f"<head>\n{policy}", 1)
        if not re.match(r"\s*<!DOCTYPE html>\s*<html>\s*<head>\s*<meta http-eq", safe):
            raise ValueError("the feedback has no <head>; the policy cannot be set")
        return safe, resources
