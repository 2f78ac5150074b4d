"""The stream of training images: a position determines the item."""

import pytest
import torch

from helpers.data.augment import AugmentConfig
from helpers.data.stream import TrainingStream, training_batches
from helpers.data.voc import VOC2007DetectionTiny
from tests.small_trees import Picture, Thing, write_tree

NUM_IMAGES = 5
LENGTH = 4 * NUM_IMAGES


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Five images; the first has no box."""
    data_dir = tmp_path_factory.mktemp("stream")
    pictures = [Picture("000", (60, 40))]
    pictures += [
        Picture(f"00{i}", (60, 40 + i), (Thing("cat", (8, 9, 30 + i, 30)),))
        for i in range(1, NUM_IMAGES)
    ]
    write_tree(data_dir, train=pictures)
    return VOC2007DetectionTiny(data_dir, image_size=32, augment=AugmentConfig())


def stream_of(dataset, seed=0, shuffle=True):
    """A new stream, which has seen nothing yet."""
    return TrainingStream(dataset, LENGTH, seed, shuffle)


def test_each_epoch_has_every_image_once(dataset):
    """Four epochs of five images, each in an order of its own."""
    stream = stream_of(dataset)
    paths = [stream[position][0] for position in range(LENGTH)]
    epochs = [paths[i : i + NUM_IMAGES] for i in range(0, LENGTH, NUM_IMAGES)]
    for epoch in epochs:
        assert len(set(epoch)) == NUM_IMAGES
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_without_shuffle_the_order_is_that_of_the_data_set(dataset):
    """As the original assignment does it."""
    stream = stream_of(dataset, shuffle=False)
    names = [stream[position][0][-7:-4] for position in range(7)]
    assert names == ["000", "001", "002", "003", "004", "000", "001"]


def test_position_determines_the_item(dataset):
    """In whatever order positions are asked for, also across epochs."""
    first, second = stream_of(dataset), stream_of(dataset)
    wanted = {position: first[position] for position in range(LENGTH)}
    for position in (17, 2, 9, 2, 0, 19):
        path, image, boxes = second[position]
        assert path == wanted[position][0]
        assert torch.equal(image, wanted[position][1])
        assert torch.equal(boxes, wanted[position][2])


def test_another_seed_gives_another_stream(dataset):
    """Seed 1 differs from seed 0 in its images."""
    zero, one = stream_of(dataset), stream_of(dataset, seed=1)
    same = [
        torch.equal(zero[position][1], one[position][1]) for position in range(LENGTH)
    ]
    assert not all(same)


def test_an_image_is_augmented_anew_in_each_epoch(dataset):
    """Position 1 and 6 are the same photograph with other random choices."""
    stream = stream_of(dataset, shuffle=False)
    assert stream[1][0] == stream[6][0]
    assert not torch.equal(stream[1][1], stream[6][1])


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_batches_from_an_iteration_on_are_those_of_the_whole_run(dataset, start):
    """Entering at iteration 3 gives batch 3 of a run that started at 0."""
    batch_size = 5
    whole = list(training_batches(stream_of(dataset), batch_size, 0))
    rest = list(training_batches(stream_of(dataset), batch_size, start))
    assert len(whole) == 4
    assert len(rest) == 4 - start
    for ours, expected in zip(rest, whole[start:], strict=True):
        assert list(ours[0]) == list(expected[0])
        assert torch.equal(ours[1], expected[1])
        assert torch.equal(ours[2], expected[2])


def test_batches_of_worker_processes_are_the_same(dataset):
    """Two processes that load data change nothing."""
    alone = list(training_batches(stream_of(dataset), 4, 2))
    helped = list(training_batches(stream_of(dataset), 4, 2, num_workers=2))
    for ours, expected in zip(helped, alone, strict=True):
        assert list(ours[0]) == list(expected[0])
        assert torch.equal(ours[1], expected[1])
