"""What stands beside a grade when something later has none: the grade itself stays."""

import html
import re
from pathlib import Path

from core.files import write_atomically
from grader.pages.feedback import FILE
from grader.results.results import read_results, write_results

# The note on a student's page stands below its heading.
NOTE = re.compile(r'(</h1>\n)(?:<p class="card note later">[^\n]*</p>\n)?')


def note_later(folder: Path, status: str, why: str) -> None:
    """Say beside a result what came later and has no grade; no other word changes.

    Args:
        folder: with results.json, and the student's page.
        status: of what came later, REFUSED or FAILED.
        why: a sentence; empty: nothing came, and an earlier note goes.

    Raises:
        OSError: it cannot be written; the grade is as it was.
    """
    results = read_results(folder)
    if results is None:
        return
    extra = results["extra_data"]
    later = {"status": status, "why": why} if why else None
    if extra.get("later") == later:
        return
    page = folder / FILE
    if page.is_file():
        note = f'<p class="card note later"><strong>{html.escape(why)}</strong></p>\n'
        text = page.read_text("utf-8", "replace")
        new = NOTE.sub(lambda found: found[1] + (note if why else ""), text, count=1)
        write_atomically(page, new)
    extra.pop("later", None)
    if later:
        extra["later"] = later
    write_results(folder, results)
