"""Nothing that a student writes runs in the browser of whoever reads it."""

import html
import re
from typing import Any

import nbformat
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import markdown2html
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbgrader.preprocessors import NbGraderPreprocessor  # type: ignore[import-untyped]

from grader.nbgrader_course.submitted import Answer

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
ATTRIBUTES = {
    "a": ["href", "title"],
    "img": ["src", "alt", "title"],
    "ol": ["start"],
    "th": ["align"],
    "td": ["align"],
}
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

    def preprocess_cell(
        self, cell: nbformat.NotebookNode, resources: dict[str, Any], index: int
    ) -> Answer:
        """Change all texts: what says that a cell is locked may be the student's."""
        if cell.cell_type == "raw":
            cell.cell_type = "markdown"
            cell.source = f"<pre>{_one_line(html.escape(cell.source))}</pre>"
        elif cell.cell_type == "markdown":
            cell.source = safe_markdown(cell.source, cell.get("attachments", {}))
        cell.pop("attachments", None)
        return cell, resources


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
        return f"<pre>{_one_line(html.escape(source))}</pre>"
    cleaner = SanitizeHTML(tags=list(TAGS), attributes=ATTRIBUTES)
    clean = cleaner.sanitize_html_tags(unsafe)
    for mark, address in pictures.items():
        clean = clean.replace(f'src="{mark}"', f'src="{address}"')
    return f"<div>{_one_line(clean.strip())}</div>"


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
