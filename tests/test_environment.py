"""The package lists ask for the same things; make brings them, and has help."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
# packages that the course's own environment.yml takes from conda-forge itself
FROM_CONDA = {"jupyter", "nbgrader"}
CONDA_ONLY = {"python", "wget", "make", "pip"}
# torchvision is built for one torch: the pairs that were seen to import together
TORCH_PAIRS = {"2.11": "0.26", "2.15": "0.29"}


def marker_environment(python: str, platform: str = "linux") -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "platform_system": PLATFORMS[platform],
        "os_name": "nt" if platform == "win32" else "posix",
        "platform_machine": "arm64" if platform == "darwin" else "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }


def read_ranges() -> dict[str, Requirement]:
    """Name -> range, over the dependencies and all extras of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        lines += extra
    requirements = [Requirement(line) for line in lines]
    return {
        canonicalize_name(requirement.name): requirement for requirement in requirements
    }


def read_pins(python: str, platform: str = "linux") -> dict[str, Version]:
    """Name -> version that requirements.txt installs on this Python and platform."""
    pins: dict[str, Version] = {}
    environment = marker_environment(python, platform)
    for requirement in read_pin_lines():
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        name = canonicalize_name(requirement.name)
        assert name not in pins, f"{name} is pinned twice for Python {python}"
        pins[name] = Version(str(requirement.specifier).removeprefix("=="))
    return pins


def read_pin_lines() -> list[Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    bare = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return [Requirement(line) for line in bare if line]


def read_conda() -> tuple[dict[str, str], dict[str, Version], dict[str, Any]]:
    """Conda packages with their ranges, pip packages with their pins, and the file."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda: dict[str, str] = {}
    pins: dict[str, Version] = {}
    for entry in content["dependencies"]:
        if isinstance(entry, str):
            name = re.split(r"[<>=]", entry)[0]
            conda[name] = entry.removeprefix(name)
            continue
        for line in entry["pip"]:
            name, version = line.split("==")
            pins[canonicalize_name(name)] = Version(version)
    return conda, pins, content


def test_requirements_pins_every_package_exactly():
    """Each line is name==version: a run next year installs what we ran."""
    for requirement in read_pin_lines():
        specifiers = list(requirement.specifier)
        assert len(specifiers) == 1, f"{requirement} is not one exact version"
        assert specifiers[0].operator == "==", f"{requirement} is not pinned"
        assert "*" not in specifiers[0].version, f"{requirement} is not one version"


@pytest.mark.parametrize("name", ["requirements.txt", "environment.yml"])
def test_requirements_name_no_index_and_no_address(name: str):
    """Where packages come from is the reader's own setting, not ours."""
    for line in (ROOT / name).read_text().splitlines():
        assert "://" not in line, f"{name} names an address: {line}"
        assert not re.match(r"\s*(- )?--?(i|f|r|index|extra|find)", line), line


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_requirements_pins_lie_within_the_ranges(python: str, platform: str):
    """On every system the pinned version of a package is one that pyproject allows."""
    pins = read_pins(python, platform)
    for name, requirement in read_ranges().items():
        assert name in pins, f"{name} is missing: run make requirements"
        assert pins[name] in requirement.specifier, f"{requirement}: {pins[name]}"


def test_ranges_have_an_upper_bound():
    """A package that breaks with its next major version must not break the course."""
    for requirement in read_ranges().values():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert "<" in operators, f"{requirement} has no upper bound"
        assert ">=" in operators, f"{requirement} has no lower bound"


def test_torch_and_torchvision_are_a_matching_pair():
    """A torchvision that was built for another torch fails at import."""
    pins = read_pins("3.11")
    torch, torchvision = pins["torch"], pins["torchvision"]
    expected = TORCH_PAIRS.get(f"{torch.major}.{torch.minor}")
    assert f"{torchvision.major}.{torchvision.minor}" == expected


def test_environment_yml_offers_the_same_packages():
    """Conda or pip: the packages, and the versions of the pip part, are the same."""
    conda, pins, content = read_conda()
    ranges = read_ranges()
    assert set(conda) == FROM_CONDA | CONDA_ONLY
    assert set(pins) == set(ranges) - FROM_CONDA
    assert content["channels"] == ["conda-forge", "nodefaults"]
    pinned = read_pins(conda["python"].removeprefix("="))
    for name, version in pins.items():
        assert version == pinned[name], (
            f"{name} {version}, but {pinned[name]} is pinned"
        )
    for name in FROM_CONDA:
        theirs = Requirement(f"{name}{conda[name]}").specifier
        assert theirs == ranges[name].specifier, f"{name}: {theirs}"


def test_make_help_lists_every_target():
    """`make help` shows each thing that make can do, with a word on it."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for target in phony.group(1).split():
        assert re.search(rf"^  make {target} +\w", shown, re.MULTILINE), target


def test_make_clean_leaves_what_people_made():
    """build/student is where docs/self-study.md tells learners to write."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile.partition("\nclean:")[2]
    removed = re.search(r"rm -rf (.*)", recipe)
    assert removed is not None
    assert not {"build", "runs", "data"} & set(removed[1].split())


def test_packages_were_compiled_when_they_were_installed():
    """A sandbox writes nothing, so there torch would be compiled in every process."""
    for module in (torch, pytest):
        assert Path(importlib.util.cache_from_source(module.__file__)).is_file(), (
            f"{module.__name__} is not compiled: run python -m compileall on its folder"
        )


def test_version_is_written_in_one_place():
    """In pyproject.toml; the list of changes begins with it, no other file has it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0].rstrip(",") == version
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert "version" not in citation
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_hosted_ci_runs_the_targets_of_the_own_ci():
    """What CI calls are targets of the Makefile, and all those of .ci/run are there."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    own = set(re.findall(r"^make (\w+)", (ROOT / ".ci/run").read_text(), re.M))
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    called = {}
    for name, job in workflow["jobs"].items():
        lines = [step.get("run", "") for step in job["steps"]]
        called[name] = {
            word for line in lines for word in re.findall(r"make (\w+)", line)
        }
        assert called[name] <= targets, f"{name}: {called[name] - targets}"
    assert own and own <= called["linux"]
    assert "notebooks" in called["macos"]


def test_linters_before_a_commit_are_those_of_make_lint():
    """The hooks run what `make lint` runs, from .venv, so no version stands twice."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for command in re.findall(r"-m (ruff \w+|mypy)", lint):
        assert any(f".venv/bin/python -m {command}" in entry for entry in entries), (
            command
        )


def test_forms_can_be_read():
    """An issue form that is no YAML, or lacks a part, is not shown at all."""
    for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")):
        form = yaml.safe_load(path.read_text())
        if path.stem != "config":
            assert {"name", "description", "body"} <= set(form), path.name
