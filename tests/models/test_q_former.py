"""The Q-Former equals LAVIS's own class, in values and in keys."""

from typing import ClassVar

import pytest
import torch

from lavis_sam.errors import SamDataError
from lavis_sam.models.sizes import QFormerSizes
from lavis_sam.weights.build_model import build_q_former

SIZES = QFormerSizes(width=32, layers=5, heads=4, intermediate=48, vocabulary=60, max_positions=20, queries=6)
VISION_WIDTH = 24
TOLERANCE = 5e-6


def lavis_q_former():
    """LAVIS's BertModel, given back what transformers 5 took from its base class."""
    from lavis.models.blip2_models.Qformer import BertModel
    from transformers import BertConfig

    def invert_attention_mask(self, mask):
        return (1.0 - mask[:, None, None, :]) * torch.finfo(torch.float32).min

    class Reattached(BertModel):
        all_tied_weights_keys: ClassVar = {}
        _keys_to_ignore_on_load_missing: ClassVar = set()
        _keys_to_ignore_on_load_unexpected: ClassVar = set()

        def get_head_mask(self, head_mask, layers):
            return [None] * layers

    Reattached.invert_attention_mask = invert_attention_mask
    config = BertConfig(
        hidden_size=SIZES.width,
        num_hidden_layers=SIZES.layers,
        num_attention_heads=SIZES.heads,
        intermediate_size=SIZES.intermediate,
        vocab_size=SIZES.vocabulary,
        max_position_embeddings=SIZES.max_positions,
    )
    config.encoder_width = VISION_WIDTH
    config.add_cross_attention = True
    config.cross_attention_freq = SIZES.cross_attention_frequency
    config.query_length = SIZES.queries
    return Reattached(config, add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def pair():
    theirs = lavis_q_former()
    torch.manual_seed(0)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = build_q_former(SIZES, vision_width=VISION_WIDTH)
    state = theirs.state_dict()
    state.pop("embeddings.position_ids")  # a buffer that we compute
    ours.bert.load_state_dict(state, strict=True)
    return ours.bert, theirs


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    return {
        "queries": torch.randn(1, SIZES.queries, SIZES.width, generator=generator),
        "ids": torch.randint(1, SIZES.vocabulary, (2, 5), generator=generator) * mask,
        "mask": torch.cat((torch.ones(2, SIZES.queries, dtype=torch.long), mask), dim=1),
        "features": torch.randn(2, 7, VISION_WIDTH, generator=generator),
    }


def run_ours(bert, inputs, **options):
    embedded = bert.embed(inputs["queries"], inputs["ids"])
    return bert.run_layers(1, SIZES.layers, embedded, inputs["mask"].bool(), inputs["features"], **options)


def test_it_equals_lavis(pair, inputs):
    ours, theirs = pair
    expected = theirs(
        input_ids=inputs["ids"],
        attention_mask=inputs["mask"],
        query_embeds=inputs["queries"].expand(2, -1, -1),
        encoder_hidden_states=inputs["features"],
        encoder_attention_mask=torch.ones(2, 7),
        return_dict=True,
    ).last_hidden_state
    torch.testing.assert_close(run_ours(ours, inputs), expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_layers_run_in_parts(pair, inputs):
    bert, _ = pair
    mask = inputs["mask"].bool()
    hidden = bert.embed(inputs["queries"], inputs["ids"])
    for first, last in ((1, 2), (3, 2), (3, 5)):
        hidden = bert.run_layers(first, last, hidden, mask, inputs["features"])
    assert torch.equal(hidden, run_ours(bert, inputs))


def test_queries_only_is_the_first_part_of_everything(pair, inputs):
    bert, _ = pair
    everything = run_ours(bert, inputs)
    queries = run_ours(bert, inputs, queries_only=True)
    torch.testing.assert_close(queries, everything[:, : SIZES.queries], atol=TOLERANCE, rtol=TOLERANCE)


def test_shared_features_are_projected_once(pair, inputs):
    bert, _ = pair
    rows = torch.tensor([0, 1, 1])
    embedded, mask = bert.embed(inputs["queries"], inputs["ids"])[rows], inputs["mask"].bool()[rows]
    seen = []
    hook = bert.encoder.layer[0].crossattention.self.key.register_forward_hook(
        lambda module, args, output: seen.append(len(args[0]))
    )
    shared = bert.run_layers(1, SIZES.layers, embedded, mask, inputs["features"], features_index=rows)
    hook.remove()
    expected = bert.run_layers(1, SIZES.layers, embedded, mask, inputs["features"][rows])
    assert seen == [2]
    torch.testing.assert_close(shared, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_too_long_an_instruction_names_the_limit(pair):
    with pytest.raises(SamDataError, match=r"21 tokens.*20 positions"):
        pair[0].embed(torch.zeros(1, SIZES.queries, SIZES.width), torch.ones(1, 21, dtype=torch.long))
