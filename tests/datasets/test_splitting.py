"""Samples are dealt out to splits: whole, by a seed, and no image in two of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.splitting import split_samples
from lavis_sam.errors import SamConfigurationError, SamDataError

SHARES = {"val": 0.2, "test": 0.2}


def samples(*images):
    return [
        MultiImageSample(str(n), tuple(names), "What?", "A cat.", ("A cat.",), "") for n, names in enumerate(images)
    ]


def write(folder, count, same=()):
    """Images `0` to `count - 1`; each pair of `same` has the same content under two names."""
    for number in range(count):
        (folder / str(number)).write_bytes(b"%d" % number)
    for one, other in same:
        (folder / other).write_bytes((folder / one).read_bytes())


def test_splitting_is_whole_sized_and_repeatable(tmp_path):
    write(tmp_path, 10)
    given_samples = samples(*[[str(number)] for number in range(10)])
    parts = split_samples(given_samples, tmp_path, SHARES, 3)
    assert {split: len(part) for split, part in parts.items()} == {"train": 6, "val": 2, "test": 2}
    assert sorted(sample.id for part in parts.values() for sample in part) == [str(number) for number in range(10)]
    assert parts == split_samples(given_samples, tmp_path, SHARES, 3)
    others = [split_samples(given_samples, tmp_path, SHARES, seed)["test"] for seed in range(8)]
    assert len({tuple(sample.id for sample in part) for part in others}) > 1


def test_splitting_keeps_samples_with_a_common_image_together(tmp_path):
    """Also where the image is a copy under another name, and along a chain."""
    write(tmp_path, 9, same=[("0", "copy")])
    parts = split_samples(samples(*"0", ["copy", "1"], ["1", "2"], *"345678"), tmp_path, SHARES, 0)
    (home,) = [split for split, part in parts.items() if any(sample.id == "0" for sample in part)]
    assert {"0", "1", "2"} <= {sample.id for sample in parts[home]}


@given(st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=3), min_size=1, max_size=12), st.integers(0, 5))
def test_splitting_never_shares_an_image_or_loses_a_sample(tmp_path_factory, images, seed):
    folder = tmp_path_factory.mktemp("images")
    write(folder, 9)
    given_samples = samples(*[[str(image) for image in sample] for sample in images])
    try:
        parts = split_samples(given_samples, folder, SHARES, seed)
    except SamDataError:  # fewer groups than splits
        return
    assert sorted(int(sample.id) for part in parts.values() for sample in part) == list(range(len(images)))
    shown = {split: {image for sample in part for image in sample.images} for split, part in parts.items()}
    assert len(shown) == 3
    assert all(shown.values())
    assert not any(shown[one] & shown[other] for one, other in itertools.combinations(shown, 2))


def test_splitting_refuses_fewer_groups_than_splits(tmp_path):
    write(tmp_path, 3)
    with pytest.raises(SamDataError, match=r"3 sample\(s\) in 2 group\(s\).*at least one group for each of train, val"):
        split_samples(samples(["0", "1"], ["1"], ["2"]), tmp_path, SHARES, 0)


def test_splitting_without_a_share_makes_no_split(tmp_path):
    write(tmp_path, 4)
    parts = split_samples(samples(*"0123"), tmp_path, {"val": 0.0, "test": 0.25}, 0)
    assert {split: len(part) for split, part in parts.items()} == {"train": 3, "test": 1}


@pytest.mark.parametrize(
    "shares", [{"val": 0.5, "test": 0.5}, {"val": -0.1, "test": 0.1}, {"val": float("nan"), "test": 0.1}]
)
def test_splitting_refuses_shares_that_are_none(tmp_path, shares):
    write(tmp_path, 4)
    with pytest.raises(SamConfigurationError, match="wanted shares from 0 to below 1"):
        split_samples(samples(*"0123"), tmp_path, shares, 0)
