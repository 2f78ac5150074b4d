"""Whose a hand-in is says its own name alone, and nobody can ask for another's."""

import os
import zipfile
from pathlib import Path

import pytest

from grader.grading.earlier import join_earlier
from grader.pages.class_report import REPLACED
from grader.pages.class_results import read_class
from grader.results.results import FINISHED, UNFINISHED, make_zero, write_results
from grader.submissions.find import Submission, find_submissions, with_ids
from grader.submissions.ids import TAKEN, exact_id, id_of, person_of

CLASS = [
    "ada",
    "Bob",
    "Zoë",
    "Ada Lovelace",
    "=1+1",
    "x" * 300,
    "..",
    "lovelaceada_12345_67890_assignment-1",
    "Ada Lovelace_77_assignsubmission_file_",
    "\udcff",
]


def ids_of(*names: str) -> list[str]:
    named = ((Path("class") / name, name) for name in names)
    return [submission.id for submission in with_ids(named)]


def test_a_plain_name_is_kept():
    """What is safe is the folder's name."""
    assert ids_of("alice", "bob-2") == ["alice", "bob-2"]


def test_ids_are_those_that_each_name_has_alone():
    """Classmates, their number and their order change nothing."""
    alone = [ids_of(name)[0] for name in CLASS]
    assert ids_of(*CLASS) == alone and len(set(alone)) == len(CLASS)
    assert ids_of(*reversed(CLASS)) == alone[::-1]
    assert len({name.lower() for name in alone}) == len(CLASS)
    assert all(len(name) < 128 and not name.startswith((".", "-")) for name in alone)


def test_a_name_like_the_id_of_another_gets_an_id_of_its_own():
    """The id made for a name with odd letters can be worked out, and not be taken."""
    (made,) = ids_of("Zoë")
    first, second = ids_of("Zoë", made)
    assert first == made != second
    assert ids_of("Zoë", made, made.upper()) == [first, second]


def test_names_of_the_graders_own_files_are_not_given_away():
    """A submission called index.html does not stand where the page must be."""
    for name in TAKEN:
        for spelling in (name, name.upper()):
            assert ids_of(spelling)[0].lower() not in TAKEN
            assert exact_id(spelling).lower() not in TAKEN


SAME = {
    "capitals": ("Ada", "ADA", "ada"),
    "a letter in two parts": ("Zo\u00eb", "Zoe\u0308", "ZOE\u0308", "ZO\u00cb"),
    "dots and blanks at the end": ("ada", "ada.", "ada ", " ada. .", "ada\u00a0"),
    "blanks": ("Ada Lovelace", "Ada  Lovelace", "Ada\u2003Lovelace"),
    "what cannot be seen": ("ada", "a\u200bda", "\u202eada", "ada\ufeff"),
    "Canvas": (
        "lovelaceada_12345_67890_assignment",
        "lovelaceada_12345_67890_assignment-1",
        "lovelaceada_LATE_12345_99999_other_name",
    ),
    "Moodle": (
        "Ada Lovelace_12345_assignsubmission_file_",
        "Ada Lovelace_12345_assignsubmission_file",
        "Ada Lovelace_12345_assignsubmission_file_assignment",
        "Ada Lovelace_12345_assignsubmission_onlinetext_",
    ),
    "Blackboard": (
        "Detector_ada12_attempt_2026-10-02-10-15-00_assignment",
        "Detector_ada12_attempt_2026-10-09-08-00-00_other",
        "Detector_ada12_attempt_2026-10-09-08-00-00",
    ),
    "Brightspace": (
        "12345-67890 - Ada Lovelace - Oct 2, 2026 1015 AM",
        "12345-67890 - Ada Lovelace - Nov 12, 2026 1105 PM",
    ),
}
OTHERS = [
    ("ada", "ada2"),
    ("ada", "ada (1)"),
    ("Weiss", "Weiß"),
    ("lovelaceada_12345_67890_a", "lovelaceada_12346_67890_a"),
    ("Ada Lovelace_1_assignsubmission_file_", "Ada Lovelace_2_assignsubmission_file_"),
    (
        "Detector_ada12_attempt_2026-10-02-10-15-00_a",
        "Detector_ada13_attempt_2026-10-02-10-15-00_a",
    ),
    ("team_1_2_a", "team_1_3_a"),
    ("a.b", "a_b"),
]


@pytest.mark.parametrize("case", SAME)
def test_one_person_has_one_id(case: str):
    """However a system writes the name, and whichever attempt it is."""
    assert len({id_of(name) for name in SAME[case]}) == 1


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_two_people_have_two_ids(one: str, other: str):
    """A rule that joins too much would take somebody's grade."""
    assert id_of(one) != id_of(other)


def test_ids_of_students_of_a_gradebook_are_of_the_exact_name():
    """Two that differ in capitals only are two there."""
    assert exact_id("Ada") == "Ada" != exact_id("ada")


def test_numbers_without_end_are_read():
    """A name cannot stop the search for hand-ins."""
    assert person_of(f"a_12_{'9' * 200}_b").attempt == int("9" * 100)


UNREADABLE = (". .", "onlinetext_")  # names of folders without Python files


def make_hand_ins(folder: Path, names: list[str]) -> None:
    """Zips, folders and other files, each a second later than the one before."""
    for number, name in enumerate(names):
        path = folder / name
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("common.py", "")
        elif path.suffix:
            path.write_bytes(b"%PDF")
        else:
            path.mkdir()
            if not name.endswith(UNREADABLE):
                (path / "common.py").write_text("")
        os.utime(path, (1_000_000 + number, 1_000_000 + number))


@pytest.mark.parametrize(
    ("names", "counts"),
    [
        (["Ada.zip", "ada.zip"], "ada.zip"),
        (["ada.zip", "Ada"], "Ada"),
        (["ada.zip", "ADA.zip", "Ada. ."], "ADA.zip"),
        (["a_12_99_x.zip", "a_12_100_x.zip", "a_LATE_12_98_x.zip"], "a_12_100_x.zip"),
        (["a_12_34_x.zip", "a_12_35_report.pdf"], "a_12_34_x.zip"),
        (
            ["A B_1_assignsubmission_file_", "A B_1_assignsubmission_onlinetext_"],
            "A B_1_assignsubmission_file_",
        ),
        (
            [
                "H_ada_attempt_2026-10-09-08-00-00_x.zip",
                "H_ada_attempt_2026-10-02-10-15-00_x.zip",
                "H_ada_attempt_2026-10-09-08-00-00.txt",
            ],
            "H_ada_attempt_2026-10-09-08-00-00_x.zip",
        ),
    ],
)
def test_the_latest_hand_in_of_a_person_counts(tmp_path, capsys, names, counts):
    """One result, and a sentence that says which one was graded."""
    make_hand_ins(tmp_path, [*names, "other.zip"])
    found = {submission.id: submission for submission in find_submissions([tmp_path])}
    own = found[id_of(Path(counts).stem if counts.endswith("zip") else counts)]
    assert len(found) == 2 and own.path.name == counts
    assert len(own.earlier) == len(names) - 1
    said = capsys.readouterr().err
    assert f"{len(names)} hand-ins of one person: {counts} counts" in said


def write_result(folder: Path, name: str, status: str = FINISHED) -> None:
    folder.mkdir()
    hand_in = Submission(name, folder.name, folder)
    write_results(folder, make_zero(hand_in, [], status, "", {}))


def test_of_two_results_of_a_person_the_grade_has_the_row(tmp_path, capsys):
    """The other is no grade: refused, or not finished."""
    (tmp_path / "run.json").write_text("{}")
    write_result(tmp_path / "Ada", "Ada")
    write_result(tmp_path / "ada", "ada", UNFINISHED)
    join_earlier(tmp_path, with_ids([(Path("ada"), "ada")]))
    (row,) = read_class(tmp_path)
    assert (row.id, row.is_graded) == ("ada", True)
    (other,) = (tmp_path / REPLACED).iterdir()
    assert (other / "results.json").is_file()
    said = capsys.readouterr().err
    assert "Ada: results of ada, now in ada" in said
    assert f"ada: results of ada, now in {REPLACED}/ada-1" in said


def test_results_of_an_earlier_release_are_joined(tmp_path, capsys):
    """It kept them under the name as it was written, so that one had two rows."""
    (tmp_path / "run.json").write_text("{}")
    write_result(tmp_path / "Ada", "Ada")
    write_result(tmp_path / "Zo_-12345678", "Zoë", UNFINISHED)
    write_result(tmp_path / "Bob", "Bob")
    write_result(tmp_path / "bob", "bob")
    write_result(tmp_path / "Carl", "Carl")
    given = with_ids((Path(name), name) for name in ("ada", "Zoë", "BOB"))
    join_earlier(tmp_path, given)
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"ada", id_of("Zoë"), "bob", "Carl", REPLACED}
    assert [path.name for path in (tmp_path / REPLACED).iterdir()] == ["Bob-1"]
    assert "Ada: results of ada, now in ada" in capsys.readouterr().err
    join_earlier(tmp_path, given)
    assert capsys.readouterr().err == ""
    join_earlier(tmp_path / "nothing", given)
