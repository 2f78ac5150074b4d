"""What a docstring or a notebook demands is checked, or the text says it is free.

`demands.toml` lists each such sentence of the exercises with the tests that look at it;
a new one without an entry fails here.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.manifest import read_manifest

ROOT = Path(__file__).resolve().parent.parent
TABLE = tomllib.loads((ROOT / "tests" / "demands.toml").read_text())
MANIFEST = {entry.id for entry in read_manifest(ROOT)}
# Words of a demand. In notebooks, which tell much more, only the strongest ones.
DEMANDING = re.compile(
    r"\b(must|never|not|only|no|stays|strictly|exactly|raw|wins|first|counts as|best "
    r"first|in place|int64|all -1)\b",
    re.IGNORECASE,
)
STRONG = re.compile(r"\b(must|in place|do not)\b", re.IGNORECASE)
END = re.compile(r"(?<=[.:!?])\s+|\n\n|\n- |\n\||\*\*")


def sentences(text: str, words: re.Pattern[str]) -> Iterator[str]:
    """Sentences of a text with one of these words, on one line each."""
    for part in END.split(text):
        sentence = " ".join(part.split())
        if words.search(sentence):
            yield sentence


def docstring_demands() -> Iterator[str]:
    """Of all exercises, without their examples and sources."""
    for path in sorted((ROOT / "assignment").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else ""
            if text and text.startswith("Exercise "):
                text = re.sub(r"Source:.*?(?=\n\n|\n\w+:)", "", text, flags=re.DOTALL)
                yield from sentences(text.split("Example:")[0], DEMANDING)


def notebook_demands() -> Iterator[str]:
    """Of the words between the cells of code."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                yield from sentences("".join(cell["source"]), STRONG)


def listed(kind: str) -> list[str]:
    """The sentences of a part of the table."""
    return [entry["text"] for entry in TABLE[kind]]


@pytest.mark.parametrize(
    ("kind", "found"),
    [("docstring", docstring_demands()), ("notebook", notebook_demands())],
    ids=["docstring", "notebook"],
)
def test_every_demand_is_listed_and_nothing_else(kind, found):
    """A sentence that was changed needs another look at its tests."""
    assert sorted(set(found)) == sorted(listed(kind))


@pytest.mark.parametrize("entry", [*TABLE["docstring"], *TABLE["notebook"]])
def test_demand_has_a_test_or_is_none(entry):
    """Tests of the manifest; or the reason why there is nothing to test."""
    assert set(entry) in ({"text", "tests"}, {"text", "free"})
    assert entry.get("tests") or entry.get("free")
    assert set(entry.get("tests", [])) <= MANIFEST
