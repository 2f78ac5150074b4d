"""What the worker prepares before it forks: torch's compiler, bytecode, large pages."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from grader.sandbox.levels import probe_level
from grader.session.session import Session
from grader.worker.bytecode import code_of, compile_files
from grader.worker.large_pages import use_large_pages

ROOT = Path(__file__).resolve().parent.parent
BEGIN = """
import sys
from pathlib import Path
import torch
from grader.worker.compiler import put_to_sleep
put_to_sleep(Path('grader/worker/no_such_folder'))
import torchvision
weight = torch.ones(2, requires_grad=True)
for kind in (torch.optim.Adam, torch.optim.SGD):
    optimizer = kind([weight], lr=0.5)
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
assert not any(name.startswith("torch._dynamo.") for name in sys.modules)
assert weight.abs().max() < 1e-6, weight
"""
ASKING = {
    "compile": "torch.compile(lambda x: 2 * x, backend='eager')(weight)",
    "submodule": "import torch._dynamo.config as c; assert c is torch._dynamo.config",
}
TEXTS = {
    "good": b"def f():\n    return 3\n",
    "broken": b"def f(:\n",
    "no_text": b"\xff\0",
    "warned": b"print(3 is 3)\n",
    "deep": b"(" * 10_000 + b"\n",
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Good files and others."""
    paths = {name: tmp_path / f"{name}.py" for name in TEXTS}
    for name, path in paths.items():
        path.write_bytes(TEXTS[name])
    return paths


@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING)
def test_compiler_sleeps_until_it_is_asked(asking: str):
    """Optimizers step without torch's compiler; who uses it still gets it."""
    awake = "\nassert 'torch._dynamo.utils' in sys.modules"
    code = BEGIN + asking + awake
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


ASKING_CODE = {
    "named": "from torch.utils.checkpoint import checkpoint\n"
    "def twice(x):\n"
    "    return checkpoint(lambda y: 2 * y, x, use_reentrant=False)\n",
    "not named": "from torch import func\n"
    "def twice(x):\n"
    "    return func.grad(lambda y: (2 * y).sum())(x) * x\n",
}


@pytest.mark.parametrize("code", ASKING_CODE.values(), ids=ASKING_CODE)
def test_code_that_needs_the_compiler_is_served(tmp_path, code):
    """Behind the walls, too, it is there for code that asks for it."""
    (tmp_path / "common.py").write_text(code)
    with Session(tmp_path, probe_level().level) as session:
        call = session.student().common.twice
        assert call(torch.ones(2)).tolist() == [2.0, 2.0]


def test_bytecode_is_of_files_that_compile_without_a_word(files):
    """A file that Python refuses or warns about is left to each test."""
    compiled = compile_files(files, lambda: None)
    found = {name for name in files if code_of(name, compiled) is not None}
    assert found == {"good"}
    names: dict = {}
    exec(code_of("good", compiled), names)
    assert names["f"]() == 3
    assert names["f"].__code__.co_filename == str(files["good"])
    assert code_of("missing", compiled) is None


def test_bytecode_is_empty_when_its_process_dies(files):
    """A text that brings Python down costs the submission nothing but time."""

    def die() -> NoReturn:
        os._exit(1)

    assert compile_files(files, die) == b""
    assert code_of("good", b"") is None


def test_large_pages_change_nothing_but_speed():
    """Asking for them is harmless, whatever the kernel says."""
    kept = bytearray(range(256)) * 2**15  # several large pages
    use_large_pages()
    assert kept == bytearray(range(256)) * 2**15
