"""What notebook 12 shows: batches, names, equal models, and one's own photograph."""

import base64
import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from assignment.fcos_published import PublishedFCOS, torchvision_key
from core.backbones.build import build_backbone
from core.command import CourseError
from core.fcos_config import PRESETS
from helpers.lessons import as_published as show
from helpers.lessons import my_photo
from helpers.lessons.photographs import photos
from helpers.models.others_weights import load_by_key


def draws(figure: object) -> bool:
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    return True


def test_batch_is_padded_at_the_right_and_below():
    """To multiples of 32, with 0; the images keep their places."""
    one, two = torch.ones(3, 40, 50), torch.full((3, 33, 70), 2.0)
    batch = show.pad_batch([one, two])
    assert batch.shape == (2, 3, 64, 96)
    assert torch.equal(batch[0, :, :40, :50], one)
    assert torch.equal(batch[1, :, :33, :70], two)
    assert float(batch[0].sum()) == one.sum() and float(batch[1].sum()) == two.sum()


def test_location_at_the_edge_is_beyond_the_image():
    """An image of H = 8, W = 16 reaches from 0 to below 16 and below 8."""
    points = torch.tensor([[15.0, 7.0], [16.0, 7.0], [15.0, 8.0], [0.0, 0.0]])
    assert show.in_padding(points, (8, 16)).tolist() == [False, True, True, False]


def test_pictures_are_drawn():
    """From stored answers, in their sizes."""
    levels = show.stored_levels(0)
    points, logits, distances, centerness = levels["p3"]
    assert points.shape == (384, 2) and distances.shape == (384, 4)
    assert logits.shape == (384, 7) and centerness.shape == (384, 1)
    assert draws(show.draw_plane(levels, 0.2))
    image = torch.zeros(3, 32, 48)
    found = (torch.tensor([[1.0, 2, 9, 8]]), torch.tensor([3]), torch.tensor([0.5]))
    nothing = tuple(part[:0] for part in found)
    assert draws(show.draw_found(image, {"a": found, "b": nothing}))
    counts = {"p3": 3, "p4": 0}
    assert draws(show.draw_counts({"a": counts, "b": {"p3": 0, "p4": 0}}))
    batch = torch.zeros(2, 3, 32, 64)
    assert draws(show.draw_batch(batch, [(32, 50), (20, 64)], points[:40]))
    assert draws(show.draw_grids((128, 256), {"a": points, "b": points}, 128))
    table = show.as_table(("name", "number"), [("<b>", 1234)]).data
    assert "&lt;b&gt;" in table and "1,234" in table


def test_our_detector_gives_what_torchvision_gives():
    """Random weights, two images of different sizes, float64: equal detections."""
    theirs = show.random_torchvision(num_classes=3, channels=32, side=64)
    body = build_backbone("resnet18", pretrained=False)
    ours = PublishedFCOS(3, 32, [32] * 4, body, PRESETS["torchvision"]).double().eval()
    load_by_key(ours, theirs.state_dict(), torchvision_key)
    torch.manual_seed(1)
    images = [torch.rand(3, 64, 96).double(), torch.rand(3, 100, 64).double()]
    with torch.no_grad():
        expected = theirs(images)
        found = ours.detect(
            show.pad_batch(images),
            image_sizes=[(image.shape[1], image.shape[2]) for image in images],
        )
    for (boxes, classes, scores), other in zip(found, expected, strict=True):
        assert len(boxes) > 20
        torch.testing.assert_close(boxes, other["boxes"], atol=1e-9, rtol=0)
        torch.testing.assert_close(scores, other["scores"], atol=1e-9, rtol=0)
        assert torch.equal(classes, other["labels"])
    table = show.largest_differences(found, expected).data
    assert "?" not in table and "e-01" not in table
    less = [tuple(part[1:] for part in found[0]), found[1]]
    assert "?" in show.largest_differences(less, expected).data
    none = {name: value[:0] for name, value in expected[0].items()}
    nothing = tuple(part[:0] for part in found[0])
    assert show.largest_differences([nothing], [none]).data.count("nothing") == 3
    names = show.show_names(ours, theirs).data
    assert "pred_net.pred_ctr.weight (1, 32, 3, 3)" in names


def test_detector_of_photographs_says_names_of_classes():
    """With the sizes that photographs get, and torchvision's thresholds."""
    model = PublishedFCOS(2, 32, [32], "tiny", PRESETS["torchvision"])
    loaded = show.of_photographs(model, ["background", "dog"])
    assert loaded.class_names == ("background", "dog")
    assert loaded.config.nms_threshold == 0.6 and not model.training
    picture = my_photo.draw_seen(photos()[0].open(), loaded)
    assert isinstance(picture, Image.Image) and min(picture.size) >= 224
    assert draws(my_photo.draw_seen(photos()[0].open(), None))


def as_jpeg(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(stream, "JPEG")
    return stream.getvalue()


def test_photo_comes_from_a_path(tmp_path: Path, monkeypatch):
    """With ~ for the home; a missing one is one sentence."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "cat.jpg").write_bytes(as_jpeg((40, 30)))
    assert my_photo.my_photo("~/cat.jpg").size == (40, 30)
    with pytest.raises(CourseError, match=r"there is no image .*dog\.jpg"):
        my_photo.my_photo("~/dog.jpg")


def test_photo_of_the_course_is_taken_where_none_is_named(capsys):
    """And it is said how to name one."""
    assert my_photo.my_photo().size == photos()[0].open().size
    assert "camera=True" in capsys.readouterr().out


def on_colab(monkeypatch, **modules: object) -> None:
    monkeypatch.setattr(my_photo, "is_colab", lambda: True)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"google.colab.{name}", module)


def test_photo_is_uploaded_on_colab(monkeypatch, capsys):
    """No file, a picture, and what is none."""
    given = [{}, {"cat.jpg": as_jpeg((50, 20))}, {"cat.txt": b"nothing"}]
    files = types.SimpleNamespace(upload=lambda: given.pop(0))
    on_colab(monkeypatch, files=files)
    assert my_photo.my_photo().size == photos()[0].open().size
    assert "Nothing was uploaded" in capsys.readouterr().out
    assert my_photo.my_photo().size == (50, 20)
    with pytest.raises(CourseError, match=r"cat\.txt is not an image"):
        my_photo.my_photo()


def test_photo_comes_from_the_browser_on_colab(monkeypatch):
    """As a data address; a refused camera is one sentence."""
    address = "data:image/jpeg;base64," + base64.b64encode(as_jpeg((64, 48))).decode()
    output = types.SimpleNamespace(eval_js=lambda script: address)
    on_colab(monkeypatch, output=output)
    assert my_photo.my_photo(camera=True).size == (64, 48)

    def refuse(script: str) -> str:
        raise RuntimeError("NotAllowedError")

    output.eval_js = refuse
    with pytest.raises(CourseError, match=r"NotAllowedError.*allow it the camera"):
        my_photo.my_photo(camera=True)


class Camera:
    """A camera that is, or is not, there; it gives BGR."""

    is_there = True
    released = 0

    def __init__(self, number: int):
        assert number == 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        blue = np.zeros((24, 32, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
        return (True, blue) if self.is_there else (False, None)

    def release(self) -> None:
        Camera.released += 1


def test_photo_comes_from_the_laptops_camera(monkeypatch):
    """Where OpenCV and a camera are; the camera is free again afterwards."""
    monkeypatch.setitem(sys.modules, "cv2", None)  # an import of it fails
    with pytest.raises(CourseError, match="pip install opencv-python-headless"):
        my_photo.my_photo(camera=True)
    cv2 = types.SimpleNamespace(VideoCapture=Camera)
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    picture = my_photo.my_photo(camera=True)
    assert picture.size == (32, 24) and picture.getpixel((0, 0)) == (0, 0, 255)
    monkeypatch.setattr(Camera, "is_there", False)
    with pytest.raises(CourseError, match="no camera answers"):
        my_photo.my_photo(camera=True)
    assert Camera.released == 2


def test_detector_of_photographs_is_looked_for(tmp_path: Path, monkeypatch, capsys):
    """None is said; one that cannot be read is said, and the next is tried."""
    monkeypatch.setattr(my_photo, "ROOT", tmp_path)
    assert my_photo.find_photo_detector() is None
    assert "helpers.photo_weights --help" in capsys.readouterr().out
    file = tmp_path / "build/photo_weights/photo_weights-00000000.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"nothing")
    assert my_photo.find_photo_detector() is None
    said = capsys.readouterr().out
    assert f"{file.relative_to(tmp_path)} cannot be used" in said
    assert "No detector of photographs is here" in said
