"""The whole model: orders of images, batches of one, and what is never trained."""

import pytest
import torch

from helpers.models import TEXTS, random_batch, small_model

COUNTS = [4, 1, 3]

TOKEN_TOLERANCE = 5e-5


@pytest.mark.parametrize("context", ["all", "others", "self"])
def test_permuting_images_permutes_blocks(context):
    model, batch = small_model(context=context), random_batch([3])
    order = [2, 0, 1]
    with torch.no_grad():
        tokens = model.encode(batch, TEXTS[:1]).tokens.unflatten(1, (3, -1))
        permuted = model.encode({"image": batch["image"][:, :, order]}, TEXTS[:1]).tokens.unflatten(1, (3, -1))
    torch.testing.assert_close(permuted, tokens[:, order], atol=TOKEN_TOLERANCE, rtol=0)


def test_a_4d_batch_has_no_guidance_and_one_image_of_a_5d_batch_has():
    model, batch = small_model(), random_batch([1, 1])
    plain = small_model(extractor="none")
    plain.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        flat = model.encode({"image": batch["image"][:, :, 0]}, batch["text_input"]).tokens
        guided = model.encode(batch, batch["text_input"]).tokens
        expected = plain.encode(batch, batch["text_input"]).tokens
    torch.testing.assert_close(flat, expected, atol=TOKEN_TOLERANCE, rtol=0)
    assert (guided - flat).abs().max() > 0.01


def test_frozen_parts_stay_in_eval_mode():
    model = small_model().train()
    assert model.training
    assert model.w_former.training
    for part in (model.visual_encoder, model.ln_vision, model.Qformer, model.llm_model):
        assert not any(module.training for module in part.modules())


def test_two_passes_in_train_mode_agree_bit_for_bit():
    model, batch = small_model().train(), random_batch(COUNTS)
    with torch.no_grad():
        assert torch.equal(model(batch)["loss"], model(batch)["loss"])
