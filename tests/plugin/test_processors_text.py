"""Texts stay as they are; evaluation images are resized as InstructBLIP's are."""

import numpy as np
import pytest
import torch
from lavis.common.registry import registry
from omegaconf import OmegaConf
from PIL import Image

from lavis_sam.errors import SamDataError

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711])


@pytest.mark.parametrize(
    "text",
    [
        "{image#1}Caption#1:{image#2}Caption#2:",
        '  Upper CASE, (brackets) * ~ # ; "quotes" …  ',
        " ".join(["word"] * 200),
        "",
        "two\nlines  and   spaces ",
    ],
)
def test_text_stays_as_it_is(text):
    assert registry.get_processor_class("sam_text").from_config(OmegaConf.create({"name": "sam_text"}))(text) == text


def test_lavis_caption_processor_would_destroy_a_prompt():
    """The reason for a processor of our own."""
    prompt = "{image#1}Caption#1:A Dog."
    assert registry.get_processor_class("blip_caption")()(prompt) != prompt


def test_text_that_is_none_is_an_error():
    with pytest.raises(SamDataError, match="NoneType"):
        registry.get_processor_class("sam_text")()(None)


def test_evaluation_image_is_bicubic_without_keeping_the_aspect():
    """`blip_image_eval` equals the definition: Pillow's bicubic to S x S, then CLIP's mean and standard deviation."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 50, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    processor = registry.get_processor_class("blip_image_eval").from_config(OmegaConf.create({"image_size": 16}))
    expected = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    expected = ((expected - CLIP_MEAN) / CLIP_STD).transpose(2, 0, 1)
    # float32 rounding of values up to 2.2
    torch.testing.assert_close(processor(image).double(), torch.from_numpy(expected), atol=1e-6, rtol=0)
