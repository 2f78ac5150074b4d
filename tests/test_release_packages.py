"""Students install what the course needs, and not what grades it."""

import tomllib
from pathlib import Path

from grader.release.packages import (
    INSTRUCTORS,
    student_environment,
    student_requirements,
)

ROOT = Path(__file__).resolve().parent.parent
PINS = """# made by a command
a==1.0  # via fcos-notebook-course (pyproject.toml), mypy
b==2.0 ; python_version < '3.12'  # via a
c==3.0  # via mypy
mypy==4.0  # via fcos-notebook-course (pyproject.toml)
"""


def test_package_of_a_tool_alone_is_left_out():
    """What something else needs as well stays."""
    lines = student_requirements(PINS).splitlines()
    assert [line.split("==")[0] for line in lines[1:]] == ["a", "b"]
    assert lines[0].startswith("#") and "command" not in lines[0]


def test_instructors_tools_are_those_of_the_extras():
    """A new tool is left out of the release, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = {line.split(">")[0] for line in [*extras["grader"], *extras["dev"]]}
    assert names | {"nbgrader"} == INSTRUCTORS


def test_release_lists_what_the_course_imports():
    """Torch, Jupyter and sliders are there; nbgrader and linters are not."""
    text = student_requirements((ROOT / "requirements.txt").read_text())
    names = {line.split("==")[0] for line in text.splitlines()[1:]}
    assert {"torch", "torchvision", "numpy", "jupyterlab", "ipywidgets"} <= names
    assert {"matplotlib", "tqdm", "faster-coco-eval", "jinja2", "pillow"} <= names
    assert {"pydantic", "pydantic-core"} <= names
    assert not names & (INSTRUCTORS - {"packaging", "pyyaml"})  # Jupyter needs these
    conda = student_environment((ROOT / "environment.yml").read_text())
    assert "torch==" in conda and "jupyter" in conda
    assert "nbgrader" not in conda and "mypy" not in conda
