"""Load a folder with assignment files beside the one that is imported already.

For the maintainer's own files only: what is loaded runs in this process. Students'
code is run by the sandboxed worker instead.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from core.course import PACKAGE, read_registry
from data_scripts.command import CourseError


def load_solution(folder: Path) -> dict[str, ModuleType]:
    """Name -> module of each file of an assignment that is in the folder.

    The files may import each other as `assignment.common` or as `common`.

    Raises:
        CourseError: no file is there, or one cannot be imported.
    """
    files = tuple(read_registry().modules)  # in the order of their imports
    present = [name for name in files if (folder / f"{name}.py").is_file()]
    if not present:
        raise CourseError(
            f"{folder}: none of the files of assignment/ is there; "
            "name the folder that holds common.py"
        )
    modules = {}
    with _own_package(folder, files):
        for name in present:
            full_name = f"{PACKAGE}.{name}"
            try:
                modules[name] = importlib.import_module(full_name)
            except Exception as error:
                raise CourseError(
                    f"{folder / name}.py: cannot be imported "
                    f"({type(error).__name__}: {error}); repair it"
                ) from error
            sys.modules[name] = modules[name]
    return modules


@contextmanager
def _own_package(folder: Path, files: tuple[str, ...]) -> Iterator[None]:
    """`assignment` is this folder for a while; afterwards all is as it was."""

    def is_ours(name: str) -> bool:
        return name.split(".")[0] in (PACKAGE, *files)

    saved = {name: sys.modules.pop(name) for name in list(sys.modules) if is_ours(name)}
    package = ModuleType(PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules[PACKAGE] = package
    writes_bytecode = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # two versions of a file may have one time stamp
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = writes_bytecode
        for name in [name for name in sys.modules if is_ours(name)]:
            del sys.modules[name]
        sys.modules.update(saved)
