"""What an entry stands for: content, transform, crop; and whose weights made it."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import Compose, RandomResizedCrop, Resize, ToTensor

from helpers.features import PLAIN, RANDOM, SIZE, dataset, write_images
from helpers.shards import sharded
from lavis_sam.datasets.shards import open_shards
from lavis_sam.errors import SamDataError
from lavis_sam.features.keys import (
    content_digests,
    crop_seed,
    entry_key,
    transform_fingerprint,
    vision_fingerprint,
)


def test_keys_content_is_what_counts(tmp_path):
    data = dataset(write_images(tmp_path))
    before = content_digests(data)
    assert [len(sample) for sample in before] == [2, 3, 1]
    assert before[0][1] == before[1][0], "one image in two samples"
    assert len({digest for sample in before for digest in sample}) == 5
    (tmp_path / "a.png").write_bytes((tmp_path / "b.png").read_bytes())
    (tmp_path / "e.png").unlink()
    after = content_digests(data)
    assert after[0] == [before[0][1], before[0][1]]
    assert after[2] == [None]


def test_keys_content_of_shards_is_that_of_the_files(tmp_path):
    _, folder = sharded(tmp_path)
    shards = open_shards([folder])
    digests = content_digests(shards)
    assert [len(sample) for sample in digests] == [len(sample.images) for sample in shards.annotation]
    assert all(digest for sample in digests for digest in sample)


def test_keys_differ_by_content_transform_and_crop():
    keys = {entry_key(c, t, n) for c in (b"a", b"b") for t in ("x", "y") for n in (0, 1)}
    assert len(keys) == 8
    assert all(len(key) == 32 for key in keys)
    assert len({crop_seed(c, n) for c in (b"a", b"b") for n in range(4)}) == 8


def test_keys_transform_is_known_by_what_it_does():
    plain, is_random = transform_fingerprint(PLAIN)
    assert not is_random
    assert transform_fingerprint(Compose([Resize((SIZE, SIZE)), ToTensor()])) == (plain, False)
    assert transform_fingerprint(Compose([Resize((SIZE, SIZE + 1)), ToTensor()]))[0] != plain
    cropped, is_random = transform_fingerprint(RANDOM)
    assert is_random
    assert cropped == transform_fingerprint(RANDOM)[0] != plain
    other = Compose([RandomResizedCrop(SIZE, scale=(0.31, 1.0)), ToTensor()])
    assert transform_fingerprint(other)[0] != cropped


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: torch.rand(1)])
def test_keys_a_transform_that_draws_is_noticed_whatever_it_makes(draw):
    def transform(image):
        draw()
        return PLAIN(image)

    assert transform_fingerprint(transform) == (transform_fingerprint(PLAIN)[0], True)


def test_keys_looking_at_a_transform_draws_nothing_from_the_run():
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    transform_fingerprint(RANDOM)
    assert torch.equal(torch.rand(1), wanted)


def test_keys_refuse_a_transform_without_a_tensor():
    with pytest.raises(SamDataError, match="makes a Image, wanted a tensor"):
        transform_fingerprint(lambda image: image)


def test_keys_every_number_and_type_of_the_weights_counts():
    torch.manual_seed(0)
    layer, norm = nn.Linear(4, 4), nn.LayerNorm(4)
    before = vision_fingerprint([layer, norm])
    assert vision_fingerprint([layer, norm]) == before
    with torch.no_grad():
        norm.bias[3] += 1e-7
    changed = vision_fingerprint([layer, norm])
    assert changed != before
    assert vision_fingerprint([layer.half(), norm]) != changed
