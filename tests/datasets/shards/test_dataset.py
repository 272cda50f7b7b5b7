"""Items out of shards are those of the map-style set, in every process."""

import logging
import multiprocessing
import pickle

import pytest
import torch
from lavis.common.registry import registry
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from helpers.shards import contents, noise_image, offset_of, opened, overwrite, sharded
from lavis_sam.datasets.shards import images as images_module
from lavis_sam.errors import SamDataError
from lavis_sam.plugin.builders import MMLinkBuilder


def assert_equal_items(one, two):
    assert one.keys() == two.keys()
    assert torch.equal(one["image"], two["image"])
    assert {k: v for k, v in one.items() if k != "image"} == {k: v for k, v in two.items() if k != "image"}


def test_items_equal_the_map_style_ones(pair):
    one, two = pair
    assert len(one) == len(two) == 10
    for epoch in (0, 3):
        one.set_epoch(epoch)
        two.set_epoch(epoch)
        for index in range(10):
            assert_equal_items(one[index], two[index])
    assert not torch.equal(two.item(3)["image"], two.item(3, repeat=1)["image"])


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.integration)])
def test_workers_read_the_same(pair, start):
    dataset = pair[1]
    alone = list(DataLoader(dataset, batch_size=3, collate_fn=dataset.collater))
    assert dataset[0] is not None  # files are open when the workers start
    context = multiprocessing.get_context(start)
    workers = DataLoader(dataset, 3, num_workers=2, collate_fn=dataset.collater, multiprocessing_context=context)
    for one, two in zip(alone, workers, strict=True):
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["image_mask"], two["image_mask"])
        assert one["sample_id"] == two["sample_id"]


def test_a_pickled_copy_reads_the_same(pair):
    assert_equal_items(pickle.loads(pickle.dumps(pair[1]))[7], pair[1][7])


def test_dropped_samples_are_logged_with_their_count(tmp_path, caplog):
    _, path = sharded(tmp_path)
    overwrite(path / "000000.tar", offset_of(path / "000000.tar", "000000001.json"), b"[[")
    with caplog.at_level(logging.WARNING):
        assert len(opened(path)) == 9
    assert "9 whole sample(s); 1 dropped (1 x damaged member)" in caplog.text


def test_nearby_order_has_every_sample_once_and_few_shards_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(images_module, "_MIXED_SHARDS", 2)
    _, path = sharded(tmp_path, count=24, shard_bytes=24 * 1024)
    dataset = opened(path)
    assert len(dataset.store.index.files) >= 6
    orders = [dataset.nearby_order(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        assert sorted(order) == list(range(24))
        shards = [dataset.store.index.places[index].shard for index in order]
        for shard in set(shards):
            first, last = shards.index(shard), 24 - shards[::-1].index(shard)
            assert len(set(shards[first:last])) <= 2
    firsts = {dataset.nearby_order(torch.Generator().manual_seed(seed))[0] for seed in range(40)}
    assert len(firsts) > 12  # every sample may come first


def config(path, **changes):
    section = OmegaConf.load(MMLinkBuilder.default_config_path("shards")).datasets.mmlink
    for name in ("train", "eval"):
        section.vis_processor[name].image_size = 16
    section.build_info.annotations.train.storage = str(path)
    return OmegaConf.merge(section, changes)


def test_the_builder_of_mmlink(tmp_path):
    samples, path = sharded(tmp_path)
    datasets = MMLinkBuilder(config(path, sample_ratio=2)).build_datasets()
    assert sorted(datasets) == ["train"]
    assert isinstance(datasets["train"].store, images_module.ShardImages)
    assert contents(datasets["train"].annotation) == contents(samples)
    assert datasets["train"][2]["image"].shape == (3, 3, 16, 16)
    assert datasets["train"].sample_ratio == 2


def test_any_builder_reads_shards(tmp_path):
    _, path = sharded(tmp_path)
    builder = registry.get_builder_class("vist")
    annotations = {"train": None, "val": None, "test": {"storage": [str(path)]}}
    section = OmegaConf.load(builder.default_config_path()).datasets.vist
    changes = {"data_type": "shards", "build_info": {"annotations": annotations}}
    datasets = builder(OmegaConf.merge(section, changes)).build_datasets()
    assert len(datasets["test"]) == 10
    assert "Random" not in str(datasets["test"].vis_processor.transform)


def test_strict_and_check_reach_the_shards(tmp_path):
    _, path = sharded(tmp_path)
    shard = path / "000000.tar"
    overwrite(shard, offset_of(shard, "000000001.1.png") + 30, b"?")  # in the image: only its checksum tells
    assert len(MMLinkBuilder(config(path, build_info={"strict": True})).build_datasets()["train"]) == 10
    with pytest.raises(SamDataError, match="SHA-256 is not the manifest's"):
        MMLinkBuilder(config(path, build_info={"strict": True, "check": "full"})).build_datasets()


def test_noise_images_differ(tmp_path):
    """The premise of every comparison here."""
    noise_image(tmp_path / "a.png", 1)
    noise_image(tmp_path / "b.png", 2)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
