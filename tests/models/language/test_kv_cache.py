"""Keys and values of several branches: one prompt for all of them gives what a row for each of them gives."""

import random
from types import SimpleNamespace

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from helpers.language import released_tokenizer
from helpers.toy_llm import llama3_like, qwen2_like, toy_llm, toy_visual_tokens
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language import kv_cache
from lavis_sam.models.language.kv_cache import RowCache, SharedPromptCache, most_cache_bytes, read_prompts
from lavis_sam.models.language.language_model import TransformersLanguageModel
from lavis_sam.models.language.tokenizers import FastTextTokenizer
from lavis_sam.models.released_search import generate

TOLERANCE = 1e-5
WORDS = ("how", "many", "red", "dogs", "and", "chairs", "do", "the", "images", "have", "in", "common", "?", "one")
SEARCHES = {
    "beams": {"num_beams": 5, "max_length": 40},
    "captions": {"num_beams": 3, "num_captions": 2, "max_length": 50, "length_penalty": 0.5},
    "greedy": {"num_beams": 1, "max_length": 70},
    "sampled": {"num_beams": 1, "num_captions": 3, "max_length": 20, "use_nucleus_sampling": True},
    "sampled beams": {"num_beams": 4, "max_length": 20, "use_nucleus_sampling": True},
}


class RowByRow(TransformersLanguageModel):
    """A language model as it was before prompts were shared: every branch has a row and a copy of its prompt."""

    reads_4d_masks = False


def ragged_samples(count, seed=0, most_images=5):
    """Visual tokens, their mask and prompts of so many samples: images and words of every number, padding anywhere."""
    draw = random.Random(seed)
    images = [draw.sample(range(most_images), draw.randint(1, most_images)) for _ in range(count)]
    mask = torch.zeros(count, most_images, dtype=torch.bool)
    for row, present in zip(mask, images, strict=True):
        row[present] = True
    prompts = [" ".join(draw.choices(WORDS, k=draw.randint(0, 20))) for _ in range(count)]
    return toy_visual_tokens(seed, count, 2 * most_images), mask.repeat_interleave(2, dim=1), prompts


def searched(llm_model, tokenizer, samples, decoding):
    torch.manual_seed(7)
    return generate(llm_model, tokenizer, *samples, decoding, output_scores=True)


def same_texts(llm_model, tokenizer, samples, decoding):
    """The generation of both ways, after comparing them."""
    shared = searched(llm_model, tokenizer, samples, decoding)
    by_row = searched(RowByRow(llm_model), tokenizer, samples, decoding)
    assert torch.equal(shared.sequences, by_row.sequences)
    assert shared.texts == by_row.texts
    torch.testing.assert_close(shared.scores, by_row.scores, atol=TOLERANCE, rtol=TOLERANCE)
    return shared


@pytest.mark.parametrize("search", SEARCHES)
def test_texts_are_those_of_a_row_for_each_branch(search):
    found = same_texts(toy_llm(1, ending=2.0), released_tokenizer(), ragged_samples(12), Decoding(**SEARCHES[search]))
    lengths = (found.sequences != 2).sum(dim=1)
    assert lengths.min() < lengths.max()  # otherwise no sample left the batch early


@pytest.mark.parametrize("family", [llama3_like, qwen2_like])
def test_texts_with_grouped_key_value_heads(family):
    llm_model, tokenizer = family()
    decoding = Decoding(num_beams=4, max_length=14)
    same_texts(llm_model, FastTextTokenizer(tokenizer), ragged_samples(4), decoding)


@pytest.mark.integration
def test_500_ragged_samples_get_the_texts_of_a_row_for_each_branch():
    tokenizer, decoding = released_tokenizer(), Decoding(num_beams=5, max_length=40)
    ends = set()
    for seed in range(25):
        llm_model = toy_llm(seed, ending=2.0, spread=random.Random(seed).choice([0.1, 0.2, 0.3]))
        found = same_texts(llm_model, tokenizer, ragged_samples(20, seed), decoding)
        ends |= set((found.sequences != 2).sum(dim=1).tolist())
    assert len(ends) > 10


def caches(branches, seed=3, count=4):
    """The two caches of one batch of prompts, and what both have."""
    llm_model = toy_llm(seed)
    tokens, mask, _ = ragged_samples(count, seed)
    mask = torch.cat((mask, torch.ones(count, 1, dtype=torch.bool)), dim=1).long()
    embeds = torch.cat((tokens, toy_visual_tokens(9, count, 1)), dim=1).masked_fill(mask.unsqueeze(-1) == 0, 0)
    found = []
    for language in (TransformersLanguageModel(llm_model), RowByRow(llm_model)):
        _, cache = read_prompts(language, embeds, mask, branches)
        found.append(cache)
    return SimpleNamespace(shared=found[0], by_row=found[1], prompt=mask.shape[1])


def test_states_stay_equal_while_beams_change_samples_leave_and_room_is_made(monkeypatch):
    monkeypatch.setattr(kv_cache, "STEPS_OF_ROOM", 2)
    both, draw = caches(branches=3), torch.Generator().manual_seed(0)
    assert isinstance(both.shared, SharedPromptCache)
    assert isinstance(both.by_row, RowCache)
    samples = 4
    for step in range(20):
        if step in (6, 11):  # the second sample leaves, then the first
            kept = [sample for sample in range(samples) if sample != (1 if step == 6 else 0)]
            samples -= 1
        else:
            kept = list(range(samples))
        chosen = torch.randint(3, (samples, 3), generator=draw) + 3 * torch.tensor(kept).unsqueeze(1)
        embedded = torch.randn(3 * samples, 40, generator=draw)
        states = []
        for cache in (both.shared, both.by_row):
            cache.select(chosen.flatten())
            states.append(cache.read(embedded))
        torch.testing.assert_close(*states, atol=TOLERANCE, rtol=TOLERANCE)


def test_a_change_of_beams_leaves_keys_and_values_where_they_are():
    cache = caches(branches=4).shared
    cache.read(torch.randn(16, 40))
    layer = cache._cache.layers[0]
    keys, before = layer.keys.data_ptr(), layer.keys.clone()
    cache.select(torch.tensor([3, 3, 0, 1, 4, 4, 4, 4, 11, 10, 9, 8, 12, 13, 14, 15]))
    cache.read(torch.randn(16, 40))
    assert layer.keys.data_ptr() == keys
    assert torch.equal(layer.keys[:, :, : before.shape[2]], before)


def test_what_no_branch_descends_from_is_dropped():
    both = caches(branches=4)
    cache, layer = both.shared, both.shared._cache.layers[0]
    for _ in range(100):
        cache.select(torch.arange(16) // 4 * 4)  # all go on from the first branch
        cache.read(torch.randn(16, 40))
    assert layer.keys.shape[2] <= both.prompt + 100 + 3 * kv_cache.STEPS_OF_ROOM * 4 // 2
    assert layer.keys.untyped_storage().nbytes() < 4 * 40 * 4 * (both.prompt + 400)


@pytest.mark.parametrize("steps", [1, 32, 33, 70])
def test_there_is_never_more_room_than_forecast(steps):
    both = caches(branches=2)
    for _ in range(steps):
        both.shared.read(torch.randn(8, 40))
    room = both.shared._cache.layers[0].keys.untyped_storage().nbytes() / (4 * 40 * 4)
    assert room == both.shared.most_positions(both.prompt, 2, steps)


def sliding_llm(window=8):
    """A Mistral as its first version was: every layer looks at the last positions alone."""
    config = MistralConfig(
        vocab_size=197,
        hidden_size=40,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        sliding_window=window,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    return MistralForCausalLM(config).eval()


def test_a_layer_with_a_sliding_window_gets_rows():
    language = TransformersLanguageModel(sliding_llm())
    assert not language.reads_4d_masks
    with torch.no_grad():
        _, cache = read_prompts(language, torch.randn(2, 12, 40), torch.ones(2, 12, dtype=torch.long), 3)
    assert isinstance(cache, RowCache)


def test_an_attention_that_reads_no_such_masks_gets_rows():
    language = TransformersLanguageModel(toy_llm())
    assert language.reads_4d_masks
    language.model.config._attn_implementation = "flash_attention_2"
    assert not language.reads_4d_masks


def test_eager_attention_gives_the_same_texts():
    llm_model = toy_llm(1, ending=2.0)
    decoding, samples = Decoding(**SEARCHES["beams"]), ragged_samples(3)
    wanted = searched(llm_model, released_tokenizer(), samples, decoding)
    llm_model.config._attn_implementation = "eager"
    assert searched(llm_model, released_tokenizer(), samples, decoding).texts == wanted.texts


class Kept(TransformersLanguageModel):
    """Keeps the cache of each pass, and as much of each layer as was ever there."""

    reads_4d_masks = False
    most = 0

    def hidden(self, *given, **more):
        output = super().hidden(*given, **more)
        self.most = max(self.most, sum(2 * layer.keys.numel() * 4 for layer in output.cache.layers))
        return output


BRANCHES = {
    "beams": Decoding(num_beams=5, num_captions=2, max_length=12, min_length=12),
    "captions": Decoding(num_beams=1, num_captions=3, max_length=12, min_length=12, use_nucleus_sampling=True),
    "greedy": Decoding(num_beams=1, max_length=12, min_length=12),
}


@pytest.mark.parametrize("name", BRANCHES)
@pytest.mark.parametrize("window", [None, 4000])
def test_the_most_bytes_are_those_of_the_cache_that_is_used(name, window):
    """Rows grow step by step; shared prompts have room for whole 32 steps."""
    llm_model, decoding = sliding_llm(window), BRANCHES[name]
    tokens, tokenizer = toy_visual_tokens(0, 1, 20), released_tokenizer()
    prompt = 20 + tokenizer(["how many red dogs"]).input_ids.shape[1]
    found = most_cache_bytes(llm_model, prompt, decoding)
    position = 2 * 2 * 40 * 4
    if window is None:
        assert found == position * (prompt + decoding.branches * 32)
        return
    language = Kept(llm_model)
    generate(language, tokenizer, tokens, torch.ones(1, 20, dtype=torch.bool), ["how many red dogs"], decoding)
    # The last token is written and not read.
    assert found == language.most + position * decoding.branches


def test_an_attention_without_such_masks_is_counted_by_rows():
    llm_model, decoding = toy_llm(), Decoding(num_beams=4, max_length=12)
    shared = most_cache_bytes(llm_model, 100, decoding)
    llm_model.config._attn_implementation = "flash_attention_2"
    assert (shared, most_cache_bytes(llm_model, 100, decoding)) == tuple(
        2 * 2 * 40 * 4 * positions for positions in (100 + 4 * 32, 4 * (100 + 11))
    )
