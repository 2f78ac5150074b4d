"""What the tests of step 12 share: levels in, boxes out, and known mistakes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from grader_tests.oracles.plain_inference import (
    Candidate,
    Choices,
    Level,
    Row,
    Slip,
    Stay,
    plain_candidates,
    plain_level,
    plain_suppress,
)
from grader_tests.references import load_cases
from grader_tests.tools import give
from helpers.checks.again import KEPT, TELLING, is_same
from helpers.checks.answers import expect_parts
from helpers.checks.expect import CheckError, expect_close, expect_tensor, find_cause
from helpers.checks.student import Student

CANDIDATES, LEVEL, SUPPRESS = "find_candidates", "decode_level", "suppress"
MOST = (20, 50, 100, 200, 300, 500, 1000)
NEAR = 1e-3  # pixels; scores are held to 1e-4
Wrong = Mapping[str, Callable[[], torch.Tensor]]

OF_SCORES: Mapping[str, Slip] = {
    "the score is not square-rooted": Slip(root=False),
    "the centerness is left out of the score": Slip(centerness="none"),
    "the class probability alone is the score": Slip(centerness="none", root=False),
    "a sigmoid of the centerness is applied twice": Slip(centerness="twice"),
    "softmax instead of sigmoid": Slip(activation="softmax"),
    "a sigmoid of the class is applied twice": Slip(activation="twice"),
    "the threshold is for the product, not for its root": Slip(is_low=True),
    "threshold_on is taken for the other one": Slip(other_threshold=True),
    "multi_label is taken for the other one": Slip(other_number=True),
    "a score of exactly the threshold passes": Slip(at_least=True),
    "classes begin at 1, not at 0": Slip(first_class=1),
    "candidates come class by class, not place by place": Slip(by="class"),
    "candidates come best first, not place by place": Slip(by="score"),
    "low scores are kept as class -1, not dropped": Slip(low="relabel"),
    "low scores become -1 instead of being dropped": Slip(low="score"),
    "place and class are taken the wrong way out of a flattened index": Slip(
        turned=True
    ),
}
OF_LEVELS: Mapping[str, Slip] = {
    "the first candidates go on, not the best": Slip(limit="first"),
    "so many of each class go on, not of the level": Slip(limit="of class"),
    "so many locations go on, with all their classes": Slip(limit="of place"),
    "top_k limits each level, whatever top_k_of says": Slip(limit="always"),
    "top_k limits no level": Slip(limit="never"),
    "candidates are not sorted by score": Slip(order="place"),
    "the least sure comes first": Slip(order="rising"),
    "the boxes are not those of the sorted candidates": Slip(unsorted="boxes"),
    "the points are not those of the sorted candidates": Slip(unsorted="points"),
    "the distances are not those of the sorted candidates": Slip(unsorted="distances"),
    "the classes are not those of the sorted candidates": Slip(unsorted="classes"),
    "top and bottom are exchanged": Slip(sides="turned"),
    "negative distances do not count as 0": Slip(sides="negative"),
    "negative distances to the right and below do not count as 0": Slip(sides="inside"),
}
OF_REST: Mapping[str, Stay] = {
    "NMS runs across classes": Stay(across_classes=True),
    "NMS is left out": Stay(suppress=False),
    "the best are taken before NMS, not behind it": Stay(limit="before"),
    "so many of each class stay, not of the image": Stay(limit="of class"),
    "max_detections is not looked at": Stay(limit="never"),
    "max_detections = 0 lets none through; it is all": Stay(limit="none"),
    "ties do not come out though keep_ties is set": Stay(ties="none"),
    "ties come out though keep_ties is not set": Stay(ties="all"),
    "ties are those of the first that is left out, not of the last one": Stay(
        ties="next"
    ),
    "what stays is in the order given, not best first": Stay(order="given"),
    "boxes are taken in the order given, not by score": Stay(order="input"),
    "what stays comes class by class, not best first": Stay(order="class"),
}


def make_version(student: Student, choices: Choices, **others: Any) -> Any:
    """A config with these choices, made where the student's code runs."""
    return student.fcos_published.FCOSConfig(**choices._asdict(), **others)


def read_level(case: str) -> Level:
    """A stored level of one image, "wide" or "other"."""
    return Level(**load_cases("step12", "level")[case])


def read_found(case: str) -> list[Row]:
    """Stored rows of one image, "some" or "crowd"."""
    stored = load_cases("step12", "found")[case]
    return rows_of(stored["boxes"], stored["classes"], stored["scores"])


def read_images() -> list[dict[str, Level]]:
    """The stored levels of each image of a batch."""
    images = []
    for stored in load_cases("step12", "batch").values():
        names = list(dict.fromkeys(name.split("-")[1] for name in sorted(stored)))
        images.append(
            {
                level: Level(*(stored[f"{part}-{level}"] for part in Level._fields))
                for level in names
            }
        )
    return images


def rows_of(
    boxes: torch.Tensor, classes: torch.Tensor, scores: torch.Tensor
) -> list[Row]:
    """Rows of the slow loops, of tensors."""
    table = torch.cat(
        (boxes.double(), classes.double()[:, None], scores.double()[:, None]), dim=1
    )
    return [tuple(row) for row in table.tolist()]


def table_of(rows: Sequence[Row] | Sequence[Candidate], columns: int) -> torch.Tensor:
    """(n, columns) float64."""
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, columns)


def give_level(student: Student, level: Level) -> list[torch.Tensor]:
    """What decode_level gets first."""
    return [give(student, part, part.dtype) for part in level]


def give_found(student: Student, rows: Sequence[Row]) -> tuple[torch.Tensor, ...]:
    """What `suppress` gets first; tuples go in as they are."""
    table = table_of(rows, 6)
    return (
        give(student, table[:, :4]),
        give(student, table[:, 4], torch.int64),
        give(student, table[:, 5]),
    )


def read_candidates(
    answer: Any, what: str = CANDIDATES, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """(n, 3) float64 of place, class, score."""
    parts = expect_parts(answer, ("places", "classes", "scores"), what)
    number = len(expect_tensor(parts[0], f"places of {what}"))
    kinds = (("places", torch.int64), ("classes", torch.int64), ("scores", dtype))
    columns = [
        expect_tensor(part, f"{name} of {what}", shape=(number,), dtype=kind).double()
        for part, (name, kind) in zip(parts, kinds, strict=True)
    ]
    return torch.stack(columns, dim=1)


def read_found_of(
    answer: Any, what: str, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """(n, 6) float64 of x1, y1, x2, y2, class, score."""
    parts = expect_parts(answer, ("boxes", "classes", "scores"), what)
    number = len(expect_tensor(parts[2], f"scores of {what}"))
    boxes = expect_tensor(parts[0], f"boxes of {what}", shape=(number, 4), dtype=dtype)
    kinds = (("classes", torch.int64), ("scores", dtype))
    columns = [
        expect_tensor(part, f"{name} of {what}", shape=(number,), dtype=kind).double()
        for part, (name, kind) in zip(parts[1:], kinds, strict=True)
    ]
    return torch.cat((boxes.double(), torch.stack(columns, dim=1)), dim=1)


def expect_table(
    got: torch.Tensor, right: torch.Tensor, what: str, names: str, wrong: Wrong
) -> None:
    """The rows of an answer, in their order.

    Args:
        wrong: known mistake -> the rows that it gives; looked at after a failure.
    """
    if got.shape == right.shape:
        expect_close(
            got, right, what, names=names, place="row", causes=wrong, atol=NEAR
        )
        expect_close(
            got[:, -1], right[:, -1], f"scores of {what}", place="row", atol=1e-4
        )
        return
    cause = find_cause(got, {**wrong, **_no_more(got, right)}, NEAR, 1e-4)
    message = f"expected {len(right)} rows, got {len(got)}"
    raise CheckError("wrong value", what, message, cause)


def _no_more(got: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
    """Whether these are the first ones, as many as a limit lets through."""
    return {
        f"no more than {most} come out, which nothing asks for": right[:most]
        for most in MOST
        if len(got) == most < len(right)
    }


def expect_right(
    answer: Any, check: Callable[[Any], None], ask_other: Callable[[], Any] | None
) -> None:
    """The check of an answer; one that is kept from an earlier call is told as such.

    Args:
        ask_other: the same call with the same numbers in another order, whose right
            answer is another; made after a failure.
    """
    try:
        check(answer)
    except CheckError as error:
        if ask_other is not None and error.category == "wrong value":
            other = ask_other()
            if is_same(other, answer) and len(answer[0]) >= TELLING:
                error.cause = KEPT
        raise


def turned(level: Level) -> Level | None:
    """The locations of a level in the opposite order; None of less than two."""
    if len(level.points) < 2:
        return None
    return Level(*(part.flip(0) for part in level))


def elsewhere(level: Level) -> Level | None:
    """The same at points in the opposite order; None of less than two."""
    if len(level.points) < 2:
        return None
    return level._replace(points=level.points.flip(0))


def exchanged(rows: Sequence[Row]) -> list[Row]:
    """The boxes of the rows in the opposite order, the rest as it is."""
    pairs = zip(rows, rows[::-1], strict=True)
    return [(*other[:4], *row[4:]) for row, other in pairs]


def _moved(got: torch.Tensor, right: torch.Tensor) -> str | None:
    """What all boxes have in common that lie beside the right ones."""
    if got.shape != right.shape or len(got) < 4:
        return None
    by = (got - right)[:, :4]
    if not torch.allclose(by, by[:1].expand_as(by), atol=NEAR) or not bool(by.any()):
        return None
    x1, y1, x2, y2 = by[0].tolist()
    if max(abs(x1 - x2), abs(y1 - y2)) < NEAR:
        return "all boxes are moved by as much; the points are the locations themselves"
    if max(abs(x1 + x2), abs(y1 + y2), abs(x1 - y1)) < NEAR:
        return "all sides are longer, or shorter, by as much; nothing is added to them"
    return None


def candidate_check(
    level: Level,
    threshold: float,
    choices: Choices,
    *,
    what: str = CANDIDATES,
    causes: Wrong | None = None,
    dtype: torch.dtype = torch.float32,
) -> Callable[[Any], None]:
    """What raises a CheckError unless the candidates are those of the slow loop."""
    given = level.cls_logits.double(), level.ctr_logits.double()

    def table(slip: Slip) -> torch.Tensor:
        return table_of(plain_candidates(*given, threshold, choices, slip), 3)

    right = table(Slip())
    wrong: dict[str, Callable[[], torch.Tensor]] = {
        said: (lambda slip=slip: table(slip))  # type: ignore[misc]
        for said, slip in OF_SCORES.items()
    }
    wrong.update(causes or {})

    def check(answer: Any) -> None:
        got = read_candidates(answer, what, dtype)
        expect_table(got, right, what, "place,class,score", wrong)

    return check


def level_check(
    level: Level,
    threshold: float,
    choices: Choices,
    *,
    what: str = LEVEL,
    causes: Wrong | None = None,
    dtype: torch.dtype = torch.float32,
) -> Callable[[Any], None]:
    """What raises a CheckError unless the boxes are those of the slow loop."""
    given = Level(*(part.double() for part in level))

    def table(slip: Slip) -> torch.Tensor:
        return table_of(plain_level(given, threshold, choices, slip), 6)

    right = table(Slip())
    wrong: dict[str, Callable[[], torch.Tensor]] = {
        said: (lambda slip=slip: table(slip))  # type: ignore[misc]
        for said, slip in OF_LEVELS.items()
    }
    wrong.update(causes or {})

    def check(answer: Any) -> None:
        got = read_found_of(answer, what, dtype)
        try:
            expect_table(got, right, what, "x1,y1,x2,y2,class,score", wrong)
        except CheckError as error:
            error.cause = error.cause or _moved(got, right)
            raise

    return check


def rest_check(
    rows: Sequence[Row],
    nms_threshold: float,
    choices: Choices,
    *,
    what: str = SUPPRESS,
    causes: Wrong | None = None,
) -> Callable[[Any], None]:
    """What raises a CheckError unless those stay that the slow loop keeps."""

    def table(stay: Stay) -> torch.Tensor:
        return table_of(plain_suppress(rows, nms_threshold, choices, stay), 6)

    right = table(Stay())
    wrong: dict[str, Callable[[], torch.Tensor]] = {
        said: (lambda stay=stay: table(stay))  # type: ignore[misc]
        for said, stay in OF_REST.items()
    }
    wrong.update(causes or {})

    def check(answer: Any) -> None:
        got = read_found_of(answer, what)
        expect_table(got, right, what, "x1,y1,x2,y2,class,score", wrong)

    return check
