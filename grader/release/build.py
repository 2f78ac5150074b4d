"""The student release: solutions cut out, searched for leaks, and tried out."""

import json
from dataclasses import dataclass
from pathlib import Path

from data_scripts.command import CourseError
from data_scripts.safe_folder import is_free, new_folder
from grader.release import release_files
from grader.release.address import name_repository
from grader.release.leak_check import check_no_leaks, searched_secrets
from grader.release.notebooks import clear_notebook
from grader.release.packages import student_environment, student_requirements
from grader.release.prove import prove_release
from grader.release.stubs import Exercise, SecretLine, cut_solutions, stub_functions

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
        exercises: file of assignment/ -> its exercises.
        num_secrets: lines that were searched for.
    """

    files: dict[str, bytes]
    exercises: dict[str, tuple[Exercise, ...]]
    num_secrets: int


def make_release(root: Path, repository: str = "") -> Release:
    """Cut and check, without writing anything.

    Args:
        root: the source, with assignment/, helpers/, ...
        repository: address on GitHub where the release will be; empty if unknown.

    Raises:
        CourseError: a marker is wrong, something else than a solution would be lost,
            a solution or a hidden test would be shown, or the address is none.
    """
    files = release_files.collect_files(root)
    if repository:
        files = name_repository(files, repository)
    exercises: dict[str, tuple[Exercise, ...]] = {}
    secrets: list[SecretLine] = []
    given = []
    functions: dict[str, str] = {}
    for name, content in files.items():
        if name.startswith("assignment/") and name.endswith(".py"):
            stub = cut_solutions(_decode(content, name), name)
            exercises[name] = stub.exercises
            given.append(stub.text)
            functions |= stub_functions(stub)
            secrets += stub.secrets
            files[name] = stub.text.encode()
        elif name.endswith(".ipynb"):
            text, lost = clear_notebook(_decode(content, name), name)
            secrets += lost
            files[name] = text.encode()
    if not any(exercises.values()):
        raise CourseError(f"{root}: assignment/ has no exercise; is this the course?")
    for name, cut in PACKAGE_LISTS.items():
        files[name] = cut(_decode(files[name], name)).encode()
    files[STUBS] = (json.dumps(functions, indent=1) + "\n").encode()
    secrets += _hidden_tests(root)
    searched = searched_secrets(secrets, given)
    check_no_leaks(files, searched)
    files[release_files.MANIFEST] = release_files.make_manifest(files)
    return Release(files, exercises, len(searched))


def _hidden_tests(root: Path) -> list[SecretLine]:
    """The first line of every hidden test; a pasted test brings it along."""
    found = []
    for path in sorted((root / "grader_tests").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        lines = _decode(path.read_bytes(), name).splitlines()
        found += [
            SecretLine(line.strip(), f"{name}:{number}")
            for number, line in enumerate(lines, start=1)
            if line.strip().startswith("def test_")
        ]
    return found


def _decode(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise CourseError(f"{name}:{line}: is not UTF-8; save it as UTF-8") from error


def write_release(
    root: Path, out: Path, zip_path: Path | None = None, repository: str = ""
) -> Release:
    """Make, prove and write a release; nothing appears before it is proven.

    Args:
        root: the source.
        out: new folder, or an earlier release that nobody has changed.
        zip_path: also write this zip.
        repository: see make_release.

    Raises:
        CourseError: see make_release; or `out` or `zip_path` is taken.
    """
    out = out.resolve()
    replaces = not is_free(out)
    if replaces:
        release_files.check_is_unchanged_release(out)
    if zip_path:
        zip_path = zip_path.absolute()
        if out in zip_path.resolve().parents:
            raise CourseError(f"{zip_path}: lies inside of {out}; put it elsewhere")
        release_files.check_zip_is_free(zip_path)
    release = make_release(root, repository)
    target = out.with_name(f".{out.name}.new") if replaces else out
    with new_folder(target) as folder:
        release_files.write_files(release.files, folder)
        prove_release(folder, release.exercises)
    if replaces:
        release_files.replace_release(out, target)
    if zip_path:
        release_files.write_zip(release.files, zip_path)
    return release
