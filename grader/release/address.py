"""Where a release will be published: the notebooks' Colab badges and first cells."""

import re

from core.command import CourseError

PLACEHOLDER = "OWNER/REPOSITORY"  # in the source, which belongs to no course yet
ADDRESS = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
HOLDERS = (".ipynb", "helpers/notebook.py")  # how the paths of those files end


def name_repository(files: dict[str, bytes], address: str) -> dict[str, bytes]:
    """The files with the address in the place of the placeholder.

    Args:
        files: path -> content.
        address: "https://github.com/someone/fcos", where Colab will find the release.

    Raises:
        CourseError: it is no such address.
    """
    found = ADDRESS.fullmatch(address.strip())
    if found is None:
        raise CourseError(
            f"--repository {address}: Colab opens notebooks from GitHub; give an "
            "address like https://github.com/someone/fcos"
        )
    old, new = PLACEHOLDER.encode(), found[1].encode()
    return {
        path: content.replace(old, new) if path.endswith(HOLDERS) else content
        for path, content in files.items()
    }
