"""The packages that students install: without those that only instructors need."""

import re

# Extras "grader" and "dev" of pyproject.toml, and what grades notebooks.
INSTRUCTORS = frozenset(
    {
        "nbgrader",
        "msgpack",
        "pytest",
        "safetensors",
        "libcst",
        "mutmut",
        "packaging",
        "pycocotools",
        "pytest-xdist",
        "pyyaml",
        "mypy",
        "ruff",
        "types-pyyaml",
        "types-tqdm",
    }
)
PROJECT = "fcos-notebook-course"  # who needs a package that we name ourselves
# alembic==1.20.1           # via nbgrader, another
PIN = re.compile(r"^([\w.-]+)==\S+.*?#\s*via\s+(.*)$")
LISTED = re.compile(r"^\s*- ([\w.-]+)[=<>]=")  # of environment.yml
HEAD = "# What the course needs, in the versions that it was tested with."


def student_requirements(text: str) -> str:
    """requirements.txt without instructors' tools and what only these need.

    Args:
        text: pins, each with a comment that says which packages need it.
    """
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    needed_by = {}
    for line in lines:
        found = PIN.match(line)
        if found:
            words = (part.split()[0] for part in found[2].split(",") if part.strip())
            needed_by[line] = (found[1], set(words))
    kept = {
        name
        for name, needers in needed_by.values()
        if PROJECT in needers and name not in INSTRUCTORS
    }
    grows = True
    while grows:
        more = {name for name, needers in needed_by.values() if needers & kept} - kept
        grows = bool(more)
        kept |= more
    chosen = [
        line for line in lines if line not in needed_by or needed_by[line][0] in kept
    ]
    return "\n".join([HEAD, *chosen]) + "\n"


def student_environment(text: str) -> str:
    """environment.yml without the lines of instructors' tools."""
    kept = []
    for line in text.splitlines(keepends=True):
        found = LISTED.match(line)
        if not (found and found[1] in INSTRUCTORS):
            kept.append(line)
    return "".join(kept).replace(" (tests/test_environment.py)", "")
