"""How every command of the course reports a mistake: one sentence, exit code 2."""

import argparse
import contextlib
import io
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

EXIT_OK = 0
EXIT_PARTLY_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_NO_READER = 141  # what shells say of a program whose output nobody reads any more


class CourseError(Exception):
    """Bad input of a user; the text is one sentence: what, where, what to do."""


def make_out_folder(path: Path) -> None:
    """Make the folder of --out before the work begins, so that no work is lost.

    Raises:
        CourseError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"the folder {path} cannot be made ({error.strerror}); give another --out"
        ) from error


class CommandParser(argparse.ArgumentParser):
    """argparse whose mistakes are one sentence on stderr instead of a usage block."""

    def error(self, message: str) -> NoReturn:
        """Print one sentence and exit with 2; argparse calls this."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(EXIT_USAGE)


def fraction(text: str) -> float:
    """A number in [0, 1] from the command line."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")


def positive(text: str) -> int:
    """A whole number of at least 1 from the command line."""
    with contextlib.suppress(ValueError):
        if int(text) >= 1:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")


def name_and_value(text: str) -> tuple[str, str]:
    """NAME=VALUE from the command line, as (name, value)."""
    name, separator, value = text.partition("=")
    if name and separator:
        return name, value
    raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run main and exit with its code; mistakes of the user end without a traceback.

    An exercise that is not written yet says its number and its notebook; that is enough
    of a message too. A reader of the output that wants no more (`| head`) ends it
    without a word.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may be in no alphabet of it
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = main()
        sys.stdout.flush()  # at the very end a closed pipe could not be caught
    except NotImplementedError as error:
        print(f"error: not written yet: {error}", file=sys.stderr)
        code = EXIT_USAGE
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_USAGE
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        if not _reader_has_gone():
            raise  # some other pipe broke
        # Python flushes once more when it ends; that must not fail again.
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        code = EXIT_NO_READER
    sys.exit(code)


def _reader_has_gone() -> bool:
    """Whether stdout is a pipe that nobody reads any more."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
