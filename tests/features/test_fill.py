"""What is missing is computed: once, in whole shards, by all processes, and only where there is room."""

from collections import namedtuple

import pytest
import torch

from helpers.features import RANDOM, dataset, store, write_images
from lavis_sam import distributed
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.features import fill as module
from lavis_sam.features.crops import FixedCrops
from lavis_sam.features.fill import check_room, fill, missing_work
from lavis_sam.features.keys import content_digests

Usage = namedtuple("Usage", "total used free")


def encoder(images):
    """Features [n, 5, 4] that show which image they are of."""
    return images.flatten(1)[:, :20].reshape(-1, 5, 4)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "images").mkdir()
    data = dataset(write_images(tmp_path / "images"), RANDOM)
    return FixedCrops(data, content_digests(data), "t", 2)


@pytest.fixture
def cache(tmp_path):
    found = store(tmp_path / "cache")
    found.begin()
    return found


def test_fill_computes_each_entry_once(source, cache):
    work = missing_work([source, source], cache)
    assert sum(len(part.keys) for part in work) == 5 * 2
    assert fill(work, cache, encoder) == 10
    cache.refresh()
    assert missing_work([source], cache) == []
    for index, position, crop, key in source.entries():
        (image,) = source.images(index, [(position, crop)])
        assert torch.equal(cache.load(key), encoder(image[None])[0])


def test_fill_computes_what_a_killed_run_left(source, cache, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "SHARD_BYTES", 4 * 5 * 4 * 4)  # four entries
    calls = []

    def killed(images):
        calls.append(len(images))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return encoder(images)

    with pytest.raises(KeyboardInterrupt):
        fill(missing_work([source], cache), cache, killed)
    cache.refresh()
    assert len(cache) == 4, "the whole shard stays, the half one goes"
    assert fill(missing_work([source], cache), cache, encoder) == 6
    cache.refresh()
    assert missing_work([source], cache) == []


def test_fill_shares_of_processes_are_the_whole(source, cache, monkeypatch):
    work = missing_work([source], cache)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    written = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        written.append(fill(work, cache, encoder))
    cache.refresh()
    assert sum(written) == len(cache) == 10
    assert min(written) > 0


def test_fill_leaves_damaged_images_out_and_names_them(source, cache, caplog):
    path = source.dataset.vis_root + "/c.png"
    with open(path, "r+b") as file:
        file.truncate(200)
    fill(missing_work([source], cache), cache, encoder)
    cache.refresh()
    assert "c.png" in caplog.text
    left = {key for part in missing_work([source], cache) for key in part.keys}
    assert {source.key(1, 1, crop) for crop in range(2)} <= left
    assert source.key(0, 0, 0) not in left


def test_fill_refuses_features_that_are_not_finite(source, cache):
    with pytest.raises(SamDataError, match="not finite"):
        fill(missing_work([source], cache), cache, lambda images: encoder(images) * float("nan"))
    cache.refresh()
    assert len(cache) == 0


def test_fill_works_with_data_workers(source, cache):
    assert fill(missing_work([source], cache), cache, encoder, num_workers=1) == 10


def test_room_counts_what_is_there(cache, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage(0, 0, 10**6))
    entry = 5 * 4 * 4
    check_room(cache.folder, 10, cache, 10 * entry / 1e9)
    with pytest.raises(SamConfigurationError, match=r"11 entries.*run.feature_cache_gb allows.*int8"):
        check_room(cache.folder, 11, cache, 10 * entry / 1e9)
    cache.add(["a"], torch.zeros(1, 5, 4))
    cache.refresh()
    with pytest.raises(SamConfigurationError, match="11 entries"):
        check_room(cache.folder, 10, cache, 10 * entry / 1e9)


def test_room_on_the_disk_is_needed_before_anything_is_computed(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: Usage(0, 0, 1000))
    check_room(tmp_path / "not" / "yet", 11, cache, None)  # 880 of 950 bytes
    with pytest.raises(SamConfigurationError, match=r"0\.0 GB are free"):
        check_room(tmp_path / "not" / "yet", 12, cache, None)
