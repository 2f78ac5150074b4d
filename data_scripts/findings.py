"""What a check of a VOC tree finds, and whether an image decodes."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

from PIL import Image

LEFT_OUT = "image left out"
DROPPED = "object dropped"


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
    """

    image_id: str
    findings: list[Finding] = field(default_factory=list)
    left_out: bool = False
    repaired: Element | None = None


def image_problem(path: Path) -> tuple[tuple[int, int] | None, str]:
    """Decode a whole image; return ((width, height), "") or (None, what is wrong)."""
    if not path.is_file():
        return None, "the image is missing"
    try:
        with warnings.catch_warnings():
            # An image large enough to fill the memory only warns at first.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                return image.size, ""
    except Exception as error:  # noqa: BLE001 (decoders raise whatever they like)
        return None, f"the image does not decode ({type(error).__name__}: {error})"
