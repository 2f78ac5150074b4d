"""A release that says where it is published opens on Colab."""

from pathlib import Path

import pytest

from core.command import CourseError
from grader.release.address import PLACEHOLDER, name_repository
from grader.release.build import make_release

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("end", ["", "/", ".git"])
def test_release_names_its_repository_in_every_notebook(end: str):
    """Badge and first cell lead there, and nothing still holds the placeholder."""
    files = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in [ROOT / "helpers/notebook.py", *ROOT.glob("notebooks/*.ipynb")]
    }
    assert all(PLACEHOLDER.encode() in content for content in files.values())
    named = name_repository(files, f"https://github.com/ada/my-course{end}")
    for path, content in named.items():
        text = content.decode()
        assert PLACEHOLDER not in text
        assert "https://github.com/ada/my-course" in text
        if path.endswith(".ipynb"):
            assert "/github/ada/my-course/blob/main/notebooks/" in text


@pytest.mark.parametrize(
    "address", ["ada/my-course", "https://example.org/a/b", "https://github.com/a", "x"]
)
def test_address_that_colab_cannot_open_is_refused(address: str):
    """One sentence says what it should look like."""
    with pytest.raises(CourseError, match=r"an address like https://github\.com/"):
        make_release(ROOT, address)
