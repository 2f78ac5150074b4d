"""Weights that others trained: fetched by address and hash, loaded by name.

torchvision names its files NAME-HASH.pth, where HASH is how the SHA-256 of the file
begins. A file is used only if that is so, and read as plain tensors, never as code.
"""

import hashlib
import os
import pickle
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from core.command import CourseError
from core.files import new_file
from helpers.drive.copies import digest, free_name

TIMEOUT_S = 20.0  # without a byte
MOST_SECONDS = 900.0  # for all of it
MOST_BYTES = 1 << 30
CHUNK = 1 << 18
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth$")
SWITCH = "FCOS_COURSE_FETCH"  # "off": nothing is fetched, as in tests
# Counted by batch norm in training; a frozen one has none.
NOT_WEIGHTS = "num_batches_tracked"


def hash_of_name(name: str) -> str:
    """How the SHA-256 of a file begins, by its name.

    Raises:
        CourseError: the name says none.

    Example:
        >>> hash_of_name("fcos_resnet50_fpn_coco-99b0c9b7.pth")
        '99b0c9b7'
    """
    found = HASH_IN_NAME.search(name)
    if found is None:
        raise CourseError(
            f"{name}: the name says no hash; take a file named NAME-HASH.pth"
        )
    return found[1]


def fetch_by_hash(
    url: str,
    folder: Path,
    timeout_s: float = TIMEOUT_S,
    most_seconds: float = MOST_SECONDS,
    most_bytes: int = MOST_BYTES,
) -> Path:
    """The file of this address, whose bytes are those that its name promises.

    A file that is there already is used if it is the right one; another one of its name
    is kept beside it. A download that breaks off leaves nothing.

    Args:
        folder: where files are kept for the next time.
        timeout_s: without a byte, until it is given up.
        most_seconds, most_bytes: of the whole download.

    Raises:
        CourseError: it cannot be had, or has other bytes; one sentence.
    """
    name = url.rpartition("/")[2]
    wanted = hash_of_name(name)
    path = folder / name
    if path.is_file():
        if digest(path).startswith(wanted):
            return path
        kept = path.rename(free_name(path, path.stat().st_mtime))
        print(f"{path} has other bytes than its name says; it is kept as {kept.name}")
    if os.environ.get(SWITCH) == "off":
        raise CourseError(f"{name} is not fetched, since {SWITCH} is off")
    found = hashlib.sha256()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with new_file(path) as file:
            for chunk in _download(url, timeout_s, most_seconds, most_bytes):
                found.update(chunk)
                file.write(chunk)
            got = found.hexdigest()
            if not got.startswith(wanted):
                raise CourseError(
                    f"{url} sent other bytes than its name says (SHA-256 {got[:8]}, "
                    f"not {wanted}); try it again later"
                )
    except OSError as error:
        raise CourseError(
            f"{path} cannot be written ({error.strerror or error}); make room there"
        ) from error
    return path


def _download(
    url: str, timeout_s: float, most_seconds: float, most_bytes: int
) -> Iterator[bytes]:
    """All bytes of an address, a part at a time.

    Raises:
        CourseError: the address does not send them, or too slowly, or too many.
    """
    try:
        yield from _parts(url, timeout_s, most_seconds, most_bytes)
    except (OSError, HTTPException, ValueError) as error:
        raise CourseError(
            f"{url.rpartition('/')[2]} cannot be had from {url} ({_reason(error)}); "
            "try it again where that address can be reached"
        ) from error


def _parts(
    url: str, timeout_s: float, most_seconds: float, most_bytes: int
) -> Iterator[bytes]:
    number, end = 0, time.monotonic() + most_seconds
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        with tqdm(total=total or None, unit="B", unit_scale=True, desc="fetch") as bar:
            while chunk := answer.read1(CHUNK):
                number += len(chunk)
                if number > most_bytes:
                    raise OSError(f"it is larger than {most_bytes:,} bytes")
                if time.monotonic() > end:
                    raise TimeoutError(f"not done after {most_seconds:.0f} s")
                yield chunk
                bar.update(len(chunk))
    if number < total:
        raise OSError(f"it broke off after {number:,} of {total:,} bytes")


def _reason(error: BaseException) -> str:
    """Why a download failed, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}, {error.reason}"
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return (str(inner) or type(inner).__name__).splitlines()[0]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor of a file; no code in it is run.

    Raises:
        CourseError: it holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.PickleError) as error:
        raise CourseError(
            f"{path} cannot be read as weights ({_reason(error)}); remove it and try "
            "again"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise CourseError(
            f"{path} holds no names with tensors; it is no file of weights"
        )
    return dict(state)


def load_by_key(
    model: nn.Module, state: Mapping[str, torch.Tensor], key: Callable[[str], str]
) -> int:
    """Give a model the weights that others call by other names.

    Args:
        model: its buffers that the others do not have stay as they are.
        state: their names -> tensors.
        key: your name of a weight -> theirs, exercise 12.4.

    Returns:
        The number of tensors that found their place.

    Raises:
        CourseError: a weight of the model has no tensor there or one of another shape,
            two take the same, or a tensor of theirs has no place; the first is named.
    """
    own = model.state_dict()
    weights = {name for name, _ in model.named_parameters()}
    taken: dict[str, str] = {}
    for name, value in own.items():
        theirs = key(name)
        if theirs not in state:
            if name in weights:
                raise CourseError(
                    f"torchvision_key({name!r}) is {theirs!r}, and there is no such "
                    "weight there; look at exercise 12.4"
                )
            continue
        if theirs in taken:
            raise CourseError(
                f"{name} and {taken[theirs]} both become {theirs}; look at exercise "
                "12.4"
            )
        if state[theirs].shape != value.shape:
            raise CourseError(
                f"{name} has shape {tuple(value.shape)}, and {theirs} has "
                f"{tuple(state[theirs].shape)}; look at exercise 12.4"
            )
        taken[theirs] = name
    left = [name for name in state if name not in taken and NOT_WEIGHTS not in name]
    if left:
        raise CourseError(
            f"{len(left)} of their weights have no place, the first is {left[0]}; look "
            "at exercise 12.4"
        )
    found = {name: state[theirs] for theirs, name in taken.items()}
    model.load_state_dict({**own, **found})
    return len(found)


def coco_weights() -> tuple[dict[str, torch.Tensor], tuple[str, ...]] | None:
    """Torchvision's FCOS that was trained on COCO, or None with a word about it.

    Kept where torchvision keeps its own, so that it is fetched once: 124 MB.

    Returns:
        Name -> tensor, and the names of its 91 classes.
    """
    # Only where one is asked for: torchvision takes as long to import as torch.
    from torchvision.models.detection import FCOS_ResNet50_FPN_Weights

    weights = FCOS_ResNet50_FPN_Weights.COCO_V1
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        state = read_weights(fetch_by_hash(weights.url, folder))
    except CourseError as error:
        print(f"No COCO weights: {error}")
        return None
    return state, tuple(weights.meta["categories"])
