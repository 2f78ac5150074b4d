"""Reading and writing PASCAL VOC trees."""

import pytest

from core.command import CourseError
from data_scripts.voc_format import (
    VOC_CLASSES,
    VocAnnotation,
    VocObject,
    find_voc_root,
    list_splits,
    read_annotation,
    read_class_names,
    read_split,
    write_annotation,
)

XML = """<annotation>
  <filename>000012.jpg</filename>
  <size><width>160</width><height>128</height><depth>3</depth></size>
  <object>
    <name>person</name><truncated>1</truncated><difficult>0</difficult>
    <part><name>head</name>
      <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></part>
    <bndbox><ymax>120.5</ymax><xmin>10</xmin><ymin>20.25</ymin><xmax>50</xmax></bndbox>
  </object>
  <object>
    <name>cat</name>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>160</xmax><ymax>128</ymax></bndbox>
  </object>
</annotation>
"""


@pytest.fixture
def voc_root(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    main = root / "ImageSets" / "Main"
    (main / "val.txt").write_text("000012\n000005 \n\n")
    (main / "train.txt").write_text("")
    (main / "cat_train.txt").write_text("000012 -1\n")
    (main / "train_val.txt").write_text("000012  1\n")  # the class "train"
    return root


def test_read_annotation_of_an_image_without_objects(tmp_path):
    """An image may show nothing that is annotated."""
    annotation = VocAnnotation("000001.jpg", 160, 128)
    write_annotation(annotation, tmp_path / "a.xml")
    assert read_annotation(tmp_path / "a.xml").objects == ()


def test_read_annotation_reads_names_boxes_and_flags(tmp_path):
    """Boxes keep the XML's numbers, in any order of fields; parts are no objects."""
    (tmp_path / "a.xml").write_text(XML)
    found = read_annotation(tmp_path / "a.xml")
    assert (found.filename, found.width, found.height) == ("000012.jpg", 160, 128)
    assert found.objects == (
        VocObject("person", (10, 20.25, 50, 120.5), difficult=False, truncated=True),
        VocObject("cat", (1, 1, 160, 128), difficult=False, truncated=False),
    )


def test_write_annotation_can_be_read_back_to_the_last_digit(tmp_path):
    """Writing and reading gives the same numbers, names and flags."""
    box = (1.1, 2.0, 30.000000000000004, 99.99)
    objects = (VocObject("a <b> & c", box, difficult=True, truncated=True),)
    annotation = VocAnnotation("x.jpg", 192, 128, objects)
    write_annotation(annotation, tmp_path / "x.xml")
    assert read_annotation(tmp_path / "x.xml") == annotation
    assert "<ymin>2</ymin>" in (tmp_path / "x.xml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("</annotation>", "", "not well-formed"),
        ("<annotation>", "<!DOCTYPE a [<!ENTITY e 'x'>]><annotation>", "DOCTYPE"),
        ("<width>160</width>", "", "<size/width> is missing"),
        ("<width>160</width>", "<width>0</width>", "<size/width> is 0"),
        ("<height>128</height>", "<height>12.5</height>", "<size/height> is 12.5"),
        ("<filename>000012.jpg</filename>", "", "<filename> is missing"),
        ("<name>cat</name>", "", r"object 2 \(no name\): <name> is missing"),
        ("<xmin>10</xmin>", "", r"object 1 \(person\): <bndbox/xmin> is missing"),
        ("<xmin>10</xmin>", "<xmin>ten</xmin>", r"object 1 .*'ten'"),
        ("<xmin>10</xmin>", "<xmin>nan</xmin>", r"object 1 .*'nan'"),
        ("<xmax>160</xmax>", "<xmax>inf</xmax>", r"object 2 \(cat\): .*'inf'"),
        ("<truncated>1", "<truncated>0.5", r"object 1 .*<truncated> is '0\.5'"),
        ("<difficult>0", "<difficult>yes", r"object 1 .*<difficult> is 'yes'"),
    ],
)
def test_read_annotation_names_file_and_object_of_a_mistake(tmp_path, old, new, said):
    """A mistake in the XML is one sentence with the file and the object."""
    assert old in XML
    (tmp_path / "bad.xml").write_text(XML.replace(old, new, 1))
    with pytest.raises(CourseError, match=rf"bad\.xml: .*{said}"):
        read_annotation(tmp_path / "bad.xml")


def test_read_annotation_refuses_what_is_no_utf8_text(tmp_path):
    """Another encoding is named; it also could hide a DOCTYPE."""
    (tmp_path / "bad.xml").write_bytes("<a>é</a>".encode("latin-1"))
    with pytest.raises(CourseError, match="not UTF-8"):
        read_annotation(tmp_path / "bad.xml")
    with pytest.raises(CourseError, match="No such file"):
        read_annotation(tmp_path / "none.xml")


def test_find_voc_root_accepts_each_folder_on_the_way(tmp_path, voc_root):
    """The data folder, VOCdevkit and VOC2007 itself all lead to VOC2007."""
    for folder in (tmp_path, tmp_path / "VOCdevkit", voc_root):
        assert find_voc_root(folder) == voc_root
    with pytest.raises(CourseError, match="make_shapes"):
        find_voc_root(tmp_path / "elsewhere")


def test_read_split_keeps_the_order_of_the_list(voc_root):
    """Ids come in the file's order, without blanks and empty lines."""
    assert read_split(voc_root, "train") == []
    assert read_split(voc_root, "val") == ["000012", "000005"]


def test_read_split_names_the_splits_that_exist(voc_root):
    """A wrong split name is answered with the right ones; class lists are none."""
    assert list_splits(voc_root) == ["train", "val"]
    with pytest.raises(CourseError, match="'test'; choose one of: train, val"):
        read_split(voc_root, "test")


def test_read_split_takes_the_id_before_a_flag(voc_root):
    """Lists of one class have 1, 0 or -1 behind the id, and tools copy that."""
    (voc_root / "ImageSets/Main/val.txt").write_text("000012  1\n000005 -1\n7 0\n")
    assert read_split(voc_root, "val") == ["000012", "000005", "7"]


@pytest.mark.parametrize("line", ["000012 2", "photo of 1", "../000012", "a\\b"])
def test_read_split_refuses_lines_that_are_no_id(voc_root, line):
    """An id is one word and cannot point to another folder."""
    (voc_root / "ImageSets/Main/val.txt").write_text(f"000005\n{line}\n")
    with pytest.raises(CourseError, match="no image id"):
        read_split(voc_root, "val")


def test_read_class_names_follows_the_tree(voc_root):
    """classes.txt gives the order of the classes; without it they are VOC's twenty."""
    assert read_class_names(voc_root) == VOC_CLASSES
    assert len(set(VOC_CLASSES)) == 20 and sorted(VOC_CLASSES) == list(VOC_CLASSES)
    (voc_root / "classes.txt").write_text("ring\nheart\n")
    assert read_class_names(voc_root) == ("ring", "heart")
    (voc_root / "classes.txt").write_text("ring\nring\n")
    with pytest.raises(CourseError, match="each class once"):
        read_class_names(voc_root)
