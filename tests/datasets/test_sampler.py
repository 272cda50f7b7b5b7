"""Orders: every sample as often as promised, the same on every process, and batches of like size."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavis_sam.datasets.sampler import BucketedOrder, MixedOrder, sample_sizes, training_order
from lavis_sam.errors import SamConfigurationError


class Part:
    """A sized data set whose samples have images and texts of given sizes."""

    def __init__(self, length, ratio=None, sizes=None):
        self.sample_ratio = ratio
        sizes = sizes or [(1 + i % 3, 10 + (7 * i) % 50) for i in range(length)]
        self.annotation = [
            SimpleNamespace(
                images=("x",) * images, instruction="x" * (characters // 2), output="x" * -(-characters // 2)
            )
            for images, characters in sizes
        ]

    def __len__(self):
        return len(self.annotation)


class Backwards(Part):
    """A set with its own way of shuffling."""

    def nearby_order(self, generator):
        return list(range(len(self)))[::-1]


LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=4)


# Without ratios -------------------------------------------------------------------------------------------------------


@given(lengths=LENGTHS, seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_every_sample_once_an_epoch(lengths, seed, epoch):
    order = MixedOrder([Part(length) for length in lengths], seed)
    assert sorted(order(epoch)) == list(range(sum(lengths)))
    assert len(order) == sum(lengths)


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return tuple(MixedOrder([Part(20), Part(9)], seed)(epoch))

    assert order(3, 2) == order(3, 2)
    assert len({order(seed, epoch) for seed in range(4) for epoch in range(4)}) == 16


def test_the_state_of_torch_does_not_matter():
    torch.manual_seed(1)
    first = MixedOrder([Part(20)], 0)(0)
    torch.manual_seed(2)
    assert MixedOrder([Part(20)], 0)(0) == first


def test_samples_of_different_sets_are_mixed():
    """Each set's samples are spread over the epoch: no tenth of it lacks one."""
    order = MixedOrder([Part(500), Part(500)], 0)(0)
    for first in range(0, 1000, 100):
        assert 25 <= sum(index < 500 for index in order[first : first + 100]) <= 75


def test_every_place_is_equally_likely():
    """Of 400 epochs, each sample of a set of 8 comes first about 50 times (5 standard deviations)."""
    firsts = Counter(MixedOrder([Part(3), Part(5)], 0)(epoch)[0] for epoch in range(400))
    assert sorted(firsts) == list(range(8))
    assert all(17 <= count <= 83 for count in firsts.values())


def test_a_set_may_shuffle_itself():
    order = MixedOrder([Part(4), Backwards(5)], 0)(0)
    assert [index for index in order if index >= 4] == [8, 7, 6, 5, 4]


# With ratios ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 9)), min_size=1, max_size=4),
    epochs=st.integers(1, 6),
)
def test_shares_follow_the_ratios_and_no_set_repeats_early(parts, epochs):
    datasets = [Part(length, ratio) for length, ratio in parts]
    total, ratios = sum(length for length, _ in parts), [ratio for _, ratio in parts]
    order = MixedOrder(datasets, seed=1)
    drawn = [[] for _ in parts]
    offsets = [sum(length for length, _ in parts[:number]) for number in range(len(parts))]
    for epoch in range(epochs):
        indices = order(epoch)
        assert len(indices) == len(set(indices)) == total
        counts = [0] * len(parts)
        for index in indices:
            number = max(n for n, offset in enumerate(offsets) if index % total >= offset)
            counts[number] += 1
            drawn[number].append(index % total)
        for count, ratio in zip(counts, ratios, strict=True):
            assert abs(count - total * ratio / sum(ratios)) < 1
    for (length, _), offset, samples in zip(parts, offsets, drawn, strict=True):
        uses = Counter(samples)
        counts = [uses[offset + index] for index in range(length)]
        assert max(counts) - min(counts) <= 1


def test_a_repeated_sample_has_an_index_of_its_own():
    order = MixedOrder([Part(2, 3), Part(6, 1)], 0)(0)
    small = sorted(index for index in order if index % 8 < 2)
    assert small == [0, 1, 8, 9, 16, 17]


def test_a_large_set_goes_on_in_the_next_epoch():
    order = MixedOrder([Part(12, 1), Part(12, 3)], 0)
    first, second = ([index for index in order(epoch) if index % 24 < 12] for epoch in (0, 1))
    assert len(first) == len(second) == 6
    assert sorted(first + second) == list(range(12))


@pytest.mark.parametrize("ratios", [(1, None), (1, 0), (1, -2), (1, float("nan")), (1, float("inf")), (1, "2")])
def test_wrong_ratios(ratios):
    with pytest.raises(SamConfigurationError, match=r"sample_ratio: found \[1, .*wanted a number above 0"):
        MixedOrder([Part(3, ratio) for ratio in ratios], 0)


def test_an_empty_set_can_have_no_share():
    with pytest.raises(SamConfigurationError, match=r"sets with \[3, 0\] samples"):
        MixedOrder([Part(3, 1), Part(0, 1, sizes=[])], 0)


# Buckets --------------------------------------------------------------------------------------------------------------


@given(length=st.integers(1, 60), batch=st.integers(1, 7), epoch=st.integers(0, 2))
def test_buckets_hold_every_sample_once(length, batch, epoch):
    part = Part(length)
    order = training_order([part], global_batch=batch, seed=2, batching="bucketed")
    assert sorted(order(epoch)) == list(range(length))
    assert order(epoch) == training_order([part], global_batch=batch, seed=2, batching="bucketed")(epoch)


def batches_of(order, batch, epoch=0):
    indices = order(epoch)
    return [indices[first : first + batch] for first in range(0, len(indices), batch)]


def test_a_bucketed_batch_has_samples_of_like_size():
    part = Part(120, sizes=[(1 + i % 3, 10 + i % 4) for i in range(120)])
    shuffled, bucketed = (
        batches_of(training_order([part], global_batch=10, seed=0, batching=batching), 10)
        for batching in ("shuffled", "bucketed")
    )
    sizes = sample_sizes(part)
    assert all(len({sizes[index] for index in batch}) == 1 for batch in bucketed)
    assert not any(len({sizes[index][0] for index in batch}) == 1 for batch in shuffled)
    images = [sizes[batch[0]][0] for batch in bucketed]
    assert images != sorted(images)  # the batches themselves come at random


def test_the_smaller_last_batch_stays_last():
    assert [
        len(batch) for batch in batches_of(training_order([Part(23)], global_batch=5, seed=0, batching="bucketed"), 5)
    ] == [
        *([5] * 4),
        3,
    ]


def test_processes_get_about_the_same_work():
    part = Part(400, sizes=[(1 + (i * 7) % 10, 10 + i % 90) for i in range(400)])
    sizes = sample_sizes(part)
    worst = {}
    for batching in ("shuffled", "bucketed"):
        order = training_order([part], global_batch=20, seed=0, batching=batching)
        differences = []
        for batch in batches_of(order, 20):
            work = [max(sizes[index][0] for index in batch[rank::4]) for rank in range(4)]
            differences.append(max(work) - min(work))
        worst[batching] = sum(differences) / len(differences)
    assert worst["bucketed"] < 0.2 * worst["shuffled"]


def test_buckets_of_a_mixture_with_ratios():
    parts = [Part(4, 3), Part(12, 1)]
    order = training_order(parts, global_batch=4, seed=0, batching="bucketed")
    assert sorted(order(1)) == sorted(MixedOrder(parts, 0)(1))


def test_identities_tell_orders_apart():
    def identity(*parts, seed=0, batching="shuffled", batch=4):
        return training_order(parts, global_batch=batch, seed=seed, batching=batching).identity

    same = identity(Part(6), batching="bucketed")
    assert same == identity(Part(6), batching="bucketed")
    others = [
        identity(Part(6)),
        identity(Part(7), batching="bucketed"),
        identity(Part(6), seed=1, batching="bucketed"),
        identity(Part(6), batching="bucketed", batch=5),
        identity(Part(6, sizes=[(1, 1)] * 6), batching="bucketed"),
        identity(Part(3), Part(3), batching="bucketed"),
        identity(Part(3, 1), Part(3, 2)),
    ]
    assert all(same != other for other in others)
    assert all(one != two for i, one in enumerate(others) for two in others[:i])


def test_unknown_batching_and_sets_without_sizes():
    with pytest.raises(SamConfigurationError, match=r"unknown batching 'sorted'.*Valid: bucketed, shuffled"):
        training_order([Part(3)], global_batch=2, seed=0, batching="sorted")
    with pytest.raises(SamConfigurationError, match="range does not say how large its samples are"):
        training_order([range(3)], global_batch=2, seed=0, batching="bucketed")
    assert len(BucketedOrder(MixedOrder([range(3)], 0), [(1, 1)] * 3, global_batch=2, seed=0)) == 3
