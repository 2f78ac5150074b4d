"""What a student reads when their code raises: their own lines, and none of ours."""

import linecache
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from core.time_limit import TimeLimitError
from helpers.checks.exercises import ROOT
from helpers.checks.known_errors import known_error

PLACES = 3  # of the student's own frames; the innermost ones tell the most
MESSAGE_LETTERS = 300
# What the commonest exceptions mean here: type, part of the text, sentence. The first
# that fits is said, so that what is narrower comes first.
MEANINGS = (
    ("RuntimeError", "must match the size", "two tensors do not fit together; print "
     "their shapes just before this line"),
    ("RuntimeError", "should have the same", "two tensors have different dtypes or "
     "devices; make new ones with dtype= and device= of the input"),
    ("RuntimeError", "in-place operation", "a tensor that a gradient needs was changed "
     "in place; make a new one"),
    ("RuntimeError", "shape mismatch", "tensors of this line have shapes that do not "
     "fit; print them"),
    ("RuntimeError", "non-empty TensorList", "there is nothing to join; print what "
     "is joined"),
    ("IndexError", "Dimension out of range", "the tensor has fewer dimensions than "
     "this line thinks; print its shape"),
    ("IndexError", "out of range", "this index is not there; print the index and the "
     "length"),
    ("IndexError", "too many indices", "the tensor has fewer dimensions than this "
     "line thinks; print its shape"),
    ("IndexError", "no elements", "a minimum or maximum over nothing; print the shape"),
    ("IndexError", "non-zero size", "a minimum or maximum over nothing; print the "
     "shape"),
    ("TypeError", "NoneType", "something is None here; print what this line uses"),
    ("AttributeError", "NoneType", "something is None here; print what this line uses"),
    ("AttributeError", "before Module.__init__", "call super().__init__() first"),
    ("ModuleNotFoundError", "'assignment.", "that file is not there; put it back with "
     "python -m helpers.check reset and the number of an exercise that is in it"),
    ("ModuleNotFoundError", "", "no package of that name is here; requirements.txt "
     "lists those of the course, and the grader has no others"),
    ("ImportError", "circular import", "two files import each other; take one of these "
     "imports out"),
    ("ImportError", "cannot import name", "that file or package has no such name; look "
     "for a typing mistake, or put it back with python -m helpers.check reset"),
    ("NameError", "", "this name is not known here; a typing mistake, or an import "
     "is missing"),
    ("KeyError", "", "this key is not in the dict; print its keys"),
    ("UnboundLocalError", "", "this name has no value yet; it gets one only further "
     "down, or in a branch or loop that did not run"),
    ("RecursionError", "", "functions call each other, or themselves, without an end"),
    ("ZeroDivisionError", "", "divided by zero; print what is below the line"),
)  # fmt: skip


OWN_FILE = re.compile(r"^No module named '([A-Za-z_0-9]+)'$")
NOTEBOOK_LINE = "lines with % or ! work in notebooks only; take this one out"


@dataclass(frozen=True)
class Place:
    """One frame of the student's code.

    Attributes:
        file: "common.py".
        line: counted from 1.
        function: in which it is, "iou".
        code: that line, without indentation.
    """

    file: str
    line: int
    function: str
    code: str


def own_places(error: BaseException, root: Path = ROOT) -> list[Place]:
    """The frames of an exception that are in assignment/, outermost first."""
    places: list[Place] = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        place = _place_of(frame, line, root)
        # A list in brackets has a frame of its own, on the same line.
        if place is not None and place not in places[-1:]:
            places.append(place)
    return places


def _place_of(frame: FrameType, line: int, root: Path) -> Place | None:
    # Resolved, because assignment/ may be a link to a folder on a drive.
    path = Path(frame.f_code.co_filename)
    if (root / "assignment").resolve() not in path.resolve().parents:
        return None
    code = linecache.getline(str(path), line).strip()
    function = frame.f_code.co_qualname.split(".<locals>")[0]
    return Place(path.name, line, function, code)


Explained = tuple[str, list[str], str]


def explain_exception(error: BaseException, root: Path = ROOT) -> Explained:
    """A headline, the lines below it, and the likely mistake; no traceback of ours.

    Args:
        error: what the student's code raised.
        root: the folder that holds assignment/.
    """
    if isinstance(error, SyntaxError):
        return _explain_syntax(error)
    kind = type(error).__name__
    said = " ".join(str(error).split())[:MESSAGE_LETTERS]
    places = own_places(error, root)
    if not places:
        return f"{kind}: {said}" if said else kind, [], ""
    last = places[-1]
    lines = [said] if said else []
    for place in places[-PLACES:]:
        lines.append(f"{place.file}, line {place.line}, in {place.function}:")
        lines.append(f"    {place.code}")
    headline = f"{kind} at line {last.line} of {last.file}"
    return headline, lines, _meaning(kind, said)


def _explain_syntax(error: SyntaxError) -> Explained:
    file = Path(error.filename or "assignment").name
    lines = []
    if error.text:
        code = error.text.rstrip("\n")
        stripped = code.lstrip()
        shift = len(code) - len(stripped)
        lines = [f"    {stripped}"]
        if error.offset:
            lines.append("    " + " " * max(error.offset - 1 - shift, 0) + "^")
    said = error.msg or "this line is no Python"
    return (
        f"{file} cannot be read by Python: line {error.lineno or 1}, {said}",
        lines,
        NOTEBOOK_LINE if (error.text or "").lstrip().startswith(("%", "!")) else "",
    )


def explain_import(error: BaseException, file: str, root: Path = ROOT) -> Explained:
    """The same for a file that fails while it is loaded.

    Args:
        error: what was raised.
        file: that was loaded; the mistake may be in one that it imports.
        root: the folder that holds assignment/.
    """
    if isinstance(error, SyntaxError):
        return _explain_syntax(error)
    if isinstance(error, SystemExit):
        return f"{file} ends the program while it is loaded; remove its exit()", [], ""
    if isinstance(error, TimeLimitError):
        places = own_places(error, root)[-1:]
        lines = [f"it stood at line {place.line}: {place.code}" for place in places]
        return (
            f"{file} does not end while it is loaded: a loop without an end?",
            lines,
            "",
        )
    headline, lines, likely = explain_exception(error, root)
    return f"{file} cannot be loaded: {headline}", lines, likely


def _meaning(kind: str, said: str) -> str:
    own = OWN_FILE.search(said) if kind == "ModuleNotFoundError" else None
    if own and (ROOT / "assignment" / f"{own[1]}.py").is_file():
        return f"from outside it is called assignment.{own[1]}; write that"
    return known_error(said) or next(
        (text for name, part, text in MEANINGS if name == kind and part in said), ""
    )
