"""How the lists of a VOC tree name its images, and where these are."""

from pathlib import Path

# In the order in which an image is looked for.
IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".webp",
)


def image_path(voc_root: Path, image_id: str) -> Path:
    """Return the file of an image: ID.jpg, or that name with another known suffix."""
    expected = voc_root / "JPEGImages" / f"{image_id}.jpg"
    for suffix in IMAGE_SUFFIXES:
        for written in (suffix, suffix.upper(), suffix.title()):
            path = expected.with_name(image_id + written)
            if path.is_file():
                return path
    return expected


def is_image_id(text: str) -> bool:
    """Return True for one word without a folder in it, such as "000005"."""
    return len(text.split()) == 1 and "/" not in text and "\\" not in text


def line_id(line: str) -> str:
    """Return the image id of a split's line; a flag behind it is not used."""
    image_id, *flags = line.split()
    return image_id if flags in (["1"], ["0"], ["-1"]) else line
