"""Hostile and broken submissions, graded by the real command beside honest ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from grader.border.wire_types import Handle
from grader.session.proxy import MOST_ITEMS, RemoteObject
from grader.submissions.intake import copy_files, take
from tests.attack_archives import id_of_wrong
from tests.attack_class import (
    BROKEN,
    CONTROL,
    FUNCTIONS,
    HONEST_RIGHT,
    ROOT,
    read_entries,
)
from tests.attack_grading import (
    ALL,
    ATTACKS,
    EXERCISES,
    FOLDERS,
    LEVEL,
    LIMITS,
    Graded,
    expect_no_gain,
    expect_nothing_outside,
    expect_told,
    grade_class,
    needs_walls,
    open_folder,
)
from tests.odd_entries import ENTRIES


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder for the classes of this file."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def attacked(place: Path) -> Graded:
    """The class with all attackers."""
    return grade_class(place / "attacked", FOLDERS, LEVEL, LIMITS, EXERCISES)


@pytest.fixture(scope="module")
def quiet(place: Path) -> Graded:
    """The same class without any."""
    return grade_class(place / "quiet", (), LEVEL, LIMITS, EXERCISES)


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
    spoilt = {attack.exercise for attack in ATTACKS if attack.folder == name}
    for exercise in set(FUNCTIONS) - spoilt if "all" not in spoilt else ():
        own = attacked.results(name)["extra_data"]["exercises"][exercise]
        if FUNCTIONS[exercise][0] not in {FUNCTIONS[number][0] for number in spoilt}:
            assert own["score"] == own["max_score"]


@needs_walls
@pytest.mark.parametrize("name", [HONEST_RIGHT, id_of_wrong()])
def test_honest_students_get_what_they_would_get_alone(attacked, quiet, name):
    """Their results beside the attackers are, but for times, those without them."""
    both = [run.results(name) for run in (attacked, quiet)]
    for content in both:
        del content["execution_time"], content["extra_data"]["measured"]
        del content["extra_data"]["hashes"]  # the marks of the two terms differ
    assert both[0] == both[1]
    pages = [
        (run.out / name / "feedback.html").read_text() for run in (attacked, quiet)
    ]
    assert pages[0] == pages[1]
    assert quiet.ran.code == 0
    rights = both[0]["extra_data"]["exercises"].values()
    if name == HONEST_RIGHT:
        assert all(test["score"] == test["max_score"] for test in rights)


@needs_walls
def test_nothing_happens_outside_the_sandbox(attacked, quiet):
    """No process, file or connection is there when the command has ended."""
    expect_nothing_outside(attacked)
    expect_nothing_outside(quiet)


@needs_walls
def test_the_command_says_nothing_that_alarms_without_a_cause(attacked, quiet):
    """No traceback, and no library's complaint when the command ends."""
    for graded in (attacked, quiet):
        assert "submissions" in graded.ran.output
        assert "Traceback" not in graded.ran.output
        assert "leaked" not in graded.ran.output


@needs_walls
def test_no_page_tells_a_hidden_number_or_a_file_of_the_grader(attacked):
    """Neither inputs nor expected values, whatever carries them out."""
    stored = load_file(ROOT / "grader_tests" / "references" / "step6.safetensors")
    logits = next(
        values
        for name, values in stored.items()
        if name.startswith("fcos_centerness_loss.")
    )
    digits = "".join(str(int(abs(logit) * 1e5)) for logit in logits.flatten().tolist())
    numbers = torch.cat([tensor.flatten()[:20].double() for tensor in stored.values()])
    secret = {f"{number:.5f}" for number in numbers.tolist() if number % 0.125}
    secret |= {digits[:9], attacked.mark, "expected.get", str(ROOT), "load_cases"}
    for name in FOLDERS:
        for file in ("results.json", "feedback.html"):
            text = (
                (attacked.out / name / file)
                .read_text()
                .replace(f'document.title="{attacked.mark}"', "")
            )
            found = {figure for figure in secret if figure in text}
            assert not found - {attacked.mark}, (name, file)
            assert attacked.mark not in text or name == "remembering"
        hidden = [
            test
            for test in attacked.results(name)["tests"]
            if test["visibility"] != "visible"
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
        assert said.lower() in content["extra_data"]["why"].lower(), name
    assert len(by_name) == len(attacked.said) + len(FOLDERS) + 2
    assert "left out: .DS_Store" in attacked.ran.output
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


def test_each_folder_of_attacks_is_graded():
    """No attack is forgotten, and each has a sentence, a bound and what must hold."""
    stored = {
        path.parent.name for path in (ROOT / "tests" / "attacks").glob("*/assignment")
    }
    assert stored | set(BROKEN) == {attack.folder for attack in ALL}
    assert len({attack.name for attack in ALL}) == len(ALL) > 40
    assert {attack.exercise for attack in ALL} == {*FUNCTIONS, "all"}
    assert len(read_entries()) > 10 and set(read_entries()) <= set(ENTRIES)
