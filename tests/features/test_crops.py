"""Fixed crops: the same with and without a cache, few of each image, another one every epoch."""

import pytest
import torch

from helpers.features import PLAIN, RANDOM, SAMPLES, dataset, model, write_images
from lavis_sam.datasets.multi_image import augmentation_seed
from lavis_sam.errors import SamDataError
from lavis_sam.features.crops import CachedFeatures, FixedCrops
from lavis_sam.features.keys import content_digests, transform_fingerprint
from lavis_sam.features.store import CacheIdentity, FeatureStore


def fixed(data, crops):
    return FixedCrops(data, content_digests(data), transform_fingerprint(data.vis_processor)[0], crops)


def test_crops_of_an_image_are_few_and_change_with_the_epoch(tmp_path):
    data = dataset(write_images(tmp_path), RANDOM)
    data.source = fixed(data, 3)
    seen = set()
    for epoch in range(20):
        data.set_epoch(epoch)
        seen.add(data[0]["image"][:, 0].numpy().tobytes())
    assert len(seen) == 3


def test_crops_of_a_repeated_sample_are_drawn_anew(tmp_path):
    data = dataset(write_images(tmp_path), RANDOM)
    data.source = fixed(data, 8)
    drawn = {data.item(1, repeat)["image"].numpy().tobytes() for repeat in range(6)}
    assert len(drawn) > 1


def test_crops_of_a_shared_image_are_the_same_wherever_it_is(tmp_path):
    data = dataset(write_images(tmp_path), RANDOM)
    crops = fixed(data, 4)
    for crop in range(4):
        (one,) = crops.images(0, [(1, crop)])
        (other,) = crops.images(1, [(0, crop)])
        assert torch.equal(one, other)


def test_crops_of_a_transform_without_chance_are_its_images(tmp_path):
    data = dataset(write_images(tmp_path), PLAIN)
    wanted = data[1]["image"]
    data.source = fixed(data, 1)
    assert torch.equal(data[1]["image"], wanted)
    assert data[1]["text_output"] == "answer 1"


def test_crops_keys_are_those_that_may_be_asked_for(tmp_path):
    data = dataset(write_images(tmp_path), RANDOM)
    crops = fixed(data, 4)
    known = {key for *_, key in crops.entries()}
    assert len(known) == 5 * 4
    for epoch in range(5):
        for index, names in enumerate(SAMPLES):
            seed = augmentation_seed(0, epoch, index)
            assert {crops.key(index, p, crops.draw(seed, p)) for p in range(len(names))} <= known


def cached(data, folder, crops, encoder):
    plain = fixed(data, crops)
    identity = CacheIdentity("w", "fp32", patches=5, width=24)
    cache = FeatureStore(folder, identity)
    cache.begin()
    for index, position, crop, key in plain.entries():
        if key not in cache:
            cache.add([key], encoder(torch.stack(list(plain.images(index, [(position, crop)])))))
            cache.refresh()
    return CachedFeatures(data, plain.digests, plain.transform, crops, cache)


@torch.no_grad()
def test_crops_cached_features_are_those_of_the_images_in_a_batch(tmp_path):
    (tmp_path / "images").mkdir()
    data = dataset(write_images(tmp_path / "images"), RANDOM)
    sam = model()

    def encoder(images):
        return sam.ln_vision(sam.visual_encoder(images))

    plain, features = fixed(data, 2), cached(data, tmp_path / "cache", 2, encoder)
    for epoch in range(3):
        for index in range(len(data)):
            seed = augmentation_seed(0, epoch, index)
            wanted = encoder(plain.tensors(index, seed)["image"].transpose(0, 1))
            assert torch.equal(features.tensors(index, seed)["image_features"], wanted)


def test_crops_a_damaged_image_is_named_as_without_a_cache(tmp_path):
    (tmp_path / "images").mkdir()
    root = write_images(tmp_path / "images")
    (root / "c.png").write_bytes((root / "c.png").read_bytes()[:200])
    data = dataset(root)
    with pytest.raises(SamDataError, match=r"sample 1.*c\.png") as without:
        data[1]
    plain = fixed(data, 1)
    cache = FeatureStore(tmp_path / "cache", CacheIdentity("w", "fp32", patches=5, width=24))
    data.source = CachedFeatures(data, plain.digests, plain.transform, 1, cache)
    with pytest.raises(SamDataError, match=r"sample 1.*c\.png") as within:
        data[1]
    assert str(within.value) == str(without.value)
    with pytest.raises(SamDataError, match="has no features"):  # whole, and nobody computed it
        data[0]
