"""Modules that are not in the sandbox: some may be imported, though not used.

What a student's file imports of helpers/, or of packages that students install, and
does not use in a function costs nothing. Calling it does: some of it is what exercises
ask to write. What students do not install is not there at all.
"""

import sys
from collections.abc import Collection, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from grader.worker.vision import NotAllowedError


class AbsentModules(MetaPathFinder):
    """Finds these modules, before all others.

    Args:
        names: of the modules; a package is one that has others in it.
        packages: of which every module is absent.
    """

    def __init__(self, names: Collection[str], packages: Collection[str]):
        self.names = set(names)
        self.packages = set(packages)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The spec of one of them."""
        is_package = fullname.partition(".")[0] in self.packages
        if not is_package and fullname not in self.names:
            return None
        is_package |= any(name.startswith(f"{fullname}.") for name in self.names)
        return ModuleSpec(fullname, _AbsentLoader(), is_package=is_package)


class ListedPackages(MetaPathFinder):
    """Python's own finder, but for packages that students do not install.

    Args:
        others: names of their modules.
    """

    find_distributions = staticmethod(  # for importlib.metadata
        PathFinder.find_distributions
    )
    invalidate_caches = staticmethod(PathFinder.invalidate_caches)

    def __init__(self, others: Collection[str]):
        self.others = set(others)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """What Python finds; nothing of the others."""
        if fullname.partition(".")[0] in self.others:
            return None
        return PathFinder.find_spec(fullname, path, target)


def leave_out(names: Collection[str], packages: Collection[str], others: Any) -> None:
    """Put both finders into this process; the arguments are theirs."""
    sys.meta_path[:] = [
        ListedPackages(others) if finder is PathFinder else finder
        for finder in sys.meta_path
    ]
    sys.meta_path.insert(0, AbsentModules(names, packages))


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
