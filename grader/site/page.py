"""One executed notebook as a page: links between pages, pictures with a text."""

import html
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import nbformat

from core.course import ID
from grader.release.address import PLACEHOLDER
from grader.site.formulas import draw_formulas

COURSE = "fcos-course"
NO_ALT = re.compile(r'alt="No description has been provided for this image"')
MOST_ALT = 300  # characters
NO_TEXT = "A picture of this section; the text around it says what it shows."
NOTICE = re.compile(r"^Notice(?: that)?:? *(?P<what>.+)", re.DOTALL)
SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z\d(\"])")
# What a paragraph begins with that says nothing about a picture: headings, tables,
# lists, code, folded parts, and what one is asked to do.
NO_PROSE = ("#", "|", "-", "1.", "```", "<", ">", "!", "(", "**Predict", "How far are")
CHECK = re.compile(rf"""check\(["'](?P<number>{ID})["']""")
BADGE = re.compile(rf"\[!\[[^\]]*\]\([^)]*\)\]\([^)]*{PLACEHOLDER}[^)]*\)")
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s]+)(?=\))")
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
LINKED = re.compile(r"\[([^\]]*)\]\([^)]*\)")
MARKS = re.compile(r"[*`$\\#>]|\{|\}")


def prepare(notebook: nbformat.NotebookNode, folder: str) -> list[str]:
    """Let links lead to pages; keep no progress bars and no path of this machine.

    Formulas become pictures; a badge that leads to no course yet goes.

    Args:
        folder: of the course, where it ran.

    Returns:
        A text for each picture, in order.
    """
    cells = notebook.cells
    texts = []
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            cell.source = lead_to_pages(BADGE.sub("", cell.source))
            continue
        for output in list(cell.get("outputs", [])):
            if output.get("name") == "stderr":
                cell.outputs.remove(output)
            elif "text" in output:
                output.text = last_states(output.text).replace(folder, COURSE)
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = lead_to_pages(data["text/markdown"])
            if "image/png" in data or "image/jpeg" in data:
                texts.append(alt_text(cells, place))
    for cell in cells:
        if cell.cell_type == "markdown":  # only now, for the texts of the pictures
            cell.source = draw_formulas(cell.source)
    return texts


def lead_to_pages(text: str) -> str:
    """Markdown whose links lead to the pages of the site instead of to files."""
    return LINK.sub(lambda found: page_of(found["target"]), text)


def page_of(target: str) -> str:
    """Where a link of a notebook leads to in the site.

    >>> page_of("04_locations_and_matching.ipynb"), page_of("../assignment/common.py")
    ('04_locations_and_matching.html', 'assignment/common.html')
    >>> page_of("README.md"), page_of("https://example.org/x.ipynb")
    ('index.html', 'https://example.org/x.ipynb')
    """
    if "://" in target or target.startswith("#"):
        return target
    path = PurePosixPath(target.removeprefix("../"))
    if path.name == "README.md":
        return "index.html"
    if path.suffix in (".ipynb", ".py"):
        return path.with_suffix(".html").as_posix()
    return path.as_posix()


def last_states(text: str) -> str:
    """A text as a terminal shows it in the end: what was written over is gone."""
    lines = (
        line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")
    )
    return "\n".join(lines)


def alt_text(cells: list[nbformat.NotebookNode], place: int) -> str:
    """What there is to see in the pictures of a cell, without marks of Markdown.

    The text behind the cell says what there is to notice, or works it out by hand; else
    the text before it announces the picture, in its last sentence if it speaks of an
    earlier one, too.
    """
    source = cells[place].source
    if "draw_won(" in source:
        return (
            "Your own result of this notebook, above a row of fields, one for each "
            "notebook: the ones done, the next, and those to come."
        )
    asked = CHECK.search(source)
    if asked:
        return (
            f"Exercise {asked['number']}: what is expected beside what the code gives."
        )
    behind = [text for text in _texts_behind(cells, place) if _is_prose(text)]
    for text in behind:
        found = NOTICE.match(text)
        if found or "Notice" in text or text.startswith(("By hand", "**By hand")):
            return _shortened(_plain(found["what"] if found else text))
    for text in _texts_before(cells, place):
        if _is_prose(text):
            words = _plain(text)
            is_of_another = "above" in words or NOTICE.match(text)
            return _shortened(SENTENCE_END.split(words)[-1] if is_of_another else words)
    return _shortened(_plain(behind[0])) if behind else NO_TEXT


def _texts_behind(cells: list[nbformat.NotebookNode], place: int) -> Iterator[str]:
    """Paragraphs behind a cell, up to the next code."""
    for cell in cells[place + 1 :]:
        if cell.cell_type != "markdown":
            break
        yield from _paragraphs(cell.source)


def _texts_before(cells: list[nbformat.NotebookNode], place: int) -> Iterator[str]:
    """Paragraphs of the text before a cell, the nearest first."""
    for cell in cells[:place][::-1]:
        if cell.cell_type == "markdown":
            yield from _paragraphs(cell.source)[::-1]
            break


def _paragraphs(text: str) -> list[str]:
    """Without what is folded."""
    return [part.strip() for part in FOLDED.sub("", text).split("\n\n")]


def _is_prose(text: str) -> bool:
    return bool(_plain(text)) and not text.startswith(NO_PROSE)


def _plain(text: str) -> str:
    return " ".join(MARKS.sub("", LINKED.sub(r"\1", text)).split())


def _shortened(text: str) -> str:
    """Whole sentences, as many as there is room for, with a capital and an end."""
    sentences = SENTENCE_END.split(text[:1].upper() + text[1:])
    while len(sentences) > 1 and len(" ".join(sentences)) > MOST_ALT:
        sentences.pop()
    words = " ".join(sentences).rstrip(":, ")
    return words if words.endswith((".", "!", "?", ")")) else f"{words}."


def to_html(
    notebook: nbformat.NotebookNode, texts: list[str], title: str, navigation: str
) -> str:
    """The page, with its pictures in it.

    Args:
        notebook: executed and prepared.
        texts: of its pictures.
        title: of the browser's window.
        navigation: HTML for the top and the end of the page.
    """
    from nbconvert import HTMLExporter  # slow to import

    exporter: Any = HTMLExporter(
        exclude_input_prompt=True, exclude_output_prompt=True, require_js_url=""
    )
    page: str
    page, _ = exporter.from_notebook_node(
        notebook, resources={"metadata": {"name": title}}
    )
    ordered = iter(texts)
    page = NO_ALT.sub(
        lambda _: f'alt="{html.escape(next(ordered, NO_TEXT), quote=True)}"', page
    )
    page = SCRIPT.sub("", page)  # of MathJax and the like, from other servers
    page = re.sub(r"(<body[^>]*>)", rf"\1{STYLE}{navigation}", page, count=1)
    return page.replace("</body>", f"{navigation}</body>")


STYLE = (
    "<style>.course-navigation{font:15px sans-serif;padding:12px 24px}"
    ".course-navigation a{margin-right:24px}"
    "img.formula{display:inline;margin:0;max-width:100%}"
    "img.formula.alone{display:block;margin:.8em 0}</style>"
)


def navigation_of(titles: dict[str, str], name: str) -> str:
    """Links to the pages before and behind one, and to the first of all.

    Args:
        titles: page -> title, in order.
        name: of this page.
    """
    names = list(titles)
    place = names.index(name)
    links = [("index.html", "All notebooks")]
    if place > 0:
        links.append((names[place - 1], f"← {titles[names[place - 1]]}"))
    if place + 1 < len(names):
        links.append((names[place + 1], f"{titles[names[place + 1]]} →"))
    body = "".join(f'<a href="{to}">{html.escape(text)}</a>' for to, text in links)
    return f'<nav class="course-navigation">{body}</nav>'
