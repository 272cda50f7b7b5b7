"""What is missing is computed: once, in whole shards, by all processes, and only where there is room."""

from collections import namedtuple

import pytest
import torch

from helpers.features import RANDOM, dataset, store, write_images
from helpers.shards import overwrite, sharded
from lavis_sam import distributed
from lavis_sam.datasets.shards import open_shards
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.features import fill as module
from lavis_sam.features.crops import CachedFeatures, FixedCrops
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


@pytest.mark.parametrize(("name", "place"), [("a.png", (0, 0)), ("c.png", (1, 1)), ("d.png", (1, 2))])
def test_fill_leaves_damaged_images_alone_out_and_names_each_once(source, cache, caplog, name, place):
    with open(f"{source.dataset.vis_root}/{name}", "r+b") as file:
        file.truncate(200)
    assert fill(missing_work([source], cache), cache, encoder) == 4 * 2
    cache.refresh()
    assert caplog.text.count(name) == 1
    left = [key for part in missing_work([source], cache) for key in part.keys]
    assert left == [source.key(*place, crop) for crop in range(2)]


def test_fill_serves_a_sample_that_shares_an_image_with_a_damaged_one(source, cache):
    with open(f"{source.dataset.vis_root}/a.png", "r+b") as file:
        file.truncate(200)
    fill(missing_work([source], cache), cache, encoder)
    cache.refresh()
    cached = CachedFeatures(source.dataset, source.digests, "t", 2, cache)
    assert cached.tensors(1, seed=0)["image_features"].shape == (3, 5, 4)
    with pytest.raises(SamDataError, match=r"sample 0.*a\.png"):
        cached.tensors(0, seed=0)


def test_fill_of_shards_leaves_the_damaged_image_alone_out(tmp_path, cache):
    _, folder = sharded(tmp_path / "data")
    data = open_shards([folder])
    data.set_processors(RANDOM, data.text_processor)
    number = 2
    place = data.store.index.places[number]
    overwrite(data.store.index.files[place.shard].path, place.images[1].offset, b"?")
    crops = FixedCrops(data, content_digests(data), "t", 1)
    assert [digest is None for digest in crops.digests[number]] == [False, True, False]
    fill(missing_work([crops], cache), cache, encoder)
    cache.refresh()
    assert missing_work([crops], cache) == []
    assert {crops.key(number, position, 0) in cache for position in (0, 2)} == {True}
    cached = CachedFeatures(data, crops.digests, "t", 1, cache)
    with pytest.raises(SamDataError, match="image 2's checksum"):
        cached.tensors(number, seed=0)


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
