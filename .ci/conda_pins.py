"""Write the pins of requirements.txt into environment.yml (`make requirements`)."""

import re
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LISTED = re.compile(r"^( +- )([\w.-]+)==\S+$", re.MULTILINE)
PYTHON = re.compile(r"^  - python=(\S+)$", re.MULTILINE)


def pins_for(python: str, requirements: str) -> dict[str, str]:
    """Name -> version that requirements.txt installs on this Python, on Linux."""
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
    }
    pins = {}
    for line in requirements.splitlines():
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if not text:
            continue
        pin = Requirement(text)
        if pin.marker is None or pin.marker.evaluate(machine):
            pins[pin.name] = str(pin.specifier).removeprefix("==")
    return pins


def with_pins(environment: str, requirements: str) -> str:
    """The text of environment.yml with the versions that requirements.txt has."""
    python = PYTHON.search(environment)
    if python is None:
        raise SystemExit("environment.yml: name a Python, as in `- python=3.11`")
    pins = pins_for(python[1], requirements)
    return LISTED.sub(lambda line: f"{line[1]}{line[2]}=={pins[line[2]]}", environment)


if __name__ == "__main__":
    path = ROOT / "environment.yml"
    path.write_text(
        with_pins(path.read_text(), (ROOT / "requirements.txt").read_text())
    )
