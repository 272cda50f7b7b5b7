"""Packing: samples that share a row get what they get alone; what is computed is less; what cannot go is refused."""

import random
from types import SimpleNamespace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from helpers.models import ANSWERS, TEXTS, random_batch, small_model
from helpers.toy_llm import llama3_like, qwen2_like, toy_llm, toy_visual_tokens
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.language.language_model import (
    TransformersLanguageModel,
    as_language_model,
    enable_gradient_checkpointing,
)
from lavis_sam.models.language.packing import LINEAR_WIDTHS, pack, plan_rows, read_packed, require_packing
from lavis_sam.models.language.sequence import target_loss, training_inputs
from lavis_sam.models.language.tokenizers import FastTextTokenizer
from lavis_sam.models.vpg_c import ConditionedLanguageModel
from lavis_sam.weights.packaged import TINY_TOKENIZERS
from lavis_sam.weights.tokenizers import load_tokenizer

COUNTS = [5, 1, 2, 1, 3, 1]
WIDTH = 4096


def cost(rows, positions, width=WIDTH):
    return rows * positions * (LINEAR_WIDTHS * width + positions)


class TestPlan:
    @pytest.mark.parametrize("width", [16, 512, WIDTH])
    def test_every_sample_is_in_one_row_and_nothing_costs_more_than_padding(self, width):
        draw = random.Random(width)
        for _ in range(50):
            lengths = [draw.randint(20, 300) for _ in range(draw.randint(1, 24))]
            rows = plan_rows(lengths, max(lengths), width) or [[sample] for sample in range(len(lengths))]
            assert sorted(sample for row in rows for sample in row) == list(range(len(lengths)))
            longest = max(sum(lengths[sample] for sample in row) for row in rows)
            assert cost(len(rows), longest, width) <= cost(len(lengths), max(lengths), width)

    def test_short_samples_share_a_row_of_the_longest(self):
        rows = plan_rows([30, 100, 30, 40], 100, WIDTH)
        assert sorted(map(sorted, rows)) == [[0, 2, 3], [1]]

    def test_padding_within_a_sample_goes_without_sharing_a_row(self):
        assert plan_rows([100, 100], 130, 8) == [[0], [1]]

    @pytest.mark.parametrize("lengths", [[100], [100, 100, 100], [100, 99]])
    def test_where_nothing_is_saved_the_batch_stays_as_it_is(self, lengths):
        assert plan_rows(lengths, 100, 8) is None

    def test_attention_to_long_rows_is_counted(self):
        """One row would have no padding at all, but at this width attention is most of the cost."""
        lengths = [1000, 400, 400]
        assert len(plan_rows(lengths, 1000, 8)) == 2
        assert sum(lengths) < 2 * 1000


class TestRows:
    def test_positions_masks_and_places(self):
        mask = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 1, 1]])
        embeds = torch.arange(1.0, 10.0).view(3, 3, 1)
        rows = pack([[2], [1, 0]], embeds, mask, torch.tensor([[0, 1, 9], [9, 0, 1], [0, 1, 2]]))
        assert rows.inputs_embeds.squeeze(2).tolist() == [[7, 8, 9, 0], [5, 6, 1, 2]]
        assert rows.position_ids.tolist() == [[0, 1, 2, 0], [0, 1, 0, 1]]
        seen = [[{k for k in range(4) if row[0, q, k] == 0} for q in range(4)] for row in rows.mask]
        assert seen == [[{0}, {0, 1}, {0, 1, 2}, {3}], [{0}, {0, 1}, {2}, {2, 3}]]
        assert rows.places[mask.bool()].tolist() == [6, 7, 4, 5, 0, 1, 2]


def llama():
    return toy_llm(vocabulary=1501), load_tokenizer(TINY_TOKENIZERS)


def of_family(make):
    llm_model, tokenizer = make()
    return llm_model, FastTextTokenizer(tokenizer)


@pytest.fixture(params=["llama", "llama3", "qwen2", "eager", "checkpointing"])
def language(request):
    makers = {"llama3": llama3_like, "qwen2": qwen2_like}
    llm_model, tokenizer = of_family(makers[request.param]) if request.param in makers else llama()
    if request.param == "eager":
        llm_model.config._attn_implementation = "eager"
    if request.param == "checkpointing":
        enable_gradient_checkpointing(llm_model)
    return SimpleNamespace(llm_model=llm_model, tokenizer=tokenizer)


def lay_out(language, tokens, counts=COUNTS, answers=ANSWERS):
    """Samples of some images with three tokens each; of every second one the padded images come first."""
    places = torch.arange(5)
    images = torch.stack([places >= 5 - n if b % 2 else places < n for b, n in enumerate(counts)])
    texts, answers = ([given[b % len(given)] for b in range(len(counts))] for given in (TEXTS, answers))
    mask = images.repeat_interleave(3, dim=1)
    return training_inputs(
        language.llm_model, language.tokenizer, tokens, mask, texts, answers, max_txt_len=64, max_output_txt_len=64
    )


def shapes_read(llm_model):
    shapes = []
    llm_model.model.layers[0].register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple((args[0] if args else kwargs["hidden_states"]).shape[:2])),
        with_kwargs=True,
    )
    return shapes


class TestLoss:
    def test_losses_and_gradients_are_those_of_the_padded_batch(self, language):
        shapes, results, gradients = shapes_read(language.llm_model), [], []
        for packing in (False, True):
            tokens = toy_visual_tokens(0, len(COUNTS), 15).requires_grad_()
            results.append(target_loss(language.llm_model, lay_out(language, tokens), packing=packing))
            results[-1].loss.backward()
            gradients.append(tokens.grad)
        padded, packed = (rows * width for rows, width in (shapes[0], shapes[-1]))
        assert shapes[-1][0] < len(COUNTS)
        assert packed < 0.8 * padded
        for name in ("token_losses", "per_sample_loss", "logits"):
            first, second = (getattr(result, name) for result in results)
            torch.testing.assert_close(second, first, rtol=1e-4, atol=1e-4)
        assert torch.equal(results[0].target_ids, results[1].target_ids)
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)
        assert gradients[1].abs().max() > 1e-4

    def test_what_a_neighbour_says_changes_no_bit(self):
        llm_model, tokenizer = llama()
        language, found = SimpleNamespace(llm_model=llm_model, tokenizer=tokenizer), []
        shapes = shapes_read(llm_model)
        for seed in (0, 1):
            tokens = torch.cat((toy_visual_tokens(0, 1, 15), toy_visual_tokens(seed, len(COUNTS), 15)[1:]))
            found.append(target_loss(llm_model, lay_out(language, tokens), packing=True).per_sample_loss)
        assert shapes[0] == shapes[1]
        assert found[0][0] == found[1][0]
        assert not torch.isclose(*found)[1:].any()

    def test_a_batch_without_padding_is_read_as_it_is(self):
        llm_model, tokenizer = llama()
        shapes = shapes_read(llm_model)
        inputs = lay_out(SimpleNamespace(llm_model=llm_model, tokenizer=tokenizer), toy_visual_tokens(0, 1, 15), [5])
        target_loss(llm_model, inputs, packing=True)
        assert shapes == [tuple(inputs.labels.shape)]

    def test_a_training_step_has_the_gradients_of_the_padded_one(self):
        model, batch = small_model().train(), random_batch(COUNTS)
        gradients = []
        for model.packing in (False, True):
            model(batch)["loss"].backward()
            gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
            model.zero_grad(set_to_none=True)
        assert gradients[0].keys() == gradients[1].keys()
        assert gradients[0].keys() >= {"llm_proj.weight", "w_former.linear_h.weight"}
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-6, msg=name)


def mistral():
    return MistralForCausalLM(
        MistralConfig(
            **{"vocab_size": 50, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1},
            **{"num_attention_heads": 2, "num_key_value_heads": 2, "sliding_window": 8},
        )
    )


REFUSED = {
    "learned positions": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)),
    "a sliding window": mistral,
    "VPG-C": lambda: ConditionedLanguageModel(model := toy_llm(), model.model.layers[1], lambda states: states),
}


@pytest.mark.parametrize("name", REFUSED)
def test_packing_refuses_language_models_that_cannot_read_such_rows(name):
    llm_model = REFUSED[name]()
    with pytest.raises(SamConfigurationError, match=r"model\.packing is true.*Set model\.packing=false"):
        require_packing(llm_model)
    rows = torch.ones(2, 3, dtype=torch.long)
    with pytest.raises(SamConfigurationError, match=r"model\.packing is true"):
        read_packed(as_language_model(llm_model), torch.ones(2, 3, 16), rows, rows, rows.bool())


def test_packing_takes_llama_at_once():
    require_packing(toy_llm())
    require_packing(TransformersLanguageModel(toy_llm()))
