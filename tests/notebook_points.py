"""Write the points of the hidden tests into the notebooks' check cells.

Run it after a change of grader_tests/manifest: python -m tests.notebook_points
"""

import sys
from collections import defaultdict
from pathlib import Path

import nbformat

from grader.manifest import read_manifest

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "exercise-"


def points_of_exercises() -> dict[str, float]:
    """Name of the check cell ("exercise-3-2") -> points of all its hidden tests."""
    points: dict[str, float] = defaultdict(float)
    for test in read_manifest(ROOT):
        points[f"{PREFIX}{test.exercise.replace('.', '-')}"] += test.points
    return dict(points)


def write_points(path: Path, points: dict[str, float]) -> int:
    """Bring one notebook up to date; return how many cells were changed."""
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    changed = 0
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader", {})
        wanted = points.get(marks.get("grade_id", ""))
        if wanted is not None and marks["points"] != wanted:
            marks["points"] = int(wanted) if wanted == int(wanted) else wanted
            changed += 1
    if changed:
        nbformat.write(notebook, path)
    return changed


def main() -> None:
    """Do it for all notebooks."""
    points = points_of_exercises()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        print(f"{path.name}: {write_points(path, points)} changed")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
