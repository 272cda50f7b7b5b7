"""Text piece by piece: whatever the language model writes, the pieces join to what `generate` gives."""

import pytest
import torch

from helpers.instructblip import TOKENIZERS
from helpers.toy_llm import toy_llm, toy_visual_tokens
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.language_model import TransformersLanguageModel
from lavis_sam.models.language.sequence import check_length
from lavis_sam.models.released_search import generate, stream
from lavis_sam.weights.tokenizers import load_tokenizer

GREEDY = Decoding(num_beams=1, max_length=40)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(TOKENIZERS)


def visual(seed):
    tokens = toy_visual_tokens(seed, 1, 4)
    return tokens, torch.ones(1, 4, dtype=torch.bool)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "decoding",
    [GREEDY, Decoding(num_beams=1, max_length=40, use_nucleus_sampling=True), Decoding(num_beams=1, max_length=2)],
    ids=["greedy", "sampled", "one-token"],
)
def test_the_pieces_join_to_the_whole(tokenizer, seed, decoding):
    llm = toy_llm(seed, vocabulary=len(tokenizer))
    torch.manual_seed(seed)
    (wanted,) = generate(llm, tokenizer, *visual(seed), ["what is it ?"], decoding).texts
    torch.manual_seed(seed)
    pieces = list(stream(llm, tokenizer, *visual(seed), "what is it ?", decoding))
    assert "".join(pieces) == wanted
    assert all(pieces)


class Writer(TransformersLanguageModel):
    """A language model that writes given tokens, whatever it reads."""

    def __init__(self, tokens, llm):
        super().__init__(llm)
        self.tokens, self.written = [*tokens, 2], 0

    def logits(self, states):
        logits = torch.full((len(states), self.model.config.vocab_size), -10.0)
        logits[:, self.tokens[self.written]] = 10.0
        self.written += 1
        return logits


def written_by(tokenizer, tokens):
    llm = toy_llm(vocabulary=len(tokenizer))
    decoding = Decoding(num_beams=1, max_length=60, repetition_penalty=1.0)
    (whole,) = generate(Writer(tokens, llm), tokenizer, *visual(0), [""], decoding).texts
    return list(stream(Writer(tokens, llm), tokenizer, *visual(0), "", decoding)), whole


@pytest.mark.parametrize("text", ["a red chair", "café", "two  spaces", "日本 ok", "🙂🙃", "x 🙂 y", "naïve 日"])
def test_no_piece_holds_half_a_character(tokenizer, text):
    tokens = tokenizer.encode(text)[1:]
    assert tokenizer.unk_token_id not in tokens, "this tokenizer spells unknown characters in bytes"
    pieces, whole = written_by(tokenizer, tokens)
    assert "".join(pieces) == whole == tokenizer.decode(tokens).strip()
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_bytes_that_are_no_character_come_at_the_end(tokenizer):
    tokens = tokenizer.encode("ab🙂")[1:-1]  # the last byte is never written
    pieces, whole = written_by(tokenizer, tokens)
    assert "".join(pieces) == whole
    assert "\N{REPLACEMENT CHARACTER}" in pieces[-1]


def test_white_space_at_both_ends_is_dropped_and_unknown_pieces_read_as_nothing(tokenizer):
    space, word = tokenizer.encode("  a")[1:2], tokenizer.encode("dog")[1:]
    pieces, whole = written_by(tokenizer, [*space, *word, 0, *space, *space])
    assert "".join(pieces) == whole == "dog"


def test_words_come_as_they_are_written(tokenizer):
    tokens = tokenizer.encode("the dog sleeps on the sofa")[1:]
    pieces, _ = written_by(tokenizer, tokens)
    assert len(pieces) > 4


def test_no_gradients_inside_and_none_lost_outside(tokenizer):
    llm = toy_llm(vocabulary=len(tokenizer)).requires_grad_(True)
    pieces = stream(llm, tokenizer, *visual(0), "x", GREEDY)
    next(pieces)
    assert torch.is_grad_enabled()
    pieces.close()


@pytest.mark.parametrize("settings", [{"num_beams": 2}, {"num_captions": 2, "use_nucleus_sampling": True}])
def test_competing_texts_cannot_be_streamed(tokenizer, settings):
    decoding = Decoding(**{"num_beams": 1, **settings})
    with pytest.raises(SamConfigurationError, match="a text can be streamed only with 1 and 1"):
        next(stream(toy_llm(vocabulary=len(tokenizer)), tokenizer, *visual(0), "x", decoding))


def test_length_is_checked_at_its_limit(tokenizer):
    llm = toy_llm(vocabulary=len(tokenizer))
    check_length(llm, [500, 12], [12, 500])
    with pytest.raises(SamDataError, match=r"sample 1 of the batch has 500 visual tokens .* and 13 text tokens.* 512"):
        check_length(llm, [500, 500], [12, 13])
