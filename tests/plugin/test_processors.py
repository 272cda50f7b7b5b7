"""Evaluation images are InstructBLIP's to the last digit; training images are LAVIS's, mirrored or not."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from lavis.common.registry import registry
from omegaconf import OmegaConf
from PIL import Image, ImageOps

from lavis_sam.errors import SamConfigurationError

STD = [0.26862954, 0.26130258, 0.27577711]
HERE = Path(__file__).parent
# float32 arithmetic on values up to 2.2, and the golden file's seven digits
TOLERANCE = 5e-7


def processor(name, **config):
    return registry.get_processor_class(name).from_config(OmegaConf.create({"name": name, **config}))


@pytest.fixture(scope="module")
def image():
    namespace = {"__file__": str(HERE / "make_evaluation_golden.py"), "__name__": "golden"}
    exec((HERE / "make_evaluation_golden.py").read_text(), namespace)
    return namespace["image"]()


def test_evaluation_equals_the_golden_tensor(image):
    golden = json.loads((HERE / "evaluation_golden.json").read_text())
    found = processor("blip_image_eval", image_size=224)(image)
    assert found.shape == (3, 224, 224)
    torch.testing.assert_close(found[:, ::14, ::14], torch.tensor(golden["every_14th"]), atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(found.mean(dim=(1, 2)), torch.tensor(golden["mean"]), atol=1e-6, rtol=0)


def theirs(name, image):
    kind = getattr(transformers, name, transformers.BlipImageProcessor)
    return kind(size={"height": 224, "width": 224})(image, return_tensors="pt")["pixel_values"][0]


def test_evaluation_equals_transformers(image):
    """Its processor for InstructBLIP, in the form that resizes with Pillow (transformers 4: the only one)."""
    ours = processor("blip_image_eval", image_size=224)(image)
    torch.testing.assert_close(theirs("BlipImageProcessorPil", image), ours, atol=TOLERANCE, rtol=0)


def test_evaluation_is_near_the_one_that_resizes_tensors(image):
    """Both round to bytes after resizing: at most one of 255 steps apart, in 1 of 200 places when this was written."""
    ours = processor("blip_image_eval", image_size=224)(image)
    steps = (theirs("BlipImageProcessor", image) - ours).abs() * torch.tensor(STD)[:, None, None] * 255
    assert float(steps.max()) < 1.01
    assert float((steps > 0.01).float().mean()) < 0.01


# Training -------------------------------------------------------------------------------------------------------------


def drawn(transform, image, count=40):
    torch.manual_seed(0)
    return [transform(image) for _ in range(count)]


@pytest.mark.parametrize("flip", [True, False])
def test_fast_draws_the_same_crops_and_is_a_shade_off_in_few_places(image, flip):
    usual = torch.stack(drawn(processor("sam_image_train", image_size=224, flip=flip), image, 12))
    fast = torch.stack(drawn(processor("sam_image_train", image_size=224, flip=flip, fast=True), image, 12))
    steps = (usual - fast).abs() * torch.tensor(STD)[:, None, None] * 255
    assert float(steps.max()) < 2.01
    assert 0 < float((steps > 0.01).float().mean()) < 0.01
    assert fast.is_contiguous()
    assert len({float(each.sum()) for each in fast}) > 4  # where no crop fits, it is the one in the middle


def test_fast_must_be_true_or_false():
    with pytest.raises(SamConfigurationError, match=r"fast: found 'very', wanted true or false"):
        processor("sam_image_train", fast="very")


def test_with_flip_it_is_blip2_image_train(image):
    ours = drawn(processor("sam_image_train", image_size=32), image, 8)
    theirs = drawn(processor("blip2_image_train", image_size=32), image, 8)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_without_flip_left_stays_left():
    """An image that is dark on its left: no crop of it can be dark on the right."""
    ramp = Image.linear_gradient("L").rotate(90).convert("RGB")

    def slopes(flip):
        crops = drawn(processor("sam_image_train", image_size=16, flip=flip), ramp)
        return {bool(crop[..., -1].mean() > crop[..., 0].mean()) for crop in crops}

    assert len(slopes(flip=True)) == 2
    assert len(slopes(flip=False)) == 1
    mirrored = ImageOps.mirror(ramp)
    assert not torch.equal(
        processor("blip_image_eval", image_size=16)(ramp), processor("blip_image_eval", image_size=16)(mirrored)
    )


def test_crops_are_still_random_without_flip(image):
    square = image.resize((64, 64))
    crops = drawn(processor("sam_image_train", image_size=16, flip=False), square, 5)
    assert not any(torch.equal(crops[0], crop) for crop in crops[1:])


def test_a_crop_of_the_whole_image(image):
    whole = processor("sam_image_train", image_size=224, min_scale=1.0, max_scale=1.0, flip=False, mean=[0, 0, 0])
    crop = whole.transform.transforms[0]
    assert (crop.scale, crop.size) == ((1.0, 1.0), (224, 224))
    assert list(whole.normalize.mean) == [0, 0, 0]


def test_no_configuration_means_the_defaults():
    built = registry.get_processor_class("sam_image_train").from_config(None)
    assert built.transform.transforms[0].size == (224, 224)
    assert "RandomHorizontalFlip" in str(built.transform)


@pytest.mark.parametrize("flip", ["no", 0, None])
def test_flip_is_true_or_false(flip):
    with pytest.raises(SamConfigurationError, match=r"flip: found .*, wanted true or false"):
        processor("sam_image_train", flip=flip)


def test_unknown_keys_are_named():
    with pytest.raises(SamConfigurationError, match=r"unknown key 'fliip'\. Did you mean 'flip'"):
        processor("sam_image_train", fliip=False)
