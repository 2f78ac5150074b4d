"""How every command of the course reports a mistake: one sentence, exit code 2."""

import argparse
import contextlib
import errno
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

EXIT_OK = 0
EXIT_PARTLY_FAILED = 1
EXIT_USAGE = 2
EXIT_SIGNAL = 128  # and the number of the signal, as shells have it
EXIT_INTERRUPTED = EXIT_SIGNAL + signal.SIGINT
EXIT_NO_READER = 141  # what shells say of a program whose output nobody reads any more
NO_ROOM = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
# Sent by Slurm, `docker stop`, `timeout` and a shutdown; by a terminal that closes.
ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class CourseError(Exception):
    """Bad input of a user; the text is one sentence: what, where, what to do."""


class SignalError(KeyboardInterrupt):
    """A signal asks the command to end, like Ctrl-C.

    Attributes:
        number: of the signal.
    """

    def __init__(self, text: str, number: int):
        super().__init__(text)
        self.number = number


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
        said = harmless(f"error: {message}; see {self.prog} --help")
        print(said, file=sys.stderr)
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
    without a word. The signals that ask a program to end do what Ctrl-C does.
    """
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may be in no alphabet of it
        sys.stdout.reconfigure(errors="backslashreplace")
    with _ending_signals():
        code = _exit_code(main)
    sys.exit(code)


def harmless(text: str) -> str:
    r"""A message in which no name of a file can steer the terminal.

    Example:
        >>> ascii(harmless("no a" + chr(27) + "[2J.py"))
        "'no a\\ufffd[2J.py'"
    """
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\ufffd"
        for letter in text
    )


def _open_closed_streams() -> None:
    """Let what nobody wants to read (`>&-`) go nowhere.

    Else the next file that is opened would get its number, and what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)  # the smallest free number
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(nothing, mode, encoding="utf-8"))


def _exit_code(main: Callable[[], int]) -> int:
    try:
        code = main()
        sys.stdout.flush()  # at the very end a closed pipe could not be caught
        return code
    except NotImplementedError as error:
        print(f"error: not written yet: {harmless(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except CourseError as error:
        print(f"error: {harmless(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    except SignalError as error:
        name = signal.Signals(error.number).name
        _say_last_words(str(error) or f"interrupted by {name}")
        return EXIT_SIGNAL + error.number
    except KeyboardInterrupt as error:
        _say_last_words(str(error) or "interrupted")
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.errno in NO_ROOM:
            place = error.filename2 or error.filename or "the output"
            text = (
                f"{place}: cannot write ({error.strerror}); make room, or give another"
            )
            _say_last_words(harmless(f"error: {text} folder, and run it again"))
            return EXIT_USAGE
        if error.errno not in (errno.EPIPE, errno.EIO) or not _reader_has_gone():
            raise  # some other pipe broke
        _drop_output(sys.stdout)
        return EXIT_NO_READER


def end_quietly_until_main() -> None:
    """Let Ctrl-C end a command without a traceback while its imports take seconds.

    For packages whose modules are commands; Python says "-m" while it looks for one.
    """
    is_ours = signal.getsignal(signal.SIGINT) == signal.default_int_handler
    if sys.argv[:1] == ["-m"] and is_ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def _ending_signals() -> Iterator[None]:
    """Let the ending signals raise a SignalError, and Ctrl-C a KeyboardInterrupt.

    One that is ignored stays ignored: nohup wants it so.
    """
    numbers = []
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        numbers = [
            number
            for number in ENDING_SIGNALS
            if signal.getsignal(number) == signal.SIG_DFL
        ]
    for number in numbers:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in numbers:
            if signal.getsignal(number) == _end:
                signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End once; `timeout` sends its signal twice, and cleaning up takes a moment."""
    for ending in ENDING_SIGNALS:
        if signal.getsignal(ending) == _end:
            signal.signal(ending, signal.SIG_IGN)
    raise SignalError("", number)


def _say_last_words(text: str) -> None:
    """Say why the command ends, where the terminal may have closed."""
    for stream in (sys.stderr, sys.stdout):
        try:
            if stream is sys.stderr:
                print(text, file=stream)
            stream.flush()
        except OSError:
            _drop_output(stream)


def _drop_output(stream: TextIO) -> None:
    """Python flushes once more when it ends; that must not fail again."""
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), stream.fileno())


def _reader_has_gone() -> bool:
    """Whether stdout is a pipe, or a terminal, that nobody reads any more."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
