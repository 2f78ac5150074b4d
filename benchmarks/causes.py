"""Is the cause that a test names true? Every planted mistake, alone and in variants.

Each mistake of grader_tests/mistakes/ is planted into our solution, and into every
right solution of tests/legitimate.py that the tests of its exercise can meet. The
hidden tests and visible checks of that exercise run on it, in this process: we wrote
these ourselves. A verdict is

- right: its test names its cause, so does its visible check, and no test names another;
- false: a test names a cause that is not true of it;
- unnamed: its test, or its visible check, passes, names none, or says only what can be
  seen in the answer (helpers/checks/patterns.py), which is true but not its cause.

`make causes` ends with exit code 1 unless all are right.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import write_result
from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    positive,
    run_command,
)
from core.course import id_order
from grader.manifest import ManifestTest, read_manifest
from grader.session.local_session import LocalSession
from grader.suites.mistakes import Mistake, edited, read_mistakes
from grader.suites.mutation_suites import end_of_process, write_sources
from grader.suites.suite_run import Suite, with_suite
from helpers.checks.patterns import SEEN
from tests.legitimate import EDITED, REWRITTEN, accepted, meets, needed_for

ROOT = Path(__file__).resolve().parent.parent
RIGHT, FALSE, UNNAMED = "right", "false", "unnamed"
# Slow, or of this machine's speed: they run only where it is their own mistake.
SLOW = (
    "::test_fcos_finds_what_it_was_trained_on",
    "::test_iou_needs_no_python_loop",
    "::test_match_needs_no_python_loop",
    "::test_get_deltas_of_thousands_of_locations",
    "::test_nms_is_not_slow",
)
# Right where NMS looks at the table; the tests of the table itself (1.1) refuse them.
OF_NMS = ("0 / 0 in NMS, which drops", "0 / 0 in NMS, which keeps")
Sources = Mapping[str, str]


@dataclass(frozen=True)
class Planted:
    """A wrong solution.

    Attributes:
        mistake: what is wrong.
        variant: the right solution that it spoils; "" is ours.
        sources: file name -> text.
    """

    mistake: Mistake
    variant: str
    sources: Sources


@dataclass(frozen=True)
class Verdict:
    """What the tests say of a wrong solution.

    Attributes:
        mistake, exercise, variant: which it is.
        verdict: RIGHT, FALSE or UNNAMED.
        named: number of tests that name a cause.
        why: of a FALSE one, "test: the cause that it names"; of an UNNAMED one the
            test that should have named it.
    """

    mistake: str
    exercise: str
    variant: str
    verdict: str
    named: int
    why: Sequence[str]


def plant_all(
    mistakes: Sequence[Mistake], sources: Sources
) -> tuple[list[Planted], list[tuple[str, str]]]:
    """Every mistake alone, and in each right solution that its tests meet.

    Returns:
        The wrong solutions; and (mistake, variant) where one replaces the other.
    """
    planted, apart = [], []
    for mistake in mistakes:
        base = accepted(mistake.variant, sources)
        planted.append(Planted(mistake, mistake.variant, edited(mistake.edits, base)))
        if mistake.variant:
            continue
        for name in (*REWRITTEN, *EDITED):
            is_refused = mistake.exercise == "1.1" and name in OF_NMS
            if is_refused or not meets(name, mistake.exercise, sources):
                continue
            both = _both(mistake, name, sources)
            if both is None:
                apart.append((mistake.id, name))
            else:
                planted.append(Planted(mistake, name, both))
    return planted, apart


def _both(mistake: Mistake, variant: str, sources: Sources) -> Sources | None:
    """The mistake in a right solution; None where they change the same lines."""
    try:
        return edited(mistake.edits, accepted(variant, sources))
    except CourseError:
        return None


def judge_planted(
    planted: Planted, suite: Suite, tests: Sequence[ManifestTest], downstream: bool
) -> Verdict:
    """Run the tests of its exercise.

    Args:
        downstream: also the tests of exercises that call what it spoils.
    """
    mistake = planted.mistake
    own = (mistake.test, mistake.check)
    chosen = {
        test.id
        for test in tests
        if test.id in own
        or (_is_met(test, mistake, downstream) and not test.id.endswith(SLOW))
    }
    with tempfile.TemporaryDirectory() as name:
        write_sources(planted.sources, Path(name))
        outcomes = suite.run(chosen, LocalSession(Path(name)))
    told = {outcome.id: outcome.cause for outcome in outcomes if outcome.category}
    named = {test: cause for test, cause in told.items() if cause}
    wrong = [
        f"{test}: {cause}"
        for test, cause in named.items()
        if cause not in SEEN and not mistake.explains(cause)
    ]
    missing = [
        test
        for test in own
        if test and (test not in named or not mistake.explains(named[test]))
    ]
    verdict = FALSE if wrong else UNNAMED if missing else RIGHT
    return Verdict(
        mistake.id,
        mistake.exercise,
        planted.variant,
        verdict,
        len(named),
        wrong or missing,
    )


def _is_met(test: ManifestTest, mistake: Mistake, downstream: bool) -> bool:
    if downstream:
        return mistake.exercise in needed_for(test.exercise)
    return test.exercise == mistake.exercise


def in_children(parts: Sequence[Any], work: Callable[[Any], Any]) -> list[Any]:
    """What a function returns for each part, each in a process of its own, at once.

    torch must not compute here before a fork, or its children may wait for ever.

    Raises:
        RuntimeError: a child ended early.
    """
    with tempfile.TemporaryDirectory() as name:
        answers = [Path(name) / f"{number}.json" for number in range(len(parts))]
        children: list[int] = []
        try:
            for part, answer in zip(parts, answers, strict=True):
                child = os.fork()
                if not child:
                    with end_of_process():
                        answer.write_text(json.dumps(work(part)))
                children.append(child)
            while children:
                _, status = os.waitpid(children[0], 0)
                del children[0]
                if status:
                    raise RuntimeError(f"a child process ended with status {status}")
        finally:  # stopped in between: nobody reads what the others find
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        return [json.loads(answer.read_text()) for answer in answers]


def judge_all(
    planted: Sequence[Planted], suite: Suite, jobs: int, downstream: bool
) -> list[Verdict]:
    """The verdicts, in the order of the wrong solutions."""
    tests = read_manifest(ROOT)

    def work(part: list[int]) -> list[dict[str, Any]]:
        import torch

        torch.set_num_threads(1)
        found = []
        for number in part:
            verdict = judge_planted(planted[number], suite, tests, downstream)
            if verdict.verdict != RIGHT:  # at once, for whoever stops the run
                print(format_verdict(verdict), file=sys.stderr, flush=True)
            found.append(asdict(verdict))
        return found

    numbers = list(range(len(planted)))
    parts = [numbers[job::jobs] for job in range(min(jobs, len(numbers)))]
    found = {
        number: Verdict(**verdict)
        for part, verdicts in zip(parts, in_children(parts, work), strict=True)
        for number, verdict in zip(part, verdicts, strict=True)
    }
    return [found[number] for number in numbers]


def format_table(verdicts: Sequence[Verdict]) -> str:
    """One line per exercise."""
    lines = ["exercise  mistakes  planted   right   false  unnamed"]
    numbers = sorted({verdict.exercise for verdict in verdicts}, key=id_order)
    for number in [*numbers, "all"]:
        own = [verdict for verdict in verdicts if number in (verdict.exercise, "all")]
        count = Counter(verdict.verdict for verdict in own)
        mistakes = len({verdict.mistake for verdict in own})
        lines.append(
            f"{number:8}  {mistakes:8}  {len(own):7}  {count[RIGHT]:6}  "
            f"{count[FALSE]:6}  {count[UNNAMED]:7}"
        )
    return "\n".join(lines)


def format_verdict(verdict: Verdict) -> str:
    """Which wrong solution, and what was named falsely or not at all."""
    where = f" in {verdict.variant!r}" if verdict.variant else ""
    head = f"{verdict.mistake}{where}: {verdict.verdict}"
    return "\n".join([head, *(f"  {why}" for why in verdict.why)])


def summary(
    verdicts: Sequence[Verdict], apart: Sequence[tuple[str, str]], seconds: float
) -> dict[str, Any]:
    """The figures to store."""
    numbers = sorted({verdict.exercise for verdict in verdicts}, key=id_order)
    return {
        "mistakes": len({verdict.mistake for verdict in verdicts}),
        "planted_alone": _counts([v for v in verdicts if not v.variant]),
        "planted_in_variants": _counts([v for v in verdicts if v.variant]),
        "change_the_same_lines": len(apart),
        "causes_named": sum(verdict.named for verdict in verdicts),
        "by_exercise": {
            number: _counts([v for v in verdicts if v.exercise == number])
            for number in numbers
        },
        "not_right": [asdict(v) for v in verdicts if v.verdict != RIGHT],
        "seconds_on_the_clock": round(seconds, 1),
    }


def _counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    count = Counter(verdict.verdict for verdict in verdicts)
    return {name: count[name] for name in (RIGHT, FALSE, UNNAMED)}


def make_parser() -> CommandParser:
    """The options."""
    parser = CommandParser(prog="python -m benchmarks.causes", description=__doc__)
    parser.add_argument("--jobs", type=positive, default=2, help="processes at a time")
    parser.add_argument(
        "--only", nargs="+", default=[], help="only these mistakes or exercises"
    )
    parser.add_argument(
        "--alone", action="store_true", help="into our solution only, not into variants"
    )
    parser.add_argument(
        "--downstream",
        action="store_true",
        help="also the tests of exercises that call what a mistake spoils",
    )
    return parser


def main() -> int:
    options = make_parser().parse_args()
    sources = {
        path.name: path.read_text("utf-8")
        for path in sorted((ROOT / "assignment").glob("*.py"))
    }
    mistakes = [
        mistake
        for mistake in read_mistakes(ROOT)
        if not options.only or {mistake.id, mistake.exercise} & set(options.only)
    ]
    if not mistakes:
        raise CourseError(
            f"--only {' '.join(options.only)}: no planted mistake is that"
        )
    started = time.perf_counter()
    planted, apart = plant_all(mistakes, sources)
    if options.alone:
        planted = [one for one in planted if one.variant == one.mistake.variant]
    verdicts = with_suite(
        ROOT,
        read_manifest(ROOT),
        lambda suite: judge_all(planted, suite, options.jobs, options.downstream),
    )
    seconds = time.perf_counter() - started
    print(format_table(verdicts))
    count = Counter(verdict.verdict for verdict in verdicts)
    print(
        f"\n{count[RIGHT]} of {len(verdicts)} wrong solutions are named right, "
        f"{count[FALSE]} falsely, {count[UNNAMED]} not at all; {seconds:.0f} s"
    )
    if not (options.only or options.alone or options.downstream):
        figures = summary(verdicts, apart, seconds)
        print(f"stored as {write_result('causes', figures)}")
    return EXIT_OK if count[RIGHT] == len(verdicts) else EXIT_PARTLY_FAILED


if __name__ == "__main__":
    run_command(main)
