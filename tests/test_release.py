"""The student release: nothing given away, nothing lost, and each exercise open."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.command import CourseError
from grader.release.build import Release, make_release, write_release
from grader.release.release_files import write_zip
from tests.adder_course import SECRET, SOURCE, make_course

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small course outside of git."""
    return make_course(tmp_path / "course")


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
        "assignment",
        "core",
        "helpers",
        "notebooks",
        "data_scripts",
        "course.toml",
        "environment.yml",
        "requirements.txt",
        "LICENSE",
        ".gitignore",
        "CHANGELOG.md",
        "README.md",
        "release.json",
    }
    assert not [name for name in names if "__pycache__" in name]


def test_release_opens_every_exercise_of_the_map(real_release):
    """Each exercise of the map is a stub that names itself and its notebook."""
    folder, release = real_release
    assert len(release.registry.exercises) == 22 and not release.solved
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
