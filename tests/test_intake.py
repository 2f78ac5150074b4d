"""What is taken from a submission, and what is refused."""

import os
import stat
import zipfile
from pathlib import Path

import pytest

from core.command import CourseError
from grader.submissions import intake
from grader.submissions.find import find_submissions
from grader.submissions.intake import copy_files, take
from grader.submissions.intake_zip import IntakeError

LINK_MODE = (stat.S_IFLNK | 0o777) << 16


def write_zip(path: Path, names: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return path


def write_files(folder: Path, names: dict[str, bytes]) -> Path:
    for name, content in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.mark.parametrize("pack", [write_files, write_zip])
@pytest.mark.parametrize("prefix", ["", "assignment/", "alice/assignment/"])
def test_intake_takes_the_python_files_of_assignment(tmp_path, pack, prefix):
    """A folder or a zip, with assignment/ or without: only its Python files count."""
    names = {
        f"{prefix}common.py": b"x = 1",
        f"{prefix}extra_part.py": b"y = 2",
        f"{prefix}conftest.ini": b"",
        f"{prefix}my notes.py": b"",
        f"{prefix}sub/common.py": b"z = 3",
    }
    if prefix:
        names["helpers/data/voc.py"] = b"import os"
    taken = take(pack(tmp_path / "a.zip", names))
    assert taken.files == {"common.py": b"x = 1", "extra_part.py": b"y = 2"}
    assert taken.ignored > 0


def test_intake_of_a_zip_without_folder_prefers_assignment(tmp_path):
    """Where both are there, assignment/ is what was asked for."""
    names = {"common.py": b"old", "assignment/common.py": b"new"}
    assert take(write_zip(tmp_path / "a.zip", names)).files == {"common.py": b"new"}
    assert take(write_files(tmp_path / "b", names)).files == {"common.py": b"new"}


WANTED = ("common.py", "head.py", "net.py")
TERM = {
    "A1/knn.py": b"",
    "A4/common.py": b"x = 1",
    "A4/net.py": b"y = 2",
    "A4/.ipynb_checkpoints/common.py": b"old",
    "A4/.ipynb_checkpoints/net.py": b"old",
    "A4/eecs598/utils.py": b"z = 3",
}


@pytest.mark.parametrize("pack", [write_files, write_zip])
@pytest.mark.parametrize("prefix", ["", "my repository/", "umich/2022/"])
@pytest.mark.parametrize("more", [{}, {"setup.py": b""}, {"a/one/main.py": b""}])
def test_intake_finds_the_files_in_the_work_of_a_term(tmp_path, pack, prefix, more):
    """Where the usual places have none of them, the one folder that has some."""
    names = {f"{prefix}{name}": text for name, text in (TERM | more).items()}
    taken = take(pack(tmp_path / "a.zip", names), WANTED)
    assert taken.files == {"common.py": b"x = 1", "net.py": b"y = 2"}


@pytest.mark.parametrize("pack", [write_files, write_zip])
@pytest.mark.parametrize("places", [("A4", "A5"), ("b/c/A4", "tools/b/A4")])
@pytest.mark.parametrize("more", [{}, {"tools/setup.py": b""}])
def test_intake_does_not_guess_between_two_folders(tmp_path, pack, places, more):
    """Refused, whatever else lies there; the sentence names both."""
    names = {f"{places[0]}/common.py": b"", f"{places[1]}/head.py": b""}
    said = rf"\(common.py, head.py\) are in 2 folders, {', '.join(places)};"
    with pytest.raises(IntakeError, match=said):
        take(pack(tmp_path / "a.zip", more | names), WANTED)


@pytest.mark.parametrize("pack", [write_files, write_zip])
@pytest.mark.parametrize("place", ["", "mine/", "assignment/", "mine/assignment/"])
def test_intake_takes_the_usual_place_if_it_has_one_of_the_files(tmp_path, pack, place):
    """Work that is not finished is not replaced by another copy."""
    names = {f"{place}common.py": b"own"}
    names |= {f"old/work/A4/{name}": b"old" for name in WANTED}
    taken = take(pack(tmp_path / "a.zip", names), WANTED)
    assert taken.files == {"common.py": b"own"}


@pytest.mark.parametrize("pack", [write_files, write_zip])
@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "__MACOSX/A4", ".Trash-0/x"])
def test_intake_takes_no_copy_of_a_tool(tmp_path, pack, folder):
    """What a tool hid is not what was handed in."""
    names = {f"a/{folder}/{name}": b"" for name in WANTED}
    with pytest.raises(IntakeError, match="no assignment"):
        take(pack(tmp_path / "a.zip", names), WANTED)


def test_intake_looks_for_files_in_no_link(tmp_path):
    """Another student's folder is not reached."""
    other = write_files(tmp_path / "other", {f"A4/{name}": b"" for name in WANTED})
    write_files(tmp_path / "anna", {"A1/knn.py": b"", "A2/knn.py": b""})
    (tmp_path / "anna" / "A4").symlink_to(other / "A4")
    with pytest.raises(IntakeError, match="in 2 folders"):
        take(tmp_path / "anna", WANTED)
    (tmp_path / "anna" / "A4").unlink()
    write_files(tmp_path / "anna", {"A4/common.py": b""})
    (tmp_path / "anna" / "A4" / WANTED[1]).symlink_to(other / "A4" / WANTED[1])
    with pytest.raises(IntakeError, match="is a link"):
        take(tmp_path / "anna", WANTED)


@pytest.mark.parametrize("pack", [write_files, write_zip])
def test_intake_looks_for_files_not_too_deep(tmp_path, pack):
    """A nest of folders ends the search."""
    names = {f"1/2/3/4/5/{name}": b"" for name in WANTED}
    with pytest.raises(IntakeError, match="no assignment"):
        take(pack(tmp_path / "a.zip", names), WANTED)


def test_intake_of_a_large_folder_takes_what_it_has(tmp_path, monkeypatch):
    """Too much to look through is no reason to refuse the usual place."""
    monkeypatch.setattr(intake, "MOST_ENTRIES", 5)
    names = {"own.py": b"", **{f"data/{n % 3}/{n}.jpg": b"" for n in range(9)}}
    names |= {f"data/A4/{name}": b"" for name in WANTED}
    taken = take(write_files(tmp_path / "a", names), WANTED)
    assert set(taken.files) == {"own.py"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({}, "no assignment"),
        ({"assignment/readme.txt": b""}, "no assignment"),
        ({"../../common.py": b"", "assignment/common.py": b""}, "leads out of it"),
        ({"/etc/cron.d/x.py": b""}, "leads out of it"),
        ({"assignment\\..\\common.py": b""}, "leads out of it"),
        ({"assignment/common.py": b"", "assignment/Common.py": b""}, "capitals"),
        ({"assignment/common.py": b"#" * 1_000_001}, "larger than 1000000"),
        ({"a/common.py": b"", "b/common.py": b""}, "in 2 folders"),
        ({f"assignment/m{n}.py": b"" for n in range(101)}, "at most 100"),
        (
            {f"assignment/m{n}.py": b"#" * 900_000 for n in range(6)},
            "larger than 5000000 bytes together",
        ),
    ],
)
def test_intake_refuses_a_zip_with_one_sentence(tmp_path, names, said):
    """Tricks and accidents of zips are refused, and nothing is unpacked."""
    path = write_zip(tmp_path / "a.zip", names)
    with pytest.raises(IntakeError, match=said) as caught:
        take(path)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == [path]


def test_intake_refuses_a_name_that_is_twice_in_a_zip(tmp_path):
    """Of two files with one name nobody knows which is meant."""
    path = tmp_path / "a.zip"
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(path, "w") as archive,
    ):
        archive.writestr("assignment/common.py", "x = 1")
        archive.writestr("assignment/common.py", "x = 2")
    with pytest.raises(IntakeError, match="twice"):
        take(path)


def test_intake_refuses_a_link_in_a_zip(tmp_path):
    """A link could point at another student's file."""
    link = zipfile.ZipInfo("assignment/common.py")
    link.create_system, link.external_attr = 3, LINK_MODE
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(IntakeError, match="is a link"):
        take(tmp_path / "a.zip")


def test_intake_does_not_believe_the_size_in_a_zip(tmp_path):
    """A zip bomb is read to the limit and no further."""
    path = write_zip(tmp_path / "a.zip", {"assignment/common.py": b"0" * 50_000_000})
    assert path.stat().st_size < 100_000
    with pytest.raises(IntakeError, match="larger than"):
        take(path)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + b"\xff" * 18])
def test_intake_refuses_what_is_no_zip(tmp_path, content):
    """A damaged zip is said to be one."""
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(IntakeError, match="zip"):
        take(tmp_path / "a.zip")


def test_intake_refuses_damaged_content(tmp_path):
    """Bytes that were changed in a zip do not get through."""
    path = write_zip(tmp_path / "a.zip", {"assignment/common.py": bytes(range(256))})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(IntakeError, match="damaged"):
        take(path)


@pytest.mark.parametrize("place", ["assignment/common.py", "assignment", ""])
def test_intake_refuses_links_in_a_folder(tmp_path, place):
    """Neither a file nor a folder of a submission may be a link."""
    other = write_files(tmp_path / "other", {"assignment/common.py": b"secret"})
    link = tmp_path / "alice" / place if place else tmp_path / "alice"
    link.parent.mkdir(exist_ok=True, parents=True)
    link.symlink_to(other / place)
    with pytest.raises(IntakeError, match="link"):
        take(tmp_path / "alice")


def test_intake_does_not_wait_for_a_pipe(tmp_path):
    """A pipe in the place of a file is refused at once."""
    (tmp_path / "assignment").mkdir()
    os.mkfifo(tmp_path / "assignment" / "common.py")
    with pytest.raises(IntakeError, match="is no file"):
        take(tmp_path)


def test_intake_stops_at_a_folder_with_too_many_names(tmp_path, monkeypatch):
    """A folder of a million files is not read to its end."""
    monkeypatch.setattr(intake, "MOST_ENTRIES", 3)
    write_files(tmp_path / "assignment", {f"{n}.txt": b"" for n in range(5)})
    with pytest.raises(IntakeError, match="more than 3"):
        take(tmp_path)


def test_intake_copies_into_a_private_folder(tmp_path):
    """The copy is in a new folder that nobody else can enter."""
    copy_files({"common.py": b"x"}, tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700
    assert (tmp_path / "copy" / "common.py").read_bytes() == b"x"
    with pytest.raises(FileExistsError):
        copy_files({}, tmp_path / "copy")


def test_submissions_of_a_class_are_found_and_named(tmp_path):
    """All entries of a folder, each with an id that is safe everywhere."""
    for name in ("bob", "=1+1", "<script>alert(1)<"):
        write_files(tmp_path / name, {"assignment/common.py": b""})
    write_zip(tmp_path / "carol.zip", {"common.py": b""})
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "bob")
    found = {
        submission.name: submission.id for submission in find_submissions([tmp_path])
    }
    assert set(found) == {"bob", "carol", "=1+1", "<script>alert(1)<"} | {
        "link",
        "notes.txt",
    }
    assert found["bob"] == "bob" and found["carol"] == "carol"
    for student_id in found.values():
        assert not set(student_id) & set("<>()=/\\ ")


def test_submissions_of_one_name_are_one(tmp_path):
    """A folder and a zip, or names that differ in capitals: the latest counts."""
    write_files(tmp_path / "one" / "alice", {"assignment/common.py": b""})
    write_zip(tmp_path / "one" / "Alice.zip", {"common.py": b""})
    write_files(tmp_path / "two" / "alice", {"assignment/common.py": b""})
    os.utime(tmp_path / "one" / "Alice.zip", (9e9, 9e9))
    paths = [tmp_path / "one", tmp_path / "two"]
    for given in (paths, paths[::-1]):
        (found,) = find_submissions(given)
        assert found.id == "alice" and found.path.name == "Alice.zip"
        assert found.earlier == ("alice", "alice")


@pytest.mark.parametrize("name", ["nothing", "file.txt", "empty"])
def test_submissions_that_are_none_are_refused(tmp_path, name):
    """A path that is no submission ends the command with a sentence."""
    (tmp_path / "file.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError):
        find_submissions([tmp_path / name])


@pytest.mark.parametrize("pack", [write_files, write_zip])
def test_intake_without_python_says_what_came_instead(tmp_path, pack):
    """Notebooks alone, say; a name of any length is cut off."""
    names = {"A4.ipynb": b"{}", "n" * 90 + ".pdf": b""}
    with pytest.raises(IntakeError) as caught:
        take(pack(tmp_path / "a.zip", names))
    assert f"one folder of it, only A4.ipynb, {'n' * 60}…; hand in" in str(caught.value)
