"""The ViT equals LAVIS's own class, in values and in keys, and keeps its promises on precision and size."""

from functools import partial

import pytest
import torch

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.sizes import VisionSizes
from lavis_sam.models.vision import ReleasedVision
from lavis_sam.weights.build_model import build_vision, set_vision_precision

SIZES = VisionSizes(image_size=42, patch_size=14, width=32, depth=3, heads=4, mlp_ratio=4.3637)
# SDPA sums in another order than LAVIS's explicit softmax.
TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def pair():
    from lavis.models.eva_vit import VisionTransformer

    theirs = VisionTransformer(
        img_size=SIZES.image_size,
        patch_size=SIZES.patch_size,
        use_mean_pooling=False,
        embed_dim=SIZES.width,
        depth=SIZES.depth,
        num_heads=SIZES.heads,
        mlp_ratio=SIZES.mlp_ratio,
        qkv_bias=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    ).eval()
    torch.manual_seed(0)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = build_vision(SIZES)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def test_it_equals_lavis(pair):
    ours, theirs = pair
    images = torch.randn(3, 3, 42, 42)
    torch.testing.assert_close(ours(images), theirs(images), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.02), (torch.float16, 0.003)])
def test_low_precision_stays_close_and_returns_float32(pair, dtype, tolerance):
    ours, _ = pair
    images = torch.randn(2, 3, 42, 42)
    expected = ours(images)
    low = build_vision(SIZES)
    low.load_state_dict(ours.state_dict())
    set_vision_precision(low, dtype)
    assert low.blocks[0].attn.qkv.weight.dtype is dtype
    assert low.blocks[0].norm1.weight.dtype is torch.float32
    found = low(images)
    assert found.dtype is torch.float32
    assert (found - expected).norm() / expected.norm() < tolerance


def test_checkpointing_changes_no_gradient(pair):
    ours, _ = pair
    recomputing = build_vision(SIZES, gradient_checkpointing=True)
    recomputing.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 42, 42)
    gradients = []
    for model in (ours, recomputing):
        gradients.append(torch.autograd.grad(model(images).square().sum(), list(model.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_wrong_image_size_names_both_sizes():
    with pytest.raises(SamDataError, match=r"\(1, 3, 56, 56\).*\[·, 3, 42, 42\]"):
        build_vision(SIZES)(torch.zeros(1, 3, 56, 56))


def test_patches_must_tile_the_image():
    with pytest.raises(SamConfigurationError, match="image_size 50 is no multiple of patch_size 14"):
        build_vision(VisionSizes(image_size=50, patch_size=14, width=8, depth=1, heads=1))


def test_a_released_encoder_has_sizes_and_no_weights():
    encoder = build_vision(VisionSizes(image_size=28, width=24, depth=1, heads=2))
    released = ReleasedVision(encoder)
    assert (released.image_size, released.num_features) == (28, 24)
    assert not list(released.parameters())
    with pytest.raises(SamConfigurationError, match=r"\(1, 3, 28, 28\).*was let go of.*run\.feature_cache"):
        released(torch.zeros(1, 3, 28, 28))
