"""What every command says when it cannot do its work."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.command import (
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
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/a/log.jsonl"),
            EXIT_USAGE,
            "error: runs/a/log.jsonl: cannot write (No space left on device); make "
            "room, or give another folder, and run it again",
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
        "from core.command import run_command\n"
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


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_signal_lets_a_command_clean_up_and_ends_it_with_its_code(name, tmp_path):
    """128 + the number, one line; a second signal does not disturb the cleaning up."""
    number = getattr(signal, name)
    script = (
        "import pathlib, sys, time\n"
        "from core.command import run_command\n"
        "def main():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('cleaning', flush=True)\n"
        "        sys.stdin.read()\n"
        "        pathlib.Path(sys.argv[1]).touch()\n"
        "run_command(main)\n"
    )
    # What is ignored here, as by nohup, would be ignored in the command.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        command = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "cleaned")],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(number, before)
    assert command.stdout is not None
    assert command.stdout.readline() == "ready\n"
    command.send_signal(number)
    assert command.stdout.readline() == "cleaning\n"
    if name != "SIGINT":  # a person who presses Ctrl-C again means it
        for again in (signal.SIGTERM, signal.SIGHUP):
            command.send_signal(again)
        time.sleep(0.05)
    _, said = command.communicate()
    assert command.returncode == 128 + number
    assert said == ("interrupted\n" if name == "SIGINT" else f"interrupted by {name}\n")
    assert (tmp_path / "cleaned").is_file()


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("helpers.train", "torch"),
        ("data_scripts.prepare_annotations", "tqdm"),
        ("benchmarks.quality", "torch"),
        ("grader", "uuid"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_ctrl_c_while_a_command_imports_shows_no_traceback(command, module, tmp_path):
    """A module that it needs takes long; nothing has begun, so nothing is said."""
    source = (
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)"
    )
    (tmp_path / f"{module}.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", command, "--help"],
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_hang_up_that_nohup_ignores_does_not_end_a_command():
    """What was ignored at the start stays ignored, and is as before at the end."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended:
            run_command(lambda: signal.raise_signal(signal.SIGHUP) or 0)
        assert ended.value.code == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_terminal_that_has_closed_ends_the_command_quietly():
    """What could not be printed is no mistake of the course: no traceback."""
    outside, inside = os.openpty()
    script = (
        "import sys\n"
        "from core.command import run_command\n"
        "run_command(lambda: print('line', sys.stdin.read()) or 0)\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.PIPE,
        stdout=inside,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(inside)
    os.close(outside)
    _, said = command.communicate()
    assert (command.returncode, said) == (EXIT_NO_READER, "")


def test_another_pipe_that_breaks_is_not_hidden():
    """Only stdout may lose its reader without a word."""
    with pytest.raises(BrokenPipeError):
        run_command(raises(BrokenPipeError("to a worker")))


def test_text_that_the_terminal_cannot_show_ends_no_command():
    """A name that is no UTF-8, or of another alphabet, is shown as its number."""
    script = (
        "from core.command import run_command\n"
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


@pytest.mark.parametrize(
    "odd",
    ["\x1b[2J", "\x9b31m", "\x1b]8;;http://x\x07", "\r", "\b", "\u202e", "\u200b"],
)
def test_no_name_in_a_message_steers_the_terminal(odd: str, capsys):
    """Colours, links, going back, and text that runs the other way."""
    for error in (CourseError(f"a{odd}b"), NotImplementedError(f"a{odd}b")):
        with pytest.raises(SystemExit):
            run_command(raises(error))
        said = capsys.readouterr().err
        assert said.rstrip("\n").isprintable() and "a\N{REPLACEMENT CHARACTER}" in said
