"""An earlier mistake costs its own exercise: later ones are judged with the solution's."""

import ast
import math
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from core.course import read_registry
from grader.manifest import read_manifest
from grader.session.local_session import LocalSession
from grader.suites.earlier import wrong_earlier
from grader.suites.suite_run import Suite, with_suite

ROOT = Path(__file__).resolve().parent.parent
REGISTRY = read_registry(ROOT)
TESTS = {test.id: test for test in read_manifest(ROOT)}
CALLED = "exercises_called"  # a set among the modules, where the solution writes to


class _Telling(ast.NodeTransformer):
    """Lets each function of an exercise say that it is called."""

    def __init__(self, module: str):
        self.names = {
            exercise.function: number
            for number, exercise in REGISTRY.exercises.items()
            if exercise.module == module
        }
        self.prefix = ""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:  # noqa: N802
        self.prefix = f"{node.name}."
        self.generic_visit(node)
        self.prefix = ""
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:  # noqa: N802
        number = self.names.get(f"{self.prefix}{node.name}")
        if number:
            line = f"import sys; sys.modules[{CALLED!r}].add({number!r})"
            node.body[:0] = ast.parse(line).body
        return node


@pytest.fixture(scope="module")
def calls(tmp_path_factory) -> dict[str, set[str]]:
    """Id of a test -> exercises whose functions it ran."""
    folder = tmp_path_factory.mktemp("telling")
    for path in (ROOT / "assignment").glob("*.py"):
        tree = _Telling(path.stem).visit(ast.parse(path.read_text()))
        (folder / path.name).write_text(ast.unparse(ast.fix_missing_locations(tree)))
    called: set[str] = set()
    sys.modules[CALLED] = called  # type: ignore[assignment]

    def run_each(suite: Suite) -> dict[str, set[str]]:
        found = {}
        for name in suite.ids:
            called.clear()
            suite.run({name}, LocalSession(folder))
            found[name] = set(called)
        return found

    try:
        return with_suite(ROOT, list(TESTS.values()), run_each)
    finally:
        del sys.modules[CALLED]


def test_the_manifest_says_what_a_test_needs(calls):
    """Every exercise that a test runs is its own, or among what it needs."""
    for name, ran in calls.items():
        test = TESTS[name]
        known = {test.exercise, *wrong_earlier(test, REGISTRY, REGISTRY.exercises)}
        assert ran <= known, f"{name}: add needs = {sorted(ran - known)}"
    for name, ran in calls.items():
        useless = set(TESTS[name].needs) - ran
        assert not useless, f"{name}: does not run {sorted(useless)}"


WRONG = {
    # exercise -> its file, a text of its solution, and what stands there instead
    "1.1": ("common.py", "union > 0, intersection / union", "union > 0, union / 9"),
    "2.1": ("common.py", "out_channels, kernel_size=1)", "out_channels, kernel_size=3)"),
    "2.2": ("common.py", 'size=features["c3"].shape[-2:])', "scale_factor=1)"),
    "3.1": ("fcos_head.py", "            channels = width\n", ""),
    "3.2": ("fcos_head.py", "self.pred_cls(class_features)", "class_features"),
    "4.1": ("common.py", "(grid_x, grid_y)", "(grid_y, grid_x)"),
    "4.5": ("fcos_matching.py", "if len(valid_boxes) == 0:", "if True:"),
    "5.1": ("fcos_deltas.py", " / stride", ""),
    "5.3": ("fcos_deltas.py", ".sqrt()", ""),
    "6.1": ("fcos_losses.py", "1 - ", "2 - "),
    "7.3": ("one_stage_detector.py", "_normalizer.mul_(NORMALIZER_MOMENTUM)", "_x = 0"),
}
