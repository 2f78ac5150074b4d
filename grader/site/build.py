"""Make the site: the students' notebooks, run with the solution behind them.

A page shows what the code of a notebook gives when all exercises are solved: pictures
and numbers. Solutions, model answers and rubrics are not in it, for the pages are made
of the students' version; the solution lies in assignment/ only while notebooks run.
"""

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from core.command import CourseError
from core.course import PACKAGE, Registry
from core.files import new_folder
from grader.release.build import make_release
from grader.release.release_files import write_files
from grader.site.page import navigation_of, prepare, to_html

NOTEBOOKS = "notebooks"
CELL_TIMEOUT_S = 1200
LOCAL = re.compile(r'(?:href|src)="(?!#|[a-z]+:)([^"#?]+)')
SHOWN = re.compile(r"!\[(.+?)\]\(docs/steps/(\d+)\.png\)")  # in README.md, with a text
# Nobody moves a slider or writes a guess in a page.
SETTINGS = {"FCOS_COURSE_WIDGETS": "off", "FCOS_COURSE_ANSWERS": "fold"}


def build_site(
    root: Path,
    out: Path,
    *,
    repository: str = "",
    parts: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    say: Callable[[str], Any] = print,
) -> list[str]:
    """Run the notebooks and write their pages; nothing appears before all are there.

    Args:
        root: folder of the course, with the solution.
        out: new folder.
        repository: where the students' version is published, for the Colab badges.
        parts: of the course; the default ones if empty.
        names: how the names of the wanted notebooks begin; all if empty.
        say: told about each page.

    Returns:
        The names of the pages.

    Raises:
        CourseError: `out` is taken, a notebook does not run, or none has such a name.
    """
    if out.exists():
        raise CourseError(f"{out}: exists; remove it, or give another --out")
    release = make_release(root, repository, list(parts))
    with tempfile.TemporaryDirectory() as folder, new_folder(out) as site:
        course = Path(folder).resolve()
        write_files(release.files, course)
        stubs = {path: path.read_text("utf-8") for path in _modules(course)}
        for path in stubs:
            path.write_bytes((root / PACKAGE / path.name).read_bytes())
        if (root / "data").is_dir():  # spares the drawing
            (course / "data").symlink_to(root / "data", target_is_directory=True)
        written = _notebook_pages(course, site, release.registry, names, say)
        (site / PACKAGE).mkdir()
        for path, text in stubs.items():
            page = site / PACKAGE / f"{path.stem}.html"
            page.write_text(_code_page(path.name, text), "utf-8")
        images = course / NOTEBOOKS / "images"
        for image in images.iterdir() if images.is_dir() else ():
            (site / "images").mkdir(exist_ok=True)
            (site / "images" / image.name).write_bytes(image.read_bytes())
        _write_index(root, site, release.registry)
        _take_what_is_linked(course, site, is_whole=not names)
    return written


def _take_what_is_linked(course: Path, site: Path, is_whole: bool) -> None:
    """Files that notebooks have written, such as a page, come along.

    Args:
        is_whole: whether all pages were wanted, so that each link must lead somewhere.

    Raises:
        CourseError: a link leads to what is not there.
    """
    for page in site.glob("*.html"):
        for target in LOCAL.findall(page.read_text("utf-8")):
            there, made = site / target, course / target
            if not there.exists() and made.is_file():
                there.parent.mkdir(parents=True, exist_ok=True)
                there.write_bytes(made.read_bytes())
            elif is_whole and not there.exists():
                raise CourseError(f"{page.name}: the link to {target} leads nowhere")


def _modules(course: Path) -> list[Path]:
    return sorted((course / PACKAGE).glob("*.py"))


def _notebook_pages(
    course: Path,
    site: Path,
    registry: Registry,
    names: tuple[str, ...],
    say: Callable[[str], Any],
) -> list[str]:
    there = {path.name for path in (course / NOTEBOOKS).glob("*.ipynb")}
    titles = {
        step.notebook.replace(".ipynb", ".html"): f"{step.number} · {step.title}"
        for step in registry.steps.values()
        if step.notebook in there
    }
    wanted = [page for page in titles if not names or page.startswith(names)]
    if not wanted:
        raise CourseError(f"no notebook's name begins with {' or '.join(names)}")
    for page in wanted:
        path = course / NOTEBOOKS / page.replace(".html", ".ipynb")
        notebook = run_notebook(path)
        texts = prepare(notebook, str(course))
        text = to_html(notebook, texts, titles[page], navigation_of(titles, page))
        (site / page).write_text(text, "utf-8")
        say(f"{page}: {len(text) / 1e6:.1f} MB")
    return wanted


def run_notebook(path: Path) -> nbformat.NotebookNode:
    """A notebook with its outputs.

    Raises:
        CourseError: a cell fails.
    """
    from nbclient import NotebookClient  # slow to import
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute(env={**os.environ, **SETTINGS})
    except CellExecutionError as error:
        raise CourseError(
            f"{path.name}: a cell fails ({error.ename}: {error.evalue}); run make "
            "notebooks to see where"
        ) from error
    return notebook


def _code_page(name: str, text: str) -> str:
    """A file of assignment/ as students get it, in colours."""
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

    formatter = HtmlFormatter(full=True, title=name, linenos="inline")
    return str(highlight(text, PythonLexer(), formatter))


def _write_index(root: Path, site: Path, registry: Registry) -> None:
    """The first page: what each notebook is about, with a picture of it."""
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    pictures = {}
    shown = SHOWN.findall((root / "README.md").read_text("utf-8"))
    texts = {int(number): text for text, number in shown}
    for step in registry.steps.values():
        picture = root / "docs" / "steps" / f"{step.number:02}.png"
        if picture.is_file():
            (site / "images").mkdir(exist_ok=True)
            (site / "images" / picture.name).write_bytes(picture.read_bytes())
            pictures[step.number] = f"images/{picture.name}"
    steps = [
        (
            step,
            step.notebook.replace(".ipynb", ".html"),
            pictures.get(step.number),
            texts.get(step.number, step.title),
        )
        for step in registry.steps.values()
    ]
    there = {path.name for path in site.glob("*.html")}
    page = (
        Environment(loader=loader, autoescape=True)
        .get_template("index.html")
        .render(
            steps=[each for each in steps if each[1] in there],
            parts=list(registry.parts.values()),
            exercises=registry.exercises.values(),
        )
    )
    (site / "index.html").write_text(page, "utf-8")
