import json
import logging
import warnings
from pathlib import Path

import pytest
import torch
import transformers

from helpers.language import padded_alike, released_case, released_tokenizer
from helpers.toy_llm import toy_llm, toy_visual_tokens
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models import released_search as generation
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.language_model import as_language_model
from lavis_sam.models.language.sequence import join
from lavis_sam.models.released_search import generate

SCORE_TOLERANCE = 1e-5  # measured: 4e-7 on the authors' cases
PROMPTS = ["how many dogs ?", "what do the images have in common ? describe it in one sentence .", "", "a red car"]
SEARCHES = {
    "greedy": {"num_beams": 1, "max_length": 40},
    "beams": {"num_beams": 5, "max_length": 40},
    "captions": {"num_beams": 3, "num_captions": 2, "max_length": 20, "length_penalty": 0.5},
}
NUCLEUS = {"use_nucleus_sampling": True, "num_beams": 1, "max_length": 30}


@pytest.fixture
def tokenizer():
    return released_tokenizer()


@pytest.fixture
def ragged():
    """Four samples of three images with two tokens each; padded images stand anywhere, and first of all too."""
    images = torch.tensor([[True, True, False], [False, True, True], [True, False, True], [True, True, True]])
    return toy_visual_tokens(3, 4, 6), images.repeat_interleave(2, dim=1)


def alone(ragged, sample):
    tokens = ragged[0][sample : sample + 1, ragged[1][sample]]
    return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool)


class TestReleasedCode:
    @pytest.mark.parity
    @pytest.mark.parametrize("name", ["A", "B"])
    @pytest.mark.parametrize("search", ["greedy", "greedy_rep15", "beam5", "beam5_len30"])
    def test_authors_cases(self, name, search, tokenizer):
        case = released_case(name)
        decoding = Decoding(**case.meta["generate"][search])
        found = generate(case.llm_model, tokenizer, *case.batch, case.meta["text_input"], decoding, output_scores=True)
        sequences, wanted = padded_alike(found.sequences, case.arrays[f"out.gen_{search}_sequences"])
        assert torch.equal(sequences, wanted)
        assert found.texts == case.meta["generated_text"][search]
        if decoding.num_beams > 1:
            difference = found.scores - case.arrays[f"out.gen_{search}_sequences_scores"]
            assert difference.abs().max() <= SCORE_TOLERANCE

    @pytest.mark.parity
    @pytest.mark.parametrize("name", ["A", "B"])
    def test_authors_first_steps(self, name, tokenizer):
        case = released_case(name)
        text = tokenizer(case.meta["text_input"], padding_side="left")
        embeds, mask = join(case.llm_model, *case.batch, text.input_ids, text.attention_mask)
        assert torch.equal(mask, case.arrays["out.gen_attention_mask"])
        real = mask.bool()
        assert torch.equal(embeds[real], case.arrays["out.gen_inputs_embeds"][real])
        running = generation._Continuation(as_language_model(case.llm_model), embeds, mask, tokenizer)
        for step, wanted in enumerate(case.arrays["out.gen_greedy_step_scores"].unbind(dim=1)[:12]):
            if step == 0:
                scores = running.penalise(running.logits.log_softmax(dim=1), Decoding(), 2)
                first = case.arrays["out.gen_beam5_first_step_scores"].unflatten(0, (-1, 5))[:, 0]
                assert (scores - first).abs().max() <= 5e-5
            assert (running.logits - wanted).abs().max() <= 5e-5
            tokens = running.logits.argmax(dim=1)
            if (tokens == 2).any():
                break
            running.append(tokens)
            running.read()
        assert step >= 4

    def test_search_of_transformers_4_33(self, tokenizer):
        """Random cases; make_released_search.py says where they come from."""
        cases = json.loads(Path(__file__).with_name("released_search.json").read_text())
        for case in cases:
            llm_model = toy_llm(case["seed"], spread=case["spread"], ending=case["ending"])
            tokens = toy_visual_tokens(case["seed"], len(case["prompts"]), 6)
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
            found = generate(llm_model, tokenizer, tokens, mask, case["prompts"], Decoding(**case["decoding"]), True)
            assert torch.equal(*padded_alike(found.sequences, torch.tensor(case["sequences"]))), case["seed"]
            assert found.texts == case["texts"], case["seed"]
            if case["scores"] is not None:
                assert (found.scores - torch.tensor(case["scores"])).abs().max() <= 1e-4, case["seed"]


class TestAgainstTransformers:
    """The installed transformers, where its search and the released one are the same."""

    def search(self, llm_model, tokenizer, visual, **settings):
        text = tokenizer(PROMPTS, padding_side="left")
        embeds, mask = join(llm_model, *visual, text.input_ids, text.attention_mask)
        starts = torch.ones(len(PROMPTS), 1, dtype=torch.long)
        ids = llm_model.generate(
            input_ids=starts, inputs_embeds=embeds, attention_mask=mask, pad_token_id=2, **settings
        )
        return ids.masked_fill(ids == 0, 2)

    def test_greedy(self, tokenizer, ragged):
        llm_model = toy_llm(4)
        found = generate(
            llm_model, tokenizer, *ragged, PROMPTS, Decoding(num_beams=1, max_length=25, repetition_penalty=1)
        )
        wanted = self.search(llm_model, tokenizer, ragged, max_new_tokens=24, do_sample=False)
        assert torch.equal(*padded_alike(found.sequences, wanted))

    def test_beams_that_never_end(self, tokenizer, ragged):
        llm_model = toy_llm(4)
        decoding = Decoding(num_beams=4, max_length=12, min_length=12, repetition_penalty=1)
        found = generate(llm_model, tokenizer, *ragged, PROMPTS, decoding)
        wanted = self.search(
            llm_model, tokenizer, ragged, max_new_tokens=11, min_new_tokens=11, num_beams=4, do_sample=False
        )
        assert torch.equal(found.sequences, wanted)

    def test_sampling(self, tokenizer, ragged):
        llm_model = toy_llm(4)
        torch.manual_seed(5)
        found = generate(llm_model, tokenizer, *ragged, PROMPTS, Decoding(**NUCLEUS, repetition_penalty=1))
        torch.manual_seed(5)
        wanted = self.search(llm_model, tokenizer, ragged, max_new_tokens=29, do_sample=True, top_p=0.9, top_k=50)
        assert torch.equal(*padded_alike(found.sequences, wanted))

    def test_it_leaves_the_models_own_generation_settings_alone_and_unused(self, tokenizer, ragged, caplog):
        llm_model = toy_llm(4)
        plain = generate(llm_model, tokenizer, *ragged, PROMPTS, Decoding(max_length=20))
        llm_model.generation_config = transformers.GenerationConfig(
            temperature=0.9, top_p=0.6, do_sample=True, max_length=4096, repetition_penalty=3.0
        )
        logger = logging.getLogger("transformers")
        logger.addHandler(caplog.handler)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                other = generate(llm_model, tokenizer, *ragged, PROMPTS, Decoding(max_length=20))
        finally:
            logger.removeHandler(caplog.handler)
        assert other.texts == plain.texts
        assert not caplog.records


class TestGenerate:
    @pytest.mark.parametrize("search", SEARCHES)
    def test_a_sample_gets_the_same_text_alone(self, tokenizer, ragged, search):
        llm_model, decoding = toy_llm(1, ending=2.0), Decoding(**SEARCHES[search])
        together = generate(llm_model, tokenizer, *ragged, PROMPTS, decoding, output_scores=True)
        captions = decoding.num_captions
        for sample, prompt in enumerate(PROMPTS):
            found = generate(llm_model, tokenizer, *alone(ragged, sample), [prompt], decoding, output_scores=True)
            rows = slice(sample * captions, (sample + 1) * captions)
            assert torch.equal(*padded_alike(found.sequences, together.sequences[rows]))
            assert found.texts == together.texts[rows]
            assert (found.scores - together.scores[rows]).abs().max() <= SCORE_TOLERANCE
        lengths = (together.sequences != 2).sum(dim=1)
        assert lengths.min() < lengths.max()  # otherwise leaving the batch early was not tried

    def test_what_stands_in_a_padded_image_does_not_matter(self, tokenizer, ragged):
        llm_model, (tokens, mask) = toy_llm(1), ragged
        spoilt = tokens.masked_fill(~mask.unsqueeze(-1), float("nan"))
        texts = [
            generate(llm_model, tokenizer, t, mask, PROMPTS, Decoding(max_length=15)).texts for t in (tokens, spoilt)
        ]
        assert texts[0] == texts[1]

    def test_sequences_begin_with_the_start_token_and_end_within_max_length(self, tokenizer, ragged):
        for num_beams in (1, 4):
            decoding = Decoding(num_beams=num_beams, max_length=9, min_length=9)
            found = generate(toy_llm(1), tokenizer, *ragged, PROMPTS, decoding)
            assert found.sequences.shape == (4, 9)  # the start token and 8 new ones
            assert (found.sequences[:, 0] == 1).all()

    def test_an_end_token_at_once_is_an_empty_text(self, tokenizer, ragged):
        llm_model = toy_llm(1)
        llm_model.lm_head.weight.zero_()  # every token is as likely, greedy takes id 0, which becomes the end token
        found = generate(llm_model, tokenizer, *ragged, PROMPTS, Decoding(num_beams=1, max_length=3))
        assert found.texts == [""] * 4

    def test_min_length_counts_the_start_token(self, tokenizer, ragged):
        llm_model = toy_llm(1, ending=50.0)
        tokenizer.unk_token_id = -1  # so that only true ends read as 2
        for num_beams in (1, 3):
            for min_length, at_least in ((1, 0), (5, 4)):
                decoding = Decoding(num_beams=num_beams, min_length=min_length, max_length=30, repetition_penalty=1)
                sequences = generate(llm_model, tokenizer, *ragged, PROMPTS, decoding).sequences
                ends = (torch.nn.functional.pad(sequences[:, 1:], (0, 1), value=2) == 2).int().argmax(dim=1)
                assert ends.min() >= at_least
                if min_length == 1:
                    assert ends.min() == 0

    def test_num_captions_come_sample_by_sample_best_first(self, tokenizer, ragged):
        decoding = Decoding(num_beams=4, num_captions=3, max_length=15)
        found = generate(toy_llm(1, ending=2.0), tokenizer, *ragged, PROMPTS, decoding, output_scores=True)
        best = generate(toy_llm(1, ending=2.0), tokenizer, *ragged, PROMPTS, Decoding(num_beams=4, max_length=15))
        scores = found.scores.view(4, 3)
        assert len(found.texts) == 12
        assert found.texts[::3] == best.texts
        assert (scores[:, :-1] >= scores[:, 1:]).all()
        assert len({tuple(row.tolist()) for row in found.sequences[:3]}) == 3

    def test_length_penalty_favours_longer_texts(self, tokenizer, ragged):
        llm_model = toy_llm(0, spread=0.1, ending=3.0)
        lengths = []
        for length_penalty in (-2.0, 2.0):
            decoding = Decoding(length_penalty=length_penalty, max_length=60)
            sequences = generate(llm_model, tokenizer, *ragged, PROMPTS, decoding).sequences
            lengths.append(int((sequences != 2).sum()))
        assert lengths[0] < lengths[1]

    def test_repetition_penalty(self, tokenizer, ragged):
        distinct = []
        for repetition_penalty in (1.0, 3.0):
            decoding = Decoding(num_beams=1, max_length=40, min_length=40, repetition_penalty=repetition_penalty)
            sequences = generate(toy_llm(1), tokenizer, *ragged, PROMPTS, decoding).sequences
            distinct.append(sum(len(set(row.tolist())) for row in sequences))
        assert distinct[0] < distinct[1]

    def test_scores_of_greedy_text_are_mean_log_probabilities(self, tokenizer, ragged):
        llm_model, sample = toy_llm(1, ending=2.0), 1
        tokens, mask = alone(ragged, sample)
        decoding = Decoding(num_beams=1, max_length=30, repetition_penalty=1)
        found = generate(llm_model, tokenizer, tokens, mask, [PROMPTS[sample]], decoding, output_scores=True)
        written = found.sequences[:, 1:]
        text = tokenizer([PROMPTS[sample]])
        embeds, _ = join(llm_model, tokens, mask, torch.cat((text.input_ids, written), 1), torch.ones(1, 1))
        log_probabilities = llm_model(inputs_embeds=embeds).logits[:, -written.shape[1] - 1 : -1].log_softmax(dim=-1)
        total = log_probabilities.gather(2, written.unsqueeze(-1)).sum()
        assert found.sequences[0, -1] == 2
        assert 0 not in written
        torch.testing.assert_close(found.scores[0], total / (found.sequences.shape[1] - 1))

    def test_scores_are_left_out_unless_asked_for(self, tokenizer, ragged):
        assert generate(toy_llm(1), tokenizer, *ragged, PROMPTS, Decoding(max_length=4)).scores is None

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, tokenizer, ragged, dtype):
        exact = generate(toy_llm(1, spread=0.1), tokenizer, *ragged, PROMPTS, Decoding(max_length=6), True)
        found = generate(toy_llm(1, spread=0.1).to(dtype), tokenizer, *ragged, PROMPTS, Decoding(max_length=6), True)
        assert len(found.texts) == 4
        assert found.scores.dtype == torch.float32
        assert (found.scores - exact.scores).abs().max() < 0.1

    def test_a_prompt_is_read_once_whatever_the_beams(self, tokenizer, ragged):
        llm_model, rows = toy_llm(1), []
        llm_model.model.layers[0].mlp.register_forward_pre_hook(lambda module, args: rows.append(args[0].shape[:2]))
        generate(llm_model, tokenizer, *ragged, PROMPTS, Decoding(num_beams=5, max_length=4, min_length=4))
        width = ragged[0].shape[1] + max(len(tokenizer.encode(prompt)) for prompt in PROMPTS)
        assert rows == [(4, width), (4, 5), (4, 5)]

    def test_prompt_count_must_be_b(self, tokenizer, ragged):
        with pytest.raises(SamConfigurationError, match="prompts has 1 texts for a batch of 4 samples"):
            generate(toy_llm(), tokenizer, *ragged, ["one"], Decoding())

    def test_no_gradient_is_kept(self, tokenizer, ragged):
        tokens = ragged[0].clone().requires_grad_()
        found = generate(toy_llm(1), tokenizer, tokens, ragged[1], PROMPTS, Decoding(max_length=4), True)
        assert not found.scores.requires_grad


class TestNucleus:
    @pytest.mark.parametrize("num_beams", [1, 5])
    def test_a_seed_repeats_and_another_one_differs(self, tokenizer, ragged, num_beams):
        texts = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            decoding = Decoding(**NUCLEUS | {"num_beams": num_beams})
            texts.append(generate(toy_llm(1), tokenizer, *ragged, PROMPTS, decoding).texts)
        assert texts[0] == texts[1] != texts[2]

    def test_a_tiny_nucleus_is_greedy(self, tokenizer, ragged):
        greedy = generate(toy_llm(1), tokenizer, *ragged, PROMPTS, Decoding(num_beams=1, max_length=30))
        nucleus = generate(toy_llm(1), tokenizer, *ragged, PROMPTS, Decoding(**NUCLEUS, top_p=1e-6))
        assert nucleus.texts == greedy.texts

    def test_a_low_temperature_is_greedy_and_a_high_one_is_not(self, tokenizer, ragged):
        greedy = generate(toy_llm(1), tokenizer, *ragged, PROMPTS, Decoding(num_beams=1, max_length=30))
        cold = generate(toy_llm(1), tokenizer, *ragged, PROMPTS, Decoding(**NUCLEUS, temperature=1e-4))
        hot = generate(toy_llm(1), tokenizer, *ragged, PROMPTS, Decoding(**NUCLEUS, temperature=10))
        assert cold.texts == greedy.texts != hot.texts

    def test_tokens_outside_the_nucleus_are_never_drawn(self):
        scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
        for top_p, kept in ((0.4, 1), (0.6, 2), (0.9, 3), (1.0, 4)):
            cut = generation._cut_to_nucleus(scores, Decoding(use_nucleus_sampling=True, num_beams=1, top_p=top_p))
            assert cut.isfinite().sum() == kept
            assert cut[0, :kept].isfinite().all()
        assert generation._cut_to_nucleus(scores, Decoding(use_nucleus_sampling=True, top_p=0.4)).isfinite().sum() == 2
        many = torch.linspace(0, 0.1, 80).unsqueeze(0)
        cut = generation._cut_to_nucleus(many, Decoding(use_nucleus_sampling=True, top_p=1.0))
        assert cut.isfinite().sum() == 50

    def test_several_captions_without_beams(self, tokenizer, ragged):
        decoding = Decoding(**NUCLEUS, num_captions=3)
        found = generate(toy_llm(1), tokenizer, *ragged, PROMPTS, decoding, output_scores=True)
        assert len(found.texts) == len(found.scores) == 12
        assert len(set(found.texts[:3])) > 1


class TestDecoding:
    def test_defaults_are_the_released_ones(self):
        assert Decoding() == Decoding(False, 5, 256, 1, 0.9, 1.5, 1.0, 1, 1.0)

    @pytest.mark.parametrize(
        ("name", "value", "wanted"),
        [
            ("num_beams", 0, "at least 1"),
            ("num_beams", 2.5, "a whole number"),
            ("num_beams", True, "a whole number"),
            ("max_length", 1, "at least 2"),
            ("min_length", -1, r"0 to max_length \(256\)"),
            ("min_length", 300, r"0 to max_length \(256\)"),
            ("top_p", 0.0, "above 0 and at most 1"),
            ("top_p", 1.1, "above 0 and at most 1"),
            ("repetition_penalty", 0, "above 0"),
            ("temperature", -1.0, "above 0"),
            ("temperature", float("nan"), "a finite number"),
            ("length_penalty", "long", "a finite number"),
            ("num_captions", 0, "at least 1"),
            ("num_captions", 6, r"at most num_beams \(5\)"),
            ("use_nucleus_sampling", "yes", "true or false"),
        ],
    )
    def test_impossible_values_are_named(self, name, value, wanted):
        with pytest.raises(SamConfigurationError, match=rf"{name} of generate is .*wanted: {wanted}") as error:
            Decoding(**{name: value})
        assert repr(value) in str(error.value)

    def test_greedy_cannot_give_several_captions(self):
        with pytest.raises(SamConfigurationError, match="num_captions of generate is 2"):
            Decoding(num_beams=1, num_captions=2)
        assert Decoding(num_beams=1, num_captions=2, use_nucleus_sampling=True).num_captions == 2
