"""What every command says when it cannot do its work."""

import pytest

from data_scripts.command import EXIT_INTERRUPTED, EXIT_USAGE, CourseError, run_command


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
