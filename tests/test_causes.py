"""A cause is given only where it is true: code that crashes anyhow gets none."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.course import read_registry
from grader.manifest import read_manifest
from grader.outcomes import Outcome
from grader.results.top_notes import NO_PART, top_notes
from grader.session.local_session import LocalSession
from grader.suites.suite_run import Suite, with_suite
from helpers.checks.exercises import read_exercises
from helpers.checks.expect import CheckError, expect_runs, find_cause
from helpers.checks.explain import explain_exception

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
MANIFEST = {entry.id: entry for entry in read_manifest(ROOT)}
EXERCISES = read_exercises(ROOT)
FILES = sorted({exercise.file for exercise in EXERCISES.values()})
CRASHES = {
    "a module that is missing": "import A3",
    "another mistake": "{}['stem']",
    "not written": "raise NotImplementedError('not yet')",
}


def users_of(name: str) -> set[str]:
    """Ids of the tests that come to a function, by its name or through others."""
    bodies: list[tuple[Path, ast.FunctionDef]] = []
    for folder in ("grader_tests", "helpers/checks"):
        for path in sorted((ROOT / folder).glob("*.py")):
            tree = ast.parse(path.read_text())
            bodies += [
                (path, node) for node in tree.body if isinstance(node, ast.FunctionDef)
            ]
    known = {name}
    while True:
        found = {
            node.name
            for _, node in bodies
            if {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            & known
        } | known
        if found == known:
            break
        known = found
    return {
        name for name in MANIFEST if name.partition("::")[2].partition("[")[0] in known
    }


USERS = users_of("expect_runs")


def with_first_line(source: str, name: str, line: str) -> str:
    """A file in which a function or method begins with this line."""
    node: ast.AST = ast.parse(source)
    for part in name.split("."):
        node = next(
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.FunctionDef | ast.ClassDef) and child.name == part
        )
    assert isinstance(node, ast.FunctionDef)
    body = node.body[1:] if ast.get_docstring(node) else node.body
    first = body[0] if body else node.body[0]
    lines = source.splitlines(keepends=True)
    lines.insert(first.lineno - 1, " " * first.col_offset + line + "\n")
    return "".join(lines)


def broken_submissions() -> Iterator[tuple[str, dict[str, str], set[str]]]:
    """What is wrong, the files that differ, and the tests that come to that place."""
    known = read_registry().exercises
    needs = {number: exercise.needs for number, exercise in known.items()}
    for file in FILES:
        own = {
            name
            for name in USERS
            for number in (MANIFEST[name].exercise, *needs[MANIFEST[name].exercise])
            if known[number].file == file
        }
        for line in ("from A3 import part", "x = ("):
            source = f"{line}\n{SOURCES[file]}"
            yield f"{file} begins with {line}", {file: source}, own
    for exercise in EXERCISES.values():
        own = {
            name
            for name in USERS
            if exercise.id in (MANIFEST[name].exercise, *needs[MANIFEST[name].exercise])
        }
        for what, line in CRASHES.items():
            source = with_first_line(SOURCES[exercise.file], exercise.name, line)
            yield f"{exercise.id}: {what}", {exercise.file: source}, own


@pytest.fixture(scope="module")
def all_told(tmp_path_factory) -> tuple[dict[str, list[Outcome]], dict[str, list[str]]]:
    """What is wrong -> how the tests ended; and what stands at the top."""

    def try_all(suite: Suite) -> tuple[dict[str, list[Outcome]], dict[str, list[str]]]:
        found, noted = {}, {}
        folder = tmp_path_factory.mktemp("broken")  # one, so that little is compiled
        for what, files, tests in broken_submissions():
            for name, source in {**SOURCES, **files}.items():
                (folder / name).write_text(source)
            found[what] = suite.run(tests, LocalSession(folder))
            noted[what] = top_notes(found[what], folder, ("common",))
        return found, noted

    return with_suite(ROOT, list(MANIFEST.values()), try_all)


@pytest.fixture
def outcomes(all_told) -> dict[str, list[Outcome]]:
    """What is wrong -> how the tests ended that look for an exception."""
    return all_told[0]


@pytest.mark.parametrize("what", [what for what, *_ in broken_submissions()])
def test_code_that_crashes_anyhow_has_no_cause(what, outcomes):
    """A missing module or unwritten code is no mistake with empty or odd inputs."""
    assert len(USERS) > 20
    told = {outcome.id: outcome.cause for outcome in outcomes[what] if outcome.cause}
    assert told == {}


def test_broken_submissions_fail(outcomes):
    """Else the checks above would look at nothing."""
    passed = {
        what
        for what, told in outcomes.items()
        if all(outcome.category is None for outcome in told)
    }
    assert passed == set()


class DriverError(ImportError):
    """What a student's code may raise when the machine lacks something."""


@pytest.mark.parametrize(
    ("error", "is_given"),
    [
        (IndexError("no elements"), True),
        (RuntimeError("must match the size"), True),
        (CheckError("exception", "nms", "IndexError at line 3 of common.py"), True),
        (CheckError("exception", "nms", "IndexError"), True),
        (KeyError("p3"), False),
        (NameError("name 'box' is not defined"), False),
        (TypeError("nms() got an unexpected keyword argument"), False),
        (AttributeError("'Tensor' object has no attribute 'sise'"), False),
        (RecursionError("maximum recursion depth exceeded"), False),
        (AssertionError(), False),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), False),
        (RuntimeError("[enforce fail] can't allocate memory"), False),
        (RuntimeError("Found no NVIDIA driver on your system"), False),
        (CheckError("exception", "nms", "KeyError at line 3 of common.py"), False),
        (CheckError("exception", "nms", "RecursionError at line 3 of a.py"), False),
        (CheckError("exception", "nms", "IndexErrors at line 3 of a.py"), False),
        (DriverError("cv2"), False),
        (MemoryError(), False),
        (PermissionError(), False),
        (CheckError("exception", "nms", "SyntaxError at line 3 of common.py"), False),
        (CheckError("exception", "nms", "ModuleNotFoundError: No module"), False),
        (CheckError("not implemented", "nms", "returned None"), False),
        (CheckError("blocked", "nms", "1.1"), False),
        (CheckError("timeout", "nms", "no answer within 3 s"), False),
        (CheckError("out of memory", "nms", "killed"), False),
        (CheckError("not allowed", "nms", "NotAllowedError"), False),
    ],
)
def test_cause_of_a_crash_needs_a_plain_case_that_runs(error, is_given):
    """The same exception: with a plain case that works, and with one that does not."""

    def crash() -> None:
        raise error

    for plain, given in ((lambda: None, is_given), (crash, False)):
        with pytest.raises(CheckError) as caught, expect_runs("nms", "no box", plain):
            raise error
        assert (caught.value.cause == "no box") is given
        caught.value.cause = None
    with pytest.raises(ValueError, match="plain"), expect_runs("nms", "no box"):
        pass


@pytest.mark.parametrize("file", FILES)
def test_file_that_cannot_be_loaded_is_named_once_at_the_top(file, all_told):
    """Which file, why and where; a crash inside of a function is none of these."""
    notes = all_told[1]
    assert notes[f"{file} begins with from A3 import part"] == [
        f"{file} cannot be loaded: No module named 'A3', line 1."
    ]
    assert notes[f"{file} begins with x = ("] == [
        f"{file} cannot be loaded: SyntaxError, line 1."
    ]
    inside = {what: told for what, told in notes.items() if " begins with " not in what}
    assert len(inside) > 20 and not any(inside.values())


@pytest.mark.parametrize(
    ("text", "message", "note"),
    [
        ("x = {}['a']", "KeyError at line 1 of a.py", "KeyError, line 1."),
        ("def f(): {}['a']", "KeyError at line 1 of a.py", ""),
        ("f = lambda: {}['a']", "KeyError at line 1 of a.py", ""),
        ("    import A3", "ImportError at line 1 of a.py", ""),
        ("    x = exec(y)", "SyntaxError at line 1 of a.py", ""),
        ("    x = (", "SyntaxError at line 1 of a.py", "SyntaxError, line 1."),
        ("raise S5", "S5 at line 1 of a.py", "an exception, line 1."),
        (
            "%matplotlib inline",
            "SyntaxError at line 1 of a.py",
            "SyntaxError, line 1, a line of a notebook, which only notebooks "
            "understand.",
        ),
        (
            "<<<<<<< HEAD",
            "SyntaxError at line 1 of a.py",
            "SyntaxError, line 1, a mark that git leaves where two versions meet.",
        ),
        ("x = 1", "KeyError at line 7 of a.py", ""),
        ("x = 1", "KeyError at line 1 of b.py", ""),
    ],
)
def test_only_what_ends_an_import_is_said_at_the_top(tmp_path, text, message, note):
    """The line that raised must be one that runs when the file is loaded."""
    (tmp_path / "a.py").write_text(text)
    told = [Outcome("t", "exception", f"f: {message}"), Outcome("u", None)]
    expected = [f"a.py cannot be loaded: {note}"] if note else []
    assert top_notes(told, tmp_path, ("a",)) == expected


def test_files_that_came_instead_are_named(tmp_path):
    """Only where a test missed something in them."""
    (tmp_path / "A4.py").write_text("")
    missed = Outcome("t", "not implemented", f"nms: {NO_PART}")
    sentence = "There is no common.py in the submission; it has A4.py."
    assert top_notes([missed], tmp_path, ("common",)) == [sentence]
    assert top_notes([Outcome("t", None)], tmp_path, ("common",)) == []
    assert top_notes([missed], tmp_path, ("A4",)) == []


@pytest.mark.parametrize("error", [KeyError("p3"), IndexError(3)])
def test_cause_of_a_crash_may_ask_for_a_type(error):
    """Built-in names of levels are a KeyError and nothing else."""
    with (
        pytest.raises(CheckError) as caught,
        expect_runs("head", "names are built in", lambda: None, ("KeyError",)),
    ):
        raise error
    assert (caught.value.cause is not None) is isinstance(error, KeyError)


def test_several_mistakes_that_give_one_answer_are_all_said():
    """Nobody knows which of them it is; a third one is not said."""
    got = torch.tensor([2.0])
    causes = {"a": got, "b": torch.tensor([3.0]), "c": lambda: got.clone()}
    assert find_cause(got.double(), causes, 0, 0) == "a; or c"
    assert find_cause(got.double() + 5, causes, 0, 0) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (IndexError("Dimension out of range (expected [-1, 0], got 1)"), "dimensions"),
        (IndexError("list index out of range"), "not there"),
        (RuntimeError("Can't call numpy() on Tensor that requires grad."), ""),
        (AttributeError("'list' object has no attribute 'shape'"), ""),
        (ImportError("cannot import name 'nmss' from 'torchvision.ops'"), "typing"),
        (ImportError("cannot import name 'a' (... circular import)"), "each other"),
        (RuntimeError("Boolean value of Tensor with more than one value"), "`and`"),
        (RuntimeError("Class values must be non-negative."), "one_hot"),
        (UnboundLocalError("x"), "no value yet"),
        (ValueError("anything"), ""),
    ],
)
def test_meaning_of_an_exception_is_true_of_each_such_text(tmp_path, error, said):
    """What a student reads under a crash at home says nothing that may be false."""
    (tmp_path / "assignment").mkdir()
    path = tmp_path / "assignment" / "common.py"
    path.write_text("def f(error):\n    raise error\n")
    names: dict = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    with pytest.raises(type(error)) as caught:
        names["f"](error)
    likely = explain_exception(caught.value, tmp_path)[2]
    assert said in likely and (bool(said) or not likely)
