"""The batch contract: results never depend on who else is in the batch, and bad batches are named."""

import pytest
import torch

from helpers.models import TEXTS, random_batch, sample_of, small_model
from lavis_sam.errors import SamDataError
from lavis_sam.models.batch import read_features, to_device

TOKEN_TOLERANCE = 5e-5
LOSS_TOLERANCE = 1e-5
COUNTS = [2, 4, 1, 3]


@pytest.mark.parametrize("context", ["all", "others", "self"])
@pytest.mark.parametrize("normalise", ["images", "patches"])
@pytest.mark.parametrize("packing", [False, True])
def test_a_sample_is_the_same_alone_and_in_a_ragged_batch(context, normalise, packing):
    model, batch = small_model(context=context, normalise=normalise, layer_l=2, layer_k=3), random_batch(COUNTS)
    model.packing = packing
    with torch.no_grad():
        together = model.encode(batch, batch["text_input"])
        losses = model(batch)
        for b, count in enumerate(COUNTS):
            alone = sample_of(batch, b)
            tokens = model.encode(alone, alone["text_input"]).tokens
            found = together.tokens[b, : tokens.shape[1]]
            torch.testing.assert_close(found, tokens[0], atol=TOKEN_TOLERANCE, rtol=0)
            assert not together.tokens[b, tokens.shape[1] :].any()
            assert int(together.token_mask[b].sum()) == count * model.query_tokens.shape[1]
            loss = model(alone)
            torch.testing.assert_close(losses["per_sample_loss"][b], loss["loss"], atol=LOSS_TOLERANCE, rtol=0)
            assert losses["target_tokens"][b] == loss["target_tokens"][0]


@pytest.mark.parametrize(("beams", "packing"), [(1, False), (1, True), (5, False), (5, True)])
def test_generated_text_is_the_same_alone_and_in_a_ragged_batch(beams, packing):
    model, batch = small_model(), random_batch(COUNTS)
    model.packing = packing
    together = model.generate(batch, num_beams=beams, max_length=12)
    alone = [model.generate(sample_of(batch, b), num_beams=beams, max_length=12)[0] for b in range(len(COUNTS))]
    assert together == alone
    assert len(set(together)) > 1


@pytest.mark.parametrize("packing", [False, True])
def test_the_loss_is_the_mean_over_all_target_tokens(packing):
    model, batch = small_model(), random_batch(COUNTS)
    model.packing = packing
    with torch.no_grad():
        result = model(batch)
    weights = result["target_tokens"] / result["target_tokens"].sum()
    torch.testing.assert_close(result["loss"], (result["per_sample_loss"] * weights).sum())


def test_noise_in_padded_images_changes_nothing():
    model, batch = small_model(), random_batch(COUNTS)
    quiet = dict(batch, image=batch["image"].masked_fill(~batch["image_mask"][:, None, :, None, None], 0.0))
    with torch.no_grad():
        one, other = (model.encode(b, batch["text_input"]).tokens for b in (batch, quiet))
        for model.packing in (False, True):
            assert torch.equal(model(batch)["loss"], model(quiet)["loss"])
    assert torch.equal(one, other)


BAD = {
    "no image": ({"image": None}, r'samples\["image"\] is NoneType'),
    "rank": ({"image": torch.zeros(2, 28, 28)}, r"\(2, 28, 28\)"),
    "channels": ({"image": torch.zeros(2, 1, 2, 28, 28)}, r"\(2, 1, 2, 28, 28\)"),
    "size": ({"image": torch.zeros(2, 3, 2, 30, 28), "image_mask": None}, r"30, 28.*28, 28"),
    "N = 0": ({"image": torch.zeros(2, 3, 0, 28, 28), "image_mask": None}, "N = 0"),
    "empty row": ({"image_mask": torch.tensor([[True, True], [False, False]])}, r"sample\(s\) \[1\]"),
    "mask shape": ({"image_mask": torch.ones(2, 3, dtype=torch.bool)}, r"\(2, 3\).*\(2, 2\)"),
    "texts": ({"text_input": ["one"], "text_output": ["one"]}, r"B = 2.*1 instructions"),
    "targets": ({"text_output": ["one"]}, r'2 texts in "text_input" and 1 in "text_output"'),
    "no target": ({"text_output": None}, r'"text_output"\] is a NoneType'),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_batch_is_named(name):
    (change, message), model = BAD[name], small_model()
    for model.packing in (False, True):
        with pytest.raises(SamDataError, match=message):
            model({**random_batch([2, 2]), **change})


def test_prompts_are_one_for_all_or_one_each():
    model, batch = small_model(), random_batch([2, 2])
    one = model.generate({**batch, "prompt": TEXTS[0]}, num_beams=1, max_length=8)
    assert one == model.generate({**batch, "prompt": [TEXTS[0]] * 2}, num_beams=1, max_length=8)
    with pytest.raises(SamDataError, match=r"holds 3 prompts for a batch of B = 2"):
        model.generate({**batch, "prompt": TEXTS[:3]})


def test_to_device_moves_tensors_and_keeps_the_rest():
    moved = to_device({"image": torch.ones(2), "sample_id": ["a"]}, torch.device("meta"))
    assert moved["image"].device.type == "meta"
    assert moved["sample_id"] == ["a"]


@pytest.mark.parametrize(("counts", "packing"), [(COUNTS, False), (COUNTS, True), ([2, 2], False)])
def test_features_in_the_place_of_images_give_the_same_batch(counts, packing):
    model, batch = small_model(), random_batch(counts)
    model.packing = packing
    with torch.no_grad():
        wanted = model.encode(batch, batch["text_input"])
        features = torch.zeros(*batch["image_mask"].shape, *wanted.features.shape[1:])
        features[batch["image_mask"]] = wanted.features
        given = {key: value for key, value in batch.items() if key != "image"} | {"image_features": features}
        found = model.encode(given, given["text_input"])
        assert torch.equal(found.tokens, wanted.tokens)
        assert torch.equal(model(given)["loss"], model(batch)["loss"])
        assert model.generate(given, num_beams=1, max_length=4) == model.generate(batch, num_beams=1, max_length=4)


@pytest.mark.parametrize(
    "change",
    [
        {"image_features": None},
        {"image_mask": None},
        {"image_features": torch.zeros(2, 5, 4)},
        {"image_mask": torch.ones(2, 4, dtype=torch.bool)},
        {"image_features": torch.zeros(1, 3, 5, 4), "image_mask": torch.ones(1, 3, dtype=torch.bool)},
    ],
)
def test_features_that_do_not_fit_are_named(change):
    batch = {"image_features": torch.zeros(2, 3, 5, 4), "image_mask": torch.ones(2, 3, dtype=torch.bool)}
    read_features(batch, 2)
    with pytest.raises(SamDataError, match=r"image_features.*2 instructions needs"):
        read_features(batch | change, 2)
