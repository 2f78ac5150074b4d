"""A student's files as the package `assignment`, whatever way they import each other.

`from common import *`, `from assignment.common import nms`, `import assignment.common`:
all of them give one module object, and files beside the expected ones are found too.
No file of a submission can take the place of one of Python's or torch's modules.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from grader.worker import given, original
from grader.worker.bytecode import code_of
from grader.worker.writes import writes_go_nowhere

PACKAGE = "assignment"
NO_TEXT = "the file is no plain text; save it as UTF-8"
GIVEN = (
    "torch",
    "torchvision",
    "numpy",
    "helpers",
    "core",
    "data_scripts",
    "grader",
    PACKAGE,
)
# Files of the original assignment that one submission brings and another does not.
HELPERS = ("a4_helper", "eecs598")
# Of modules that the next submission finds anew.
OWN_NAMES = (f"{PACKAGE}.", f"{original.__name__}.", f"{given.PACKAGE}.")
ROOTS = (PACKAGE, *HELPERS)
BELOW_ROOTS = tuple(f"{name}." for name in ROOTS)


class MissingPartError(Exception):
    """A file, or a name in it, that the assignment asks for is not there."""


class SlowFileError(Exception):
    """Loading this file takes longer than a test may; it was tried before."""


class Submission(MetaPathFinder):
    """Finds the modules of a submission; put into sys.meta_path by `install`.

    Args:
        folder: holds the student's *.py files.
        visible: names of the modules that tests ask, see core/course.py.

    Attributes:
        files: name of the module -> its file.
        compiled: what grader/worker/bytecode.py makes of them; may be empty.
        slow: those that do not end while they are loaded; see grader/worker/loading.py.
        note: is told "begins" and "ends" of each file that is loaded, and its name.
        given: parts of the solution in place of some of its own, if there are any.
    """

    def __init__(self, folder: Path, visible: Sequence[str]):
        self.folder = folder
        self.visible = tuple(visible)
        self.compiled = b""
        self.slow: set[str] = set()
        self.note: Callable[[str, str], None] = lambda what, name: None
        self.given: given.Given | None = None
        self._before: set[str] = set()  # names of the modules that are not its own
        self.files = {path.stem: path for path in sorted(folder.glob("*.py"))}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The spec of the package, of a module in it, or of its short name."""
        if fullname == PACKAGE:
            spec = ModuleSpec(PACKAGE, _PackageLoader(), is_package=True)
            spec.submodule_search_locations = [str(self.folder)]
            return spec
        package, _, name = fullname.rpartition(".")
        first = fullname.partition(".")[0]
        if first in original.NAMES and first not in self.files:
            found = _stand_in(fullname)
            if found is not None and (first != fullname or not _is_installed(first)):
                return found
        if name not in self.files or name == "__init__" or "." in package:
            return None
        if package == PACKAGE:
            path_of = str(self.files[name])
            if name in self.slow:
                raise SlowFileError(f"{name}.py")
            kind = _HelperLoader if name in original.NAMES else _FileLoader
            loader = kind(fullname, path_of, self)
            return spec_from_file_location(fullname, path_of, loader=loader)
        if not package and name not in GIVEN and name not in sys.stdlib_module_names:
            return ModuleSpec(name, _ShortNameLoader(PACKAGE))
        return None

    def install(self) -> None:
        """From now on imports find the submission, and no other `assignment`."""
        # Looking through all modules writes to memory shared by fork, which is slow.
        if PACKAGE in sys.modules or any(name in sys.modules for name in HELPERS):
            self.forget()
        self._before = {*sys.modules}
        if self.given is not None:
            self.given.load()
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Imports do not find the submission any more."""
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)
        self.forget()

    def forget(self) -> dict[str, ModuleType]:
        """Take its modules out of sys.modules, and return them."""
        found = [
            name
            for name in sys.modules.keys() - self._before
            if name in ROOTS
            or name.startswith(BELOW_ROOTS)
            or str(getattr(sys.modules[name], "__name__", "")).startswith(OWN_NAMES)
        ]
        return {name: sys.modules.pop(name) for name in found}

    def load(self, name: str) -> ModuleType:
        """The module of one file.

        Raises:
            MissingPartError: it is not there.
            BaseException: whatever its code raises.
        """
        if name not in self.files:
            raise MissingPartError(f"there is no {name}.py")
        return importlib.import_module(f"{PACKAGE}.{name}")

    def find_name(self, first: str, name: str) -> Any:
        """What a name stands for, in this module or else in any other of the files.

        Raises:
            BaseException: the first module cannot be imported, and no other has it.
            MissingPartError: no module has it.
        """
        broken: BaseException | None = None
        for module_name in self._search_order(first, name):
            try:
                module = self.load(module_name)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - of a student: may be any
                # The file that was asked for, else one that should have been there.
                broken = error if broken is None else broken
                continue
            if hasattr(module, name):
                return getattr(module, name)
        if broken is not None:
            raise broken
        raise MissingPartError(f"assignment/{first}.py has no {name}")

    def _search_order(self, first: str, name: str) -> Iterator[str]:
        yield first
        visible = [name for name in self.visible if name in self.files]
        yield from (module for module in visible if module != first)
        # A file that does not say the name, such as a script of the student's own that
        # trains for hours, need not be run.
        known = (*self.visible, "__init__")
        others = {
            module: path for module, path in self.files.items() if module not in known
        }
        for module, path in others.items():
            if name.encode() in path.read_bytes():
                yield module


class SubmissionNames:
    """The names of a module of a submission, looked up when they are asked for."""

    def __init__(self, submission: Submission, first: str):
        self._submission = submission
        self._first = first

    def __getattr__(self, name: str) -> Any:
        return self._submission.find_name(self._first, name)


class _PackageLoader(Loader):
    """The package itself is empty: what a submission's __init__.py says is not run."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        return None


class _FileLoader(SourceFileLoader):
    """Runs a file; nothing compiled is read or written beside it."""

    def __init__(self, fullname: str, path: str, submission: Submission):
        super().__init__(fullname, path)
        self.submission = submission

    def exec_module(self, module: ModuleType) -> None:
        name = Path(self.path).stem
        self.submission.note("begins", name)
        # A notebook that was saved as a script calls it where its magics stood.
        vars(module)["get_ipython"] = original.NotebookShell
        with writes_go_nowhere(Path(self.path).parent):
            super().exec_module(module)
        if self.submission.given is not None:
            self.submission.given.put_into(module)
        self.submission.note("ends", name)

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        code = code_of(fullname.rpartition(".")[2], self.submission.compiled)
        if code is not None:
            return code
        data = self.get_data(path)
        try:
            return self.source_to_code(data, path)
        except SyntaxError as error:
            if error.filename is not None and error.lineno is not None:
                raise
            # Python does not say where a file stops being text.
            line = data[: data.find(b"\0")].count(b"\n") + 1
            text = f"{NO_TEXT} ({error.msg})"
            raise SyntaxError(text, (path, line, 1, "")) from None


class _HelperLoader(_FileLoader):
    """A given file of the original assignment: if it cannot be loaded, the stand-in."""

    def exec_module(self, module: ModuleType) -> None:
        try:
            super().exec_module(module)
        except Exception:  # noqa: BLE001 - newer Python, no such package: may be any
            name = module.__name__.rpartition(".")[2]
            ours = importlib.import_module(f"{original.__name__}.{name}")
            vars(module).update(
                (key, value)
                for key, value in vars(ours).items()
                if not key.startswith("__") or key == "__all__"
            )


def _is_installed(name: str) -> bool:
    """Whether there is a package of this name beside the stand-in."""
    return PathFinder.find_spec(name) is not None


def _stand_in(fullname: str) -> ModuleSpec | None:
    """For `a4_helper`, `eecs598` and what is in it; None: there is no such module."""
    try:
        if find_spec(f"{original.__name__}.{fullname}") is None:
            return None
    except ModuleNotFoundError:  # nor one that it would be in
        return None
    return ModuleSpec(fullname, _ShortNameLoader(original.__name__))


class _ShortNameLoader(Loader):
    """`common` is the module object of `assignment.common`."""

    def __init__(self, package: str):
        self.package = package

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"{self.package}.{spec.name}")
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec
