"""Nobody gets the folder of results of somebody else by choosing a name."""

from pathlib import Path

import grader.submissions.find
from grader.submissions.find import TAKEN, with_ids


def ids_of(*names: str) -> list[str]:
    named = ((Path("class") / name, name) for name in names)
    return [submission.id for submission in with_ids(named)]


def test_a_plain_name_is_kept():
    """What is safe and alone is the folder's name."""
    assert ids_of("alice", "bob-2") == ["alice", "bob-2"]


def test_a_name_like_the_id_of_another_gets_an_id_of_its_own():
    """The id made for a name with odd letters can be worked out, and not be taken."""
    (made,) = ids_of("Zoë")
    first, second = ids_of("Zoë", made)
    assert first == made != second
    ids = ids_of("Zoë", made, made.upper())
    assert len({student_id.lower() for student_id in ids}) == 3


def test_names_of_the_graders_own_files_are_not_given_away():
    """A submission called index.html does not stand where the page must be."""
    for name in TAKEN:
        for spelling in (name, name.upper()):
            assert ids_of(spelling)[0].lower() not in TAKEN


def test_equal_digests_do_not_merge(monkeypatch):
    """Somebody may search for a name with the same short digest."""
    digest = grader.submissions.find._digest
    monkeypatch.setattr(
        grader.submissions.find,
        "_digest",
        lambda text: digest(text) if "class" in text else "0" * 64,
    )
    assert len(set(ids_of("Zoë", "Zoö"))) == 2
