"""What every command says when it cannot do its work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_scripts.command import (
    EXIT_INTERRUPTED,
    EXIT_NO_READER,
    EXIT_USAGE,
    CourseError,
    run_command,
)


def raises(error: BaseException):
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            CourseError("no folder x; make it"),
            EXIT_USAGE,
            "error: no folder x; make it",
        ),
        (
            NotImplementedError("Exercise 1.1 iou: see notebook 1"),
            EXIT_USAGE,
            "error: not written yet: Exercise 1.1 iou: see notebook 1",
        ),
        (KeyboardInterrupt("stopped at 3"), EXIT_INTERRUPTED, "stopped at 3"),
        (KeyboardInterrupt(), EXIT_INTERRUPTED, "interrupted"),
    ],
)
def test_mistakes_of_the_user_end_with_one_line(error, code, said, capsys):
    """One sentence on stderr and an exit code, never a traceback."""
    with pytest.raises(SystemExit) as ended:
        run_command(raises(error))
    assert ended.value.code == code
    assert capsys.readouterr().err == f"{said}\n"


def test_mistakes_of_the_course_itself_are_not_hidden():
    """Anything else is a bug and shows where it happened."""
    with pytest.raises(ZeroDivisionError):
        run_command(raises(ZeroDivisionError()))


@pytest.mark.parametrize("lines", [1, 100_000])
def test_output_that_nobody_reads_ends_the_command_quietly(lines):
    """`| head` closes the pipe: no traceback, whether much or little is left to say."""
    script = (
        "import sys\n"
        "from data_scripts.command import run_command\n"
        "def main():\n"
        "    sys.stdin.read()\n"  # until the reader has gone
        f"    for number in range({lines}): print('line', number)\n"
        "    return 0\n"
        "run_command(main)\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout and command.stdin and command.stderr
    command.stdout.close()
    command.stdin.close()
    said = command.stderr.read()
    assert command.wait() == EXIT_NO_READER
    assert said == ""


def test_another_pipe_that_breaks_is_not_hidden():
    """Only stdout may lose its reader without a word."""
    with pytest.raises(BrokenPipeError):
        run_command(raises(BrokenPipeError("to a worker")))


def test_text_that_the_terminal_cannot_show_ends_no_command():
    """A name that is no UTF-8, or of another alphabet, is shown as its number."""
    script = (
        "from data_scripts.command import run_command\n"
        "run_command(lambda: print('b\\udcffob \\u03a9') or 0)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "b\\udcffob \\u03a9\n"
