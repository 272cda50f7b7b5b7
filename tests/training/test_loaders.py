"""The order of samples: everything once, the same for any number of processes and workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.dummies import DummyDataset
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.training.loaders import (
    GlobalBatchSampler,
    datasets_by_split,
    set_draw,
    training_loader,
)


def counted(sampler):
    """The batches of an epoch, without the indices that do not count."""
    size = sampler.global_batch
    return [indices if sampler.counts(number * size) else [] for number, indices in enumerate(sampler)]


@given(length=st.integers(1, 40), batch_size=st.integers(1, 6), ranks=st.integers(1, 4), epoch=st.integers(0, 3))
def test_every_sample_once_and_ranks_share_the_batches_of_one_process(length, batch_size, ranks, epoch):
    samplers = [GlobalBatchSampler(length, batch_size, seed=1, rank=r, world_size=ranks) for r in range(ranks)]
    single = GlobalBatchSampler(length, batch_size * ranks, seed=1)
    for sampler in (*samplers, single):
        sampler.set_epoch(epoch)
    shares = [counted(sampler) for sampler in samplers]
    assert {len(share) for share in shares} == {len(single)}
    for number, batch in enumerate(single):
        assert sorted(batch) == sorted(index for share in shares for index in share[number])
        assert all(list(sampler)[number] for sampler in samplers)  # nobody is ever without a batch
    assert sorted(index for batch in single for index in batch) == list(range(length))


def test_order_depends_on_seed_and_epoch():
    def order(seed, epoch):
        sampler = GlobalBatchSampler(30, 4, seed=seed)
        sampler.set_epoch(epoch)
        return [index for batch in sampler for index in batch]

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    assert order(1, 0) != list(range(30))


def test_a_batch_larger_than_the_data_set_is_one_batch():
    """LAVIS drops it and divides by zero (defect 25)."""
    assert [len(batch) for batch in GlobalBatchSampler(3, 8, seed=0)] == [3]


def test_no_samples_is_an_error():
    with pytest.raises(SamDataError, match="0 samples"):
        GlobalBatchSampler(0, 8, seed=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_loader_joins_its_data_sets(workers):
    parts = [DummyDataset(5, "a"), DummyDataset(4, "b")]
    loader = training_loader(parts, GlobalBatchSampler(9, 4, seed=0), num_workers=workers)
    names = [name for batch in loader for name in batch["sample_id"]]
    assert sorted(names) == [*(f"a{i}" for i in range(5)), *(f"b{i}" for i in range(4))]
    assert [len(batch["sample_id"]) for batch in loader] == [4, 4, 1]


def test_set_draw_reaches_every_data_set_inside():
    parts = [DummyDataset(5), DummyDataset(4)]
    set_draw(training_loader(parts, GlobalBatchSampler(9, 4, seed=0)).dataset, seed=7, epoch=2)
    assert [part.drawn for part in parts] == [[(7, 2)], [(7, 2)]]


def test_datasets_by_split():
    datasets = {"one": {"train": 1, "test": 2}, "two": {"train": 3}}
    assert datasets_by_split(datasets, ["train", "test"]) == {"train": {"one": 1, "two": 3}, "test": {"one": 2}}
    with pytest.raises(SamConfigurationError, match=r"'val', found \{'one': \['test', 'train'\], 'two': \['train'\]\}"):
        datasets_by_split(datasets, ["val"])
