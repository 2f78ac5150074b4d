"""Trees of one's own: what tools and people write beside VOC's form loses no label."""

import json
import os
import shutil
import struct
import sys
from pathlib import Path

import pytest
from PIL import Image

from core.command import CourseError
from data_scripts.clean_copy import count_kept, write_clean_copy
from data_scripts.findings import image_problem
from data_scripts.tree_check import check_tree
from data_scripts.voc_format import find_voc_root, read_annotation, read_split
from helpers.data.images import load_image
from helpers.data.voc import VOC2007DetectionTiny
from tests.broken_trees import NONE_LOST, XML, call, edit, snapshot, write_data

TRAIN = "ImageSets/Main/train.txt"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Four images with 3, 0, 1 and 1 objects, without mistakes."""
    return write_data(tmp_path)


def fix(monkeypatch, capsys, data_dir: Path, *more: str) -> tuple[int, str, Path]:
    """Write a clean copy; returns the exit code, what was said, and the copy."""
    clean = data_dir.with_name("clean")
    line = ("--data-dir", data_dir, "--fix", "--out", clean, *more)
    return *call(monkeypatch, capsys, *line), clean


def rename_classes(data_dir: Path) -> None:
    """Cat, dog and bird become bolt, nut and washer."""
    for path in find_voc_root(data_dir).glob("Annotations/*.xml"):
        text = path.read_text()
        for old, new in (("cat", "bolt"), ("dog", "nut"), ("bird", "washer")):
            text = text.replace(f"<name>{old}</name>", f"<name>{new}</name>")
        path.write_text(text)


def test_check_says_how_to_name_classes_of_your_own(data_dir, monkeypatch, capsys):
    """One finding for the whole tree, with the file and the option."""
    rename_classes(data_dir)
    code, said = call(monkeypatch, capsys, "--data-dir", data_dir)
    assert code == 1
    assert "3 classes are not among VOC's: nut (2 objects)" in said.replace(
        "bolt (2 objects), ", ""
    )
    assert f"{find_voc_root(data_dir)}/classes.txt, one per line" in said
    assert "--classes" in said
    assert "1 findings" in said


def test_fix_keeps_objects_of_classes_of_your_own(data_dir, monkeypatch, capsys):
    """The copy gets the list that was missing, and the loader reads every object."""
    rename_classes(data_dir)
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert code == 0
    assert NONE_LOST in said
    data = VOC2007DetectionTiny(clean)
    assert data.class_names == ("bolt", "nut", "washer")
    assert [len(record.boxes) for record in data.records] == [3, 0]


def test_fix_takes_the_classes_that_are_given(data_dir, monkeypatch, capsys):
    """Their order is that of the numbers; they stand in the copy."""
    rename_classes(data_dir)
    names = ("washer", "nut", "bolt")
    code, said, clean = fix(monkeypatch, capsys, data_dir, "--classes", *names)
    assert code == 0, said
    assert VOC2007DetectionTiny(clean).class_names == names


def test_fix_accounts_for_objects_that_the_list_does_not_name(
    data_dir, monkeypatch, capsys
):
    """File, object and reason of each; the exit code says that something is lost."""
    rename_classes(data_dir)
    list_file = find_voc_root(data_dir) / "classes.txt"
    list_file.write_text("bolt\nnut\n")
    before = snapshot(data_dir)
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert code == 1
    assert f"{clean}: kept 4 of 5 objects, 4 of 4 images; what is not in it: " in said
    line = f"{XML}, object 3 (washer): unknown class 'washer'; to keep it, name it in "
    assert f"{line}classes.txt -> object dropped" in said
    assert snapshot(data_dir) == before


SAME_NAME = (
    "traffic  light m\u00f6",
    "traffic\n light mo\u0308",
    "traffic light m\u00f6",
)


@pytest.mark.parametrize("in_xml", SAME_NAME)
@pytest.mark.parametrize("in_list", [SAME_NAME[0], "traffic light mo\u0308"])
@pytest.mark.parametrize("by_option", [True, False])
def test_class_names_that_look_the_same_are_the_same(
    data_dir, monkeypatch, capsys, in_xml, in_list, by_option
):
    """Spaces, line breaks and the two ways to write an accent make no other class."""
    root = find_voc_root(data_dir)
    edit(XML, "<name>dog<", f"<name>{in_xml}<")(root)
    names = ("cat", "dog", "bird", in_list)
    if not by_option:
        (root / "classes.txt").write_text("\n".join(names), "utf-8")
    code, said, clean = fix(
        monkeypatch, capsys, data_dir, *(("--classes", *names) if by_option else ())
    )
    assert code == 0 and NONE_LOST in said
    assert VOC2007DetectionTiny(clean).class_names[-1] == SAME_NAME[2]


def test_empty_class_name_is_refused(data_dir, monkeypatch, capsys):
    """Before anything is written."""
    with pytest.raises(CourseError, match=r"--classes .* empty"):
        fix(monkeypatch, capsys, data_dir, "--classes", "cat", " ")
    assert not data_dir.with_name("clean").exists()


def test_classes_given_twice_are_refused(data_dir, monkeypatch, capsys):
    """A class cannot have two numbers."""
    with pytest.raises(CourseError, match="names a class twice"):
        fix(monkeypatch, capsys, data_dir, "--classes", "cat", "dog", "cat")


def test_long_list_of_what_is_lost_stands_in_a_file(data_dir, monkeypatch, capsys):
    """The screen shows the first lines and where the others are."""
    root = find_voc_root(data_dir)
    text = (root / XML).read_text()
    bird = text[text.rindex("<object>") : text.rindex("</annotation>")]
    birds = [bird.replace("<xmin>40<", f"<xmin>{40 + i / 9}<") for i in range(60)]
    (root / XML).write_text(
        text.replace("</annotation>", "".join(birds[1:]) + "</annotation>")
    )
    (root / "classes.txt").write_text("cat\ndog\n")
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert code == 1
    assert said.count("object dropped") == 40
    assert f"... and 20 more lines in {clean / 'changes.txt'}" in said
    assert (clean / "changes.txt").read_text().count("object dropped") == 60
    assert "kept 4 of 64 objects" in said


def test_second_repair_says_the_same_of_the_original(data_dir, monkeypatch, capsys):
    """It compares with the original, never with the first copy."""
    (find_voc_root(data_dir) / "classes.txt").write_text("cat\ndog\n")
    accounts = []
    for _ in range(2):
        code, said, clean = fix(monkeypatch, capsys, data_dir)
        said_once = [line for line in said.splitlines() if "/s]" not in line]
        accounts.append((code, said_once))
        shutil.rmtree(clean)
    assert accounts[0] == accounts[1]
    assert accounts[0][0] == 1


def rename_images(data_dir: Path, suffix: str, is_named: bool = True) -> None:
    """Write the images anew with another suffix; the annotations may name them."""
    root = find_voc_root(data_dir)
    for path in sorted(root.glob("JPEGImages/*.jpg")):
        with Image.open(path) as image:
            image.save(
                path.with_name("new"), format="PNG" if "png" in suffix else "JPEG"
            )
        path.unlink()
        path.with_name("new").rename(path.with_suffix(suffix))
        xml = root / "Annotations" / f"{path.stem}.xml"
        if is_named:
            text = xml.read_text()
            xml.write_text(text.replace(path.name, f"{path.stem}{suffix}"))


@pytest.mark.parametrize("suffix", [".JPG", ".Jpg", ".png", ".PNG", ".jpeg"])
@pytest.mark.parametrize("is_named", [True, False])
def test_images_with_another_suffix_are_used(
    data_dir, monkeypatch, capsys, suffix, is_named
):
    """Checked, copied, written to the JSON and loaded."""
    rename_images(data_dir, suffix, is_named)
    json_dir = str(data_dir.with_name("json"))
    code, said, clean = fix(monkeypatch, capsys, data_dir, "--json", json_dir)
    assert code == 0, said
    assert said.count("findings") == (1 if is_named else 2)
    assert NONE_LOST in said
    for place in (data_dir, clean):
        path, _, boxes = VOC2007DetectionTiny(place)[0]
        assert path.endswith(f"000012{suffix}")
        assert int((boxes[:, 4] >= 0).sum()) == 2
    rows = json.loads(Path(json_dir, "voc07_train.json").read_text())
    assert [row[0].endswith(suffix) for row in rows] == [True, True]


def test_box_one_pixel_wide_is_kept(data_dir, monkeypatch, capsys):
    """By VOC's numbers both ends are inside: xmin = xmax is a pixel."""
    edit(XML, "<xmax>30.5<", "<xmax>10<")(find_voc_root(data_dir))
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert (code, NONE_LOST in said, "0 findings" in said) == (0, True, True)
    assert VOC2007DetectionTiny(clean).records[0].boxes[1].tolist() == [9, 4, 10, 25]


@pytest.mark.parametrize("flag", ["<difficult/>", "<difficult> </difficult>", ""])
def test_empty_flag_is_no(data_dir, monkeypatch, capsys, flag):
    """Some tools write <difficult/>."""
    root = find_voc_root(data_dir)
    edit(XML, "<difficult>0</difficult>", flag)(root)
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert code == 0, said
    assert not read_annotation(find_voc_root(clean) / XML).objects[0].difficult
    assert NONE_LOST in said


@pytest.mark.parametrize(
    ("word", "kept"), [("True", True), ("yes", True), ("no", False)]
)
def test_flag_in_words_keeps_its_meaning(data_dir, monkeypatch, capsys, word, kept):
    """Some tools write Python's words; a difficult object does not become easy."""
    root = find_voc_root(data_dir)
    edit(XML, "<difficult>1<", f"<difficult>{word}<")(root)
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert code == 0 and NONE_LOST in said
    assert (
        f"<difficult> is {word!r}; write 0 or 1 -> <difficult> set to {kept:d}" in said
    )
    assert read_annotation(find_voc_root(clean) / XML).objects[2].difficult == kept


def test_swapped_corners_are_refused_by_the_loader_and_mended_in_a_copy(
    data_dir, monkeypatch, capsys
):
    """Trained on as they are, such a box has a negative area."""
    edit(XML, "<xmin>10<", "<xmin>50<")(find_voc_root(data_dir))
    with pytest.raises(CourseError, match=r"000012\.xml, object 2 \(dog\): .*--fix"):
        VOC2007DetectionTiny(data_dir)
    _, said, clean = fix(monkeypatch, capsys, data_dir)
    assert NONE_LOST in said
    assert VOC2007DetectionTiny(clean).records[0].boxes[1].tolist() == [29.5, 4, 50, 25]


@pytest.mark.parametrize(
    "box", ["[50, 5, 10, 25]", "[NaN, 5, 10, 25]", "[1, 5, 1e999, 9]"]
)
def test_json_with_a_box_that_is_none_is_refused(data_dir, box):
    """The file and the object are named."""
    shutil.rmtree(find_voc_root(data_dir) / "Annotations")
    text = f'[["000012.jpg", [{{"name": "dog", "xyxy": {box}}}]]]'
    (data_dir / "voc07_train.json").write_text(text)
    with pytest.raises(CourseError, match=r"voc07_train\.json, object 1 \(dog\): box"):
        VOC2007DetectionTiny(data_dir)


def turn(data_dir: Path) -> None:
    """Store image 000012 on its side, with the tag that turns it upright."""
    path = find_voc_root(data_dir) / "JPEGImages" / "000012.jpg"
    with Image.open(path) as image:
        sideways = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(path, exif=exif)


def test_photograph_is_checked_upright_as_the_loader_shows_it(
    data_dir, monkeypatch, capsys
):
    """Phones store pictures on their side; boxes are drawn on what one sees."""
    turn(data_dir)
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert (code, "0 findings" in said, NONE_LOST in said) == (0, True, True)
    assert VOC2007DetectionTiny(clean).size(0) == (40, 60)


def test_boxes_of_a_photograph_on_its_side_are_not_made_up(
    data_dir, monkeypatch, capsys
):
    """<size> is that of the stored picture, which the loader turns under the boxes."""
    turn(data_dir)
    root = find_voc_root(data_dir)
    edit(XML, "<width>60</width>\n\t\t<height>40<", "<width>40</width><height>60<")(
        root
    )
    for old, new in (("<xmax>60<", "<xmax>30<"), ("<xmax>50<", "<xmax>45<")):
        edit(XML, old, new)(root)
    code, said, _ = fix(monkeypatch, capsys, data_dir)
    assert code == 1
    assert "EXIF orientation" in said
    assert "image left out with its 3 objects" in said
    assert "kept 2 of 5 objects, 3 of 4 images" in said


ORIENTATION = (0x0112, 3, 1, b"\0\x06\0\0")  # tag, type, count, value
OF_NO_SUCH_KIND = (0x0112, 3, 1, b"\0\x09\0\0")
NO_NUMBER = (0x0103, 7, 4, b"abcd")


@pytest.mark.parametrize(
    ("entries", "is_readable"),
    [
        ([ORIENTATION], True),
        ([OF_NO_SUCH_KIND], True),
        ([NO_NUMBER, ORIENTATION], False),
    ],
)
def test_checker_and_loader_agree_on_exif(data_dir, entries, is_readable):
    """Whichever way a picture lies, and where its EXIF is broken."""
    path = find_voc_root(data_dir) / "JPEGImages" / "000012.jpg"
    fields = [struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries]
    head = b"Exif\0\0MM\0\x2a\0\0\0\x08" + struct.pack(">H", len(fields))
    picture = Image.effect_noise((60, 40), 60)
    picture.save(path, exif=head + b"".join(fields) + bytes(16))
    size, _, problem = image_problem(path)
    if is_readable:
        assert not problem and size == load_image(path).size
    else:
        assert "does not decode" in problem
        with pytest.raises(CourseError, match="cannot be read as an image"):
            load_image(path)


def test_flags_in_a_split_list_lose_no_image(data_dir, monkeypatch, capsys):
    """The first column names the image."""
    root = find_voc_root(data_dir)
    (root / TRAIN).write_text("000012  1\n000005 -1\n")
    assert len(VOC2007DetectionTiny(data_dir)) == 2
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert (code, NONE_LOST in said) == (0, True)
    assert read_split(find_voc_root(clean), "train") == ["000012", "000005"]


@pytest.mark.parametrize("other", ["default", "bolt_train"])
def test_another_list_takes_no_image_from_the_splits(
    data_dir, monkeypatch, capsys, other
):
    """Tools write a list of all images, or one for each class of your own."""
    main = find_voc_root(data_dir) / "ImageSets/Main"
    (main / f"{other}.txt").write_text("000012 1\n000005 -1\n000007 1\n")
    code, said, clean = fix(monkeypatch, capsys, data_dir)
    assert f"Main/{other}.txt: image 000012 is also in the split train" in said
    assert code == 1 and "4 of 7 lines of the split lists" in said
    root = find_voc_root(clean)
    assert read_split(root, "train") == ["000012", "000005"]
    assert read_split(root, "val") == ["000007", "000009"]


def test_files_that_a_mac_adds_are_no_part_of_the_tree(data_dir, monkeypatch, capsys):
    """Beside each file it puts `._` and its name where it cannot keep what it wants."""
    root = find_voc_root(data_dir)
    for name in (XML, "JPEGImages/000012.jpg", TRAIN):
        path = root / name
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07\xff")
    code, said = call(monkeypatch, capsys, "--data-dir", data_dir)
    assert code == 0 and "4 images checked (0 in no split), 0 findings" in said
    code, said, _ = fix(monkeypatch, capsys, data_dir)
    assert code == 0 and NONE_LOST in said


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_name_that_is_not_utf8_is_named(data_dir, tmp_path):
    """No list can name the image, and no XML file its name."""
    for name in (XML, "JPEGImages/000012.jpg"):
        old = find_voc_root(data_dir) / name
        old.rename(old.with_stem(os.fsdecode(b"m\xf6we")))
    report = check_tree(find_voc_root(data_dir))
    changes = write_clean_copy(find_voc_root(data_dir), report, tmp_path / "clean")
    reason = "the name is not UTF-8; rename the file -> image left out with its 3"
    assert any(reason in line for line in changes)
    account = "kept 2 of 5 objects, 3 of 4 images, 3 of 4 lines"
    assert str(count_kept(report)).startswith(account)
    assert check_tree(find_voc_root(tmp_path / "clean")).findings == []


def test_folder_of_another_year_is_named(data_dir):
    """The message has the argument that leads there, and it does."""
    root = find_voc_root(data_dir)
    other = root.rename(root.with_name("VOC2012"))
    for place in (data_dir, data_dir / "VOCdevkit"):
        with pytest.raises(CourseError, match=rf"give --data-dir {other}$"):
            VOC2007DetectionTiny(place)
    assert len(VOC2007DetectionTiny(other)) == 2


def test_size_in_the_annotation_is_not_needed_to_train(data_dir):
    """The picture itself says how large it is."""
    edit(XML, "<width>60<", "<width>0<")(find_voc_root(data_dir))
    assert VOC2007DetectionTiny(data_dir).size(0) == (40, 60)


def test_unknown_class_says_where_classes_are_named(data_dir):
    """The loader's message leads to the file that is missing."""
    rename_classes(data_dir)
    with pytest.raises(
        CourseError, match=r"'bolt'.*VOC2007/classes\.txt, one per line"
    ):
        VOC2007DetectionTiny(data_dir)
