"""The VOC 2007 archive: what it must be, and unpacking it without trusting it."""

import hashlib
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from core.command import CourseError
from core.files import new_folder
from data_scripts.voc_format import list_splits, read_split

DEVKIT = "VOCdevkit"
INSIDE = (DEVKIT, "VOC2007")  # every member must lie in this folder
READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Archive:
    """The file that a mirror must deliver: name, size in bytes, md5 in hex."""

    name: str
    size: int
    md5: str


# md5 and size as published by the tools that fetch VOC (torchvision's datasets/voc.py).
VOC2007_TRAINVAL = Archive(
    "VOCtrainval_06-Nov-2007.tar", 460_032_000, "c52e279531787c972589f7e41ab4ae64"
)


def is_archive(path: Path, archive: Archive) -> bool:
    """Return True if the file has the archive's size and md5."""
    if path.stat().st_size != archive.size:
        return False
    # md5 finds damage and wrong files; it is what the publishers state.
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest() == archive.md5


def member_problem(member: tarfile.TarInfo) -> str:
    """Return why a member of the archive is refused, or ""."""
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or "\\" in member.name or ".." in parts:
        return "its path leaves the folder"
    if not (member.isdir() or member.isreg()) or member.issparse():
        return "it is neither a plain file nor a folder"
    if parts[: len(INSIDE)] != INSIDE[: len(parts)] or not parts:
        return f"it is not in {'/'.join(INSIDE)}"
    return ""


def missing_files(voc_root: Path) -> list[str]:
    """Return the images and annotations that the tree's lists name but it lacks."""
    splits = list_splits(voc_root)
    if not splits:
        return ["ImageSets/Main/*.txt"]
    ids = {image_id for split in splits for image_id in read_split(voc_root, split)}
    names = [f"JPEGImages/{image_id}.jpg" for image_id in sorted(ids)]
    names += [f"Annotations/{image_id}.xml" for image_id in sorted(ids)]
    return [name for name in names if not (voc_root / name).is_file()]


def unpack(path: Path, folder: Path) -> None:
    """Unpack the archive into folder/VOCdevkit, which appears complete or not at all.

    Raises:
        CourseError: A member is refused, the archive is damaged or incomplete,
            VOCdevkit exists already, or writing fails.
    """
    with new_folder(folder / DEVKIT) as partial:
        try:
            with tarfile.open(path, "r:") as archive:
                _unpack_members(archive, path, partial)
        except tarfile.TarError as error:
            raise CourseError(
                f"{path}: damaged archive ({error}); remove it and run this again"
            ) from error
        missing = missing_files(partial / INSIDE[1])
        if missing:
            raise CourseError(
                f"{path}: {len(missing)} files are not in the archive, the first is "
                f"{missing[0]}; remove the archive and run this again"
            )


def _unpack_members(archive: tarfile.TarFile, path: Path, partial: Path) -> None:
    room = path.stat().st_size  # not compressed, so its files cannot be larger
    with tqdm(
        total=room, desc="unpacking", unit="B", unit_scale=True, file=sys.stderr
    ) as progress:
        for member in archive:
            problem = member_problem(member)
            room -= member.size
            if problem or room < 0:
                problem = problem or "it is larger than the archive"
                raise CourseError(f"{path}: refused {member.name!r}: {problem}")
            inside = PurePosixPath(member.name).relative_to(DEVKIT)
            if inside.parts:
                # Below VOCdevkit already: the partial folder becomes that folder.
                _write_member(archive, member, partial / inside)
            progress.update(archive.offset - progress.n)


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, to: Path) -> None:
    """Only names and bytes of the archive count: no links, owners or permissions."""
    if member.isdir():
        to.mkdir(parents=True, exist_ok=True)
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    if content is not None:  # None for links and devices, which are refused before
        with content, to.open("wb") as file:
            shutil.copyfileobj(content, file)
