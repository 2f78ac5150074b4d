"""Write what course.toml says wherever a text says it too.

Run it after a change of course.toml or of grader_tests/manifest:
python -m tests.course_texts
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from core.command import EXIT_OK, CourseError, run_command
from core.course import PACKAGE, Exercise, Registry, read_registry
from grader.release.parts import MAP, TABLE, map_table
from tests.notebook_points import points_of_exercises, write_points

ROOT = Path(__file__).resolve().parent.parent
# > about 8 lines · 15 minutes · file [assignment/common.py](../assignment/common.py)
BOX = (
    r"(?<=### Exercise {id} · `{function}`\\n\",\n)(?P<before>(?:[^\n]*\n)*?\s*\")"
    r"> about \d+ lines? · \d+ minutes · [^\n\[]*file \[[^\]]*\]\([^)]*\)"
)
DOCSTRING = r"Exercise {id} \(about \d+ lines?\): [^\n]*?(?=\.?\n|\.?\"\"\")"
MOST_DOTS = 5
TIME = r"\*\*Time\*\* \d+ minutes"
# | [1 Data and boxes](notebooks/01_data_and_boxes.ipynb) | intersection over union |
README_ROW = r"^\| \[[^\]]*\]\(notebooks/{notebook}\)(?P<note>[^|]*)\| [^|]* \|"
RANGE = r"(?<=takes )\d+ to \d+(?= minutes)"
COUNT = r"(?<=There are )\d+(?= exercises)"
# [7 Assembling FCOS](07_fcos.ipynb), [7 · Assembling FCOS](07_fcos.ipynb)
LINK = re.compile(r"\[\d+ (?P<dot>· )?[^\]]+\]\((?P<file>\w+\.ipynb)\)")
OF_ALL = r"(?<=notebooks of )\d+ to \d+(?= minutes)"


def box_of(exercise: Exercise) -> str:
    """The line in the notebook's box about an exercise."""
    file = f"{PACKAGE}/{exercise.file}"
    head = f"> {exercise.size} · {exercise.minutes} minutes"
    for name in ("difficulty", "importance"):
        mark = getattr(exercise, name)
        if mark:
            head += f" · {name} {'●' * mark}{'○' * (MOST_DOTS - mark)}"
    return f"{head} · file [{file}](../{file})"


def _link(link: re.Match, registry: Registry) -> str:
    """The same link with the title of the step that it leads to."""
    titles = {step.notebook: step for step in registry.steps.values()}
    step = titles[link["file"]]
    return f"[{step.number} {link['dot'] or ''}{step.title}]({step.notebook})"


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise CourseError(
            f"{path}: cannot read it ({error.strerror}); course.toml needs it"
        ) from error


def texts() -> dict[Path, str]:
    """Path -> what the file should hold, of all files that repeat course.toml.

    Raises:
        CourseError: a file, or the place in it, is missing; one sentence.
    """
    registry = read_registry(ROOT)
    found: dict[Path, str] = {}

    def change(
        path: Path, pattern: str, new: Callable[[re.Match], str], like: str
    ) -> None:
        """Put the new text where the pattern matches, once; like: how that looks."""
        text = found.get(path) or _read(path)
        found[path], count = re.subn(pattern, new, text, flags=re.MULTILINE)
        if count != 1:
            raise CourseError(f"{path}: has {count} places like {like!r}; it needs one")

    for exercise in registry.exercises.values():
        own = {"id": re.escape(exercise.id), "function": re.escape(exercise.function)}
        change(
            ROOT / PACKAGE / exercise.file,
            DOCSTRING.format(**own),
            lambda _, text=exercise.heading: text,  # type: ignore[misc]
            exercise.heading,
        )
        box = box_of(exercise)
        change(
            ROOT / "notebooks" / registry.steps[exercise.step].notebook,
            BOX.format(**own),
            lambda place, box=box: place["before"] + box,  # type: ignore[misc]
            f"### Exercise {exercise.id} · `{exercise.function}`, {box}",
        )
    minutes = [step.minutes for step in registry.steps.values()]
    for step in registry.steps.values():
        notebook = ROOT / "notebooks" / step.notebook
        time = f"**Time** {step.minutes} minutes"
        change(notebook, TIME, lambda _, time=time: time, time)  # type: ignore[misc]
        link = f"| [{step.number} {step.title}](notebooks/{step.notebook})"
        change(
            ROOT / "README.md",
            README_ROW.format(notebook=re.escape(step.notebook)),
            lambda row, link=link, writes=step.writes: (  # type: ignore[misc]
                f"{link}{row['note']}| {writes} |"
            ),
            f"{link} | {step.writes} | |",
        )
    first = ROOT / "notebooks" / registry.steps[0].notebook
    range_text = f"{min(minutes[1:])} to {max(minutes)}"
    change(first, RANGE, lambda _: range_text, f"takes {range_text} minutes")
    count_text = str(len(registry.exercises))
    change(first, COUNT, lambda _: count_text, f"There are {count_text} exercises")
    range_text = f"{min(minutes)} to {max(minutes)}"
    like = f"notebooks of {range_text} minutes"
    change(ROOT / "docs" / "self-study.md", OF_ALL, lambda _: range_text, like)
    for path in [path for path in found if path.suffix == ".ipynb"]:
        found[path] = LINK.sub(lambda link: _link(link, registry), found[path])
    found[ROOT / MAP] = TABLE.sub(
        lambda _: map_table(registry), (ROOT / MAP).read_text("utf-8")
    )
    return found


def main() -> int:
    """Write them all, and the points of the notebooks' cells."""
    for path, text in texts().items():
        is_new = path.read_text("utf-8") != text
        if is_new:
            path.write_text(text, "utf-8")
        print(f"{path.relative_to(ROOT)}: {'changed' if is_new else 'as it was'}")
    points = points_of_exercises()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        print(f"{path.name}: points of {write_points(path, points)} cells changed")
    return EXIT_OK


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    run_command(main)
