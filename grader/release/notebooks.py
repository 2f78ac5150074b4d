"""Clear solutions and hidden tests out of a notebook, with nbgrader's own tools."""

from core.command import CourseError
from grader.release.markers import find_regions
from grader.release.stubs import SecretLine

CODE_STUB = 'raise NotImplementedError("Write this cell: the text above says what")'
TEXT_STUB = "*Your answer here.*"


def clear_notebook(text: str, where: str) -> tuple[str, list[SecretLine]]:
    """The student's version of a notebook, and the lines that were taken out.

    Cells that nbgrader calls a solution are cleared as a whole, as `nbgrader
    generate_assignment` does; in all others the marked regions are.

    Args:
        text: the .ipynb file.
        where: its name, for messages.

    Raises:
        CourseError: it is no notebook, or its markers are wrong.
    """
    # Slow to import, and only instructors have a need for it.
    import nbformat
    from nbgrader.preprocessors import (  # type: ignore[import-untyped]
        ClearHiddenTests,
        ClearSolutions,
    )

    try:
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except (
        nbformat.ValidationError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
    ) as error:
        reason = str(error).splitlines()[0]
        raise CourseError(
            f"{where}: is no notebook ({reason}); save it again in Jupyter"
        ) from error
    before = [cell.source for cell in notebook.cells]
    for number, source in enumerate(before, start=1):
        find_regions(source.splitlines(), f"{where}: cell {number}, line")
    # The markers are checked above, more strictly than nbgrader does.
    clear_solutions = ClearSolutions(
        enforce_metadata=False,
        code_stub={"python": CODE_STUB},
        text_stub=TEXT_STUB,
        begin_solution_delimeter="### BEGIN SOLUTION",
        end_solution_delimeter="### END SOLUTION",
    )
    try:
        notebook, _ = ClearHiddenTests(enforce_metadata=False).preprocess(notebook, {})
        notebook, _ = clear_solutions.preprocess(notebook, {})
    except (ValueError, RuntimeError) as error:
        raise CourseError(f"{where}: {error}; correct the notebook") from error
    secrets = []
    for number, (old, cell) in enumerate(
        zip(before, notebook.cells, strict=True), start=1
    ):
        secrets += _lost_lines(old, cell.source, f"{where}: cell {number}, line")
    return nbformat.writes(notebook) + "\n", secrets


def _lost_lines(before: str, after: str, where: str) -> list[SecretLine]:
    kept = {line.strip() for line in after.splitlines()}
    return [
        SecretLine(line.strip(), f"{where}:{number}")
        for number, line in enumerate(before.splitlines(), start=1)
        if line.strip() not in kept
    ]
