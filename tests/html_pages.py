"""Pages as a parser and as a browser see them."""

import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
BROWSER_SECONDS = 120  # a loaded machine starts it slowly
# In CI, which installs one, a missing browser is a failure.
needs_browser = pytest.mark.skipif(
    not CHROMIUM and not os.environ.get("CI"),
    reason="needs Chromium; what the pages hold is tested without one, too",
)


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def shown_in_browser(page: Path | str, profile: Path, *options: str) -> str:
    """The HTML of a page after a real browser has opened it, with all its scripts.

    Args:
        page: the file, or its address.
        profile: a folder for the browser.
        options: more of them, for the browser.
    """
    address = page.as_uri() if isinstance(page, Path) else page
    answer = subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            *options,
            "--dump-dom",
            address,
        ],
        capture_output=True,
        text=True,
        timeout=BROWSER_SECONDS,
        check=False,
    )
    return answer.stdout
