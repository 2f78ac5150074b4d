"""torchvision without what exercises ask to write, and how a test gets it back.

The process that forks all tests has, instead of some modules, texts in which closed
functions say that they are closed; the originals are not in the sandbox. Nor is the
library with torchvision's operators. A test whose exercise closes less gets the rest
from the grader as code, before the student's files are loaded; the library only if its
exercise closes none of the operators, or the files name one that stays open. Then the
closed ones are overwritten, by what nothing in Python can take away again.
"""

import ctypes
import importlib
import marshal
import os
import sys
from collections.abc import Callable, Collection, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

PACKAGE = "torchvision"
# They tell torch about the operators, so they wait for the library.
REGISTRATIONS = (f"{PACKAGE}._meta_registrations", f"{PACKAGE}._autograd_registrations")
# Where a kernel of an operator may stand; asked for each.
KEYS = (
    *("CPU", "CUDA", "MPS", "XPU", "Meta", "QuantizedCPU", "QuantizedCUDA"),
    *("SparseCPU", "MkldnnCPU", "PrivateUse1", "BackendSelect", "Functionalize"),
    *("CompositeImplicitAutograd", "CompositeExplicitAutograd", "ADInplaceOrView"),
    *("Autograd", "AutogradCPU", "AutogradCUDA", "AutogradXPU", "AutogradMPS"),
    *("AutogradOther", "AutocastCPU", "AutocastCUDA", "AutocastXPU", "AutocastMPS"),
)
LATER, NOW = "later", "now"


class ClosedModules(MetaPathFinder):
    """Finds the texts in which something is closed.

    Args:
        folder: files that are called as their modules, "torchvision.ops.boxes.py".
        has_library: the library with the operators may be loaded.
    """

    def __init__(self, folder: Path, has_library: bool):
        self.files = {path.stem: path for path in folder.glob("*.py")}
        self.packages = {path.stem for path in folder.glob("*.package")}
        self.waiting = () if has_library else REGISTRATIONS

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Before Python looks at what is installed."""
        if fullname in self.waiting:
            return ModuleSpec(fullname, _NothingYet())
        if fullname not in self.files:
            return None
        inside: list[str] | None = None
        if fullname in self.packages:
            inside = [
                str(Path(part) / fullname.rpartition(".")[2]) for part in path or ()
            ]
        return spec_from_file_location(
            fullname, self.files[fullname], submodule_search_locations=inside
        )


class _NothingYet(Loader):
    """An empty module."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        return None


def close_library(libraries: Sequence[str]) -> None:
    """Whoever asks for these does not find them, whether or not the files are there."""
    load = torch.ops.load_library
    names = {Path(library).name for library in libraries}

    def load_others(path: Any) -> Any:
        if Path(path).name in names:
            raise OSError(f"{Path(path).name} is closed")
        return load(path)

    torch.ops.load_library = load_others  # type: ignore[method-assign]


def close_operators(operators: Collection[str], refuse: Callable[[str], Any]) -> None:
    """Give `torch.ops.torchvision.nms` and the like something that refuses.

    Args:
        operators: their names.
        refuse: gives a function for a name.
    """
    for name in operators:
        setattr(torch.ops.torchvision, name, refuse(name))


def open_parts(given: int, library: int | None, refuse: Callable[[str], Any]) -> None:
    """In a test's process: what its exercise does not close, as it is in torchvision.

    Args:
        given: an open file with what grader/sandbox/opening.py has made.
        library: an open file with the operators.
        refuse: as for close_operators.
    """
    with os.fdopen(given, "rb") as file:
        opening: dict[str, Any] = marshal.loads(file.read())
    replaced: dict[int, Any] = {}
    for module_name, (names, code) in opening["modules"].items():
        module = importlib.import_module(module_name)
        before = {name: getattr(module, name) for name in names}
        exec(marshal.loads(code), vars(module))
        replaced |= {id(before[name]): vars(module)[name] for name in names}
        for name in names:
            _derive_anew(before[name], vars(module)[name])
    for name, module in list(sys.modules.items()):
        if name.startswith(PACKAGE):
            for key, value in list(vars(module).items()):
                if id(value) in replaced:
                    setattr(module, key, replaced[id(value)])
    when, closed = opening["library"], opening["closed"]
    place = opening["path"] or (f"/proc/self/fd/{library}" if library else "")
    if when == NOW:
        _load(place, opening["operators"])
        for name in closed:
            _overwrite(name, refuse(name))
    elif when == LATER:
        _say_there_are_operators()
        for name in opening["operators"]:
            setattr(torch.ops.torchvision, name, _Later(name, place, opening))
    if library is not None and when != LATER:
        os.close(library)


class _Later:
    """An operator whose library is loaded when it is called: that takes 0.1 s."""

    def __init__(self, name: str, place: str, opening: dict[str, Any]):
        self.name = name
        self.place = place
        self.opening = opening

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._loaded()(*args, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._loaded(), name)

    def _loaded(self) -> Any:
        if isinstance(vars(torch.ops.torchvision).get(self.name), _Later):
            _load(self.place, self.opening["operators"])
        return getattr(torch.ops.torchvision, self.name)


def _derive_anew(before: Any, now: Any) -> None:
    """What was derived from the closed class is derived from the open one."""
    if isinstance(before, type):
        closed: type[Any] = before
        for derived in closed.__subclasses__():
            derived.__bases__ = tuple(
                now if base is closed else base for base in derived.__bases__
            )


def _load(place: str, operators: Collection[str]) -> None:
    """The library, and what torchvision's own code tells torch about it."""
    for name in operators:
        vars(torch.ops.torchvision).pop(name, None)
    ctypes.CDLL(place)
    _say_there_are_operators()
    for finder in sys.meta_path:
        if isinstance(finder, ClosedModules):
            finder.waiting = ()
    for name in REGISTRATIONS:
        if sys.modules.pop(name, None) is not None:
            importlib.import_module(name)


def _say_there_are_operators() -> None:
    """To torchvision's modules, each of which may hold the function that they ask."""
    extension = importlib.import_module(f"{PACKAGE}.extension")
    extension._has_ops.__code__ = (lambda: True).__code__


def _overwrite(name: str, refuse: Any) -> None:
    """Put this in the place of every kernel of an operator, for good."""
    full = f"{PACKAGE}::{name}"
    if full not in torch._C._dispatch_get_all_op_names():
        return
    library = torch._C._dispatch_library("IMPL", PACKAGE, "", __file__, 0)
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    silent = os.open(os.devnull, os.O_WRONLY)
    kept = os.dup(2)
    os.dup2(silent, 2)  # torch warns of what is wanted here
    try:
        for key in KEYS:
            try:
                is_there = has(full, key)
            except RuntimeError:  # this torch has no such key
                continue
            if is_there or key == "CPU":
                library.impl(name, key, refuse)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silent)
    # It takes its kernels away with it, so it never goes; nothing in Python names it.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(library))
