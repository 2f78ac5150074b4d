"""Run the checks of exercises on a fresh copy of assignment/, and say how they ended.

Use it in this order: `with CheckRun(...) as run: run.report("3.2")`.
"""

import contextlib
import importlib
import io
import re
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core.command import CourseError, SignalError
from core.course import PACKAGE, mentioned, read_registry
from core.time_limit import TimeLimitError, time_limit
from helpers.checks.closed import ClosedAnswers
from helpers.checks.describe import describe_answer
from helpers.checks.exercises import MARK, ROOT, Exercise, read_exercises
from helpers.checks.expect import CheckError
from helpers.checks.explain import (
    PLACES,
    explain_exception,
    explain_import,
    own_places,
)
from helpers.checks.fresh import fresh_modules
from helpers.checks.hints import hints_of
from helpers.checks.own_text import (
    changed_arguments,
    is_untouched,
    remarks,
    unreached,
)
from helpers.checks.pretended_gpu import GPU_HERE, torch_name
from helpers.checks.results import BLOCKED, OPEN, PASS, WRONG, Report, Result
from helpers.checks.separate import LAST
from helpers.checks.shell import own_function
from helpers.checks.student import student_of

FOLDER = Path(__file__).parent
# The slowest check of the solution (7.4, 8.1) takes 1.5 s of one core.
CHECK_LIMIT_S = 20.0
Check = Callable[[Any], None]
# Of Python, where arguments and parameters do not fit.
CALL_FAILED = re.compile(
    r"\(\) (missing|takes|got an unexpected keyword|got multiple values)"
)


def read_checks() -> dict[str, list[Check]]:
    """Number of the exercise -> its checks, in the order of their file."""
    found: dict[str, list[Check]] = {number: [] for number in read_exercises()}
    for path in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(f"helpers.checks.{path.stem}")
        for name, value in vars(module).items():
            if name.startswith("test_") and hasattr(value, MARK):
                # A part that was not released may have left its checks here.
                found.get(getattr(value, MARK), []).append(value)
    return found


def check_title(check: Check) -> str:
    """The first line of its docstring."""
    return (check.__doc__ or check.__name__).strip().splitlines()[0]


class CheckRun:
    """The assignment as it is now, for the length of a `with` statement.

    Args:
        device: "cpu", "cuda", or "pretend" for a GPU that is none.
        root: the folder that holds assignment/.
        quiet: drop what the student's code prints.

    Raises:
        CourseError: there is no such device.
    """

    def __init__(self, device: str = "cpu", root: Path = ROOT, quiet: bool = False):
        if device == "cuda" and not torch.cuda.is_available():
            raise CourseError(
                f"--device {device}: torch finds no GPU here; use cpu or pretend"
            )
        # The expected numbers are those of whole float32 products.
        torch.backends.cudnn.allow_tf32 = False
        self.device, self.root, self.quiet = device, root, quiet
        self.exercises = read_exercises(root)
        self.registry = read_registry(root)
        self._checks = read_checks()
        self._closed = ClosedAnswers(self.registry, root)
        self._reports: dict[str, Report] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "CheckRun":
        if self.device == "pretend":
            GPU_HERE.start((self.root / PACKAGE).resolve())
            self._stack.callback(GPU_HERE.stop)
        with self._silence():
            self._stack.enter_context(self._closed.wrapped())
            fresh = fresh_modules(self.root)
            modules, self._broken = self._stack.enter_context(fresh)
        for name in self.registry.visible:
            modules.setdefault(name, types.ModuleType(name))
        self._modules = modules
        device = torch_name(self.device)
        self.student = student_of(modules, self.registry.visible, device)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _silence(self) -> contextlib.AbstractContextManager[Any]:
        return (
            contextlib.redirect_stdout(io.StringIO())
            if self.quiet
            else contextlib.nullcontext()
        )

    def report(self, number: str) -> Report:
        """Run the checks of one exercise, once; the first that is not written ends it.

        Args:
            number: of the exercise, "3.2".

        Raises:
            CourseError: it has no check or no hint: nobody could say it is done.
        """
        if number not in self._reports:
            hints_of(number)
            if not self._checks[number]:
                step = number.partition(".")[0]
                raise CourseError(
                    f"exercise {number} has no visible check; write one in "
                    f'helpers/checks/test_{step}_NAME.py, marked @exercise("{number}")'
                )
            start = time.perf_counter()
            results = self._results(self.exercises[number])
            seconds = time.perf_counter() - start
            self._reports[number] = Report(
                self.exercises[number], tuple(results), seconds
            )
        return self._reports[number]

    def first_open(self, after: str | None = None) -> str | None:
        """The first exercise that does not pass; those behind `after` come first."""
        numbers = list(self.exercises)
        start = numbers.index(after) + 1 if after else 0
        return next(
            (
                number
                for number in numbers[start:] + numbers[:start]
                if self.report(number).status != PASS
            ),
            None,
        )

    def _results(self, exercise: Exercise) -> list[Result]:
        problem = self._missing(exercise)
        if problem:
            return [problem]
        results = []
        for check in self._checks[exercise.id]:
            with self._silence():
                result = self._run(exercise, check)
            results.append(result)
            if result.status in (OPEN, BLOCKED):
                return [result]
            if result.is_last:
                break
        return results

    def _missing(self, exercise: Exercise) -> Result | None:
        """The file cannot be loaded, or the function is not in it any more."""
        stem = exercise.file.removesuffix(".py")
        error = self._broken.get(stem)
        if error is not None:
            headline, lines, likely = explain_import(error, exercise.file, self.root)
            return Result(WRONG, exercise.title, headline, tuple(lines), likely)
        target: Any = self._modules.get(stem)
        for part in exercise.name.split("."):
            target = getattr(target, part, None)
        # A class of torch, or the file's own import of torchvision, has that name, too.
        origin = (getattr(target, "__module__", None) or "").partition(".")[0]
        if target is not None and origin not in ("torch", "torchvision"):
            return None
        path = self.root / "assignment" / exercise.file
        own = (
            f"has no {exercise.name} of its own"
            if target
            else f"has no {exercise.name}"
        )
        return Result(
            WRONG,
            exercise.title,
            f"assignment/{exercise.file} {own if path.exists() else 'is not there'}; "
            f"python -m helpers.check reset {exercise.id} puts its start back",
            tuple(remarks(exercise, self.root)),
        )

    def _run(self, exercise: Exercise, check: Check) -> Result:
        title = check_title(check)
        LAST.answer, self._closed.exercise = None, exercise.id
        try:
            self.student.seed(0)
            with time_limit(CHECK_LIMIT_S):
                check(self.student)
        except TimeLimitError as error:
            return self._endless(title, error)
        except NotImplementedError as error:
            return self._unwritten(exercise, title, error)
        except CheckError as error:
            return self._failed(exercise, title, error)
        except KeyboardInterrupt as error:
            raise self._interrupted(error) from None
        # A student's code may raise anything, and even call exit().
        except (Exception, SystemExit) as error:  # noqa: BLE001
            return self._crashed(exercise, title, error)
        return Result(PASS, title)

    def _endless(self, title: str, error: TimeLimitError) -> Result:
        """What ran when the time was over; further checks would wait as long."""
        headline = f"stopped after {CHECK_LIMIT_S:.0f} s, as in a loop without an end"
        lines = []
        for place in own_places(error, self.root)[-PLACES:]:
            lines.append(f"it stood at {place.file}, line {place.line}:")
            lines.append(f"    {place.code}")
        return Result(WRONG, title, headline, tuple(lines), is_last=True)

    def _interrupted(self, error: KeyboardInterrupt) -> KeyboardInterrupt:
        """The same, with the line of the student's code that ran at that time."""
        places = own_places(error, self.root)
        if not places:
            return error
        last = places[-1]
        text = f"interrupted at line {last.line} of {last.file}: {last.code}"
        if isinstance(error, SignalError):
            return SignalError(text, error.number)
        return KeyboardInterrupt(text)

    def _unwritten(
        self, exercise: Exercise, title: str, error: NotImplementedError
    ) -> Result:
        number = mentioned(str(error))
        if number not in self.exercises:  # raised by torch or by the student
            return self._crashed(exercise, title, error)
        if number == exercise.id:
            return Result(OPEN, title, "not written yet", self._where_it_is(exercise))
        headline = f"blocked by {number}: write that first"
        begin = f"Begin there: {self.exercises[number].command}"
        return Result(BLOCKED, title, headline, (begin,))

    def _where_it_is(self, exercise: Exercise) -> tuple[str, ...]:
        """When the file was saved, and a function in the notebook instead of in it."""
        path = self.root / "assignment" / exercise.file
        saved = time.localtime(path.stat().st_mtime)
        is_today = time.strftime("%Y-%m-%d", saved) == time.strftime("%Y-%m-%d")
        when = time.strftime("at %H:%M:%S" if is_today else "on %d %B at %H:%M", saved)
        lines = [f"assignment/{exercise.file} was saved {when}."]
        if is_untouched(exercise, self.root):  # a file of a zip is of 1980
            lines = [f"assignment/{exercise.file} is as it was handed out."]
        below = unreached(exercise, self.root)
        lines += [below] if below else []
        name = exercise.name.split(".")[0]
        if own_function(name):
            lines.append(
                f"This notebook defines {name} itself; put that code into the file."
            )
        return tuple(lines)

    def _failed(self, exercise: Exercise, title: str, error: CheckError) -> Result:
        if error.__cause__ is not None and own_places(error.__cause__, self.root):
            headline, lines, likely = explain_exception(error.__cause__, self.root)
        else:
            headline, lines, likely = error.message, list(error.lines), ""
        name = exercise.name.removesuffix(".__init__")
        if error.what not in (name, name.split(".")[-1]):
            lines.insert(0, error.what)
        lines += self._also(exercise)
        likely = error.cause or likely
        return Result(
            WRONG, title, headline, tuple(lines), self._or_order(likely, exercise)
        )

    def _crashed(self, exercise: Exercise, title: str, error: BaseException) -> Result:
        if isinstance(error, SystemExit):
            return Result(WRONG, title, "your code ends the program; remove its exit()")
        headline, lines, likely = explain_exception(error, self.root)
        if not own_places(error, self.root):
            headline, lines, likely = self._no_answer(exercise, error, headline)
        lines += self._also(exercise)
        return Result(
            WRONG, title, headline, tuple(lines), self._or_order(likely, exercise)
        )

    def _or_order(self, likely: str, exercise: Exercise) -> str:
        """Arguments in another order are the cause, whatever else it looks like."""
        return changed_arguments(exercise, self.root, is_wrong=False) or likely

    def _also(self, exercise: Exercise) -> list[str]:
        """What the text of the file says, and which exercise to look at first."""
        return [*remarks(exercise, self.root), *self._wrong_needs(exercise)]

    def _no_answer(
        self, exercise: Exercise, error: BaseException, headline: str
    ) -> tuple[str, list[str], str]:
        """No line of the student's code raised it: the call, or what came back."""
        if isinstance(error, TypeError) and CALL_FAILED.search(str(error)):
            likely = changed_arguments(exercise, self.root, is_wrong=True)
            return f"cannot be called: {error}", [], likely
        if LAST.answer is None:
            return headline, [], ""
        came = describe_answer(LAST.answer)
        name = exercise.name.removesuffix(".__init__")
        read = f'See "Returns" in the docstring of {name}.'
        return f"what came back is not as it should be: {came}", [read], ""

    def _wrong_needs(self, exercise: Exercise) -> list[str]:
        """Exercises whose functions this one calls, and which are wrong themselves."""
        wrong = [
            number
            for number in self.registry.exercises[exercise.id].needs
            if number in self.exercises and self.report(number).status != PASS
        ]
        if not wrong:
            return []
        return [
            f"First look at {wrong[0]}: this exercise uses it, and it does not pass "
            "its own checks."
        ]
