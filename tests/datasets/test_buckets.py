"""Batches of samples of like size."""

import random

import pytest

from lavis_sam.datasets import buckets
from lavis_sam.datasets.buckets import bucketed_batches, sample_sizes
from lavis_sam.errors import SamConfigurationError


def test_windows_are_sorted_and_hold_what_stood_in_them(monkeypatch):
    monkeypatch.setattr(buckets, "BUCKETED_BATCHES", 2)
    sizes = [(number % 7, number) for number in range(23)]
    order = random.Random(0).sample(range(23), 23)
    windows = list(bucketed_batches(order, sizes, 5))
    assert [[len(batch) for batch in batches] for batches in windows] == [[5, 5], [5, 5], [3]]
    for number, batches in enumerate(windows):
        held = [index for batch in batches for index in batch]
        assert held == sorted(order[10 * number : 10 * number + 10], key=lambda index: sizes[index])


def test_an_index_of_a_repeated_sample_has_its_size():
    (batches,) = bucketed_batches([4, 2, 0], [(2,), (9,), (1,)], 3)
    assert batches == [[2, 0, 4]]


def test_a_data_set_without_sizes_is_refused():
    with pytest.raises(SamConfigurationError, match="list does not say how large its samples are"):
        sample_sizes([1, 2])
