"""A class whose students hand in the attacks of tests/attacks/, beside honest ones."""

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent
ATTACKS = ROOT / "tests" / "attacks"
SOLUTION = ROOT / "assignment"
FUNCTIONS = {
    "1.1": ("common.py", "iou"),
    "4.2": ("fcos_matching.py", "fcos_distances_to_edges"),
    "4.3": ("fcos_matching.py", "fcos_is_candidate"),
    "6.2": ("fcos_losses.py", "fcos_box_loss"),
    "6.3": ("fcos_losses.py", "fcos_centerness_loss"),
    "8.1": ("common.py", "nms"),
}
CONTROL = "2.1"  # right in all of them, by a function that no attack touches
WRONG = """

def {name}(*args, **kwargs):
    return torch.full((1, 1), 7.0)
"""
# These files are handed in as they are; the others are added to those of the solution.
REPLACED = ("exit_at_import", "endless_import", "broken_syntax")
HONEST_RIGHT, HONEST_WRONG = "reference", "wröng"  # the second gets a made-up id
# What editors and git would repair; None: the file is not there.
BROKEN: dict[str, dict[str, bytes | None]] = {
    "broken_syntax": {"fcos_matching.py": "A = 'größer'\n".encode("latin-1")},
    "broken_encoding": {
        "fcos_losses.py": "A = 1\n".encode("utf-16"),
        "fcos_matching.py": b"A = 1\n\0\0\0\n",
    },
    "broken_empty": {"fcos_losses.py": b"", "fcos_matching.py": None},
}


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A table of attacks.toml, where the fields are explained."""

    name: str
    folder: str
    exercise: str
    score: float
    seconds: float
    categories: tuple[str, ...]
    says: str
    own_user: bool


def read_attacks() -> list[Attack]:
    """All of them."""
    tables = tomllib.loads((ATTACKS / "attacks.toml").read_text())["attack"]
    names = Attack.__dataclass_fields__
    attacks = []
    for table in tables:
        fields: dict[str, Any] = {name: table[name] for name in names}
        attacks.append(Attack(**fields | {"categories": tuple(table["categories"])}))
    return attacks


def read_entries() -> dict[str, str]:
    """Name of an odd hand-in -> what its author reads."""
    tables = tomllib.loads((ATTACKS / "attacks.toml").read_text())["entry"]
    return {
        table["name"].encode().decode("unicode_escape"): table["says"]
        for table in tables
    }


def write_honest(folder: Path) -> None:
    """The solution, and one whose functions give wrong numbers."""
    shutil.copytree(SOLUTION, folder / HONEST_RIGHT / "assignment", ignore=_no_cache)
    wrong = folder / HONEST_WRONG / "assignment"
    shutil.copytree(SOLUTION, wrong, ignore=_no_cache)
    for file, name in FUNCTIONS.values():
        with (wrong / file).open("a") as opened:
            opened.write(WRONG.format(name=name))


def write_attack(folder: Path, name: str, places: dict[str, str]) -> None:
    """A submission with the attacks of one folder; what it lacks is the solution.

    Args:
        folder: of the class.
        name: in tests/attacks/, and of the submission.
        places: "@OUT@" and the like, and what stands for them.
    """
    target = folder / name / "assignment"
    shutil.copytree(SOLUTION, target, ignore=_no_cache)
    for path in sorted((ATTACKS / name / "assignment").glob("*")):
        text = path.read_text("utf-8")
        for place, value in places.items():
            text = text.replace(place, value)
        is_whole = name in REPLACED or not (target / path.name).exists()
        with (target / path.name).open("w" if is_whole else "a") as file:
            file.write(text if is_whole else f"\n\n{text}")
    for file_name, content in BROKEN.get(name, {}).items():
        if content is None:
            (target / file_name).unlink()
        else:
            (target / file_name).write_bytes(content)


def write_term(folder: Path, mark: str) -> None:
    """References of a term, with a mark that no page of a student may hold."""
    shutil.copytree(ROOT / "grader_tests" / "references", folder)
    for path in folder.glob("*.safetensors"):
        numbers = torch.tensor(list(mark.encode()), dtype=torch.uint8)
        save_file(load_file(path) | {"mark.hidden.text": numbers}, path)


def _no_cache(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]
