"""One executed notebook as a page: links between pages, pictures with a text."""

import html
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import nbformat

COURSE = "fcos-course"
NO_ALT = re.compile(r'alt="No description has been provided for this image"')
MOST_ALT = 300  # characters
NO_TEXT = "a picture of this section; the text around it says what it shows"
NOTICE = re.compile(r"^Notice(?: that)?:? *(?P<what>.+)", re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s]+)(?=\))")
MARKS = re.compile(r"[*_`$\\#>]|\{|\}")


def prepare(notebook: nbformat.NotebookNode, folder: str) -> list[str]:
    """Let links lead to pages; keep no progress bars and no path of this machine.

    Args:
        folder: of the course, where it ran.

    Returns:
        A text for each picture, in order.
    """
    cells = notebook.cells
    texts = []
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            cell.source = lead_to_pages(cell.source)
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
    """What there is to notice in the pictures of a cell, without marks of Markdown.

    The text behind the cell says it, up to the next code; else the one before it does.
    """
    for text in _texts_near(cells, place):
        found = NOTICE.match(text)
        if found:
            words = _plain(found["what"])
            return words[:1].upper() + words[1:]
    for text in _texts_near(cells, place):
        if _plain(text):
            return _plain(text)
    return NO_TEXT


def _texts_near(cells: list[nbformat.NotebookNode], place: int) -> Iterator[str]:
    """Paragraphs behind a cell of code, then those before it, the nearest first."""
    for cell in cells[place + 1 :]:
        if cell.cell_type != "markdown":
            break
        yield from cell.source.split("\n\n")
    for cell in cells[:place][::-1]:
        if cell.cell_type == "markdown":
            yield from cell.source.split("\n\n")[::-1]
            break


def _plain(text: str) -> str:
    words = " ".join(MARKS.sub("", LINK.sub("", text).replace("]()", "]")).split())
    return words[:MOST_ALT]


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
    page = re.sub(r"(<body[^>]*>)", rf"\1{STYLE}{navigation}", page, count=1)
    return page.replace("</body>", f"{navigation}</body>")


STYLE = (
    "<style>.course-navigation{font:15px sans-serif;padding:12px 24px}"
    ".course-navigation a{margin-right:24px}</style>"
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
