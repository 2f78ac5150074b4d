"""Going on with a run: is this its checkpoint, and are these its arguments?"""

from pathlib import Path

from core.command import CourseError
from helpers.training.checkpoint import read_checkpoint
from helpers.training.loop import TrainingState
from helpers.training.recipes import Recipe, is_same_recipe


def read_saved(checkpoint: Path, resume: bool) -> dict | None:
    """The checkpoint to go on with, or None for a run that starts.

    Raises:
        CourseError: there is a run that nobody asked to resume, or it is unreadable.
    """
    if not checkpoint.is_file():
        return None
    if resume:
        return read_checkpoint(checkpoint)
    raise CourseError(
        f"{checkpoint} is already there; go on with it by --resume, or give "
        "another --out"
    )


def check_is_same_run(
    saved: dict, recipe: Recipe, seed: int, precision: str, data: dict, checkpoint: Path
) -> None:
    """A run may only go on with what it started with.

    Args:
        precision: as asked for; "auto" takes that of the checkpoint.
        data: what is known of the training images.

    Raises:
        CourseError: names what is different.
    """
    differs = [
        name
        for name, is_same in (
            ("recipe or classes", is_same_recipe(saved.get("recipe"), recipe)),
            ("seed", saved.get("seed") == seed),
            ("precision", precision in ("auto", saved.get("precision"))),
            ("training images", saved.get("data", data) == data),
        )
        if not is_same
    ]
    if differs:
        raise CourseError(
            f"{checkpoint} was made with other arguments ({', '.join(differs)}); "
            "resume with those of its first start, or give another --out"
        )


def restore(state: TrainingState, saved: dict, checkpoint: Path) -> None:
    """Put a saved run back.

    Raises:
        CourseError: the weights do not fit the detector.
    """
    try:
        state.model.load_state_dict(saved["model"])
        state.optimizer.load_state_dict(saved["optimizer"])
        state.average = saved["average"]
    except (RuntimeError, ValueError, KeyError) as error:
        raise CourseError(
            f"the weights in {checkpoint} do not fit the detector in assignment/ "
            f"({str(error).splitlines()[0]}); start again with another --out"
        ) from error
    if state.average is not None:
        device = next(state.model.parameters()).device
        state.average = {k: v.to(device) for k, v in state.average.items()}
    state.iteration = saved["iteration"]
    state.loss_sums = dict(saved.get("loss_sums", {}))
    state.loss_count = saved.get("loss_count", 0)
