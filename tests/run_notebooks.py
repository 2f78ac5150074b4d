"""Run the notebooks: solved to their end, as released to their first exercise.

python -m tests.run_notebooks                           # both, all of them
python -m tests.run_notebooks 04 --html runs/notebooks  # one, and a page to look at
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from core.command import EXIT_OK, EXIT_PARTLY_FAILED, CourseError, run_command
from core.course import read_registry
from grader.release.release_files import write_files

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 180.0  # of a notebook, on two cores
TRAINING_LIMIT_S = 300.0
TRAINING = ("07_", "12_")  # notebooks that train a detector
CELL_TIMEOUT_S = 600
STUB_TAG = "NotImplementedError: Exercise "


def notebook_paths(root: Path, beginnings: list[str]) -> list[Path]:
    """The notebooks of a course whose names begin so; all where none is given."""
    paths = sorted((root / "notebooks").glob("[0-9]*.ipynb"))
    wanted = [
        path
        for path in paths
        if not beginnings or path.name.startswith(tuple(beginnings))
    ]
    if not wanted:
        raise CourseError(f"no notebook's name begins with {' or '.join(beginnings)}")
    return wanted


def first_exercise(notebook: nbformat.NotebookNode) -> str | None:
    """The number of the first exercise that a notebook checks."""
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name.startswith("exercise-"):
            number: str = name.removeprefix("exercise-").replace("-", ".")
            return number
    return None


def execute(path: Path) -> tuple[nbformat.NotebookNode, str]:
    """Run a notebook to its end or its first error; return it, and the error."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        # Without its warning, once per notebook, that others could listen on loopback.
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except CellExecutionError as error:
        return notebook, f"{error.ename}: {error.evalue}".strip()
    return notebook, ""


def judge(path: Path, error: str, seconds: float, unsolved: str | None) -> str:
    """What is wrong with a run; empty if nothing.

    Args:
        unsolved: the exercise at which it must stop; None if it must get through.
    """
    if unsolved is not None:
        expected = f"{STUB_TAG}{unsolved} "
        if error.startswith(expected):
            return ""
        return f"should stop at exercise {unsolved}, but: {error or 'ran to its end'}"
    limit = TRAINING_LIMIT_S if path.name.startswith(TRAINING) else LIMIT_S
    if not error and seconds > limit:
        return f"took {seconds:.0f} s, more than {limit:.0f} s"
    return error


def processor_seconds() -> float:
    """What all ended kernels together have used of the processor."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_all(root: Path, options: argparse.Namespace, released: bool) -> int:
    """Run the chosen notebooks of one course; return how many went wrong."""
    wrong = 0
    for path in notebook_paths(root, options.names):
        start, used = time.perf_counter(), processor_seconds()
        notebook, error = execute(path)
        seconds = time.perf_counter() - start
        used = processor_seconds() - used
        unsolved = first_exercise(notebook) if released else None
        # Where others use the cores as well, it waits longer than it works.
        problem = judge(path, error, min(seconds, used), unsolved)
        wrong += bool(problem)
        where = "as released" if released else "solved"
        stop = f", stops at {unsolved}" if unsolved and not problem else ""
        line = f"{path.name} ({where}): {problem or 'ok'}{stop}, {seconds:.0f} s"
        line += f" ({used:.0f} s of a core)"
        print(line, flush=True)
        if options.html:
            write_page(notebook, options.html / f"{path.stem}-{where.split()[-1]}.html")
    return wrong


def write_page(notebook: nbformat.NotebookNode, path: Path) -> None:
    """The notebook with its outputs as one HTML file."""
    from nbconvert import HTMLExporter

    path.parent.mkdir(parents=True, exist_ok=True)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    path.write_text(page, "utf-8")


def main() -> int:
    """The command; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tests.run_notebooks")
    parser.add_argument("names", nargs="*", help="how file names begin, e.g. 04")
    parser.add_argument("--only", choices=["solved", "released"])
    parser.add_argument("--html", type=Path, help="folder for pages to look at")
    options = parser.parse_args()
    os.environ.setdefault("FCOS_COURSE_WIDGETS", "off")  # nobody moves a slider here
    os.environ.setdefault("FCOS_COURSE_ITERATIONS", "200")  # of a step of the climb
    os.environ.setdefault("FCOS_COURSE_FETCH", "off")  # no weights from the network
    wrong = 0
    if options.only != "released":
        wrong += run_all(ROOT, options, released=False)
    if options.only != "solved":
        from grader.release.build import make_release

        with tempfile.TemporaryDirectory() as folder:
            course = Path(folder).resolve()
            parts = tuple(read_registry(ROOT).parts)
            write_files(make_release(ROOT, parts=parts).files, course)
            lend_data(course)
            wrong += run_all(course, options, released=True)
    return EXIT_PARTLY_FAILED if wrong else EXIT_OK


def lend_data(course: Path) -> None:
    """Spare the release the drawing of pictures that are already here."""
    if (ROOT / "data").is_dir():
        (course / "data").symlink_to(ROOT / "data", target_is_directory=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    run_command(main)
