"""Which hidden tests run which exercise's function, and how long they take."""

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

from core.course import MENTION
from grader.manifest import ManifestTest
from grader.release.markers import find_regions
from grader.session.local_session import LocalSession
from grader.suites.suite_run import Suite


@dataclass(frozen=True)
class Suites:
    """The hidden tests, and what is known of them.

    Attributes:
        sources: file name -> text of the solution.
        suite: the tests, collected.
        entries: id -> row of the manifest.
        uses: id -> numbers of the exercises whose functions the test runs.
        seconds: id -> CPU seconds with the solution.
    """

    sources: Mapping[str, str]
    suite: Suite
    entries: Mapping[str, ManifestTest]
    uses: Mapping[str, Sequence[str]]
    seconds: Mapping[str, float]

    def chosen(self, exercise: str) -> list[str]:
        """Tests that run an exercise's function: its own first, then the quickest."""
        ids = [test_id for test_id in self.entries if exercise in self.uses[test_id]]
        return sorted(
            ids,
            key=lambda test_id: (
                self.entries[test_id].exercise != exercise,
                self.seconds[test_id],
            ),
        )


def in_child(work: Callable[[], Any]) -> Any:
    """What a function returns that runs in a child process; it must fit JSON.

    torch must not compute here before a fork, or its children may wait for ever.

    Raises:
        RuntimeError: the child ended early.
    """
    with tempfile.NamedTemporaryFile("r", suffix=".json") as answer:
        child = os.fork()
        if not child:
            with end_of_process():
                Path(answer.name).write_text(json.dumps(work()))
        _, status = os.waitpid(child, 0)
        text = answer.read()
    if status or not text:
        raise RuntimeError(f"the child process ended with status {status}")
    return json.loads(text)


@contextlib.contextmanager
def end_of_process() -> Iterator[None]:
    """Leave a child at once, whatever happens; nothing of the parent is repeated."""
    code = 1
    try:
        yield
        code = 0
    except BaseException as error:  # noqa: BLE001 - the process ends with it
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def learn(
    sources: Mapping[str, str], suite: Suite, entries: Mapping[str, ManifestTest]
) -> Suites:
    """Run each test once, with the solution, to see what it runs and how long.

    Args:
        entries: id -> row of the manifest, of the tests that mutants shall meet.
    """
    known = in_child(lambda: _watch(sources, suite, list(entries)))
    uses = {name: test["uses"] for name, test in known.items()}
    seconds = {name: test["seconds"] for name, test in known.items()}
    return Suites(sources, suite, entries, uses, seconds)


def _watch(
    sources: Mapping[str, str], suite: Suite, ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    torch.set_num_threads(1)
    known = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sources(sources, folder)
        exercise_of = _exercise_finder(sources, folder)
        session = LocalSession(folder)
        for test in ids:
            seen: set[CodeType] = set()

            def note(frame: FrameType, event: str, _: Any, seen: Any = seen) -> None:
                if event == "call":
                    seen.add(frame.f_code)

            start = time.process_time()
            sys.setprofile(note)
            try:
                suite.run([test], session)
            finally:
                sys.setprofile(None)
            seconds = time.process_time() - start
            uses = {exercise_of(code) for code in seen} - {""}
            known[test] = {"uses": sorted(uses), "seconds": seconds}
    return known


def _exercise_finder(
    sources: Mapping[str, str], folder: Path
) -> Callable[[CodeType], str]:
    """A function: the number of the exercise that a code object is, or ""."""
    regions = {
        str(folder / name): [
            (region.begin, exercise_before(text, region.begin))
            for region in find_regions(text.splitlines(), name)
        ]
        for name, text in sources.items()
    }

    def find(code: CodeType) -> str:
        lines = [line for _, _, line in code.co_lines() if line]
        for begin, exercise in regions.get(code.co_filename, []):
            if code.co_firstlineno < begin < max(lines):
                return exercise
        return ""

    return find


def exercise_before(text: str, line: int) -> str:
    """Number of the exercise whose solution begins in a line."""
    above = "\n".join(text.splitlines()[:line])
    return MENTION.findall(above)[-1]


def write_sources(sources: Mapping[str, str], folder: Path) -> None:
    """Write the files of a solution."""
    for name, text in sources.items():
        (folder / name).write_text(text, "utf-8")
