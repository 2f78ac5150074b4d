"""Hostile and broken submissions, graded by the real command beside honest ones."""

import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from grader.border.wire_types import Handle
from grader.sandbox.sandbox import Level, probe_level
from grader.sandbox.slots import may_become_others
from grader.session.proxy import MOST_ITEMS, RemoteObject
from grader.submissions.intake import copy_files, take
from tests.attack_archives import id_of_wrong, write_archives
from tests.attack_class import (
    BROKEN,
    CONTROL,
    FUNCTIONS,
    HONEST_RIGHT,
    ROOT,
    Attack,
    read_attacks,
    write_attack,
    write_honest,
    write_term,
)
from tests.attack_run import Listener, Ran, run_grade

ALL = read_attacks()
# It costs each test its whole time, so it is graded on few: behind the weaker walls.
ENDLESS_IMPORT = "endless_import"
ATTACKS = [each for each in ALL if each.folder != ENDLESS_IMPORT]
FOLDERS = tuple(dict.fromkeys(each.folder for each in ATTACKS))
AS_OWN_USER = [each for each in ALL if each.own_user]
EXERCISES = (CONTROL, *FUNCTIONS)
# Small, so that what has no end reaches them soon.
LIMITS = ("cpu_seconds=3", "call_seconds=12", "memory_mb=256", "output_mb=1")
SHORT = ("cpu_seconds=1", "call_seconds=12", "memory_mb=256", "output_mb=1")
LEVEL = probe_level().level
needs_walls = pytest.mark.skipif(
    LEVEL is Level.NONE, reason="no sandbox on this machine: nothing hostile is run"
)


@dataclass
class Graded:
    """A run on a class, and what it wrote."""

    ran: Ran
    out: Path
    mark: str
    calls: int
    said: dict[str, str]

    def results(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(
            (self.out / name / "results.json").read_text()
        )
        return content

    def tests(self, name: str, exercise: str) -> list[dict[str, Any]]:
        chosen = (exercise,) if exercise != "all" else EXERCISES
        return [e for e in self.results(name)["tests"] if e["number"] in chosen]


def grade_class(
    folder: Path,
    names: tuple[str, ...],
    level: Level,
    limits: tuple[str, ...],
    exercises: tuple[str, ...],
) -> Graded:
    """Write a class of honest students and these attackers, and grade it."""
    mark = f"mark{secrets.token_hex(6)}"
    students, out, term = folder / "class", folder / "out", folder / "term"
    students.mkdir(parents=True)
    write_term(term, mark)
    write_honest(students)
    if names and CONTROL not in exercises:  # a few attackers only
        shutil.rmtree(students / HONEST_RIGHT)
    with Listener() as listener:
        places = {
            **{"@ROOT@": str(ROOT), "@CLASS@": str(students), "@OUT@": str(out)},
            **{"@TERM@": str(term), "@PORT@": str(listener.port), "@MARK@": mark},
            "@PID@": str(2**22 - 1),
        }
        for name in names:
            write_attack(students, name, places)
        said = write_archives(students, mark) if names == FOLDERS else {}
        options = [
            "--references",
            str(term),
            "--level",
            level.value,
            "--limits",
            *limits,
            "--exercises",
            *exercises,
        ]
        ran = run_grade(str(students), "--out", str(out), "--jobs", "2", *options)
    return Graded(ran, out, mark, listener.calls, said)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that a sandbox's user could enter, if the walls let it."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-class-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def attacked(place: Path) -> Graded:
    """The class with all attackers."""
    return grade_class(place / "attacked", FOLDERS, LEVEL, LIMITS, EXERCISES)


@pytest.fixture(scope="module")
def quiet(place: Path) -> Graded:
    """The same class without any."""
    return grade_class(place / "quiet", (), LEVEL, LIMITS, EXERCISES)


@pytest.fixture(scope="module")
def weaker(place: Path) -> Graded:
    """Some attackers behind the walls that a container allows."""
    level = Level.OWN_USER if may_become_others() else LEVEL
    names = tuple(dict.fromkeys(each.folder for each in AS_OWN_USER))
    return grade_class(place / "weaker", names, level, SHORT, ("6.2",))


def expect_no_gain(graded: Graded, attack: Attack, exercises: tuple[str, ...]) -> None:
    """No more points than the honest wrong answer, in no more than the bound."""
    results = graded.results(attack.folder)
    assert results["execution_time"] < attack.seconds
    assert results["extra_data"]["status"] == "finished"
    for exercise in set(exercises) - {CONTROL}:
        if attack.exercise in (exercise, "all"):
            honest = graded.results(id_of_wrong())["extra_data"]["exercises"][exercise]
            got = results["extra_data"]["exercises"][exercise]
            assert got["score"] <= honest["score"]
            assert attack.exercise == "all" or honest["score"] == attack.score


def expect_told(graded: Graded, attack: Attack) -> None:
    """Its tests end as attacks.toml says, and the student reads a clear line."""
    tests = graded.tests(attack.folder, attack.exercise)
    tests = [each for each in tests if each["status"] == "failed"]
    labels = {tag for each in tests for tag in each["tags"]}
    if attack.categories:
        assert labels <= set(attack.categories), labels
        assert attack.categories[0] in labels
    assert any(attack.says in each["output"] for each in tests)


def expect_nothing_outside(graded: Graded) -> None:
    """No process, no file, no connection, nothing that was found."""
    assert graded.ran.left == []
    assert graded.ran.forgotten == []
    assert graded.calls == 0
    for folder in (
        "/tmp",
        "/dev/shm",
        "/var/tmp",
        ROOT,
        Path.home(),
        graded.out.parent,
    ):
        assert list(Path(folder).glob(f"*{graded.mark}*")) == []
    for path in graded.out.rglob("*"):
        if path.is_file():
            assert "GOT-THROUGH" not in path.read_text(), path


@needs_walls
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_scores_no_more_than_an_honest_wrong_answer(attacked, attack):
    """Whatever it does: the points of a wrong answer, within the bound of time."""
    expect_no_gain(attacked, attack, EXERCISES)


@needs_walls
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_or_a_breakage_is_told_in_a_clear_line(attacked, attack):
    """The category is that of what happened, and the page says it in words."""
    expect_told(attacked, attack)


@needs_walls
@pytest.mark.parametrize("name", FOLDERS)
def test_the_other_exercises_keep_their_points(attacked, name):
    """What one function does costs no other function its points."""
    found = attacked.results(name)["extra_data"]["exercises"][CONTROL]
    assert found["score"] == found["max_score"] > 0
    spoilt = {each.exercise for each in ATTACKS if each.folder == name}
    for exercise in set(FUNCTIONS) - spoilt if "all" not in spoilt else ():
        own = attacked.results(name)["extra_data"]["exercises"][exercise]
        if FUNCTIONS[exercise][0] not in {FUNCTIONS[each][0] for each in spoilt}:
            assert own["score"] == own["max_score"]


@needs_walls
@pytest.mark.parametrize("name", [HONEST_RIGHT, id_of_wrong()])
def test_honest_students_get_what_they_would_get_alone(attacked, quiet, name):
    """Their results beside the attackers are, but for times, those without them."""
    both = [each.results(name) for each in (attacked, quiet)]
    for content in both:
        del content["execution_time"], content["extra_data"]["measured"]
        del content["extra_data"]["hashes"]  # the marks of the two terms differ
    assert both[0] == both[1]
    pages = [
        (each.out / name / "feedback.html").read_text() for each in (attacked, quiet)
    ]
    assert pages[0] == pages[1]
    assert quiet.ran.code == 0
    rights = both[0]["extra_data"]["exercises"].values()
    if name == HONEST_RIGHT:
        assert all(each["score"] == each["max_score"] for each in rights)


@needs_walls
def test_nothing_happens_outside_the_sandbox(attacked, quiet):
    """No process, file or connection is there when the command has ended."""
    expect_nothing_outside(attacked)
    expect_nothing_outside(quiet)


@needs_walls
def test_no_page_tells_a_hidden_number_or_a_file_of_the_grader(attacked):
    """Neither inputs nor expected values, whatever carries them out."""
    stored = load_file(ROOT / "grader_tests" / "references" / "step6.safetensors")
    logits = next(v for n, v in stored.items() if n.startswith("fcos_centerness_loss."))
    digits = "".join(str(int(abs(e) * 1e5)) for e in logits.flatten().tolist())
    numbers = torch.cat([each.flatten()[:20].double() for each in stored.values()])
    secret = {f"{each:.5f}" for each in numbers.tolist() if each % 0.125}
    secret |= {digits[:9], attacked.mark, "expected.get", str(ROOT), "load_cases"}
    for name in FOLDERS:
        for file in ("results.json", "feedback.html"):
            text = (
                (attacked.out / name / file)
                .read_text()
                .replace(f'document.title="{attacked.mark}"', "")
            )
            found = {each for each in secret if each in text}
            assert not found - {attacked.mark}, (name, file)
            assert attacked.mark not in text or name == "remembering"
        hidden = [
            t for t in attacked.results(name)["tests"] if t["visibility"] != "visible"
        ]
        assert not any("LEAK" in json.dumps(test).upper() for test in hidden)


@needs_walls
def test_tags_and_formulas_stay_text(attacked):
    """No page gets a tag of a student's, no cell of the table begins a formula."""
    pages = list(attacked.out.rglob("*.html"))
    assert len(pages) > len(FOLDERS)
    for page in pages:
        text = page.read_text()
        assert "<script>document" not in text and "<img" not in text
        assert page.stat().st_size < 1_000_000
    for line in (attacked.out / "grades.csv").read_text().splitlines():
        assert line.lstrip('"')[:1] not in ("=", "+", "-", "@")


@needs_walls
def test_tricks_of_zips_links_and_names_are_refused_each_with_its_sentence(attacked):
    """They have a result of their own, and take nobody else's place."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for path in attacked.out.glob("*/results.json"):
        content = json.loads(path.read_text())
        by_name.setdefault(content["extra_data"]["name"], []).append(content)
    assert attacked.ran.code == 1
    for name, said in attacked.said.items():
        (content,) = by_name[name]
        assert content["score"] == 0, name
        assert content["extra_data"]["status"] == "refused", name
        assert said in content["extra_data"]["why"].replace("There", "there"), name
    assert len(by_name) == len(attacked.said) + len(FOLDERS) + 2
    assert (attacked.out / "index.html").is_file()


def test_a_hard_link_is_taken_as_a_copy(tmp_path):
    """What happens to the copy does not happen to the file that was linked."""
    original = tmp_path / "original.py"
    original.write_text("A = 1\n")
    (tmp_path / "assignment").mkdir()
    (tmp_path / "assignment" / "common.py").hardlink_to(original)
    copy_files(take(tmp_path).files, tmp_path / "code")
    (tmp_path / "code" / "common.py").write_text("A = 2\n")
    assert original.read_text() == "A = 1\n"


def test_a_list_that_claims_to_be_endless_ends():
    """A loop of a test over an answer with 10^12 items is no endless loop."""

    class Endless:
        def ask(self, what, request):
            return 10**12 if request["op"] == "length" else 0

    assert sum(1 for _ in RemoteObject(Endless(), Handle(0), "list")) == MOST_ITEMS


@needs_walls
@pytest.mark.parametrize("attack", AS_OWN_USER, ids=lambda attack: attack.name)
def test_an_attack_gains_nothing_at_the_level_own_user(weaker, attack):
    """The walls of a container hold, too."""
    expect_no_gain(weaker, attack, ("6.2",))
    expect_told(weaker, attack)


@needs_walls
def test_nothing_happens_outside_the_level_own_user(weaker):
    """No process, file or connection is left; the class has its pages."""
    expect_nothing_outside(weaker)
    assert (weaker.out / "index.html").is_file()


def test_each_folder_of_attacks_is_graded():
    """No attack is forgotten, and each has a sentence, a bound and what must hold."""
    stored = {
        path.parent.name for path in (ROOT / "tests" / "attacks").glob("*/assignment")
    }
    assert stored | set(BROKEN) == {each.folder for each in ALL}
    assert len({each.name for each in ALL}) == len(ALL) > 40
    assert {each.exercise for each in ALL} == {*FUNCTIONS, "all"}
