"""Images from files to the network's input (3, H, W) and back."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from core.command import CourseError

# Mean and standard deviation of ImageNet's training images, RGB in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_ASPECT = 8  # of longer to shorter side, as the network sees it

MAX_BYTE = 255
SIXTEEN_TO_EIGHT_BITS = 257  # 65535 / 255


def load_image(path: Path) -> Image.Image:
    """An image file as RGB, upright (as its EXIF orientation says).

    Grey images get three equal channels, 16 bits are brought to 8, what is transparent
    becomes white, and of an animation the first picture is taken.

    Raises:
        CourseError: the file is missing, not an image, too large or cut off; the text
            names it.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise CourseError(f"there is no image {path}; check the path") from error
    except Image.DecompressionBombError as error:
        raise CourseError(f"{path}: too large an image; make it smaller") from error
    except UnidentifiedImageError as error:
        raise CourseError(
            f"{path} is not an image in a known format; replace or remove it"
        ) from error
    except Exception as error:
        # The system's own text names the file again; its reason is enough.
        reason = getattr(error, "strerror", None) or error
        raise CourseError(
            f"{path} cannot be read as an image ({reason}); replace or remove it"
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any image as RGB, 8 bits per channel; white shows through transparent parts."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # Pillow's own conversion cuts all values above 255 off instead of scaling them.
        values = np.asarray(image, dtype=np.float64)
        if values.max() > MAX_BYTE:
            values = values / SIXTEEN_TO_EIGHT_BITS
        image = Image.fromarray(np.clip(values.round(), 0, MAX_BYTE).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def normalize(image: Image.Image) -> torch.Tensor:
    """RGB image -> (3, H, W) float32 with ImageNet's mean 0 and deviation 1."""
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))  # (H, W, 3)
    tensor = pixels.permute(2, 0, 1).float() / 255
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    std = torch.tensor(IMAGENET_STD)[:, None, None]
    return (tensor - mean) / std


def denormalize(tensor: torch.Tensor) -> torch.Tensor:
    """The inverse of normalize: (3, H, W) -> RGB in [0, 1]."""
    mean = torch.tensor(IMAGENET_MEAN, device=tensor.device)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=tensor.device)[:, None, None]
    return (tensor.float() * std + mean).clamp(0, 1)


def model_scale(size: tuple[int, int], image_size: int) -> float:
    """Pixels of the network's input for each pixel of the photograph.

    The shorter side becomes image_size. A very long and thin photograph would become
    huge, so its longer side ends at MAX_ASPECT * image_size.

    Args:
        size: the two sides of the photograph in pixels, in any order.
        image_size: wanted length of the shorter side in pixels.
    """
    return min(image_size / min(size), MAX_ASPECT * image_size / max(size))


def to_model_input(image: Image.Image, image_size: int) -> tuple[torch.Tensor, float]:
    """The whole image, its shorter side resized.

    Args:
        image: RGB.
        image_size: wanted length of the shorter side in pixels.

    Returns:
        (3, H, W) float32 normalised, and resized / original pixels.
    """
    scale = model_scale(image.size, image_size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return normalize(resized), scale
