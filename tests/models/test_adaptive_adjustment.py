"""Merging the images of a sample: who takes part, and what a single image gives."""

import warnings

import pytest

from helpers.models import random_batch, small_model


def test_others_with_one_image_is_no_guidance_and_no_nan():
    model, batch = small_model(context="others"), random_batch([1, 2])
    visual = model.encode(batch, batch["text_input"])
    assert not visual.semantics[0].any()
    assert visual.semantics[1:].any(dim=2).all()
    visual.tokens.sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} took no part: DDP would wait for it"
            assert parameter.grad.isfinite().all(), name


def test_pairs_under_others_and_images_warn_once():
    model = small_model(context="others").train()
    with pytest.warns(UserWarning, match="adaptive layer cannot learn"):
        model(random_batch([2, 2]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(random_batch([2, 2]))
        small_model(context="others").train()(random_batch([2, 3]))
        small_model(context="others", normalise="patches").train()(random_batch([2, 2]))
