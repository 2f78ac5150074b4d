"""Every exercise is whole: one number, a docstring, one region, a place in the map."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = tuple(sorted(path.name for path in (ROOT / "assignment").glob("*.py")))
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def find_exercises() -> list[tuple[str, str, str, str, str]]:
    """(number, qualified name, file, docstring, source) of every exercise."""
    found = []
    for file in FILES:
        source = (ROOT / "assignment" / file).read_text()
        tree = ast.parse(source)
        scopes = [("", tree.body)]
        scopes += [
            (f"{node.name}.", node.body)
            for node in tree.body
            if isinstance(node, ast.ClassDef)
        ]
        for prefix, body in scopes:
            for node in body:
                if not isinstance(node, ast.FunctionDef):
                    continue
                text = ast.get_docstring(node) or ""
                match = re.match(r"Exercise (\d\.\d) \(about \d+ lines\): ", text)
                if match:
                    # One line more: the end of the region is a comment.
                    last = (node.end_lineno or 0) + 1
                    lines = source.splitlines()[node.lineno - 1 : last]
                    own = "\n".join(lines)
                    found.append((match[1], prefix + node.name, file, text, own))
    return found


EXERCISES = find_exercises()


def test_numbers_are_in_order_and_without_gaps():
    """1.1, 2.1, 2.2, ...: no number twice, none left out."""
    numbers = sorted(entry[0] for entry in EXERCISES)
    assert len(set(numbers)) == len(numbers)
    for chapter in "12345678":
        own = [number for number in numbers if number[0] == chapter]
        assert own == [f"{chapter}.{i + 1}" for i in range(len(own))], chapter
        assert own, f"chapter {chapter} has no exercise"


def test_regions_and_exercises_are_the_same_in_number():
    """No region outside of an exercise."""
    for file in FILES:
        source = (ROOT / "assignment" / file).read_text()
        here = [entry for entry in EXERCISES if entry[2] == file]
        assert source.count(BEGIN) == source.count(END) == len(here), file


@pytest.mark.parametrize("entry", EXERCISES, ids=[entry[0] for entry in EXERCISES])
def test_solution_is_the_whole_body(entry):
    """Behind the docstring comes the region; before it at most super() and a name."""
    source = entry[4]
    assert source.count(BEGIN) == source.count(END) == 1
    assert source.rstrip().endswith(END)
    between = source.split('"""', 2)[2].split(BEGIN)[0]
    given = [line.strip() for line in between.splitlines() if line.strip()]
    allowed = {"super().__init__()", "self.num_classes = num_classes"}
    assert set(given) <= allowed
    assert not given or entry[1].endswith("__init__")


def test_map_names_every_exercise_where_it_is():
    """The table in notebooks/README.md has exactly these rows."""
    text = (ROOT / "notebooks" / "README.md").read_text()
    rows = set(re.findall(r"\| (\d\.\d) \| `([\w.]+)` \| `([\w.]+)` \|", text))
    assert rows == {(number, name, file) for number, name, file, _, _ in EXERCISES}
