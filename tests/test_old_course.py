"""Hand-ins of the original assignment: `grade --course eecs498-a4`, by the command."""

import ast
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.course import id_order, read_registry
from grader.course import read_course
from grader.course_folder import NAMED, course_with
from grader.sandbox.levels import Level, probe_level
from grader.session.local_session import LocalSession
from grader.suites.earlier import wrong_earlier
from grader.suites.suite_run import with_suite

ROOT = Path(__file__).resolve().parent.parent
COURSE = "eecs498-a4"
ORIGINAL = ROOT / "tests" / "original_form"
# What the old handout does not ask for: a text of the solution, and one in its place.
HABITS = {
    "common.py": (
        # x and y as the old handout printed them; costs 4.1
        (
            "(xs.repeat(H), ys.repeat_interleave(W))",
            "(ys.repeat_interleave(W), xs.repeat(H))",
        ),
        # twice as large, whatever lies beside it; and from p4, so that p5 never
        # reaches p3, which costs 2.2
        ('F.interpolate(above, size=x.shape[2:], mode="nearest")', "twice(above)"),
        ("            above = x\n", "            above = self.own(level, feats)\n"),
        (
            "        return fpn_feats\n",
            "        return fpn_feats\n\n"
            "    def own(self, level, feats):\n"
            "        return self.fpn_params['lat_c' + level](feats['c' + level])\n",
        ),
        (
            "def get_fpn_location_coords",
            "def twice(x):\n    return F.interpolate(x, scale_factor=2)\n\n\n"
            "def get_fpn_location_coords",
        ),
    ),
    "one_stage_detector.py": (
        # the old handout's own line
        (
            "level_cls_logits.sigmoid() * level_ctr",
            "level_cls_logits.sigmoid_() * level_ctr",
        ),
        # a head for two entries of one width, whose weights have a second name
        ("for i, c in enumerate(stem_channels):", "for _ in stem_channels:"),
        (
            "prev = in_channels if i == 0 else stem_channels[i - 1]",
            "prev = c = in_channels",
        ),
        (
            "self.stem_box = nn.Sequential(*stem_box)",
            "self.stem_box = nn.Sequential(*stem_box)\n"
            "        self.every = nn.ModuleList(stem_box)",
        ),
        # boxes lie in the image, so only background begins with -1
        (
            "deltas[gt_boxes[:, :4].sum(dim=1) == -4] = -1",
            "deltas[gt_boxes[:, 0] == -1] = -1",
        ),
        # the names of the levels
        (
            "for level, feat in feats_per_fpn_level.items():",
            "for level in ('p3', 'p4', 'p5'):\n"
            "            feat = feats_per_fpn_level[level]",
        ),
    ),
}
BROKEN_HELPER = "from pycocotools_of_old import COCO\n"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "grader", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two hand-ins: as the project has it, and with old habits."""
    if probe_level().level is Level.NONE:
        pytest.skip("no sandbox on this machine")
    place = tmp_path_factory.mktemp("old")
    for name in ("original", "habits"):
        shutil.copytree(
            ORIGINAL, place / "class" / name, ignore=lambda *_: ["conftest.py"]
        )
    folder = place / "class" / "habits"
    for name, edits in HABITS.items():
        text = (folder / name).read_text()
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (folder / name).write_text(text)
    (folder / "a4_helper.py").write_text(BROKEN_HELPER)
    ran = run(
        *("grade", str(place / "class"), "--course", COURSE),
        *("--out", str(place / "out"), "--jobs", "2"),
    )
    assert ran.returncode == 0, ran.stderr
    return place / "out"


def lost(graded: Path, name: str) -> dict[str, float]:
    """Exercise -> points that were not given."""
    content: dict[str, Any] = json.loads((graded / name / "results.json").read_text())
    exercises = content["extra_data"]["exercises"]
    return {
        number: points["max_score"] - points["score"]
        for number, points in exercises.items()
        if points["max_score"] != points["score"]
    }


def test_the_original_form_gets_all_points(graded: Path):
    """Its files untouched, with the starter's own lines."""
    assert lost(graded, "original") == {}


def test_old_habits_cost_no_point_and_swapped_locations_cost_theirs_once(graded: Path):
    """Two-element stems, levels by name, logits in place, a second name of a weight.

    Nor do the later exercises that run with our FPN and locations: it has the small
    backbone, too, which learns.
    """
    assert set(lost(graded, "habits")) == {"2.2", "4.1"}
    content = json.loads((graded / "habits" / "results.json").read_text())
    stood_in = {own["given"] for own in content["extra_data"]["instructor"]}
    assert "2.2 4.1" in stood_in


def test_a_pyramid_that_cannot_be_made_costs_no_detector():
    """Its layers are made in 2.2 there, which stands in where a detector is made."""
    with course_with(ROOT, ROOT / NAMED / COURSE) as root:
        course = read_course(root, [], "")
    made = [test for test in course.chosen if test.exercise == "7.1"]
    assert made
    for test in made:
        assert wrong_earlier(test, course.registry, {"2.2"}) == ("2.2",), test.id


def test_a_dtype_that_nobody_asks_for_costs_nothing(tmp_path: Path):
    """All that counts of 4.1, where locations are float32 whatever is asked for."""
    for name in HABITS:
        shutil.copy(ORIGINAL / name, tmp_path)
    path = tmp_path / "common.py"
    text = path.read_text()
    assert text.count("dtype=dtype, ") == 2
    path.write_text(text.replace("dtype=dtype, ", ""))
    with course_with(ROOT, ROOT / NAMED / COURSE) as root:
        course = read_course(root, [], "")
        ids = {test.id for test in course.chosen if test.exercise == "4.1"}
        with LocalSession(tmp_path) as session:
            outcomes = with_suite(
                course.root, course.tests, lambda suite: suite.run(ids, session)
            )
    assert {own.id: own.message for own in outcomes if own.category} == {}
    files = [
        getattr(module, "__file__", None) or "" for module in [*sys.modules.values()]
    ]
    assert not [file for file in files if file.startswith(str(root))]  # for other tests


def test_results_pages_and_table_say_how_they_were_graded(graded: Path):
    """The name in the table, the sentence elsewhere."""
    note = read_registry_of(COURSE).note
    content = json.loads((graded / "original" / "results.json").read_text())
    assert content["output"].startswith(note)
    for page in (graded / "original" / "feedback.html", graded / "index.html"):
        assert note in page.read_text()
    with (graded / "grades.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["course"] for row in rows] == [COURSE, COURSE]


def read_registry_of(name: str) -> Any:
    """What course.toml says with that of the old course laid over."""
    with course_with(ROOT, ROOT / NAMED / name) as root:
        return read_registry(root)


def test_no_test_that_counts_asks_for_what_is_left_out():
    """Those with a GPU run others, and may run none that the old handout lacks."""
    with course_with(ROOT, ROOT / NAMED / COURSE) as root:
        course = read_course(root, [], "")
    counting = {test.id.rpartition("::")[2] for test in course.chosen}
    left_out = {test.id.rpartition("::")[2] for test in course.tests} - counting
    for path in sorted((ROOT / "grader_tests").glob("test_*.py")):
        functions = [
            node
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name in counting
        ]
        for function in functions:
            named = {
                node.attr if isinstance(node, ast.Attribute) else node.id
                for node in ast.walk(function)
                if isinstance(node, ast.Attribute | ast.Name)
            }
            assert not named & left_out, function.name


def test_only_exercises_of_the_old_handout_count():
    """None of what exists only here, no visible check, nothing that comes later."""
    with course_with(ROOT, ROOT / NAMED / COURSE) as root:
        course = read_course(root, [], "")
    later = [
        test.id
        for test in course.chosen
        if any(id_order(number) > id_order(test.exercise) for number in test.needs)
    ]
    assert not later
    assert "sigmoid_focal_loss" not in course.registry.closed()
    assert "nms" in course.registry.closed()
    asked = {test.exercise for test in course.chosen}
    assert asked == {
        *("2.2", "3.1", "3.2", "4.1", "5.1", "5.2", "5.3", "7.1", "7.4", "8.1", "8.2")
    }
    assert not any(test.visible for test in course.chosen)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["grade", "x", "--out", "y", "--course", "cs231n"], "there is no course"),
        (
            ["tests", "--course", COURSE, "-k", "nothing_like_it"],
            "no test matches",
        ),
        (
            ["grade", "x", "--out", "y", "--course", COURSE, "--course-dir", "z"],
            "not allowed with argument",
        ),
    ],
)
def test_a_wrong_course_is_one_sentence(words: Sequence[str], said: str):
    """Exit code 2, and nothing of Python."""
    ran = run(*words)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
