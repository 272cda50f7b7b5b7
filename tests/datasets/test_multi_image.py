"""Items of the map-style data set, and that they depend on seed, epoch and index alone."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.errors import SamDataError


def noisy(image: Image.Image) -> torch.Tensor:
    """A processor that draws from torch's global generator, as torchvision's do."""
    return torch.full((3, 2, 2), float(image.getpixel((0, 0))[0])) + torch.rand(3, 2, 2)


def noisy_otherwise(image: Image.Image) -> torch.Tensor:
    """A processor that draws as LAVIS's RandomAugment (`blip_image_train`) does."""
    return torch.full((3, 2, 2), np.random.random() + random.random())


@pytest.fixture
def dataset(tmp_path):
    records = [record(i, img_list=[f"p{i}.png"] * (1 + i % 3), references=["R1", "R2"]) for i in range(6)]
    path = write_dataset(tmp_path, records)
    return MultiImageDataset(
        read_annotations(path, tmp_path), FolderImages(tmp_path), noisy, text_processor=str.upper, seed=3
    )


def test_item(dataset):
    item = dataset[1]
    assert item["image"].shape == (3, 2, 2, 2)
    assert (item["text_input"], item["text_output"]) == ("WHAT?", "AN ANSWER.")
    assert (item["sample_id"], item["references"]) == (1, ["R1", "R2"])
    assert len(dataset) == 6


def test_images_keep_their_order(tmp_path):
    path = write_dataset(tmp_path, [record(img_list=["a.png", "z.png"]), record("r", img_list=["z.png", "a.png"])])
    samples = read_annotations(path, tmp_path)
    there, back = MultiImageDataset(
        samples, FolderImages(tmp_path), lambda p: torch.full((3, 1, 1), float(p.getpixel((0, 0))[0]))
    )
    assert torch.equal(there["image"], back["image"].flip(1))
    assert not torch.equal(there["image"], back["image"])


def test_an_item_is_the_same_whenever_it_is_drawn(dataset):
    first = dataset[4]["image"]
    torch.rand(5)
    _ = dataset[2]
    assert torch.equal(dataset[4]["image"], first)


def test_epoch_seed_and_index_change_the_augmentation(dataset):
    first = dataset[4]["image"]
    dataset.set_epoch(1)
    second = dataset[4]["image"]
    dataset.set_epoch(0)
    dataset.seed = 4
    third = dataset[4]["image"]
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)
    assert not torch.equal(second, third)


def test_the_global_generator_is_left_alone(dataset):
    torch.manual_seed(0)
    _ = dataset[0]
    after = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(3))


def test_processors_that_draw_from_numpy_and_python(dataset):
    dataset.set_processors(noisy_otherwise, str)
    np.random.seed(0)
    random.seed(0)
    first, after = dataset[4]["image"], (np.random.random(), random.random())
    assert torch.equal(dataset[4]["image"], first)
    assert not torch.equal(dataset[5]["image"][:, :1], first[:, :1])
    assert first.unique().numel() == 2  # a draw for each of the two images
    np.random.seed(0)
    random.seed(0)
    assert after == (np.random.random(), random.random())


@pytest.mark.parametrize("processor", [noisy, noisy_otherwise])
def test_workers_change_nothing(dataset, processor):
    dataset.set_processors(processor, str)

    def epoch(workers):
        return list(DataLoader(dataset, batch_size=4, num_workers=workers, collate_fn=dataset.collater))

    dataset.set_epoch(2)
    for alone, worked in zip(epoch(0), epoch(2), strict=True):
        assert torch.equal(alone["image"], worked["image"])
        assert alone["sample_id"] == worked["sample_id"]


def test_a_image_that_vanished_names_the_sample(dataset, tmp_path):
    (tmp_path / "p3.png").unlink()
    with pytest.raises(SamDataError, match=r"sample 3: .*p3\.png"):
        _ = dataset[3]
