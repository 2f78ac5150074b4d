"""What a check of a VOC tree finds, and whether an image decodes."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from PIL import Image, ImageOps

LEFT_OUT = "image left out"
DROPPED = "object dropped"
ORIENTATION_TAG = 0x0112  # of EXIF
SIDEWAYS = range(5, 9)  # its values of a picture that lies on its side


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: Path below the VOC2007 folder.
        part: The object or field, such as "object 2 (chair)"; may be empty.
        problem: What is wrong, with the numbers.
        remedy: What the clean copy does about it.
    """

    file: str
    part: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}, {self.part}" if self.part else self.file
        return f"{place}: {self.problem}"


@dataclass
class ImageReport:
    """The findings on one image id.

    Attributes:
        image_id: The id.
        findings: What is wrong; empty for a clean image.
        left_out: The clean copy cannot have this image.
        repaired: The annotation's XML where it differs from the file, else None.
        image: The image's file, or where it should be.
        objects: Number of objects in the annotation.
        dropped: How many of them the clean copy cannot have.
        is_there: There is an image or an annotation; else a list alone names it.
    """

    image_id: str
    image: Path
    findings: list[Finding] = field(default_factory=list)
    left_out: bool = False
    repaired: Element | None = None
    objects: int = 0
    dropped: int = 0
    is_there: bool = True

    @property
    def kept(self) -> int:
        """How many objects the clean copy has."""
        return 0 if self.left_out else self.objects - self.dropped


def image_problem(path: Path) -> tuple[tuple[int, int] | None, bool, str]:
    """Decode a whole image.

    Returns:
        (width, height) upright, as the loader shows it, or None; whether EXIF lays the
        stored picture on its side; what is wrong, or "".
    """
    if not path.is_file():
        return None, False, "the image is missing"
    try:
        with warnings.catch_warnings():
            # An image large enough to fill the memory only warns at first.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                sideways = image.getexif().get(ORIENTATION_TAG) in SIDEWAYS
                return ImageOps.exif_transpose(image).size, sideways, ""
    except Exception as error:  # noqa: BLE001 (decoders raise whatever they like)
        reason = f"{type(error).__name__}: {error}"
        return None, False, f"the image does not decode ({reason})"
