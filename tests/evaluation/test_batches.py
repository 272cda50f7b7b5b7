"""Batches for evaluation: like sizes together, every sample once, over any number of processes."""

from itertools import pairwise, zip_longest

import pytest
from torch.utils.data import DataLoader

from helpers.dummies import DummyDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.batches import EvaluationLoader

LENGTH = 23


class Annotated(DummyDataset):
    """Says beforehand how many images a sample has (one to three) and how long its instruction is."""

    def __init__(self, length):
        super().__init__(length)
        self.annotation = [
            MultiImageSample(f"s{i}", ("p",) * (1 + i % 3), "x" * (i % 4), "y", ("y",), "here") for i in range(length)
        ]


@pytest.mark.parametrize("world_size", [1, 2, 3, 30])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("dataset", [Annotated, DummyDataset])
def test_every_sample_is_in_one_batch_of_one_process(dataset, batch_size, world_size):
    shares = [
        EvaluationLoader(dataset(LENGTH), batch_size, rank=rank, world_size=world_size).shares()[rank]
        for rank in range(world_size)
    ]
    indices = [index for share in shares for batch in share for index in batch]
    assert sorted(indices) == list(range(LENGTH))
    assert max(len(batch) for share in shares for batch in share) <= batch_size
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_batches_hold_samples_of_like_size_the_largest_first():
    loader = EvaluationLoader(Annotated(24), 8)
    counts = [sorted({1 + index % 3 for index in batch}) for batch in loader.shares()[0]]
    assert counts == [[3], [2], [1]]


def test_no_process_idles_while_another_has_two_samples():
    assert EvaluationLoader(DummyDataset(4), 8, world_size=4).shares() == [[[0]], [[1]], [[2]], [[3]]]


def test_what_is_done_is_left_out():
    loader = EvaluationLoader(Annotated(10), 3)
    batches = list(loader.batches(done=range(8)))
    assert sorted(index for batch in batches for index in batch.indices) == [8, 9]
    assert [name for batch in batches for name in batch.content["sample_id"]] == [f"s{i}" for i in batches[0].indices]
    assert list(loader.batches(done=range(10))) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_iterating_gives_contents_as_lavis_wants_them(workers):
    loader = EvaluationLoader(Annotated(7), 3, num_workers=workers)
    assert len(loader) == 3
    assert sorted(name for batch in loader for name in batch["sample_id"]) == sorted(f"s{i}" for i in range(7))


class Broken(Annotated):
    def __getitem__(self, index):
        if index == 4:
            raise SamDataError("p.png: damaged")
        if index == 2:
            raise OSError("no such file")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unusable_sample_is_one_clear_error_that_names_it(workers):
    batches = list(EvaluationLoader(Broken(6), 1, num_workers=workers).batches())
    problems = {batch.indices: str(batch.problem) for batch in batches if batch.problem is not None}
    assert problems == {
        (4,): "sample 's4': p.png: damaged",
        (2,): "sample 's2': no such file; correct or remove the sample.",
    }
    assert all("Traceback" not in text for text in problems.values())
    with pytest.raises(SamDataError):
        list(EvaluationLoader(Broken(6), 1, num_workers=workers))


def test_any_loader_becomes_one_that_repeats_nothing():
    dataset = Annotated(5)
    padded = DataLoader(dataset, batch_size=2, sampler=[0, 1, 2, 3, 4, 0], collate_fn=dataset.collater)
    loader = EvaluationLoader.like(padded)
    assert sorted(name for batch in loader for name in batch["sample_id"]) == [f"s{i}" for i in range(5)]


class Bytes:
    """A byte for each image and each letter of the longest in a batch, times its samples."""

    def size(self, sample):
        return len(sample.images), len(sample.instruction)

    def batch_bytes(self, samples, images, text):
        return samples * (images + text)


def bounded(length, max_bytes, **place):
    loader = EvaluationLoader(Annotated(length), 2, max_bytes=max_bytes, **place)
    loader.measure(Bytes())
    return loader


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("max_bytes", [1, 12, 40])
def test_bytes_bound_each_batch_and_fill_it(world_size, max_bytes):
    loader = bounded(LENGTH, max_bytes, world_size=world_size)
    batches = [batch for share in loader.shares() for batch in share]
    assert sorted(index for batch in batches for index in batch) == list(range(LENGTH))
    for batch in batches:
        assert len(batch) == 1 or loader.cost(batch) <= max_bytes
    shares = loader.shares()
    in_order = [batch for round_ in zip_longest(*shares) for batch in round_ if batch]
    for batch, following in pairwise(in_order):
        assert len(batch) == -(-LENGTH // world_size) or loader.cost([*batch, following[0]]) > max_bytes


def test_short_samples_come_in_larger_batches_than_long_ones():
    sizes = [len(batch) for batch in bounded(48, 24).shares()[0]]
    assert sizes[0] < max(sizes)
    assert len(bounded(48, 24).shares(done=range(40))[0][0]) > 1


def test_no_process_idles_beside_a_batch_of_many_bytes():
    assert [len(share) for share in bounded(4, 10**9, world_size=4).shares()] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("dataset", "memory", "message"),
    [
        (Annotated(3), None, r"run\.batch_gb_eval is 2e-09, and this model does not .* use run\.batch_size_eval"),
        (DummyDataset(3), Bytes(), r"run\.batch_gb_eval is 2e-09, and this data set has no list"),
    ],
)
def test_a_bound_that_nothing_can_be_compared_with_is_refused(dataset, memory, message):
    with pytest.raises(SamConfigurationError, match=message):
        EvaluationLoader(dataset, 2, max_bytes=2).measure(memory)
    EvaluationLoader(dataset, 2).measure(memory)


def test_names_of_samples():
    assert EvaluationLoader(Annotated(5), 1).describe([2, 0]) == "sample 's2', sample 's0' (at most 3 images each)"
    assert EvaluationLoader(DummyDataset(5), 1).describe([2]) == "sample 2 of the data set"
