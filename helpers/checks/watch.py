"""`python -m helpers.check --watch`: check again whenever a file is saved."""

import time
from pathlib import Path

from core.command import EXIT_OK, EXIT_SIGNAL, SignalError
from helpers.checks.exercises import ROOT
from helpers.checks.report import paint, report_text
from helpers.checks.results import PASS
from helpers.checks.runner import CheckRun

POLL_S = 0.4
Stamps = dict[Path, tuple[int, int]]


def watch(number: str | None, device: str = "cpu") -> int:
    """Check one exercise at every save, and go on to the next when it passes.

    Args:
        number: of the exercise to begin with; by default the first that does not pass.
        device: "cpu" or "cuda".

    Returns:
        The exit code; Ctrl-C is the usual end and no mistake.
    """
    try:
        while True:
            # Looked at before the files are read: a save in between is not missed.
            stamps = read_stamps()
            number = check_and_go_on(number, device)
            if number is None:
                print("All exercises pass their visible checks. Well done!")
                return EXIT_OK
            print(
                paint(f"\nSave a file in assignment/ to check {number} again; ", "bold")
                + "Ctrl-C ends.",
                flush=True,
            )
            _wait_for_save(stamps)
            print(f"\n{time.strftime('%H:%M:%S')}  saved")
    except KeyboardInterrupt as error:
        if str(error):  # the line of an endless loop
            print(f"\n{error}")
        again = f" {number}" if number else ""
        print(f"\nStopped. Go on with: python -m helpers.check{again} --watch")
        if isinstance(error, SignalError):
            return EXIT_SIGNAL + error.number
        return EXIT_OK


def _wait_for_save(stamps: Stamps) -> None:
    """Wait until a file differs from these stamps, and has been written to its end."""
    now = read_stamps()
    while now == stamps:
        time.sleep(POLL_S)
        now = read_stamps()
    before = stamps
    while now != before:  # an editor may empty the file first, and fill it then
        time.sleep(POLL_S)
        before, now = now, read_stamps()


def check_and_go_on(number: str | None, device: str) -> str | None:
    """Print how an exercise is, and which one is next.

    Args:
        number: the exercise; None for the first that does not pass.
        device: "cpu" or "cuda".

    Returns:
        The same number if it does not pass, else that of the next one that does not
        pass, which is printed, too; None if all pass.
    """
    with CheckRun(device) as run:
        if number is not None:
            report = run.report(number)
            print(report_text(report))
            if report.status != PASS:
                return number
        run.quiet = True
        following = run.first_open(after=number)
        if following is not None:
            print(report_text(run.report(following)))
        return following


def read_stamps(root: Path = ROOT) -> Stamps:
    """File of assignment/ -> when it was changed, and its size."""
    stamps = {}
    for path in sorted((root / "assignment").glob("*.py")):
        try:
            status = path.stat()
        except FileNotFoundError:  # an editor that replaces a file removes it first
            continue
        stamps[path] = (status.st_mtime_ns, status.st_size)
    return stamps
