"""Ragged samples become one padded batch and its mask."""

import pytest
import torch

from lavis_sam.datasets.collate import collate_multi_image
from lavis_sam.errors import SamDataError


def sample(name, images, size=(4, 5), **texts):
    image = torch.full((3, images, *size), float(images)) + torch.rand(3, images, *size)
    return {"image": image, "sample_id": name, **texts}


def test_pads_to_the_largest_number_of_images():
    samples = [sample(f"s{n}", n, text_input=f"in{n}", text_output=f"out{n}", references=["r"]) for n in (2, 1, 4)]
    batch = collate_multi_image(samples)
    assert batch["image"].shape == (3, 3, 4, 4, 5)
    assert batch["image_mask"].dtype == torch.bool
    assert batch["image_mask"].tolist() == [
        [True, True, False, False],
        [True, False, False, False],
        [True, True, True, True],
    ]
    for row, one in zip(batch["image"], samples, strict=True):
        images = one["image"].shape[1]
        assert torch.equal(row[:, :images], one["image"])
        assert not row[:, images:].any()
    assert batch["text_input"] == ["in2", "in1", "in4"]
    assert batch["text_output"] == ["out2", "out1", "out4"]
    assert batch["sample_id"] == ["s2", "s1", "s4"]
    assert batch["references"] == [["r"]] * 3


def test_keys_that_no_sample_has_are_left_out():
    assert set(collate_multi_image([sample("a", 1)])) == {"image", "image_mask", "sample_id"}


def test_a_key_that_some_samples_lack_is_an_error():
    with pytest.raises(SamDataError, match="'text_input' is in 1 of 2 samples"):
        collate_multi_image([sample("a", 1, text_input="x"), sample("b", 1)])


def test_images_of_different_sizes_name_sizes_and_samples():
    with pytest.raises(SamDataError, match=r"4x5 \(sample 'a'\), 6x5 \(sample 'b'\).*image_size"):
        collate_multi_image([sample("a", 1), sample("b", 2, size=(6, 5))])


@pytest.mark.parametrize("shape", [(3, 0, 4, 4), (3, 4, 4), (1, 2, 4, 4)])
def test_wrong_shapes_name_the_sample(shape):
    with pytest.raises(SamDataError, match=r"sample 'a'.*wanted \(3, N >= 1, H, W\)"):
        collate_multi_image([{"image": torch.zeros(shape), "sample_id": "a"}])


def test_an_empty_batch_is_an_error():
    with pytest.raises(SamDataError, match="0 samples"):
        collate_multi_image([])


def test_features_are_padded_to_the_largest_number_of_images():
    samples = [
        {"image_features": torch.full((n, 5, 4), float(n)).half(), "sample_id": n, "text_input": "x"} for n in (2, 1, 3)
    ]
    batch = collate_multi_image(samples)
    assert set(batch) == {"image_features", "image_mask", "sample_id", "text_input"}
    assert batch["image_features"].shape == (3, 3, 5, 4)
    assert batch["image_features"].dtype == torch.float16
    assert batch["image_mask"].tolist() == [[True, True, False], [True, False, False], [True, True, True]]
    for row, one in zip(batch["image_features"], samples, strict=True):
        images = len(one["image_features"])
        assert torch.equal(row[:images], one["image_features"])
        assert not row[images:].any()


@pytest.mark.parametrize("other", [{"image_features": torch.zeros(1, 5, 3)}, {"image": torch.zeros(3, 1, 4, 4)}])
def test_features_of_different_shapes_are_an_error(other):
    with pytest.raises(SamDataError, match=r"features of different shapes.*run\.feature_cache"):
        collate_multi_image([{"image_features": torch.zeros(1, 5, 4)}, other])
