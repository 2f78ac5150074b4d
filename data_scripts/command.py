"""How every command of the course reports a mistake: one sentence, exit code 2."""

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

EXIT_OK = 0
EXIT_PARTLY_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class CourseError(Exception):
    """Bad input of a user; the text is one sentence: what, where, what to do."""


class CommandParser(argparse.ArgumentParser):
    """argparse whose mistakes are one sentence on stderr instead of a usage block."""

    def error(self, message: str) -> NoReturn:
        """Print one sentence and exit with 2; argparse calls this."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(EXIT_USAGE)


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run main and exit with its code; mistakes of the user end without a traceback."""
    try:
        code = main()
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_USAGE
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    sys.exit(code)
