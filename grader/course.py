"""The course as the grader uses it: tests, and what a result depends on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.course import FILE, Registry, read_registry
from grader.files import digest
from grader.manifest import ManifestTest, choose_exercises, read_manifest

REFERENCES_VARIABLE = "COURSE_REFERENCES"  # grader_tests/references.py reads it
# Limits that an instructor chose, as "cpu_seconds=5 memory_mb=1024"; the command's
# option --limits sets it.
LIMITS_VARIABLE = "COURSE_LIMITS"
TEST_SUFFIXES = (".py", ".toml", ".ini", ".safetensors", ".json")
GRADER_SUFFIXES = (".py", ".html", ".css")
SOLUTION = "assignment"
ALL_EXERCISES = "all"  # what a result says of its exercises if none was chosen


@dataclass(frozen=True, kw_only=True)
class Course:
    """A checkout of the course, as the grader uses it.

    Attributes:
        root: its folder.
        tests: the whole manifest.
        chosen: the tests that count, in its order.
        registry: what course.toml says.
        parts: those whose exercises submissions were asked for.
        hashes: of all that a result depends on, but the submission.
        allowed_ops: functions of torchvision.ops that submissions may call although
            an exercise asks to write them.
        device: of the tests' tensors: "cpu", "cuda", or "pretend" for a GPU that is
            none.
    """

    root: Path
    tests: Sequence[ManifestTest]
    chosen: Sequence[ManifestTest]
    registry: Registry
    parts: Sequence[str]
    hashes: dict[str, str]
    allowed_ops: Sequence[str] = ()
    device: str = "cpu"

    @property
    def chosen_ids(self) -> frozenset[str]:
        """Ids of the tests that count."""
        return frozenset(test.id for test in self.chosen)

    @property
    def files(self) -> tuple[str, ...]:
        """Those that are handed in for the parts, ("common.py", ...)."""
        modules = self.registry.modules.values()
        return tuple(
            f"{module.name}.py" for module in modules if module.part in self.parts
        )

    @property
    def titles(self) -> dict[str, str]:
        """Exercise -> the function that is written there."""
        registry = self.registry
        return {number: registry.names_of(number)[0] for number in registry.exercises}


def read_course(
    root: Path,
    exercises: Sequence[str],
    level: str,
    allowed_ops: Sequence[str] = (),
    parts: Sequence[str] = (),
    device: str = "cpu",
) -> Course:
    """Read the manifest and choose the exercises.

    Args:
        root: the checkout.
        exercises: ids; all of the parts if empty.
        level: of the sandbox.
        allowed_ops, device: as Course's.
        parts: of the course; the default ones if empty.

    Raises:
        CourseError: the manifest is not right, or there is no such exercise.
    """
    registry = read_registry(root)
    tests = read_manifest(root, registry)
    chosen = choose_exercises(tests, exercises, registry, parts)
    own_parts = dict.fromkeys(registry.part_of(test.exercise) for test in chosen)
    hashes = {
        "tests": _digest_tests(root),
        "grader": digest(root, _below(root / "grader", GRADER_SUFFIXES)),
        "requirements": digest(root, [root / "requirements.txt"]),
        "exercises": " ".join(sorted({test.exercise for test in chosen})),
        "level": level,
    }
    if len(chosen) == len(tests):
        hashes["exercises"] = ALL_EXERCISES
    limits = os.environ.get(LIMITS_VARIABLE)
    if limits:
        hashes["limits"] = limits
    if device != "cpu":
        hashes["device"] = device
    if allowed_ops:
        hashes["allowed_ops"] = " ".join(sorted(set(allowed_ops)))
    return Course(
        root=root,
        tests=tests,
        chosen=chosen,
        registry=registry,
        parts=tuple(own_parts),
        hashes=hashes,
        allowed_ops=allowed_ops,
        device=device,
    )


def _digest_tests(root: Path) -> str:
    """Tests, manifest, references, and the course's own code that runs with them."""
    paths = [root / FILE]
    for folder in ("grader_tests", "core", "helpers", "data_scripts", SOLUTION):
        paths += _below(root / folder, TEST_SUFFIXES)
    total = digest(root, paths)
    other = os.environ.get(REFERENCES_VARIABLE)
    if other:
        total += digest(Path(other), _below(Path(other), TEST_SUFFIXES))
    return total


def _below(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts
    ]
