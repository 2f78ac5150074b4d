"""Image files of every kind become upright RGB; broken ones are named."""

import numpy as np
import pytest
import torch
from PIL import Image

from core.command import CourseError
from helpers.data.images import (
    denormalize,
    load_image,
    normalize,
    to_model_input,
)
from tests.plain_numbers import spread

EXIF_ORIENTATION = 0x0112
ROTATED = 6  # the camera was turned; the image must be turned 90 degrees clockwise


def steps(width=7, height=5):
    """(H, W) uint8 from 0 to 255, all different."""
    return (
        np.linspace(0, 255, width * height)
        .round()
        .astype(np.uint8)
        .reshape(height, width)
    )


def test_gray_image_gets_three_equal_channels(tmp_path):
    """A grey photograph becomes RGB with the same values."""
    path = tmp_path / "gray.png"
    Image.fromarray(steps()).save(path)
    pixels = np.array(load_image(path))
    np.testing.assert_array_equal(pixels, np.repeat(steps()[:, :, None], 3, axis=2))


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path):
    """Pillow's convert("RGB") would make everything above 255 white."""
    path = tmp_path / "deep.png"
    Image.fromarray(steps().astype(np.uint16) * 257).save(path)
    image = load_image(path)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.array(image)[:, :, 1], steps())


def test_sixteen_bits_that_hold_eight_stay_as_they_are(tmp_path):
    """Values up to 255 are not scaled to black."""
    path = tmp_path / "deep.png"
    Image.fromarray(steps().astype(np.uint16)).save(path)
    np.testing.assert_array_equal(np.array(load_image(path))[:, :, 2], steps())


def test_palette_image_keeps_its_colours(tmp_path):
    """GIF and palette PNG hold colour numbers, not colours."""
    path = tmp_path / "palette.png"
    image = Image.new("RGB", (6, 4), (200, 30, 10))
    image.paste((10, 20, 220), (0, 0, 3, 4))
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(path)
    assert load_image(path).getpixel((1, 1)) == (10, 20, 220)
    assert load_image(path).getpixel((4, 2)) == (200, 30, 10)


def test_transparent_parts_become_white(tmp_path):
    """The colour below full transparency is whatever a program left there."""
    path = tmp_path / "clear.png"
    image = Image.new("RGBA", (6, 4), (200, 30, 10, 255))
    image.paste((0, 0, 0, 0), (0, 0, 2, 4))
    image.paste((0, 0, 0, 51), (2, 0, 4, 4))  # a fifth black
    image.save(path)
    loaded = load_image(path)
    colours = [loaded.getpixel((x, 2)) for x in (0, 2, 5)]
    assert colours == [(255, 255, 255), (204, 204, 204), (200, 30, 10)]


def test_transparent_colour_of_a_palette_becomes_white(tmp_path):
    """The same for a GIF that calls one of its colours transparent."""
    path = tmp_path / "clear.gif"
    image = Image.new("P", (6, 4), 0)
    image.putpalette([10, 10, 10, 200, 30, 10])
    image.paste(1, (3, 0, 6, 4))
    image.save(path, transparency=0)
    loaded = load_image(path)
    assert loaded.getpixel((0, 0)) == (255, 255, 255)
    assert loaded.getpixel((5, 3)) == (200, 30, 10)


def test_photograph_of_a_turned_camera_is_upright(tmp_path):
    """EXIF says how the camera was held; boxes belong to the upright image."""
    path = tmp_path / "turned.png"
    image = Image.new("RGB", (8, 3), "blue")
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = ROTATED
    image.save(path, exif=exif)
    loaded = load_image(path)
    assert loaded.size == (3, 8)
    assert loaded.getpixel((2, 0)) == (255, 0, 0)  # top left is now top right


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    """Print shops write JPEG with four channels."""
    path = tmp_path / "print.jpg"
    Image.new("CMYK", (6, 4), (0, 255, 255, 0)).save(path, quality=95)
    red, green, blue = load_image(path).getpixel((3, 2))
    assert red > 240
    assert max(green, blue) < 15


def test_image_of_one_pixel_is_read(tmp_path):
    """The smallest image there is."""
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1), (3, 2, 1)).save(path)
    tensor, scale = to_model_input(load_image(path), 32)
    assert tensor.shape == (3, 32, 32)
    assert scale == 32


def broken_files(folder):
    """Files that are no image, each for a reason of its own."""
    whole = folder / "whole.jpg"
    Image.fromarray(np.repeat(steps(90, 60)[:, :, None], 3, axis=2)).save(whole)
    content = whole.read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    Image.open(whole).save(folder / "whole.png")
    png = (folder / "whole.png").read_bytes()
    (folder / "cut.png").write_bytes(png[: len(png) // 2])
    (folder / "text.jpg").write_text("<html>404 Not Found</html>")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "folder.jpg").mkdir()


@pytest.mark.parametrize(
    "name",
    [
        "cut.jpg",
        "cut.png",
        "text.jpg",
        "empty.jpg",
        "folder.jpg",
        "missing.jpg",
    ],
)
def test_broken_image_is_named(tmp_path, name):
    """Cut off, text, empty, a folder, missing: one sentence with the file."""
    broken_files(tmp_path)
    with pytest.raises(CourseError, match=name) as raised:
        load_image(tmp_path / name)
    message = str(raised.value)
    assert message.count(str(tmp_path)) == 1
    assert "\n" not in message
    assert "; " in message  # what is wrong; what to do


def test_huge_image_is_refused(tmp_path, monkeypatch):
    """A file that unpacks to far more pixels than it should is named too."""
    path = tmp_path / "bomb.png"
    Image.new("L", (40, 30)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(CourseError, match=r"bomb\.png"):
        load_image(path)


def test_normalize_by_hand():
    """(value / 255 - mean) / deviation of ImageNet, red first."""
    image = Image.new("RGB", (3, 2), (0, 51, 255))
    tensor = normalize(image)
    assert tensor.shape == (3, 2, 3)
    assert tensor.dtype == torch.float32
    # 0, 0.2 and 1, less the means 0.485, 0.456, 0.406; over 0.229, 0.224, 0.225
    expected = [-2.1179040, -1.1428571, 2.64]
    assert tensor[:, 1, 2].tolist() == pytest.approx(expected, rel=1e-6)


def test_denormalize_is_the_inverse():
    """Back in [0, 1]; values beyond are cut off."""
    pixels = spread(4, 6, 3, high=255).round().to(torch.uint8).numpy()
    back = denormalize(normalize(Image.fromarray(pixels)))
    expected = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    # float32 rounds at 6e-8; the division by the deviation makes that about 1e-6
    torch.testing.assert_close(back, expected, rtol=0, atol=1e-6)
    assert denormalize(torch.full((3, 1, 1), 99.0)).max() == 1


@pytest.mark.parametrize(
    ("size", "expected_hw", "scale"),
    [
        ((200, 100), (50, 100), 0.5),
        ((30, 75), (125, 50), 5 / 3),
        ((50, 50), (50, 50), 1),
    ],
)
def test_model_input_resizes_the_shorter_side(size, expected_hw, scale):
    """The whole image stays; the scale is resized / original pixels."""
    tensor, found = to_model_input(Image.new("RGB", size), 50)
    assert tensor.shape == (3, *expected_hw)
    assert found == pytest.approx(scale)


def test_model_input_of_a_very_long_image_stays_small():
    """A strip of 2 x 300 pixels: the longer side ends at 8 times the wanted shorter."""
    tensor, scale = to_model_input(Image.new("RGB", (300, 2)), 32)
    assert tensor.shape == (3, 2, 256)
    assert scale == pytest.approx(256 / 300)


def test_model_input_of_a_line_keeps_a_pixel():
    """A strip whose shorter side would be rounded to nothing."""
    tensor, scale = to_model_input(Image.new("RGB", (1, 1200)), 32)
    assert tensor.shape == (3, 256, 1)
    assert scale == pytest.approx(256 / 1200)
