"""The search for leaks reads a file as people do: through tags, escapes and blanks."""

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from core.command import CourseError
from grader.release.build import make_release
from grader.release.plain_text import compact, unwrapped
from grader.release.release_files import earlier_names, write_zip
from tests.adder_course import SECRET, make_course, save_notebook

HIDDEN = '''import torch


def test_sum_of_nothing_is_zero(student):
    """No value at all."""
    adder = student.common.make("Adder", seed=4)
    got = adder.add([-3, 11, 4])
    expect_equal("Adder.add", got, 9 + 121 + 16)
    assert adder.add([]) == 0, "nothing adds up to nothing"
'''
BODY = HIDDEN.split(":\n", 1)[1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small course outside of git, with a hidden test."""
    root = make_course(tmp_path / "course")
    (root / "grader_tests").mkdir()
    (root / "grader_tests" / "test_adder.py").write_text(HIDDEN)
    return root


def coloured(text: str) -> str:
    """HTML with one tag for each word and sign, as coloured source has it."""
    words = re.findall(r"\w+|\s+|[^\w\s]", text)
    return "".join(
        word if word.isspace() else f'<span class="n">{word}</span>' for word in words
    )


def for_html(text: str) -> str:
    """Every sign as an entity."""
    return "".join(sign if sign.isalnum() else f"&#{ord(sign)};" for sign in text)


def for_terminal(text: str) -> str:
    """A colour for each word."""
    return re.sub(r"(\w+)", "\x1b[38;5;28m\\1\x1b[39m", text)


def for_json(text: str) -> str:
    r"""Every sign as \uXXXX."""
    return "".join(f"\\u{ord(sign):04x}" for sign in text)


DISGUISES: dict[str, Callable[[str], str]] = {
    "one tag a word": coloured,
    "entities": for_html,
    "the source of a page with one tag a word": lambda text: for_html(coloured(text)),
    "terminal colours": for_terminal,
    "JSON escapes": for_json,
    "tags in JSON escapes": lambda text: for_json(coloured(text)),
    "percent escapes": quote,
    "no blanks": lambda text: "".join(text.split()),
    "capitals": str.upper,
    "a word a line": lambda text: "\n".join(text.split()),
    "no-break blanks": lambda text: text.replace(" ", "\N{NO-BREAK SPACE}"),
    "invisible signs": lambda text: "\N{ZERO WIDTH SPACE}".join(text),
    "line numbers and tags": lambda text: f"<td>7</td><td>{coloured(text)}</td>",
}
ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig")


@pytest.mark.parametrize("case", DISGUISES)
@pytest.mark.parametrize("name", ["helpers/page.html", "notebooks/one.md"])
def test_release_refuses_a_solution_line_in_another_form(tree: Path, case, name: str):
    """The line is found, whatever stands between its letters."""
    (tree / name).write_text(f"<p>\n{DISGUISES[case](SECRET)}\n</p>\n")
    with pytest.raises(CourseError, match=rf"^{name}.* shows the secret line .*:18;"):
        make_release(tree)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_release_refuses_a_solution_line_in_another_encoding(tree: Path, encoding: str):
    """Both orders of bytes, with and without a mark."""
    (tree / "notebooks" / "notes.txt").write_bytes(f"x\n{SECRET}\n".encode(encoding))
    with pytest.raises(CourseError, match=r"^notebooks/notes.txt.* shows the secret"):
        make_release(tree)


@pytest.mark.parametrize("case", DISGUISES)
def test_release_refuses_a_notebook_that_shows_a_solution_in_another_form(
    tree: Path, case: str
):
    """Sources, outputs, metadata and attachments."""
    text = DISGUISES[case](SECRET)
    html = {"text/html": f"<div>{text}</div>"}
    cells = {
        "source": new_markdown_cell(text),
        "output": new_code_cell(outputs=[new_output("display_data", html)]),
        "metadata": new_code_cell(metadata={"kept": [text]}),
        "attachment": new_markdown_cell("", attachments={"a.html": html}),
    }
    for cell in cells.values():
        save_notebook(tree, cell)
        with pytest.raises(CourseError, match=r"^notebooks/one.ipynb.* secret line"):
            make_release(tree)


def renamed(text: str) -> str:
    return text.replace("def test_", "def check_")


COPIES = {
    "functions renamed": renamed(HIDDEN),
    "only the body": BODY,
    "commented out": re.sub("(?m)^", "# ", renamed(HIDDEN)),
    "other case, no blanks": "\n".join(
        "".join(line.split()).upper() for line in BODY.splitlines()
    ),
    "most of it": "\n".join(BODY.splitlines()[1:-1]),
    "coloured": coloured(renamed(HIDDEN)),
    "a string of JSON": json.dumps({"text": renamed(HIDDEN)}),
}


@pytest.mark.parametrize("case", COPIES)
@pytest.mark.parametrize("name", ["given.py", "notes.txt"])
def test_release_refuses_the_body_of_a_hidden_test(tree: Path, case: str, name: str):
    """A hidden test is one by what it does, not by its name."""
    (tree / "helpers" / name).write_text(COPIES[case])
    with pytest.raises(
        CourseError, match=rf"^helpers/{name}: shows the hidden test .*test_adder.py:4"
    ):
        make_release(tree)


def test_a_few_lines_of_a_hidden_test_are_no_secret(tree: Path):
    """Visible checks call the same functions in the same way."""
    shared = "\n".join(BODY.splitlines()[1:3])
    (tree / "helpers" / "given.py").write_text(f"def check(student):\n{shared}\n")
    assert "helpers/given.py" in make_release(tree).files


def test_what_the_manifest_calls_visible_is_no_secret(tree: Path):
    """A visible check may be like a hidden test; one that is not listed may not."""
    checks, manifest = tree / "helpers" / "checks", tree / "grader_tests" / "manifest"
    checks.mkdir()
    manifest.mkdir()
    (checks / "test_adder.py").write_text(renamed(HIDDEN).replace("check_", "test_my_"))
    entry = (
        '[[test]]\nid = "checks/test_adder.py::{}"\nexercise = "1.1"\npoints = 0\n'
        'title = "Nothing"\nvisible = true\nhint = "Look."\n'
    )
    visible = manifest / "visible.toml"
    visible.write_text(entry.format("test_my_sum_of_nothing_is_zero"))
    assert "helpers/checks/test_adder.py" in make_release(tree).files
    visible.write_text(entry.format("test_other"))
    with pytest.raises(CourseError, match="shows the hidden test"):
        make_release(tree)


def packed_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("common.py", SECRET)
    return stream.getvalue()


UNSEARCHABLE = {
    "answers.zip": packed_zip(),
    "answers.py.gz": gzip.compress(SECRET.encode()),
    "answers.npz": packed_zip(),
    "answers": b"x = 1\n",
    "answers.pkl": b"\x80\x04K\x01.",
    "answers.PY.bak": b"x = 1\n",
    "zip.png": packed_zip(),
    "gz.txt": gzip.compress(SECRET.encode()),
    "latin.txt": "Größe".encode("latin-1"),
    "wide.md": "nothing".encode("utf-16-le"),
}


@pytest.mark.parametrize("name", UNSEARCHABLE)
def test_release_refuses_what_nobody_can_search(tree: Path, monkeypatch, name: str):
    """Archives and unknown endings, also where git tracks them."""
    path = tree / "helpers" / name
    path.write_bytes(UNSEARCHABLE[name])
    tracked = {
        entry.relative_to(tree).as_posix()
        for entry in tree.rglob("*")
        if entry.is_file()
    }
    monkeypatch.setattr(
        "grader.release.release_files.tracked_files", lambda root: tracked
    )
    with pytest.raises(CourseError, match=rf"^helpers/{name}: "):
        make_release(tree)
    path.unlink()
    tracked.remove(f"helpers/{name}")
    assert make_release(tree).files


OUTPUT = {"outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}]}
WITH_OUTPUT = {
    "output": new_code_cell(outputs=[new_output("stream", text="1")]),
    "picture": new_code_cell(outputs=[new_output("display_data", {"image/png": "aa"})]),
    "metadata": new_code_cell(metadata={"kept": {"of": OUTPUT}}),
    "attached page": new_markdown_cell("", attachments={"a": {"text/html": "<p>"}}),
    "attached drawing": new_markdown_cell("", attachments={"a": {"image/svg+xml": ""}}),
}


@pytest.mark.parametrize("case", WITH_OUTPUT)
def test_release_refuses_every_output(tree: Path, case: str):
    """Even one that shows nothing: a picture of it nobody can search."""
    save_notebook(tree, WITH_OUTPUT[case])
    with pytest.raises(CourseError, match=r"^notebooks/one.ipynb: cell 1 has "):
        make_release(tree)


def test_release_refuses_outputs_in_the_metadata_of_a_notebook(tree: Path):
    """Widgets keep theirs there."""
    widgets = {"application/vnd.jupyter.widget-state+json": {"state": {"1": OUTPUT}}}
    save_notebook(tree, new_code_cell("x = 1"), widgets=widgets)
    with pytest.raises(CourseError, match=r"^notebooks/one.ipynb: its metadata hold"):
        make_release(tree)


def test_pasted_pictures_and_empty_outputs_are_handed_out(tree: Path):
    """What people put into a notebook's text."""
    picture = {"a.png": {"image/png": "aaaa"}}
    save_notebook(
        tree, new_markdown_cell("![a](attachment:a.png)", attachments=picture)
    )
    assert "notebooks/one.ipynb" in make_release(tree).files


def test_code_that_looks_like_a_tag_is_still_found(tree: Path):
    """`<` and `>` of a solution are no tag, wherever it stands."""
    line = "smaller = 3 < first and last > 2"
    source = (tree / "assignment" / "common.py").read_text().replace(SECRET, line)
    (tree / "assignment" / "common.py").write_text(source)
    for text in (line, coloured(line), for_html(line), for_html(coloured(line))):
        (tree / "helpers" / "page.html").write_text(text)
        with pytest.raises(CourseError, match="shows the secret line"):
            make_release(tree)


def test_escapes_that_are_none_are_left_as_they_are():
    """No text of a file stops the search."""
    odd = r"\U0011ffff \uD800 \x %zz &nothing; \x1b[" + "\x1b]8;;"
    assert odd in unwrapped(odd)
    assert compact("\N{LATIN SMALL LETTER SHARP S} \0\ufeffA") == "ssa"


def test_earlier_release_is_known_by_its_folder_or_its_zip(tree: Path, tmp_path: Path):
    """What was handed out before, so that what is new can be named."""
    files = make_release(tree).files
    folder, packed = tmp_path / "student", tmp_path / "student.zip"
    assert earlier_names(folder, packed) is None
    write_zip(files, packed)
    names = set(files) - {"release.json"}
    assert earlier_names(folder, packed) == names
    folder.mkdir()
    (folder / "release.json").write_bytes(b'{"student_release": {"LICENSE": "0"}}')
    assert earlier_names(folder, packed) == {"LICENSE"}
    assert earlier_names(folder, None) == {"LICENSE"}
    (folder / "release.json").write_bytes(b"{")
    assert earlier_names(folder, None) is None
