"""Pages of the notebooks: every link leads somewhere, every picture has its text."""

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)

from core.command import CourseError
from core.course import read_registry
from grader.site import build
from grader.site.page import (
    NO_TEXT,
    alt_text,
    last_states,
    navigation_of,
    prepare,
    to_html,
)

ROOT = Path(__file__).resolve().parent.parent
NOT_OF_A_PICTURE = re.compile(r"submit|progress\(|hint\(|</|above should be|\]\(")
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)


class Page(HTMLParser):
    """Links and pictures of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        """Collect where it leads, and what a picture says."""
        found = dict(attrs)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag == "img":
            self.texts.append(found.get("alt") or "")
            if not found["src"].startswith("data:"):
                self.links.append(found["src"])


def picture_cell(source: str) -> nbformat.NotebookNode:
    output = new_output("display_data", data={"image/png": PNG, "text/plain": "figure"})
    return new_code_cell(source, outputs=[output])


def executed(path: Path) -> nbformat.NotebookNode:
    """Each cell of code drew a picture; a stand-in for a run of minutes."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = picture_cell("").outputs
    if path.name.startswith("09"):  # its last cell writes a page, and links it
        made = path.parent.parent / "runs" / "my_detector" / "index.html"
        made.parent.mkdir(parents=True)
        made.write_text("<p>mine</p>")
        link = {"text/markdown": "[mine](../runs/my_detector/index.html)"}
        notebook.cells[-1].outputs = [new_output("display_data", data=link)]
    return notebook


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """All pages, of notebooks that did not run."""
    patch = pytest.MonkeyPatch()
    patch.setattr(build, "run_notebook", executed)
    out = tmp_path_factory.mktemp("site") / "site"
    with patch.context():
        build.build_site(ROOT, out, say=lambda _: None)
    patch.undo()
    return out


def test_every_link_of_the_site_leads_to_a_page(site: Path):
    """Between notebooks, to files of assignment/, to pictures, to the last page."""
    pages = sorted(site.rglob("*.html"))
    registry = read_registry()
    parts = registry.default_parts
    own = [module for module in registry.modules.values() if module.part in parts]
    assert len(pages) == 2 + 10 + len(own) + 1  # and assignment/__init__.py
    for path in site.glob("*.html"):
        for link in Page(path.read_text()).links:
            if "://" in link or link.startswith("#"):
                continue
            target = link.partition("#")[0]
            assert "OWNER" not in link
            assert (path.parent / target).is_file(), (path.name, link)


def test_page_needs_no_other_server(site: Path):
    """No script; every formula is a picture, with the formula as its text."""
    formulas = 0
    for path in site.glob("*.html"):
        text = path.read_text()
        assert "<script" not in text, path.name
        assert "OWNER/REPOSITORY/blob" not in text, path.name
        body = re.sub(r"<(style|pre|code)\b.*?</\1>|<[^>]+>", "", text, flags=re.DOTALL)
        assert "$" not in body, (path.name, body[body.find("$") - 50 :][:150])
        formulas += len(re.findall('class="formula(?: alone)?"', text))
    assert formulas > 50
    text = (site / "05_deltas_and_centerness.html").read_text()
    assert r"\text{centerness} = \sqrt{\frac" in " ".join(Page(text).texts)


def test_texts_of_pictures_can_be_read_alone(site: Path):
    """Whole sentences, none about how to hand in, none of a folded part."""
    for path in site.glob("0*.html"):
        for text in Page(path.read_text()).texts[1:]:
            if len(text) < 12 or re.search(r"[\\_=^]", text):  # a formula
                continue
            assert not re.search(
                r"submit|progress\(|hint\(|</|above should be|\]\(", text
            ), text
            assert text[0].isupper() or text[0] in "0123456789", (path.name, text)
            assert text.endswith((".", "!", "?", ")")), (path.name, text)
    texts = Page((site / "index.html").read_text()).texts
    assert "overlap of two boxes" in texts and len(set(texts)) == len(texts) == 10


def test_every_picture_has_a_text_of_its_own_section(site: Path):
    """And no path of the machine is in a page."""
    for path in site.glob("0*.html"):
        texts = Page(path.read_text()).texts
        assert len(texts) > 5
        assert "" not in texts and not any("No description" in text for text in texts)
    text = (site / "05_deltas_and_centerness.html").read_text()
    assert "Both locations describe the same box with other numbers." in text


def test_no_page_has_a_solution(site: Path):
    """Not of an exercise, and not of a question."""
    for path in site.rglob("*.html"):
        text = re.sub(r"<[^>]+>", "", path.read_text())
        assert "BEGIN SOLUTION" not in text
        assert "Model answer." not in text and "Rubric." not in text
        assert "torch.maximum(boxes1[:, None, :2]" not in text
    common = re.sub(r"<[^>]+>", "", (site / "assignment" / "common.html").read_text())
    assert "def iou(" in common and "raise NotImplementedError" in common


def test_text_of_a_picture_is_what_there_is_to_notice():
    """Behind it, up to the next code; else the text before it."""
    cells = [
        new_markdown_cell("# Title\n\nHere is **one** [box](a.ipynb)."),
        picture_cell("a"),
        picture_cell("b"),
        new_markdown_cell("Some words.\n\nNotice that `x` is *large*.\n\nMore."),
    ]
    assert alt_text(cells, 1) == "Here is one box."
    assert alt_text(cells, 2) == "X is large."
    cells = [
        new_markdown_cell("The lines above should be 1. Now in the picture:\n\n"),
        picture_cell("a"),
        new_markdown_cell("## Next\n\n" + "Notice: " + "Many words here. " * 40),
        picture_cell('check("4.1")'),
        picture_cell("draw_won(1, mine)"),
        new_markdown_cell("See `submit()`."),
    ]
    assert alt_text(cells[:2], 1) == "Now in the picture."
    assert len(alt_text(cells, 1)) < 300 and alt_text(cells, 1).endswith("words here.")
    assert alt_text(cells, 3).startswith("Exercise 4.1: what is expected beside")
    assert alt_text(cells, 4).startswith("Your own result of this notebook")
    assert alt_text([picture_cell("a")], 0) == NO_TEXT


def test_progress_bars_and_paths_do_not_stay(tmp_path: Path):
    """Neither on stderr nor as lines that were written over."""
    assert last_states("0%\r50%\r100%\r\nend\n") == "100%\nend\n"
    cell = new_code_cell(
        "x",
        outputs=[
            new_output("stream", name="stderr", text="50%\r100%"),
            new_output("stream", name="stdout", text=f"course in {tmp_path}; a\rb"),
        ],
    )
    notebook = new_notebook(cells=[cell])
    assert prepare(notebook, str(tmp_path)) == []
    (output,) = notebook.cells[0].outputs
    assert output.text == "b"


def test_page_has_its_neighbours_and_escapes_texts():
    """Before, behind, and the first of all."""
    titles = {"a.html": "A & B", "b.html": "B", "c.html": "C"}
    navigation = navigation_of(titles, "b.html")
    assert Page(navigation).links == ["index.html", "a.html", "c.html"]
    assert "A &amp; B" in navigation
    notebook = new_notebook(cells=[picture_cell("x")])
    text = to_html(notebook, ['say "<b>"'], "title", navigation)
    assert 'say "<b>"' in Page(text).texts
    assert text.count('class="course-navigation"') == 2


def test_site_is_refused_in_a_sentence(tmp_path: Path):
    """A folder that is taken, a name that no notebook has: nothing is written."""
    with pytest.raises(CourseError, match="exists; remove it"):
        build.build_site(ROOT, tmp_path)
    with pytest.raises(CourseError, match="no notebook's name begins with 77"):
        build.build_site(ROOT, tmp_path / "site", names=("77",))
    assert not (tmp_path / "site").exists()
