"""Mutants of the solution: made of its regions only, and judged as they deserve."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mutants import changed_texts, make_mutants
from benchmarks.mutation import (
    EQUIVALENT,
    HOLE,
    Notes,
    format_table,
    key_of,
    read_survivors,
    summary,
)
from core.command import CourseError
from grader.manifest import read_manifest
from grader.release.markers import find_regions
from grader.suites import mutation, mutation_suites
from grader.suites.mutation import (
    CRASHED,
    KILLED,
    SURVIVED,
    TIMEOUT,
    Mutant,
    Verdict,
    run_mutants,
)
from grader.suites.suite_run import with_suite

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
CANDIDATE = "test_4_matching_parts.py"
LOW = "(largest > low)"


def planted(find: str, new: str) -> Mutant:
    """A change of exercise 4.3."""
    text = SOURCES["fcos_matching.py"]
    assert text.count(find) == 1
    changed = text.replace(find, new)
    return Mutant(
        file="fcos_matching.py",
        exercise="4.3",
        line=1,
        before=find,
        after=new,
        source=changed,
    )


@pytest.fixture(scope="module")
def suites():
    """The hidden tests of exercises 4.3 and 1.1."""
    entries = {
        test.id: test
        for test in read_manifest(ROOT)
        if test.exercise in ("4.3", "4.5")
        and not test.visible
        and "loop" not in test.id
    }
    return with_suite(
        ROOT,
        read_manifest(ROOT),
        lambda suite: mutation_suites.learn(SOURCES, suite, entries),
    )


def try_mutants(mutants: list[Mutant], suites, jobs: int = 1) -> dict:
    """Mutant -> verdict; the tests are collected again, what is known of them stays."""
    return with_suite(
        ROOT,
        read_manifest(ROOT),
        lambda suite: dict(run_mutants(mutants, replace(suites, suite=suite), jobs)),
    )


def verdict_of(mutant: Mutant, suites) -> Verdict:
    return try_mutants([mutant], suites)[mutant]


def test_mutant_that_changes_behaviour_is_killed(suites):
    """The equal sign on the other side: a test of the exercise itself fails."""
    verdict = verdict_of(planted(LOW, "(largest >= low)"), suites)
    assert verdict.outcome == KILLED
    assert verdict.test.startswith(CANDIDATE)
    assert verdict.why


def test_equivalent_mutant_survives(suites):
    """The two sides of a comparison change places: no test may fail."""
    verdict = verdict_of(planted(LOW, "(low < largest)"), suites)
    assert verdict == Verdict(SURVIVED, "", "", verdict.seconds)


def test_mutant_that_never_ends_is_stopped(suites, monkeypatch):
    """An endless loop costs its CPU seconds and no more."""
    monkeypatch.setattr(mutation, "SPARE_SECONDS", 2.0)
    monkeypatch.setattr(mutation, "WAITS", 100)  # a busy machine takes its time
    mutant = planted("is_inside = ltrb_px", "while True: pass\n    is_inside = ltrb_px")
    verdict = verdict_of(mutant, suites)
    assert (verdict.outcome, verdict.why) == (TIMEOUT, "SIGPROF")


def test_mutant_that_ends_its_process_is_noticed(suites):
    """A crash is no survival."""
    mutant = planted(
        "is_inside = ltrb_px", "import os; os._exit(0)\n    is_inside = ltrb_px"
    )
    assert verdict_of(mutant, suites).outcome == CRASHED


def test_mutant_that_cannot_be_imported_is_killed(suites):
    """A file that is broken as a whole fails its first test."""
    verdict = verdict_of(planted("import math", "import no_such_module"), suites)
    assert verdict.outcome == KILLED
    assert verdict.test


def test_mutants_run_some_at_a_time(suites):
    """Two processes, three mutants: each comes back once."""
    mutants = [planted(LOW, f"(largest > low + {number})") for number in range(3)]
    results = try_mutants(mutants, suites, jobs=2)
    assert results[mutants[0]].outcome == SURVIVED
    assert {results[mutant].outcome for mutant in mutants[1:]} == {KILLED}


def test_tests_that_run_a_function_are_known(suites):
    """4.5 calls 4.3, so its tests are tried on a mutant of 4.3, after its own."""
    chosen = [suites.entries[test_id].exercise for test_id in suites.chosen("4.3")]
    assert {*chosen} == {"4.3", "4.5"}
    assert chosen == sorted(chosen)
    assert not suites.chosen("8.1")


def test_mutants_change_nothing_but_solutions():
    """Outside the regions a mutant is the solution, and every mutant compiles."""
    source = SOURCES["fcos_deltas.py"]
    [*regions] = find_regions(source.splitlines(), "")
    mutants = make_mutants("fcos_deltas.py", source)
    assert {mutant.exercise for mutant in mutants} == {"5.1", "5.2", "5.3"}
    for mutant in mutants:
        compile(mutant.source, mutant.file, "exec")
        assert mutant.source != source
        assert any(region.begin < mutant.line < region.end for region in regions)
        outside = source.split("### BEGIN SOLUTION")[0]
        assert mutant.source.startswith(outside)
        assert mutant.source.endswith("### END SOLUTION\n")
    assert len({mutant.source for mutant in mutants}) == len(mutants)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = b.amin(dim=1) + 2", "a = b.amax(dim=1) + 2"),
        ("a = b.amin(dim=1) + 2", "a = b.amin(dim=0) + 2"),
        ("a = b.amin(dim=1) + 2", "a = b.amin(dim=1) - 2"),
        ("a = b.amin(dim=1) + 2", "a = b + 2"),
        ("a = c(b, dim=1)", "a = c(b, )"),
        ("if a <= b:\n    c()", "if a < b:\n    c()"),
        ("if a <= b:\n    c()", "if a >= b:\n    c()"),
        ("if a <= b:\n    c()", "if not (a <= b):\n    c()"),
        ("if a <= b:\n    c()", "if a <= b:\n    pass"),
        ("for a in b:\n    c()", "for a in ():\n    c()"),
        ("a = (b, c)", "a = (c, b)"),
        ("a = [b, c]", "a = [b]"),
    ],
)
def test_mutants_are_what_wrong_solutions_have(text: str, expected: str):
    """Numbers, operators, arguments, partners, order, and what is left out."""
    meanings = [ast.dump(ast.parse(changed)) for changed in changed_texts(text)]
    assert ast.dump(ast.parse(expected)) in meanings


def test_what_an_error_says_and_types_are_no_mutants():
    """No test may ask for the text of an error."""
    assert not [*changed_texts("raise ValueError('one', 2)")]
    assert not [*changed_texts("a: list[int]")]


def test_every_listed_survivor_is_a_mutant_of_the_solution():
    """When the solution changes, its list of survivors changes, too."""
    made = {
        key_of(mutant)
        for name, source in SOURCES.items()
        for mutant in make_mutants(name, source)
    }
    assert not set(read_survivors()) - made


def test_survivor_without_a_reason_is_refused(tmp_path: Path):
    """A hole in the tests is repaired, not listed."""
    path = tmp_path / "survivors.toml"
    path.write_text('[[survivor]]\nfile = "common.py"\nreason = "too hard"\n')
    with pytest.raises(CourseError, match="is not complete"):
        read_survivors(path)


def test_verdict_holds_until_the_solution_changes(suites, tmp_path: Path):
    """An interrupted run goes on; another solution is another matter."""
    path = tmp_path / "notes.jsonl"
    mutant, verdict = planted(LOW, "(low < largest)"), Verdict(SURVIVED, "", "", 1.5)
    Notes(path, suites).add(mutant, verdict)
    assert Notes(path, suites).known(mutant) == verdict
    assert Notes(path, suites).known(planted(LOW, "(largest >= low)")) is None
    other = replace(suites, sources={**SOURCES, "common.py": ""})
    assert Notes(path, other).known(mutant) is None


def test_share_leaves_out_what_changes_nothing():
    """An equivalent mutant counts neither for nor against the tests."""
    first, second = planted(LOW, "(low < largest)"), planted(LOW, "(largest >= low)")
    survived, killed = Verdict(SURVIVED, "", "", 1.0), Verdict(KILLED, "t", "w", 1.0)
    results = [(first, survived), (second, killed)]
    assert summary(results, {})["killed_share_of_changes"] == 0.5
    assert summary(results, {})["survivors"] == {HOLE: 1}
    assert f"+ {first.after}" in format_table(results, {})
    listed = {key_of(first): EQUIVALENT}
    assert summary(results, listed)["killed_share_of_changes"] == 1.0
    assert first.after not in format_table(results, listed)
