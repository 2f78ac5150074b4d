"""The student release: nothing given away, nothing lost, and each exercise open."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from data_scripts.command import CourseError
from grader.release import Release, make_release, write_release
from grader.release_files import (
    check_is_unchanged_release,
    check_zip_is_free,
    collect_files,
    replace_release,
    write_zip,
)

ROOT = Path(__file__).resolve().parent.parent
SECRET = "answer = sum(value * value for value in values)"
SOURCE = f'''"""A course of one exercise."""


def hello() -> None:
    """Given."""


class Adder:
    """A class with an exercise."""

    def add(self, values: list[int]) -> int:
        """Exercise 1.1 (about 2 lines): the sum of squares.

        It is said in words.
        """
        ### BEGIN SOLUTION
        # A comment of the solution tells, too.
        {SECRET}
        return answer
        ### END SOLUTION

    def given(self) -> int:
        """Also given."""
        return 1
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small course outside of git, with one exercise in line 12."""
    root = tmp_path / "course"
    for folder in ("assignment", "helpers", "notebooks", "data_scripts", "grader"):
        (root / folder).mkdir(parents=True)
    (root / "assignment" / "common.py").write_text(SOURCE)
    (root / "helpers" / "given.py").write_text("VALUE = 1\n")
    for name in ("environment.yml", "requirements.txt", "LICENSE", "CHANGELOG.md"):
        (root / name).write_text(f"{name}\n")
    (root / "grader" / "student_readme.md").write_text("# For students\n")
    return root


def save_notebook(root: Path, *cells: nbformat.NotebookNode, **metadata) -> None:
    notebook = new_notebook(cells=list(cells), metadata=metadata)
    nbformat.write(notebook, root / "notebooks" / "one.ipynb")


@pytest.fixture(scope="module")
def real_release(tmp_path_factory) -> tuple[Path, Release]:
    """The release of this course, built and proven once."""
    folder = tmp_path_factory.mktemp("release") / "student"
    return folder, write_release(ROOT, folder, folder.with_suffix(".zip"))


def test_release_has_what_students_need_and_nothing_else(real_release):
    """Students get the course, not the graders, the tests or the benchmarks."""
    folder, release = real_release
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert set(release.files) <= names
    assert {name.split("/")[0] for name in names} == {
        *("assignment", "helpers", "notebooks", "data_scripts"),
        *("environment.yml", "requirements.txt", "LICENSE", "CHANGELOG.md"),
        *("README.md", "release.json"),
    }
    assert not [name for name in names if "__pycache__" in name]
    assert "helpers/improved_fcos.py" not in names  # it shows answers


def test_release_opens_every_exercise_of_the_map(real_release):
    """Each exercise of the map is a stub that names itself and its notebook."""
    folder, release = real_release
    numbers = [each.number for own in release.exercises.values() for each in own]
    assert len(numbers) == len(set(numbers)) == 22
    text = "".join(path.read_text() for path in (folder / "assignment").glob("*.py"))
    assert "BEGIN SOLUTION" not in text
    assert '"Exercise 3.2 FCOSPredictionNetwork.forward: see notebook 3, "' in text


def test_release_zip_is_the_folder_and_always_the_same(real_release, tmp_path: Path):
    """Two zips of the same files are equal to the byte."""
    folder, release = real_release
    again = tmp_path / "again.zip"
    write_zip(release.files, again)
    assert again.read_bytes() == folder.with_suffix(".zip").read_bytes()
    with zipfile.ZipFile(again) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        for name in names:
            inside = folder / name.removeprefix("fcos-course/")
            assert archive.read(name) == inside.read_bytes()


def test_stub_keeps_all_but_the_solution(tree: Path):
    """Docstrings, signatures and given code stay; the solution is gone."""
    text = make_release(tree).files["assignment/common.py"].decode()
    assert "answer" not in text
    assert "It is said in words." in text
    assert "def given(self) -> int:" in text
    assert '"Exercise 1.1 Adder.add: see notebook 1, "' in text


BEGIN, END = "        ### BEGIN SOLUTION\n", "        ### END SOLUTION\n"
DOCSTRING = SOURCE[SOURCE.index('        """Exercise') : SOURCE.index(BEGIN)]
PLANTED: dict[str, tuple[Any, Any, Any]] = {
    "no end": (END, "", r":16: '### BEGIN SOLUTION' has no '### END SOLUTION'"),
    "no begin": (BEGIN, "", r":19: '### END SOLUTION' has no '### BEGIN"),
    "no markers": (None, None, r":11: Adder.add is an exercise with 0 solution"),
    "two hashes": ("### BEGIN", "## BEGIN", ":16: '## BEGIN SOLUTION' looks like"),
    "plural": ("BEGIN SOLUTION", "BEGIN SOLUTIONS", ":16: .* looks like a marker"),
    "lower case": ("### END SOLUTION", "### end solution", ":20: .* looks like"),
    "two blanks": ("### BEGIN ", "###  BEGIN ", ":16: .* looks like a marker"),
    "other word": ("BEGIN SOLUTION", "START SOLUTION", ":16: .* looks like"),
    "behind code": (END, "  ### END SOLUTION\n", None),
    "typing mistake": ("BEGIN SOLUTION", "BEGIN SOLUTON", ":16: .* looks like"),
    "nested": (BEGIN, BEGIN + BEGIN, ":17: .* is nested in the region .* line 16"),
    "hidden test": (
        BEGIN,
        "        ### BEGIN HIDDEN TESTS\n        ### END HIDDEN TESTS\n" + BEGIN,
        ":16: a hidden test does not belong here",
    ),
    "lost def": (
        END + "\n    def given(self) -> int:\n",
        "\n    def given(self) -> int:\n" + END,
        ":21: Adder.given would be lost",
    ),
    "lost docstring": (
        DOCSTRING + BEGIN,
        BEGIN + DOCSTRING,
        ":11: the docstring of Adder.add would be lost",
    ),
    "no exercise": ("Exercise 1.1", "Exercise one", ":16: Adder.add has a solution"),
    "does not compile": ("return answer", "return (answer", "does not compile"),
}


@pytest.mark.parametrize("case", PLANTED)
def test_release_refuses_planted_mistake(tree: Path, case: str):
    """A mistake in the source ends with its file and line in one sentence."""
    old, new, message = PLANTED[case]
    if message is None:
        old, new = "return answer\n" + END, "return answer" + new
        message = ":19: .* looks like a marker"
    source = SOURCE.replace(old, new, 1) if old else SOURCE
    if not old:
        source = source.replace(BEGIN, "").replace(END, "")
    assert source != SOURCE
    (tree / "assignment" / "common.py").write_text(source)
    with pytest.raises(CourseError, match=f"^assignment/common.py.*({message})"):
        make_release(tree)


def test_release_refuses_region_over_two_functions(tree: Path):
    """A solution that reaches over the next def would take it away."""
    moved = SOURCE.replace(END, "") + END
    (tree / "assignment" / "common.py").write_text(moved)
    with pytest.raises(CourseError, match=r"common.py:21: Adder.given would be lost"):
        make_release(tree)


def test_release_refuses_stub_that_does_not_compile(tree: Path):
    """A region that begins within a statement leaves a broken stub."""
    broken = SOURCE.replace(BEGIN, "        total = (\n" + BEGIN + "        0)\n")
    (tree / "assignment" / "common.py").write_text(broken)
    with pytest.raises(CourseError, match=r"common.py.*:\d+: does not compile"):
        make_release(tree)


@pytest.mark.parametrize(
    "name", ["helpers/given.py", "notebooks/one.md", "CHANGELOG.md", "LICENSE"]
)
@pytest.mark.parametrize("line", [SECRET, "# A comment of the solution tells, too."])
def test_release_refuses_solution_line_elsewhere(tree: Path, name: str, line: str):
    """A solution line in any file is found, however it is indented."""
    (tree / name).write_text(f"\n\n\t{line.replace(' ', '  ')}\n")
    with pytest.raises(
        CourseError, match=rf"^{name}:3: shows the secret line .*:1[78];"
    ):
        make_release(tree)


def test_release_refuses_hidden_test(tree: Path):
    """A test of grader_tests/ that was copied into a given file is found."""
    (tree / "grader_tests").mkdir()
    text = "import math\n\n\ndef test_iou_of_equal_boxes(student):\n    assert 1\n"
    (tree / "grader_tests" / "test_iou.py").write_text(text)
    assert "LICENSE" in make_release(tree).files
    (tree / "helpers" / "given.py").write_text(text)
    with pytest.raises(CourseError, match=r"^helpers/given.py:4: .*test_iou.py:4;"):
        make_release(tree)


def test_given_lines_are_no_secret(tree: Path):
    """A line that stands in given code as well may stand anywhere."""
    source = SOURCE.replace("return 1", SECRET)
    (tree / "assignment" / "common.py").write_text(source)
    (tree / "helpers" / "given.py").write_text(f"values = [1]\n{SECRET}\n")
    assert "helpers/given.py" in make_release(tree).files


def test_short_lines_are_no_secret(tree: Path):
    """Below 20 characters everybody writes the same."""
    (tree / "helpers" / "given.py").write_text("# return answer\n")
    assert "helpers/given.py" in make_release(tree).files


@pytest.mark.parametrize("marker", ["### BEGIN HIDDEN TESTS", "## begin solution"])
def test_release_refuses_marker_in_given_files(tree: Path, marker: str):
    """What is marked in a file that is not cut would be handed out."""
    (tree / "helpers" / "given.py").write_text(f"VALUE = 1\n{marker}\n")
    with pytest.raises(CourseError, match=r"^helpers/given.py:2: .* marks a solution"):
        make_release(tree)


def test_notebook_is_cleared(tree: Path):
    """Solutions become a stub, hidden tests vanish, the rest stays."""
    save_notebook(
        tree,
        new_markdown_cell("### Data\n\nText."),
        new_code_cell(
            "%matplotlib inline\n### BEGIN SOLUTION\nsolved = [3, 1, 4, 1, 5]\n"
            "### END SOLUTION\nshow = 1"
        ),
        new_code_cell(
            "assert solved\n### BEGIN HIDDEN TESTS\nassert solved[0] == 3, 'pi'\n"
            "### END HIDDEN TESTS"
        ),
    )
    text = make_release(tree).files["notebooks/one.ipynb"].decode()
    sources = [cell.source for cell in nbformat.reads(text, as_version=4).cells]
    assert sources[0] == "### Data\n\nText."
    assert sources[1].startswith("%matplotlib inline\nraise NotImplementedError(")
    assert sources[1].endswith("show = 1")
    assert sources[2] == "assert solved"


LEAKS: dict[str, dict[str, Any]] = {
    "source": {"source": f"x = 1\n{SECRET}"},
    "output": {"outputs": [new_output("stream", text=f"a\n{SECRET}\n")]},
    "html output": {
        "source": "### BEGIN SOLUTION\nsmaller = 3 < 4 and 5 > 2\n### END SOLUTION",
        "outputs": [
            new_output(
                "display_data", {"text/html": "<b>smaller = 3 &lt; 4 and 5 &gt; 2</b>"}
            )
        ],
    },
    "with quotes, which the file escapes": {
        "source": "### BEGIN SOLUTION\nword = 'a' + \"very secret\"\n### END SOLUTION",
        "outputs": [new_output("stream", text="word = 'a' + \"very secret\"")],
    },
    "cell metadata": {"metadata": {"note": SECRET}},
    "own solution in outputs": {
        "source": "### BEGIN SOLUTION\nvery_secret = [3, 1, 4]\n### END SOLUTION",
        "outputs": [new_output("stream", text="very_secret = [3, 1, 4]")],
    },
    "hidden test in outputs": {
        "source": "### BEGIN HIDDEN TESTS\nassert f(3, 1, 4) == 15\n"
        "### END HIDDEN TESTS",
        "outputs": [new_output("stream", text="assert f(3, 1, 4) == 15")],
    },
}


@pytest.mark.parametrize("case", LEAKS)
def test_release_refuses_notebook_that_shows_a_solution(tree: Path, case: str):
    """Sources, outputs and metadata of a notebook are all searched."""
    save_notebook(tree, new_code_cell(**LEAKS[case]))
    with pytest.raises(
        CourseError, match=r"^notebooks/one.ipynb.* shows the secret line"
    ):
        make_release(tree)


def test_release_refuses_solution_in_metadata_of_the_notebook(tree: Path):
    """Also the metadata of the whole file, down to its keys."""
    save_notebook(tree, new_code_cell("x = 1"), course={SECRET: [1, {"a": "b"}]})
    with pytest.raises(CourseError, match=r"one.ipynb.* shows the secret line"):
        make_release(tree)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("### BEGIN SOLUTION\nx = 1", "cell 1, line:1: .* has no '### END"),
        ("x = 1\n### END SOLUTION", "cell 1, line:2: .* has no '### BEGIN"),
        ("x = 1\n## BEGIN SOLUTION", "cell 1, line:2: .* looks like a marker"),
        ("x = 1\n### BEGIN HIDDEN TEST", "cell 1, line:2: .* looks like a marker"),
    ],
)
def test_release_refuses_wrong_markers_of_a_notebook(tree: Path, source, message):
    """By itself nbgrader would let some of these pass, and hand out the solution."""
    save_notebook(tree, new_code_cell(source))
    with pytest.raises(CourseError, match=rf"^notebooks/one.ipynb: {message}"):
        make_release(tree)


def test_release_refuses_broken_notebook(tree: Path):
    """A file that is no notebook is named."""
    (tree / "notebooks" / "one.ipynb").write_text("{}")
    with pytest.raises(CourseError, match=r"^notebooks/one.ipynb: is no notebook"):
        make_release(tree)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_release_follows_no_link(tree: Path, tmp_path: Path, what: str):
    """A link could bring in anything."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.py").write_text("GRADES = 1\n")
    target = outside / "private.py" if what == "file" else outside
    (tree / "helpers" / "linked.py").symlink_to(target)
    with pytest.raises(CourseError, match=r"linked.py: is a link"):
        collect_files(tree)


def test_release_takes_no_caches_and_nothing_untracked(tree: Path):
    """In a checkout only what git tracks; never caches or hidden files."""
    for name in ("__pycache__/a.py", ".ipynb_checkpoints/b.py", ".env", "new.py"):
        path = tree / "helpers" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("VALUE = 2\n")
    assert "helpers/new.py" in collect_files(tree)
    git = ["git", "-C", str(tree), "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "assignment", "helpers/given.py"], check=True)
    in_helpers = [name for name in collect_files(tree) if name.startswith("helpers")]
    assert in_helpers == ["helpers/given.py"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_old_release(tree: Path, out: Path) -> None:
    for name, content in make_release(tree).files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def test_release_replaces_only_an_unchanged_release(tree: Path, tmp_path: Path):
    """A folder in which somebody has worked is never overwritten."""
    out = tmp_path / "student"
    make_old_release(tree, out)
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref")
    check_is_unchanged_release(out)
    (out / "assignment" / "mine.py").write_text("x = 1\n")
    with pytest.raises(CourseError, match=r"mine.py: is not as the release wrote it"):
        check_is_unchanged_release(out)
    (out / "assignment" / "mine.py").unlink()
    (out / "LICENSE").write_text("changed")
    with pytest.raises(CourseError, match=r"LICENSE: is not as the release wrote it"):
        check_is_unchanged_release(out)


def test_replaced_release_keeps_its_history(tree: Path, tmp_path: Path):
    """The folder that is pushed to a public repository stays a repository."""
    old, new = tmp_path / "student", tmp_path / "new"
    make_old_release(tree, old)
    make_old_release(tree, new)
    (old / ".git").mkdir()
    (old / ".git" / "HEAD").write_text("ref")
    (new / "LICENSE").write_text("newer")
    replace_release(old, new)
    assert (old / ".git" / "HEAD").read_text() == "ref"
    assert (old / "LICENSE").read_text() == "newer"
    assert names_in(tmp_path) == ["course", "student"]


def test_release_refuses_other_folders_and_files(tree: Path, tmp_path: Path):
    """What is not a release is never overwritten."""
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years of work")
    with pytest.raises(CourseError, match="is no student release"):
        write_release(tree, taken)
    with pytest.raises(CourseError, match="is no student release"):
        check_zip_is_free(taken / "thesis.txt")
    with pytest.raises(CourseError, match="lies inside of"):
        write_release(tree, tmp_path / "out", tmp_path / "out" / "a.zip")
    assert (taken / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / "out").exists()


def test_unproven_release_does_not_appear(tree: Path, tmp_path: Path):
    """The small course cannot be imported as the real one; nothing is left of it."""
    with pytest.raises(CourseError, match=r"fcos_head cannot be imported"):
        write_release(tree, tmp_path / "out")
    assert names_in(tmp_path) == ["course"]


def prove_child_problems(folder: Path, exercises: list[tuple[str, str, str]]) -> str:
    child = ROOT / "grader" / "prove_child.py"
    code = (
        f"import sys; sys.path[:0] = [{str(child.parent)!r}, {str(folder)!r}]\n"
        "import prove_child\n"
        f"for each in {exercises!r}: print(prove_child.check_exercise(*each))"
    )
    answer = subprocess.run(
        [sys.executable, "-I", "-B", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout


def test_proof_sees_solved_and_mislabelled_exercises(tmp_path: Path):
    """A stub that answers, raises something else or has another number is found."""
    (tmp_path / "answers.py").write_text(
        "def solved(a, b=2):\n    return a\n\n"
        "def other(a):\n    raise NotImplementedError('Exercise 9.9 other: x')\n\n"
        "def uses(a):\n    a.shape\n    raise NotImplementedError('Exercise 1.3')\n\n"
        "class Good:\n    def __init__(self, a):\n        super().__init__()\n"
        "        raise NotImplementedError('Exercise 1.4 Good.__init__: x')\n"
    )
    names = ["solved", "other", "uses", "Good.__init__", "Lost.name"]
    asked = [("answers", f"1.{i + 1}", name) for i, name in enumerate(names)]
    lines = prove_child_problems(tmp_path, asked).splitlines()
    assert "1.1 solved does not raise" in lines[0]
    assert "1.2 other raises with another text" in lines[1]
    assert "1.3 uses raises AttributeError" in lines[2]
    assert lines[3] == "[]"
    assert "1.5 Lost.name is missing" in lines[4]


def test_release_command_ends_with_one_sentence(tmp_path: Path):
    """A wrong call: exit code 2, one line, no traceback."""
    (tmp_path / "mine.txt").write_text("mine")
    answer = subprocess.run(
        [sys.executable, "-m", "grader", "release", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stderr.startswith("error: ")


def test_manifest_lists_every_file_of_the_release(tree: Path):
    """By it a later release knows what nobody has changed."""
    files = make_release(tree).files
    listed = json.loads(files["release.json"])["student_release"]
    assert set(listed) == set(files) - {"release.json"}
