"""`python -m grader references`: new inputs and expected values for the hidden tests.

The oracles in grader_tests/oracles/ work them out; the solutions are never asked.
"""

import importlib
import json
import re
from pathlib import Path

import torch
import torchvision
from safetensors.torch import save

from core.command import CourseError, make_out_folder
from core.course import id_order
from core.files import write_atomically
from grader.files import read_json

INFO = "references.json"
STEP_FILE = re.compile(r"step\d+\.py")
SEEDS_BETWEEN_STEPS = 1_000_003  # a new oracle leaves the numbers of the others alone


def make_references(root: Path, seed: int) -> dict[str, dict[str, torch.Tensor]]:
    """Step -> name -> tensor, from the oracles of this checkout."""
    steps = {}
    paths = (root / "grader_tests" / "oracles").glob("step*.py")
    numbered = [path for path in paths if STEP_FILE.fullmatch(path.name)]
    for path in sorted(numbered, key=lambda path: id_order(path.name)):
        oracle = importlib.import_module(f"grader_tests.oracles.{path.stem}")
        generator = torch.Generator()
        number = int(path.stem.removeprefix("step"))
        generator.manual_seed(seed + SEEDS_BETWEEN_STEPS * number)
        made = oracle.make(generator)
        steps[path.stem] = {
            name: tensor.contiguous() for name, tensor in sorted(made.items())
        }
    return steps


def write_references(root: Path, out: Path, seed: int) -> list[Path]:
    """Write <step>.safetensors for each step, and references.json.

    Args:
        root: the checkout.
        out: folder; files of the same seed are replaced, each in one go.
        seed: for the inputs.

    Raises:
        CourseError: there are those of another seed, by which somebody may have been
            graded, or the folder cannot be written.
    """
    earlier = read_json(out / INFO)
    if isinstance(earlier, dict) and earlier.get("seed") != seed:
        raise CourseError(
            f"{out}: holds the references of seed {earlier.get('seed')!r}, which would "
            "be lost; give another --out, or move them away"
        )
    make_out_folder(out)
    written = []
    for step, tensors in make_references(root, seed).items():
        written.append(out / f"{step}.safetensors")
        _write(written[-1], save(tensors))
    info = {
        "seed": seed,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "steps": [path.stem for path in written],
    }
    _write(out / INFO, (json.dumps(info, indent=1) + "\n").encode())
    return written


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise CourseError(
            f"{path}: cannot write ({error.strerror}); choose another --out"
        ) from error
