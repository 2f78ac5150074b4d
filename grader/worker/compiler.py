"""torch's compiler sleeps until somebody asks for it.

Loading it takes as long as loading the rest of torch, and its pages are copied in each
fork. But torchvision asks it one question when it is imported, and optimizers tell it
at each step what it shall not compile: to these the stand-in answers. Whatever else is
asked for loads the compiler itself, in each test that asks; so where a submission names
something that needs it, it is loaded from the start.

Asleep, torch and torchvision are imported in 1.2 s instead of 2.3 s of the processor
(benchmarks/results/own_parts.json).
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

NAME = "torch._dynamo"
# What wakes it, as it is written: torch.use_deterministic_algorithms, for example.
WAKING = (
    b"dynamo",
    b"inductor",
    b"compile",
    b"export",
    b"utils.checkpoint",
    b"deterministic",
    b"torch.func",
    b"profiler",
)


def put_to_sleep(submission: Path) -> None:
    """Before torchvision is imported; does nothing where the compiler is needed.

    Args:
        submission: folder with the files that are going to run.
    """
    texts = (path.read_bytes() for path in submission.glob("*.py"))
    if NAME in sys.modules or any(word in text for text in texts for word in WAKING):
        return
    sleeper = _Sleeper(NAME)
    # While it sleeps torchvision alone asks for this one, whose name it then binds.
    answers = ModuleType(f"{NAME}.utils")
    answers.is_compile_supported = lambda device: False  # type: ignore[attr-defined]
    sys.modules[NAME] = torch._dynamo = sleeper
    sys.modules[answers.__name__] = answers
    try:
        importlib.import_module("torchvision")
    finally:
        del sys.modules[answers.__name__]
    sys.meta_path.insert(0, _Waker())


class _Sleeper(ModuleType):
    """Answers what optimizers ask."""

    __path__: list[str] = []  # a package: Python asks the finders for what is in it

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None:
        """Nothing is compiled, so there is no graph."""

    @staticmethod
    def disable(fn: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Any:
        """Not compiled it is anyway."""
        return fn if fn is not None else lambda function: function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions about a module
            raise AttributeError(name)
        return getattr(_wake(), name)


class _Waker(MetaPathFinder):
    """`import torch._dynamo.config` wakes the compiler, too."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Asked first for every module that is not loaded."""
        if not fullname.startswith(f"{NAME}."):
            return None
        _wake()
        if fullname in sys.modules:
            return ModuleSpec(fullname, _LoadedLoader(sys.modules[fullname]))
        return None


class _LoadedLoader(Loader):
    """Gives a module that was loaded meanwhile."""

    def __init__(self, module: ModuleType):
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def _wake() -> ModuleType:
    """The compiler itself, loaded when it is asked for the first time."""
    if isinstance(sys.modules.get(NAME), _Sleeper):
        del sys.modules[NAME]
        sys.meta_path[:] = [
            finder for finder in sys.meta_path if not isinstance(finder, _Waker)
        ]
        torch._dynamo = importlib.import_module(NAME)
    return sys.modules[NAME]
