"""Does a hidden test fail for every small change of the solution?

`make mutation` changes the solution regions of assignment/ in more than a thousand
ways and runs the hidden tests against each. What survives must stand, with a reason,
in grader_tests/mutation_survivors.toml. An interrupted run goes on where it was.
"""

import hashlib
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from benchmarks.mutants import read_mutants
from benchmarks.record import write_result
from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    positive,
    run_command,
)
from grader.manifest import read_manifest
from grader.suites.mutation import (
    CRASHED,
    KILLED,
    SURVIVED,
    TIMEOUT,
    Mutant,
    Verdict,
    run_mutants,
)
from grader.suites.mutation_suites import Suites, learn
from grader.suites.suite_run import HIDDEN, Suite, with_suite

ROOT = Path(__file__).resolve().parent.parent
SURVIVORS = ROOT / HIDDEN / "mutation_survivors.toml"
FIELDS = {"file", "line", "mutation", "reason", "why"}
EQUIVALENT, LEGITIMATE = "equivalent", "legitimately different"
HOLE = "hole"
REASONS = (EQUIVALENT, LEGITIMATE)
GOAL = 0.95
Key = tuple[str, str, str]
Results = list[tuple[Mutant, Verdict]]


def key_of(mutant: Mutant) -> Key:
    """What names a mutant in the list of survivors."""
    return mutant.file, mutant.before, mutant.after


def read_survivors(path: Path = SURVIVORS) -> dict[Key, str]:
    """Mutant -> reason of every listed survivor.

    Raises:
        CourseError: an entry is not as the head of the file says.
    """
    found: dict[Key, str] = {}
    for entry in tomllib.loads(path.read_text("utf-8")).get("survivor", []):
        if set(entry) != FIELDS or entry["reason"] not in REASONS:
            raise CourseError(
                f"{path}: {entry} is not complete; write {', '.join(sorted(FIELDS))}, "
                f"the reason being one of {', '.join(REASONS)}"
            )
        for mutation in entry["mutation"]:
            found[entry["file"], entry["line"], mutation] = entry["reason"]
    return found


def hidden_suites(suite: Suite) -> Suites:
    """The hidden tests of this checkout; takes some seconds to learn them."""
    entries = {entry.id: entry for entry in read_manifest(ROOT) if not entry.visible}
    sources = {
        path.name: path.read_text("utf-8")
        for path in sorted((ROOT / "assignment").glob("*.py"))
    }
    return learn(sources, suite, entries)


def file_digest(*paths: Path) -> str:
    """A short name for the content of files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()[:16]


class Notes:
    """What is known of earlier runs: a line of JSON for each mutant, kept for ever.

    A killed mutant stays killed while the solution and the file of the test that did
    it stay as they are; one that survived is tried again when any test has changed.
    """

    def __init__(self, path: Path, suites: Suites):
        self._path = path
        self._solution = json.dumps(dict(suites.sources), sort_keys=True)
        folder = ROOT / HIDDEN
        # At once: a file that is edited meanwhile was not the one that ran.
        self._all = file_digest(*folder.rglob("*.py"), *folder.rglob("*.safetensors"))
        self._file = {path.name: file_digest(path) for path in folder.glob("test_*.py")}
        self._lines: dict[str, dict] = {}
        if path.is_file():
            for line in path.read_text().splitlines():
                note = json.loads(line)
                self._lines[note["mutant"]] = note

    def _name(self, mutant: Mutant) -> str:
        text = self._solution + mutant.file + mutant.source
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _tests(self, verdict: Verdict) -> str:
        file = verdict.test.split("::")[0]
        killed = verdict.outcome == KILLED
        return self._file.get(file, self._all) if killed else self._all

    def known(self, mutant: Mutant) -> Verdict | None:
        """The verdict of an earlier run, if it still holds."""
        note = self._lines.get(self._name(mutant))
        if note is None:
            return None
        verdict = Verdict(**note["verdict"])
        return verdict if note["tests"] == self._tests(verdict) else None

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        """Write a verdict down at once."""
        note = {
            "mutant": self._name(mutant),
            "tests": self._tests(verdict),
            "verdict": asdict(verdict),
        }
        with self._path.open("a") as file:
            file.write(json.dumps(note) + "\n")


def try_all(
    mutants: Sequence[Mutant], notes: Notes, suites: Suites, jobs: int
) -> Results:
    """The verdicts of all mutants, from the notes or from a run now."""
    known = [(mutant, notes.known(mutant)) for mutant in mutants]
    results: Results = [(mutant, verdict) for mutant, verdict in known if verdict]
    waiting = [mutant for mutant, verdict in known if not verdict]
    bar = tqdm(total=len(mutants), initial=len(results), unit="mutant")
    with bar:
        for mutant, verdict in run_mutants(waiting, suites, jobs):
            notes.add(mutant, verdict)
            results.append((mutant, verdict))
            bar.update()
    return sorted(
        results, key=lambda result: (result[0].file, result[0].line, result[0].after)
    )


def reason_of(mutant: Mutant, listed: Mapping[Key, str]) -> str:
    """Why a survivor survives; HOLE where nobody gave a reason."""
    return listed.get(key_of(mutant), HOLE)


def format_table(results: Results, listed: Mapping[Key, str]) -> str:
    """One line per exercise, then the survivors without a reason."""
    outcomes = (KILLED, TIMEOUT, CRASHED, SURVIVED)
    lines = ["exercise  mutants  killed  timeout  crashed  survived  without a reason"]
    numbers = sorted({mutant.exercise for mutant, _ in results})
    for number in [*numbers, "all"]:
        own = [result for result in results if number in (result[0].exercise, "all")]
        count = Counter(verdict.outcome for _, verdict in own)
        holes = sum(
            verdict.outcome == SURVIVED and reason_of(mutant, listed) == HOLE
            for mutant, verdict in own
        )
        killed, timeout, crashed, survived = (count[outcome] for outcome in outcomes)
        lines.append(
            f"{number:8}  {len(own):7}  {killed:6}  {timeout:7}  {crashed:7}"
            f"  {survived:8}  {holes:16}"
        )
    for mutant, verdict in results:
        if verdict.outcome == SURVIVED and reason_of(mutant, listed) == HOLE:
            lines.append(
                f"\n{mutant.file}:{mutant.line} ({mutant.exercise})"
                f"\n- {mutant.before}\n+ {mutant.after}"
            )
    return "\n".join(lines)


def summary(results: Results, listed: Mapping[Key, str]) -> dict:
    """The figures to store."""
    survived = [mutant for mutant, verdict in results if verdict.outcome == SURVIVED]
    reasons = Counter(reason_of(mutant, listed) for mutant in survived)
    changing = len(results) - reasons[EQUIVALENT] - reasons[LEGITIMATE]
    by_exercise: dict[str, Counter[str]] = {}
    for mutant, verdict in results:
        by_exercise.setdefault(mutant.exercise, Counter())[verdict.outcome] += 1
    return {
        "mutmut": version("mutmut"),
        "mutants": len(results),
        "outcomes": dict(Counter(verdict.outcome for _, verdict in results)),
        "survivors": dict(reasons),
        "killed_share_of_changes": (len(results) - len(survived)) / max(changing, 1),
        "cpu_seconds": round(sum(verdict.seconds for _, verdict in results), 1),
        "by_exercise": {key: dict(by_exercise[key]) for key in sorted(by_exercise)},
    }


def make_parser() -> CommandParser:
    """The options."""
    parser = CommandParser(prog="python -m benchmarks.mutation", description=__doc__)
    parser.add_argument("--jobs", type=positive, default=1, help="mutants at a time")
    parser.add_argument(
        "--exercises", nargs="+", default=[], help="only these: 1.1 4.5"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "runs" / "mutation",
        help="folder for the notes from which an interrupted run goes on",
    )
    return parser


def main() -> int:
    options = make_parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    listed = read_survivors()
    mutants = read_mutants(ROOT / "assignment")
    if options.exercises:
        mutants = [mutant for mutant in mutants if mutant.exercise in options.exercises]

    def work(suite: Suite) -> Results:
        suites = hidden_suites(suite)
        notes = Notes(options.out / "notes.jsonl", suites)
        return try_all(mutants, notes, suites, options.jobs)

    results = with_suite(ROOT, read_manifest(ROOT), work)
    print(format_table(results, listed))
    figures = summary(results, listed)
    share = figures["killed_share_of_changes"]
    print(f"\n{share:.1%} of the mutants that change behaviour are killed", flush=True)
    alive = {
        key_of(mutant) for mutant, verdict in results if verdict.outcome == SURVIVED
    }
    tried = {key_of(mutant) for mutant, _ in results}
    for key in set(listed) & (tried - alive):
        print(f"no survivor any more, take it off the list: {key}", file=sys.stderr)
    if not options.exercises:
        print(f"stored as {write_result('mutation', figures)}")
    return EXIT_OK if share >= GOAL else EXIT_PARTLY_FAILED


if __name__ == "__main__":
    run_command(main)
