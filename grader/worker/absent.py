"""Modules of this project that are not in the sandbox, though files may import them.

What a student's file imports of helpers/ and does not use in a function costs nothing.
Calling it does: some of it is what exercises ask to write.
"""

from collections.abc import Collection, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from grader.worker.vision import NotAllowedError


class AbsentModules(MetaPathFinder):
    """Finds these modules, after all others.

    Args:
        names: of the modules; a package is one that has others in it.
    """

    def __init__(self, names: Collection[str]):
        self.names = set(names)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The spec of one of them."""
        if fullname not in self.names:
            return None
        is_package = any(name.startswith(f"{fullname}.") for name in self.names)
        return ModuleSpec(fullname, _AbsentLoader(), is_package=is_package)


class _AbsentLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        return None


class _Absent(ModuleType):
    """Has every name, for something that cannot be used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions about a module
            raise AttributeError(name)
        full = f"{self.__name__}.{name}"

        def refuse(own: Any, *args: Any, **named: Any) -> None:
            raise NotAllowedError(f"{full} is not there while grading")

        found = type(name, (), {"__init__": refuse, "__module__": self.__name__})
        setattr(self, name, found)
        return found
