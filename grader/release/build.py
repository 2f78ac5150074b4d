"""The student release: solutions cut out, searched for leaks, and tried out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.command import CourseError
from core.course import FILE, PACKAGE, Exercise, Registry, read_registry
from core.files import is_free, new_folder
from grader.manifest import FOLDER as MANIFEST_FOLDER
from grader.manifest import points_by_exercise, read_manifest
from grader.release import release_files
from grader.release.address import name_repository
from grader.release.given_exercises import fit_notebook
from grader.release.hidden_tests import (
    CHECKS,
    TESTS,
    first_lines,
    hidden_bodies,
    visible_lines,
)
from grader.release.kinds import check_kinds
from grader.release.leak_check import check_no_leaks, searched_secrets
from grader.release.notebooks import clear_notebook
from grader.release.packages import student_environment, student_requirements
from grader.release.parts import choose_files
from grader.release.prove import prove_release
from grader.release.stubs import SecretLine, cut_solutions, stub_functions

PACKAGE_LISTS = {
    "requirements.txt": student_requirements,
    "environment.yml": student_environment,
}
STUBS = "helpers/checks/stubs.json"  # what `python -m helpers.check reset` puts back


@dataclass(frozen=True)
class Release:
    """Everything that students get, in memory.

    Attributes:
        files: path -> content, the manifest included.
        registry: what the students' course.toml says.
        solved: ids of the exercises that come with their solutions.
        num_secrets: lines that were searched for.
        new: files that the release in this place did not have; None if there was none.
    """

    files: dict[str, bytes]
    registry: Registry
    solved: tuple[str, ...]
    num_secrets: int
    new: tuple[str, ...] | None = None

    @property
    def written(self) -> tuple[str, ...]:
        """The files among which students write, "assignment/common.py"."""
        own = (name for name in self.files if name.startswith(f"{PACKAGE}/"))
        return tuple(sorted(name for name in own if name.endswith(".py")))


def make_release(
    root: Path, repository: str = "", parts: Sequence[str] = ()
) -> Release:
    """Cut and check, without writing anything.

    Args:
        root: the source, with assignment/, helpers/, ...
        repository: address on GitHub where the release will be; empty if unknown.
        parts: of the course; the default ones if empty.

    Raises:
        CourseError: a marker is wrong, something else than a solution would be lost,
            a solution or a hidden test would be shown, the address is none, or there
            is no such part.
    """
    whole = read_registry(root)
    collected = release_files.collect_files(root)
    _check_is_collected(collected, whole, root)
    chosen = choose_files(collected, whole, parts)
    files = chosen.files
    if repository:
        files = name_repository(files, repository)
    if not chosen.registry.exercises:
        raise CourseError(
            f"{root / FILE}: no exercise of these parts is asked for; choose others"
        )
    left_out = {
        file: content for file, content in collected.items() if file not in files
    }
    secrets = _secrets_of(left_out, whole)
    given = []
    functions: dict[str, str] = {}
    points = _points(root, whole)
    for name, content in files.items():
        if name.startswith(f"{PACKAGE}/") and name.endswith(".py"):
            own = _exercises_in(name, whole)
            stub = cut_solutions(_decode(content, name), name, own, chosen.solved)
            given.append(stub.text)
            functions |= stub_functions(stub)
            functions[name.removeprefix(f"{PACKAGE}/")] = stub.text
            secrets += stub.secrets
            files[name] = stub.text.encode()
        elif name.endswith(".ipynb"):
            fitted = fit_notebook(_decode(content, name), whole, points)
            text, lost = clear_notebook(fitted, name)
            secrets += lost
            files[name] = text.encode()
    for name, cut in PACKAGE_LISTS.items():
        files[name] = cut(_decode(files[name], name)).encode()
    files[STUBS] = (json.dumps(functions, indent=1) + "\n").encode()
    hidden = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in (root / TESTS).rglob("*.py")
    }
    hidden_sources = {name: _decode(hidden[name], name) for name in sorted(hidden)}
    secrets += first_lines(hidden_sources)
    searched = searched_secrets(secrets, given)
    bodies = hidden_bodies(hidden_sources, _visible_lines(root, whole, collected))
    check_no_leaks(files, searched, bodies)
    check_kinds(files)
    files[release_files.MANIFEST] = release_files.make_manifest(
        files, chosen.registry.default_parts, chosen.solved
    )
    return Release(files, chosen.registry, chosen.solved, len(searched))


def _check_is_collected(
    files: dict[str, bytes], registry: Registry, root: Path
) -> None:
    """See that no exercise is left behind because git does not track its file."""
    for exercise in registry.exercises.values():
        name = f"{PACKAGE}/{exercise.file}"
        if name not in files:
            raise CourseError(
                f"{root / name}: git does not track it, so students would not get "
                f"exercise {exercise.id}; git add it"
            )


def _exercises_in(name: str, registry: Registry) -> list[Exercise]:
    """Those of "assignment/common.py"."""
    file = name.removeprefix(f"{PACKAGE}/")
    return [
        exercise for exercise in registry.exercises.values() if exercise.file == file
    ]


def _secrets_of(files: dict[str, bytes], registry: Registry) -> list[SecretLine]:
    """Solutions and answers in files of parts that are not handed out (yet)."""
    found: list[SecretLine] = []
    for name, content in files.items():
        if name.startswith(f"{PACKAGE}/") and name.endswith(".py"):
            own = _exercises_in(name, registry)
            found += cut_solutions(_decode(content, name), name, own).secrets
        elif name.endswith(".ipynb"):
            found += clear_notebook(_decode(content, name), name)[1]
    return found


def _points(root: Path, registry: Registry) -> dict[str, float]:
    """Name of a graded cell -> points, where an instructor has changed any."""
    if not registry.points:
        return {}
    points = points_by_exercise(read_manifest(root, registry))
    return {f"exercise-{key.replace('.', '-')}": value for key, value in points.items()}


def _visible_lines(root: Path, registry: Registry, files: dict[str, bytes]) -> set[str]:
    """The lines of the checks that the manifest calls visible."""
    if not (root / MANIFEST_FOLDER).is_dir():
        return set()
    ids = {test.id for test in read_manifest(root, registry) if test.visible}
    return visible_lines(
        ids,
        {
            name: _decode(files[name], name)
            for name in files
            if name.startswith(f"{CHECKS}/") and name.endswith(".py")
        },
    )


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CourseError(f"{name}:{line}: is not UTF-8; save it as UTF-8") from error


def write_release(
    root: Path,
    out: Path,
    zip_path: Path | None = None,
    repository: str = "",
    parts: Sequence[str] = (),
) -> Release:
    """Make, prove and write a release; nothing appears before it is proven.

    Args:
        root: the source.
        out: new folder, or an earlier release that nobody has changed.
        zip_path: also write this zip.
        repository, parts: see make_release.

    Raises:
        CourseError: see make_release; or `out` or `zip_path` is taken.
    """
    out = out.resolve()
    renewed = out.with_name(f".{out.name}.new")
    release_files.finish_replacement(out, renewed)
    replaces = not is_free(out)
    if replaces:
        release_files.check_is_unchanged_release(out)
    if zip_path:
        zip_path = zip_path.absolute()
        if out in zip_path.resolve().parents:
            raise CourseError(f"{zip_path}: lies inside of {out}; put it elsewhere")
        release_files.check_zip_is_free(zip_path)
    release = make_release(root, repository, parts)
    earlier = release_files.earlier_names(out, zip_path)
    if earlier is not None:
        new = sorted(release.files.keys() - earlier - {release_files.MANIFEST})
        release = replace(release, new=tuple(new))
    target = renewed if replaces else out
    with new_folder(target) as folder:
        release_files.write_files(release.files, folder)
        prove_release(folder, release.registry)
    if replaces:
        release_files.replace_release(out, target)
    if zip_path:
        release_files.write_zip(release.files, zip_path)
    return release
