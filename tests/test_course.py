"""course.toml: what is read of it, and which mistakes are said."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from core.command import CourseError
from core.course import (
    FILE,
    id_order,
    make_registry,
    mentioned,
    read_registry,
    require_files,
)
from core.course_text import course_text

ROOT = Path(__file__).resolve().parent.parent
MODULES = set(read_registry(ROOT).modules)
SMALL = """
default_parts = ["first"]

[[part]]
name = "first"
title = "First"

[[part]]
name = "second"
title = "Second"
needs = ["first"]

[[module]]
name = "common"
part = "first"
visible = true

[[module]]
name = "other"
part = "second"

[[detector]]
name = "small"
part = "first"
target = "assignment.common:Small"
strides = { p3 = 8 }
losses = { loss = "loss" }

[[step]]
number = 2
part = "first"
title = "Two"
notebook = "02_two.ipynb"
minutes = 30
writes = "a function"

[[step]]
number = 10
part = "second"
title = "Ten"
notebook = "10_ten.ipynb"
minutes = 30
writes = "another"

[[exercise]]
id = "10.1"
function = "Other.__init__"
file = "other.py"
title = "another"
lines = 1
minutes = 5
needs = ["2.10"]

[[exercise]]
id = "2.10"
function = "late"
file = "common.py"
title = "a late one"
lines = 2
minutes = 5

[[exercise]]
id = "2.9"
function = "early"
file = "common.py"
title = "an early one"
lines = 2
minutes = 5
closed = ["nms"]
"""


def small(text: str = SMALL, *more: str):
    return make_registry([tomllib.loads(toml) for toml in (text, *more)], FILE)


def test_ids_have_any_length_and_are_in_the_order_of_their_numbers():
    """2.9 comes before 2.10, and both before 10.1, wherever they stand."""
    registry = small()
    assert list(registry.exercises) == ["2.9", "2.10", "10.1"]
    assert registry.exercises["10.1"].heading == "Exercise 10.1 (about 1 line): another"
    assert registry.exercises["10.1"].step == 10
    assert id_order("99.12") > id_order("99.9")


def test_parts_are_asked_for_alone_and_stand_on_others():
    """Without parts the default ones; a part brings those that it needs."""
    registry = small()
    assert list(registry.asked()) == ["2.9", "2.10"]
    assert list(registry.asked(["second"])) == ["10.1"]
    assert list(registry.asked(["second", "first"])) == ["2.9", "2.10", "10.1"]
    assert registry.needed_parts(["second"]) == ("first", "second")
    assert registry.closed() == ("nms",) and registry.closed(["second"]) == ()
    with pytest.raises(CourseError, match=r"--parts third: .* first, second"):
        registry.asked(["third"])


def test_later_content_drops_weighs_and_adds():
    """What an instructor's own file says is added to ours."""
    own = """
drop = ["2.9"]
points = { "2.10" = 7.5 }
[[exercise]]
id = "2.11"
function = "own"
file = "common.py"
title = "my own"
lines = 3
minutes = 5
"""
    registry = small(SMALL, own)
    assert list(registry.asked()) == ["2.10", "2.11"]
    assert registry.points == {"2.10": 7.5}


def test_what_is_written_reads_as_the_same_course():
    """Also a detector without body, as where an instructor's own files are added."""
    assert small(course_text(small())) == small()


WRONG = {
    "unknown key": ('title = "Ten"', 'titel = "Ten"', "step 10: 'titel' is unknown"),
    "unknown kind": ("[[module]]", "[[modul]]", "'modul' is unknown"),
    "no table": ("[[detector]]", "[detector]", "write each detector as a table"),
    "missing": ('writes = "another"\n', "", "step 10: 'writes' is missing"),
    "double id": ('"2.10"\nfunction', '"2.9"\nfunction', "2.9: stands there twice"),
    "need that is not there": ('["2.10"]', '["2.8"]', "there is no exercise '2.8'"),
    "need of oneself": ('["2.10"]', '["10.1"]', "10.1 needs 10.1; one of them must"),
    "circle": (
        'title = "a late one"',
        'needs = ["10.1"]\ntitle = "a late one"',
        "exercise 2.10 needs 10.1 needs 2.10",
    ),
    "need of a part that it does not stand on": (
        'closed = ["nms"]',
        'needs = ["10.1"]',
        "exercise 2.9 needs 10.1 of part second; add 'second'",
    ),
    "circle of parts": (
        'title = "First"',
        'title = "First"\nneeds = ["second"]',
        "part first needs second needs first",
    ),
    "unknown part": ('part = "first"\nvis', 'part = "frist"\nvis', "no part 'frist'"),
    "unknown default": ('["first"]', '["frist"]', "no part 'frist'"),
    "no step": ('id = "10.1"', 'id = "11.1"', "there is no step 11; add its"),
    "id": ('id = "10.1"', 'id = "10"', "10: an id is a step, a dot"),
    "unknown module": ('"other.py"', '"othr.py"', "there is no module 'othr'"),
    "file": ('file = "other.py"', 'file = "other"', "file must end with .py"),
    "function": ('"early"', '"early()"', "is no name of a function"),
    "text": ('title = "Two"', "title = 2", "title must be a text"),
    "number": ("lines = 1", 'lines = "1"', "lines must be a whole number"),
    "no list": ('["2.10"]', '"2.10"', "needs must be a list"),
    "truth": ("visible = true", "visible = 1", "visible must be true or false"),
    "target": ("assignment.common:", "common.", "target must be like"),
    "strides": ("{ p3 = 8 }", "{ p3 = true }", "strides must be a table"),
    "dropped": ("default_parts", 'drop = ["7.7"]\ndefault_parts', "exercise '7.7'"),
    "points": ("default_parts", 'points = {"2.9" = -1}\ndefault_parts', "points must"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistake_is_one_sentence(case: str):
    """What is wrong, in which entry of which file."""
    old, new, said = WRONG[case]
    assert old in SMALL
    with pytest.raises(CourseError, match=re.escape(said)) as caught:
        small(SMALL.replace(old, new, 1))
    assert str(caught.value).startswith("course.toml: ")
    assert "\n" not in str(caught.value)


def test_file_that_is_missing_is_named(tmp_path: Path):
    """Also a file that an exercise is in, and a course.toml that is no TOML."""
    with pytest.raises(CourseError, match="fetch the whole course"):
        read_registry(tmp_path)
    (tmp_path / FILE).write_text("[[part]")
    with pytest.raises(CourseError, match="is no TOML"):
        read_registry(tmp_path)
    (tmp_path / FILE).write_text(SMALL)
    with pytest.raises(CourseError, match=r"exercise 2\.9: there is no file"):
        require_files(read_registry(tmp_path), tmp_path)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Exercise 10.1 iou: see notebook 10", "10.1"),
        ("Exercise 99.12: x", "99.12"),
        ("Exercise 1.1.", "1.1"),
        ("Exercise 1", ""),
        ("Exercise 1.2.3 x", ""),
        ("An Exercise 1.1", ""),
    ],
)
def test_exercise_that_a_text_begins_with(text: str, number: str):
    """Ids of any length are found as a whole, or not at all."""
    assert mentioned(text) == number


def module_names(node: ast.AST, is_test: bool) -> set[str]:
    """Modules of assignment/ that a list, tuple, set or dict of the code holds.

    A test may write some files of a submission, as a dict of their contents.
    """
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        entries = list(node.elts)
    elif isinstance(node, ast.Dict) and not is_test:
        entries = [key for key in node.keys if key]
    else:
        return set()
    texts = [
        entry.value
        for entry in entries
        if isinstance(entry, ast.Constant) and isinstance(entry.value, str)
    ]
    short = {re.sub(r"^assignment[./]|\.py$", "", text) for text in texts}
    return short & MODULES


def test_modules_of_the_assignment_are_listed_in_course_toml_alone():
    """Whoever needs all of them asks the reader; a list of them would be forgotten.

    A test that changes the files of one step may name them: never more than three.
    """
    paths = list(ROOT.glob("*/*.py"))
    for folder in ("core", "helpers", "grader"):
        paths += (ROOT / folder).rglob("*.py")
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            in_tests = path.parent.name == "tests"
            found = module_names(node, in_tests)
            line, most = getattr(node, "lineno", 0), 3 if in_tests else 1
            assert len(found) <= most, f"{path}:{line} lists {', '.join(sorted(found))}"


def test_every_file_of_the_assignment_is_in_course_toml():
    """And every module has its file."""
    files = {path.stem for path in (ROOT / "assignment").glob("*.py")} - {"__init__"}
    assert files == set(read_registry(ROOT).modules)
    notebooks = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks == {step.notebook for step in read_registry(ROOT).steps.values()}
