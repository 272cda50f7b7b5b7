"""The fast path equals the oracle for every combination of the guidance's switches, values and gradients."""

import itertools

import pytest
import torch

from helpers.models import SIZES, TEXTS, random_batch, small_model
from helpers.oracle import OracleQFormer, guided_tokens, vision
from lavis_sam.models.guidance import CHOICES

# Two float32 evaluations of the same formula in another order; the worst seen is 2e-6 on tokens of magnitude 5.
TOLERANCE = 2e-5
LAYERS = SIZES.q_former.layers
PAIRS = [(layer_l, layer_k) for layer_k in range(1, LAYERS + 1) for layer_l in range(1, layer_k + 1)]
SWITCHES = list(itertools.product(*CHOICES.values()))
COUNTS = [3, 1, 2]


def oracle_tokens(model, batch, features):
    """The oracle's visual tokens, one tensor [N*Q, D_llm] per sample."""
    state = dict(model.named_parameters())
    sizes = SIZES.q_former
    bert = OracleQFormer(state, heads=sizes.heads, layers=sizes.layers, frequency=sizes.cross_attention_frequency)
    tokens = []
    for b, count in enumerate(batch["image_mask"].sum(1).tolist()):
        ids = model.tokenizer(batch["text_input"][b]).input_ids
        images = [features[b][n] for n in range(count)]
        tokens.append(guided_tokens(images, ids, bert, model.guidance))
    return tokens


def oracle_features(model, batch):
    """Patch features of every image, image by image, from the oracle's own ViT."""
    state, sizes = dict(model.named_parameters()), SIZES.vision
    with torch.no_grad():
        return [
            [
                vision(batch["image"][b, :, n], state, patch=sizes.patch_size, depth=sizes.depth, heads=sizes.heads)
                for n in range(count)
            ]
            for b, count in enumerate(batch["image_mask"].sum(1).tolist())
        ]


@pytest.fixture(scope="module")
def batch():
    return random_batch(COUNTS, texts=TEXTS[:3])


@pytest.fixture(scope="module")
def features(batch):
    return oracle_features(small_model(), batch)


def compare(model, batch, features):
    expected = oracle_tokens(model, batch, features)
    visual = model.encode(batch, batch["text_input"])
    weight = torch.randn(visual.tokens.shape, generator=torch.Generator().manual_seed(7))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    loss = expected_loss = torch.zeros(())
    for b, tokens in enumerate(expected):
        ours = visual.tokens[b, : len(tokens)]
        torch.testing.assert_close(ours, tokens, atol=TOLERANCE, rtol=TOLERANCE)
        assert not visual.tokens[b, len(tokens) :].any(), "padded images must give zero tokens"
        assert visual.token_mask[b].sum() == len(tokens)
        loss = loss + (ours * weight[b, : len(tokens)]).sum()
        expected_loss = expected_loss + (tokens * weight[b, : len(tokens)]).sum()
    ours = torch.autograd.grad(loss, list(trained.values()))
    theirs = torch.autograd.grad(expected_loss, list(trained.values()), materialize_grads=True)
    for name, one, other in zip(trained, ours, theirs, strict=True):
        # linear_a's bias cancels in a softmax: its gradient is rounding noise in both.
        scale = max(1.0, float(other.abs().max()))
        assert (one - other).abs().max() <= TOLERANCE * scale, name


@pytest.mark.parametrize(("context", "normalise", "weighting", "extractor", "positions"), SWITCHES)
def test_every_switch_agrees_with_the_oracle(batch, features, context, normalise, weighting, extractor, positions):
    for layer_l, layer_k in PAIRS:
        model = small_model(
            context=context,
            normalise=normalise,
            weighting=weighting,
            extractor=extractor,
            positions=positions,
            layer_l=layer_l,
            layer_k=layer_k,
        )
        compare(model, batch, features)
        if extractor == "none":
            break  # no interaction layer to vary


@pytest.mark.parametrize("context", CHOICES["context"])
def test_a_full_batch_agrees_with_the_oracle(context):
    model, batch = small_model(context=context), random_batch([2, 2])
    compare(model, batch, oracle_features(model, batch))
