"""Language models through one protocol: Llama with its [PAD] row, and models of other families."""

from types import SimpleNamespace

import pytest
import torch
from transformers import LlamaConfig, Qwen2Config

from helpers.models import ANSWERS, TEXTS, random_batch, sample_of, small_model
from helpers.toy_llm import llama3_like, qwen2_like, toy_llm, toy_visual_tokens
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.language_model import (
    LanguageModel,
    TransformersLanguageModel,
    add_pad_row,
    as_language_model,
    build_language_model,
    empty_language_model,
    enable_gradient_checkpointing,
)
from lavis_sam.models.language.sequence import join, target_loss, training_inputs
from lavis_sam.models.language.tokenizers import FastTextTokenizer
from lavis_sam.models.released_search import _Continuation, generate, stream
from lavis_sam.models.sizes import LanguageSizes

FAMILIES = {"llama3": llama3_like, "qwen2": qwen2_like}
LOSS_TOLERANCE = 1e-5


@pytest.fixture(params=FAMILIES)
def family(request):
    llm_model, tokenizer = FAMILIES[request.param]()
    return SimpleNamespace(name=request.param, llm_model=llm_model, tokenizer=FastTextTokenizer(tokenizer))


@pytest.fixture
def ragged():
    """Three samples of three images with two tokens each; the padded image stands last, first and in the middle."""
    images = torch.tensor([[True, True, False], [False, True, True], [True, False, True]])
    return toy_visual_tokens(0, 3, 6), images.repeat_interleave(2, dim=1)


def with_family(family, **guidance):
    """The small model of the tests with another language model."""
    model = small_model(**guidance)
    model.llm_model, model.llm_tokenizer = family.llm_model, family.tokenizer
    model.llm_proj = torch.nn.Linear(model.llm_proj.in_features, family.llm_model.config.hidden_size)
    return model


class TestFamilies:
    def test_loss_is_transformers_own(self, family, ragged):
        inputs = training_inputs(
            family.llm_model, family.tokenizer, *ragged, TEXTS[:3], ANSWERS[:3], max_txt_len=32, max_output_txt_len=32
        )
        found = target_loss(family.llm_model, inputs)
        wanted = family.llm_model(
            inputs_embeds=inputs.inputs_embeds,
            attention_mask=inputs.attention_mask,
            position_ids=inputs.position_ids,
            labels=inputs.labels,
        ).loss
        assert (found.loss - wanted).abs() <= LOSS_TOLERANCE
        ends = [row[row != -100][-1] for row in inputs.labels]
        assert [int(end) for end in ends] == [family.tokenizer.eos_token_id] * 3

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            ({"num_beams": 1}, {}),
            ({"num_beams": 3, "min_length": 13}, {"num_beams": 3, "min_new_tokens": 12}),
        ],
        ids=["greedy", "beams that never end"],
    )
    def test_texts_are_transformers_own(self, family, ragged, ours, theirs):
        found = generate(
            family.llm_model,
            family.tokenizer,
            *ragged,
            TEXTS[:3],
            Decoding(max_length=13, repetition_penalty=1, **ours),
        )
        text = family.tokenizer(TEXTS[:3], padding_side="left")
        embeds, mask = join(family.llm_model, *ragged, text.input_ids, text.attention_mask)
        ids = family.llm_model.generate(
            inputs_embeds=embeds, attention_mask=mask, max_new_tokens=12, do_sample=False, **theirs
        )
        assert found.texts == [text.strip() for text in family.tokenizer.batch_decode(ids)]
        assert len(set(found.texts)) == 3

    @pytest.mark.parametrize(("num_beams", "packing"), [(1, False), (3, True)])
    def test_results_do_not_depend_on_the_batch(self, family, num_beams, packing):
        model, batch = with_family(family), random_batch([3, 1, 2])
        model.packing = packing
        decoding = {"num_beams": num_beams, "max_length": 12}
        together = model(batch)
        texts = model.generate({**batch, "prompt": batch["text_input"]}, **decoding)
        for b, text in enumerate(texts):
            sample = sample_of(batch, b)
            alone = model(sample)
            assert (alone["per_sample_loss"][0] - together["per_sample_loss"][b]).abs() <= LOSS_TOLERANCE
            assert model.generate({**sample, "prompt": sample["text_input"]}, **decoding) == [text]

    def test_training_reaches_the_projection_with_checkpointing_too(self, family):
        gradients = []
        for checkpointing in (False, True):
            torch.manual_seed(0)
            model = with_family(family).train()
            if checkpointing:
                enable_gradient_checkpointing(model.llm_model)
            model(random_batch([2, 1]))["loss"].backward()
            gradients.append(model.llm_proj.weight.grad)
        assert gradients[0].any()
        torch.testing.assert_close(*gradients)

    @pytest.mark.parametrize("text", ["a red chair", "café", "日本 ok", "🙂🙃", "naïve 日"])
    def test_no_streamed_piece_holds_half_a_character(self, family, ragged, text):
        tokens = family.tokenizer.encode_target(text, append_eos=False)

        class Writer(TransformersLanguageModel):
            """Writes these tokens, then the end, whatever it reads."""

            steps = iter([*tokens, family.tokenizer.eos_token_id])

            def logits(self, states):
                logits = super().logits(states) * 0
                logits[:, next(self.steps)] = 10
                return logits

        visual = ragged[0][:1, :4], ragged[1][:1, :4]
        decoding = Decoding(num_beams=1, max_length=60, repetition_penalty=1)
        pieces = list(stream(Writer(family.llm_model), family.tokenizer, *visual, "what ?", decoding))
        assert "".join(pieces) == text
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)

    def test_the_placeholder_before_the_first_token_has_no_penalty(self, family, ragged):
        text = family.tokenizer(TEXTS[:3], padding_side="left")
        inputs = join(family.llm_model, *ragged, text.input_ids, text.attention_mask)
        running = _Continuation(as_language_model(family.llm_model), *inputs, family.tokenizer)
        decoding, eos = Decoding(repetition_penalty=9.0), family.tokenizer.eos_token_id
        assert torch.equal(running.penalise(running.logits, decoding, eos), running.logits)
        running.append(torch.tensor([5, 6, 7]))
        changed = running.penalise(running.logits, decoding, eos) != running.logits
        assert changed.nonzero().tolist() == [[0, 5], [1, 6], [2, 7]]

    def test_an_empty_prompt_has_a_token_to_continue(self, family, ragged):
        assert len(generate(family.llm_model, family.tokenizer, *ragged, [""] * 3, Decoding(max_length=4)).texts) == 3


class TestConstruction:
    def test_transformers_module_becomes_a_language_model_and_one_stays_as_it_is(self):
        wrapped = as_language_model(toy_llm())
        assert isinstance(wrapped, LanguageModel)
        assert as_language_model(wrapped) is wrapped

    def test_grouped_key_value_heads(self):
        sizes = LanguageSizes(width=40, layers=1, heads=4, intermediate=24, vocabulary=50, max_positions=64, kv_heads=2)
        attention = build_language_model(sizes).model.layers[0].self_attn
        assert attention.k_proj.weight.shape == attention.v_proj.weight.shape == (20, 40)

    @pytest.mark.parametrize("config", [LlamaConfig, Qwen2Config])
    def test_an_empty_model_has_computed_what_no_file_holds(self, config):
        small = config(vocab_size=30, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
        model = empty_language_model(small, torch.bfloat16)
        assert all(parameter.is_meta and parameter.dtype == torch.bfloat16 for parameter in model.parameters())
        assert not any(buffer.is_meta for buffer in model.buffers())

    def test_logits_that_need_more_than_the_head_are_refused(self):
        llm_model = toy_llm()
        llm_model.config.final_logit_softcapping = 30.0
        with pytest.raises(SamConfigurationError, match="has final_logit_softcapping in its configuration"):
            as_language_model(llm_model)


class TestPadRow:
    def test_is_the_same_whatever_the_random_state(self):
        rows = []
        for seed in (1, 2):
            llm_model = toy_llm(vocabulary=196)
            torch.manual_seed(seed)
            expected = torch.rand(1)
            torch.manual_seed(seed)
            add_pad_row(llm_model, 197)
            assert torch.equal(torch.rand(1), expected)  # nor does it touch that state
            rows.append(torch.cat((llm_model.model.embed_tokens.weight[-1], llm_model.lm_head.weight[-1])))
        assert torch.equal(*rows)
        assert rows[0].abs().min() > 0
        assert rows[0].std() == pytest.approx(0.02, rel=0.3)

    def test_the_other_rows_stay(self):
        before, after = toy_llm(vocabulary=196), toy_llm(vocabulary=196)
        add_pad_row(after, 197)
        assert torch.equal(after.model.embed_tokens.weight[:-1], before.model.embed_tokens.weight)
        assert torch.equal(after.lm_head.weight[:-1], before.lm_head.weight)
        assert after.config.vocab_size == 197
        assert not any(parameter.requires_grad for parameter in after.parameters())

    def test_another_seed_is_another_row(self):
        first, second = toy_llm(vocabulary=196), toy_llm(vocabulary=196)
        add_pad_row(first, 197)
        add_pad_row(second, 197, seed=1)
        assert not torch.equal(first.lm_head.weight[-1], second.lm_head.weight[-1])

    def test_a_model_that_has_it_is_left_alone(self):
        llm_model = toy_llm(vocabulary=197)
        weight = llm_model.lm_head.weight
        add_pad_row(llm_model, 197)
        assert llm_model.lm_head.weight is weight

    @pytest.mark.parametrize("vocabulary", [195, 199])
    def test_another_vocabulary_is_refused(self, vocabulary):
        with pytest.raises(SamCheckpointError, match=rf"has 197 rows, its tokenizer needs {vocabulary - 1}, or"):
            add_pad_row(toy_llm(vocabulary=197), vocabulary)
