"""Load assignment/ anew from its files, whatever Python has loaded before.

A notebook keeps its own modules: they are put back afterwards, so that what it has
imported and `%autoreload` go on to work.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import linecache
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType

from core.time_limit import TimeLimitError, time_limit
from helpers.checks.exercises import ROOT

PACKAGE = "assignment"
LOAD_LIMIT_S = 20.0  # of one file; torch is there already


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles the file as it is now; a stored .pyc may be a second too old."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = compile(self.get_data(path), path, "exec", dont_inherit=True)
        return code


class _FreshFinder(importlib.abc.MetaPathFinder):
    """Finds assignment and its modules in one folder, before all other finders."""

    def __init__(self, root: Path):
        self.root = root

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if not _is_ours(fullname):
            return None
        place = self.root.joinpath(*fullname.split("."))
        is_package = place.is_dir()
        file = place / "__init__.py" if is_package else place.with_suffix(".py")
        if not file.is_file():
            return None
        loader = _FreshLoader(fullname, str(file))
        spec = importlib.machinery.ModuleSpec(
            fullname, loader, origin=str(file), is_package=is_package
        )
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [str(place)]
        return spec


def _is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _take_out() -> dict[str, ModuleType]:
    """Remove our modules from sys.modules, and return them."""
    return {name: sys.modules.pop(name) for name in [*sys.modules] if _is_ours(name)}


@contextlib.contextmanager
def fresh_modules(
    root: Path = ROOT,
) -> Iterator[tuple[dict[str, ModuleType], dict[str, BaseException]]]:
    """Within this context, assignment/ as its files are now.

    Args:
        root: the folder that holds assignment/.

    Yields:
        File name without ending -> module, of the files that can be loaded; and file
        name without ending -> what went wrong, of the others.
    """
    before = _take_out()
    finder = _FreshFinder(root)
    sys.meta_path.insert(0, finder)
    importlib.invalidate_caches()
    linecache.checkcache()
    try:
        yield _load_all(root)
    finally:
        sys.meta_path.remove(finder)
        _take_out()
        sys.modules.update(before)


def _load_all(
    root: Path,
) -> tuple[dict[str, ModuleType], dict[str, BaseException]]:
    modules: dict[str, ModuleType] = {}
    problems: dict[str, BaseException] = {}
    for path in sorted((root / PACKAGE).glob("*.py")):
        if path.stem == "__init__":
            continue
        try:
            with time_limit(LOAD_LIMIT_S):
                modules[path.stem] = importlib.import_module(f"{PACKAGE}.{path.stem}")
        # A student's file may even call exit(), or never end.
        except (Exception, SystemExit, TimeLimitError) as error:  # noqa: BLE001
            problems[path.stem] = error
    return modules, problems
