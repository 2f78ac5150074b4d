"""VOC-style detection data as tensors: one loader for photographs and drawn shapes."""

import operator
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from core.command import CourseError
from data_scripts.voc_format import (
    find_voc_root,
    read_class_names,
)
from helpers.data.augment import AugmentConfig, augment
from helpers.data.images import load_image, model_scale, normalize, to_model_input
from helpers.data.records import read_json_records, read_xml_records
from helpers.evaluation.types import GroundTruth

MIN_PADDED_BOXES = 40
PADDING = -1.0
# Where the commands look for a data set when no --data-dir is given.
DEFAULT_DATA_DIRS = {"shapes": Path("data/shapes"), "voc2007": Path("data/voc2007")}


class VOC2007DetectionTiny(Dataset):
    """PASCAL VOC 2007, or any tree in its form, as images and padded boxes.

    Training images are squares (shorter side resized, centre crop; or augmented); all
    others are whole, with the shorter side resized. Objects marked "difficult" are left
    out of the items and are part of ground_truth().

    Args:
        dataset_dir: holds VOCdevkit/VOC2007, or voc07_<split>.json with JPEGImages.
        split: "train", "val" or another list in ImageSets/Main.
        image_size: shorter side of the images in pixels.
        augment: changes of training images; None for none.
        whole_image: keep the whole image; default: all splits but "train".
        keep_in_memory: decode each image once; for small data sets.

    Raises:
        CourseError: a folder, list, image or annotation is missing or broken.
    """

    def __init__(
        self,
        dataset_dir: str | Path,
        split: str = "train",
        image_size: int = 224,
        *,
        augment: AugmentConfig | None = None,
        whole_image: bool | None = None,
        keep_in_memory: bool = False,
    ):
        self.split = split
        self.data_dir = Path(dataset_dir)
        self.image_size = image_size
        self.augment = augment
        self.whole_image = split != "train" if whole_image is None else whole_image
        root = find_voc_root(Path(dataset_dir))
        self.class_names = read_class_names(root)
        self.class_to_idx = {
            name: class_id for class_id, name in enumerate(self.class_names)
        }
        self.idx_to_class = dict(enumerate(self.class_names))
        json_path = Path(dataset_dir) / f"voc07_{split}.json"
        if json_path.is_file() and not (root / "Annotations").is_dir():
            self.records = read_json_records(json_path, root, self.class_to_idx)
        else:
            self.records = read_xml_records(root, split, self.class_to_idx)
        largest = max((len(record.boxes) for record in self.records), default=0)
        self.max_boxes = max(MIN_PADDED_BOXES, largest)
        self._sizes: dict[int, tuple[int, int]] = {}
        self._memory: dict[int, Image.Image] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[str, torch.Tensor, torch.Tensor]:
        """Path, image (3, H, W) float32 ImageNet-normalised, boxes (40, 5) float32.

        Rows of the boxes are (x1, y1, x2, y2, class) in pixels of the returned image,
        valid rows first, then rows of -1.
        """
        place = operator.index(index)  # cells of the old assignment give a tensor
        return self.item(place, Random(place))

    def item(
        self, index: int, random: Random
    ) -> tuple[str, torch.Tensor, torch.Tensor]:
        """Like self[index], with the random choices of augmentation from `random`."""
        record = self.records[index]
        image = self.image(index)
        easy = np.flatnonzero(~record.difficult)
        if self.whole_image:
            tensor, scale = to_model_input(image, self.image_size)
            boxes, classes = record.boxes[easy] * scale, record.classes[easy]
        else:
            square, boxes, kept = augment(
                image, record.boxes[easy], self.image_size, self.augment, random
            )
            tensor, classes = normalize(square), record.classes[easy][kept]
        rows = torch.full((self.max_boxes, 5), PADDING)
        rows[: len(boxes), :4] = torch.from_numpy(boxes)
        rows[: len(boxes), 4] = torch.from_numpy(classes)
        return str(record.path), tensor, rows

    def image(self, index: int) -> Image.Image:
        """The original photograph, RGB."""
        if self._memory is None:
            return load_image(self.records[index].path)
        if index not in self._memory:
            self._memory[index] = load_image(self.records[index].path)
        return self._memory[index]

    def scale(self, index: int) -> float:
        """Pixels of the resized image for each pixel of the original."""
        return model_scale(self.size(index), self.image_size)

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of the original photograph in pixels, upright."""
        if index not in self._sizes:
            width, height = self.image(index).size
            self._sizes[index] = (height, width)
        return self._sizes[index]

    def ground_truth(self, index: int) -> GroundTruth:
        """All true boxes of an image, difficult ones too, in pixels of the original."""
        record = self.records[index]
        return GroundTruth(
            image_id=record.path.stem,
            boxes=record.boxes,
            classes=record.classes,
            difficult=record.difficult,
            size=self.size(index),
        )


def check_objects(dataset: VOC2007DetectionTiny) -> None:
    """Nothing can be learned or measured where no image has an object that counts.

    Raises:
        CourseError: the split has no object, or all are marked difficult.
    """
    if any((~record.difficult).any() for record in dataset.records):
        return
    difficult = sum(len(record.boxes) for record in dataset.records)
    marked = f", only {difficult} marked difficult" if difficult else ""
    raise CourseError(
        f"the split {dataset.split!r} in {dataset.data_dir} has no object{marked}, so "
        f"there is nothing to learn from its {len(dataset)} images, or to find; check "
        "the data with python -m data_scripts.prepare_annotations"
    )
