"""The endless stream of training images, which can be entered at any position.

Position p of the stream fixes everything about the p-th training image: its epoch, its
place in that epoch's order, and the random choices of its augmentation. So a run that
was stopped goes on with exactly the images that it would have seen.
"""

from collections.abc import Generator, Iterable
from random import Random

import torch
from torch.utils.data import DataLoader, Dataset

from core.interrupt import StoppedError, StopRequest, ignore_signals
from helpers.data.voc import VOC2007DetectionTiny


class TrainingStream(Dataset):
    """Items of a data set by position in the stream instead of by index.

    Args:
        dataset: the training images.
        length: number of positions.
        seed: of the order and the augmentation.
        shuffle: a new order for each epoch; otherwise the order of the data set.
    """

    def __init__(
        self, dataset: VOC2007DetectionTiny, length: int, seed: int, shuffle: bool
    ):
        self.dataset = dataset
        self.length = length
        self.seed = seed
        self.shuffle = shuffle
        self._epoch = -1
        self._order: list[int] = []

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> tuple[str, torch.Tensor, torch.Tensor]:
        epoch, place = divmod(position, len(self.dataset))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._make_order(epoch)
        random = Random(f"{self.seed} {position}")
        return self.dataset.item(self._order[place], random)

    def _make_order(self, epoch: int) -> list[int]:
        order = list(range(len(self.dataset)))
        if self.shuffle:
            keys = Random(f"{self.seed} epoch {epoch}")
            order.sort(key=lambda _: keys.random())
        return order


def training_batches(
    stream: TrainingStream, batch_size: int, start_iteration: int, num_workers: int = 0
) -> DataLoader:
    """Batches (paths, images (B, 3, S, S), boxes (B, M, 5)) from an iteration on."""
    positions = range(start_iteration * batch_size, len(stream))
    return DataLoader(
        stream,
        batch_size=batch_size,
        sampler=positions,
        num_workers=num_workers,
        worker_init_fn=ignore_signals,
        pin_memory=torch.cuda.is_available(),
    )


def until_stopped(batches: Iterable, stop: StopRequest) -> Generator[tuple]:
    """The batches; at the end, whichever, no process that loads them is left.

    Raises:
        StoppedError: such a process was ended by the signal that stops the run.
    """
    iterator = iter(batches)
    try:
        yield from iterator
    except RuntimeError:
        if not stop.requested:
            raise
        raise StoppedError from None
    finally:
        # The processes ignore SIGTERM, by which Python would end them.
        end = getattr(iterator, "_shutdown_workers", None)
        if end is not None:
            end()
