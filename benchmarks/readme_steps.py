"""The pictures of the README's steps, as the solved notebooks draw them.

First `python -m tests.run_notebooks --only solved --html runs/notebooks`, then
`python -m benchmarks.readme_steps --pages runs/notebooks`, which writes docs/steps/.
"""

import base64
import io
import re
from pathlib import Path

from PIL import Image

from core.command import EXIT_OK, CommandParser, CourseError, run_command

OUT = Path(__file__).parent.parent / "docs" / "steps"
# Notebook -> which of its page's pictures stands for it, counted from 0.
CHOSEN = {
    **{"00": 1, "01": 5, "02": 1, "03": 3, "04": 10},
    **{"05": 10, "06": 4, "07": 2, "08": 6, "09": 1},
    **{"10": 7, "11": 2, "12": 7},
}
SIZE = (360, 150)  # of a picture at most, so that the map fits on a screen or two
COLOURS = 256
PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


def read_pictures(page: Path) -> list[Image.Image]:
    """The PNG pictures of a notebook's page, in their order."""
    found = PICTURE.findall(page.read_text("utf-8"))
    return [Image.open(io.BytesIO(base64.b64decode(encoded))) for encoded in found]


def main(arguments: list[str] | None = None) -> int:
    """The command; see --help."""
    parser = CommandParser(prog="python -m benchmarks.readme_steps")
    parser.add_argument("--pages", type=Path, default=Path("runs/notebooks"))
    options = parser.parse_args(arguments)
    OUT.mkdir(parents=True, exist_ok=True)
    for number, index in CHOSEN.items():
        pages = sorted(options.pages.glob(f"{number}_*solved*.html"))
        if not pages:
            raise CourseError(
                f"{options.pages}: no page of notebook {number}; run python -m "
                "tests.run_notebooks --only solved --html"
            )
        picture = read_pictures(pages[0])[index].convert("RGB")
        picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
        path = OUT / f"{number}.png"
        picture.quantize(COLOURS).save(path, optimize=True)
        print(f"{path.name} ({path.stat().st_size:,} bytes)")
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
