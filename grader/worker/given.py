"""Parts of the solution in place of a student's own, for one test's process.

They come with the request for the process, and only where an earlier exercise failed:
grader/suites/given_parts.py says what is in them. The student's code may read and call
them, as it may call its own; what such a test says is passed or not, and no more.
"""

import marshal
import sys
from inspect import signature
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

PACKAGE = "given_parts"  # beside `assignment`, which is the student's


class Given:
    """The parts, and what they replace.

    Args:
        data: as grader/suites/given_parts.py made it; trusted.
    """

    def __init__(self, data: bytes):
        self._content: dict[str, Any] = marshal.loads(data)
        self._modules: dict[str, ModuleType] = {}

    def load(self) -> None:
        """Run the parts' files; called before any code of the student."""
        for file in self._content["files"]:
            module = ModuleType(f"{PACKAGE}.{file['name']}")
            sys.modules[module.__name__] = module
            for source, name, own_name in file["imported"]:
                found = vars(self._modules.get(source, ModuleType(source)))
                if name in found:
                    setattr(module, own_name, found[name])
            code: CodeType = file["code"]
            exec(code, vars(module))
            self._modules[file["name"]] = module

    def put_into(self, module: ModuleType) -> None:
        """Replace what a student's file has defined, once it has run.

        The parts in turn meet the student's classes, and functions that are not given.
        """
        own = vars(module)
        short = module.__name__.rpartition(".")[2]
        for home, qualified in self._content["places"]:
            first, _, method = qualified.partition(".")
            given = vars(self._modules[home])[first]
            there = own.get(first)
            if method and isinstance(there, type):
                if method in vars(given) and there.__module__ == module.__name__:
                    setattr(there, method, _bound(vars(given)[method], there))
            elif there is not None or short == home:
                setattr(module, first, given)
        whole = {name for _, name in self._content["places"]}
        for part in self._modules.values():
            for name, value in own.items():
                mine = vars(part).get(name)
                is_class = isinstance(value, type) and isinstance(mine, type)
                is_missing = mine is None and name in self._content["own"]
                if name not in whole and (is_class or is_missing):
                    setattr(part, name, _fitting(value, mine) if is_class else value)


def _fitting(own: Any, given: Any) -> Any:
    """A student's class for parts that give it more than it takes, such as backbone."""
    if own is given:
        return own
    try:
        taken, known = (list(signature(made).parameters) for made in (own, given))
    except (TypeError, ValueError):
        return own
    if set(known) <= set(taken) or not set(taken) <= set(known):
        return own

    def make(*arguments: Any, **named: Any) -> Any:
        fitting = {name: value for name, value in named.items() if name in taken}
        return own(*arguments[: len(taken)], **fitting)

    return make


def _bound(function: Any, owner: type) -> Any:
    """A method whose super() is that of its new class."""
    if not isinstance(function, FunctionType) or not function.__closure__:
        return function
    cells = tuple(
        CellType(owner) if name == "__class__" else cell
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__, strict=True
        )
    )
    bound = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        cells,
    )
    bound.__kwdefaults__ = function.__kwdefaults__
    return bound
