"""Step 6, language: text from visual tokens and a prompt, decoded as the released code decodes.

The released code calls the search of transformers 4.33. Today's versions search otherwise: they keep no start token in
length and repetition history, divide beam scores by other lengths, and end a beam search earlier. Settings can undo all
but the last, which changed the texts of 12 of 253 random batches. The searches are therefore written here, step by step
as 4.33 took them; a `LanguageModel` gives logits, and `kv_cache` reads on: a prompt is read once per sample.

4.33 put a start token before the written ones, which counts in the length and whose repetition is penalised. Tokenizers
without such a token (`sequence_start_id` None) have a placeholder in its place, which counts alike and has no penalty.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.kv_cache import read_prompts
from lavis_sam.models.language.language_model import LanguageModel, as_language_model
from lavis_sam.models.language.sequence import check_batch, join
from lavis_sam.models.language.tokenizers import TextTokenizer

NUCLEUS_TOP_K = 50
"""transformers' default for sampling, which the released code leaves in place beside `top_p`."""
NEVER = -1e9
"""Start score of all beams but the first, so that they do not all take the same tokens."""
PARTIAL_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""How sentencepiece decodes the first bytes of a character whose others are not written yet."""


@dataclass
class Generation:
    """Generated texts, sample by sample, B * num_captions of them.

    Attributes:
        texts: the texts, stripped.
        sequences: int64 [B * num_captions, T], each a start token (or the placeholder, an end token), its tokens and
            the end token, then end tokens as padding.
        scores: float32 [B * num_captions], when asked for: the sum of a sequence's log-probabilities divided by its
            length (start token included, end token not) to the power of the length penalty. With beams these are
            the scores that rank them, log-probabilities after the repetition penalty; without beams the
            log-probabilities are those of the distribution that was chosen from.
    """

    texts: list[str]
    sequences: Tensor
    scores: Tensor | None = None


class _Text(NamedTuple):
    """A text of the search: its score and its ids, from the start token on."""

    score: float
    ids: list[int]


@torch.no_grad()
def generate(
    llm_model: Any,
    tokenizer: TextTokenizer,
    visual_tokens: Tensor,
    visual_mask: Tensor,
    prompts: Sequence[str],
    decoding: Decoding,
    output_scores: bool = False,
) -> Generation:
    """Generate text from visual tokens and prompts.

    Without sampling, a sample's text does not depend on the other samples of the batch.

    Args:
        llm_model: the LLM, a `LanguageModel` or a module of transformers'.
        visual_tokens: [B, V, D_llm].
        visual_mask: bool [B, V], False at padded images.
        prompts: B prompts; not truncated.
        decoding: how to decode.
        output_scores: whether `Generation.scores` is wanted.

    Raises:
        SamConfigurationError: batch sizes differ.
        SamDataError: a sample is longer than the language model reads.
    """
    check_batch(visual_tokens, visual_mask, prompts=len(prompts))
    # Padded on the left, so that the last column is everyone's last token; pads lie between visual tokens and prompt.
    text = tokenizer(prompts, padding_side="left")
    inputs_embeds, attention_mask = join(llm_model, visual_tokens, visual_mask, text.input_ids, text.attention_mask)
    language = as_language_model(llm_model)
    continuation = _Continuation(language, inputs_embeds, attention_mask, tokenizer, decoding.branches)
    search = _search_beams if decoding.num_beams > 1 else _search_one_by_one
    found = search(continuation, decoding, tokenizer.eos_token_id)

    width = max(len(text.ids) for text in found)
    sequences = torch.tensor([text.ids + [tokenizer.eos_token_id] * (width - len(text.ids)) for text in found])
    sequences = _without_unknown(sequences, tokenizer)
    texts = [text.strip() for text in tokenizer.batch_decode(sequences[:, 1:])]
    scores = torch.tensor([text.score for text in found]).to(inputs_embeds.device) if output_scores else None
    return Generation(texts, sequences.to(inputs_embeds.device), scores)


@torch.no_grad()
def stream(
    llm_model: Any,
    tokenizer: TextTokenizer,
    visual_tokens: Tensor,
    visual_mask: Tensor,
    prompt: str,
    decoding: Decoding,
) -> Generator[str, None, Tensor]:
    """Generate one text and give it piece by piece, as it is written; the pieces join to what `generate` gives.

    The generator's own value, at its end, is the text's sequence: int64 [T], as `Generation` has it.

    Args:
        llm_model: the LLM, a `LanguageModel` or a module of transformers'.
        visual_tokens: [1, V, D_llm].
        visual_mask: bool [1, V], False at padded images.
        prompt: the prompt; not truncated.
        decoding: how to decode: one beam, one text.

    Raises:
        SamConfigurationError: several beams or texts, of which no word is certain before the end.
        SamDataError: the sample is longer than the language model reads.
    """
    if decoding.num_beams != 1 or decoding.num_captions != 1:
        raise SamConfigurationError(
            f"num_beams is {decoding.num_beams} and num_captions {decoding.num_captions}; a text can be streamed only "
            "with 1 and 1, because beams compete until the end. Use generate for more."
        )
    check_batch(visual_tokens, visual_mask, prompts=1)
    text = tokenizer([prompt])
    inputs = join(llm_model, visual_tokens, visual_mask, text.input_ids, text.attention_mask)
    continuation = _Continuation(as_language_model(llm_model), *inputs, tokenizer)
    given = ""
    for _ in _write_one_by_one(continuation, decoding, tokenizer.eos_token_id):
        # A character may take several tokens, and what looks like the final blank may be followed by a word.
        written = _readable(tokenizer, continuation.ids).rstrip(PARTIAL_CHARACTER).rstrip()
        if len(written) > len(given) and written.startswith(given):
            yield written[len(given) :]
            given = written
    if rest := _readable(tokenizer, continuation.ids).rstrip()[len(given) :]:
        yield rest
    return continuation.ids[0]


def _readable(tokenizer: TextTokenizer, ids: Tensor) -> str:
    """Return the text of ids [1, length], which begin with the start token; only its end is not stripped yet."""
    return tokenizer.decode(_without_unknown(ids[0, 1:], tokenizer)).lstrip()


def _without_unknown(ids: Tensor, tokenizer: TextTokenizer) -> Tensor:
    """Turn unknown pieces into the end token, as the released code does, so that both read as nothing."""
    unknown = tokenizer.unk_token_id
    return ids if unknown is None else ids.masked_fill(ids == unknown, tokenizer.eos_token_id)


class _Continuation:
    """R = B * branches texts that the LLM is writing: what it wrote, what it has read, its logits for the next tokens.

    Attributes:
        ids: int64 [R, length], the written tokens after a start token that the LLM never reads.
        logits: float32 [R, vocabulary].
    """

    def __init__(
        self,
        language: LanguageModel,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        tokenizer: TextTokenizer,
        branches: int = 1,
    ) -> None:
        self._language = language
        start = tokenizer.sequence_start_id
        self._first = 0 if start is not None else 1  # the first column of `ids` with a token whose repetition counts
        start = tokenizer.eos_token_id if start is None else start
        self.ids = torch.full((len(attention_mask) * branches, 1), start, device=attention_mask.device)
        states, self._cache = read_prompts(language, inputs_embeds, attention_mask, branches)
        self.logits = language.logits(states).repeat_interleave(branches, dim=0)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows [R'], all branches of the samples that stay; see `BranchCache.select`."""
        self._cache.select(rows)
        self.ids, self.logits = self.ids[rows], self.logits[rows]

    def append(self, tokens: Tensor) -> None:
        """Write one token [R] to each row without asking for the next ones."""
        self.ids = torch.cat((self.ids, tokens.unsqueeze(1)), dim=1)

    def read(self) -> None:
        """Let the LLM read the token written last."""
        self.logits = self._language.logits(self._cache.read(self._language.embed(self.ids[:, -1])))

    def penalise(self, scores: Tensor, decoding: Decoding, eos_token_id: int) -> Tensor:
        """Apply the repetition penalty and the minimum length to scores [R, vocabulary] of the next token."""
        if decoding.repetition_penalty != 1:
            written = self.ids[:, self._first :]
            repeated = scores.gather(1, written)
            factor = torch.where(repeated < 0, decoding.repetition_penalty, 1 / decoding.repetition_penalty)
            scores = scores.scatter(1, written, repeated * factor)
        if self.ids.shape[1] < decoding.min_length:
            scores = scores.index_fill(1, torch.tensor([eos_token_id], device=scores.device), -math.inf)
        return scores


def _search_one_by_one(continuation: _Continuation, decoding: Decoding, eos_token_id: int) -> list[_Text]:
    """Write B * num_captions texts, each by the most likely tokens or by sampled ones."""
    total = torch.zeros(len(continuation.ids), device=continuation.ids.device)
    for gained in _write_one_by_one(continuation, decoding, eos_token_id):
        total += gained

    texts = []
    for score, ids in zip(total.tolist(), continuation.ids.tolist(), strict=True):
        length = ids.index(eos_token_id, 1) if eos_token_id in ids[1:] else len(ids)
        texts.append(_Text(score / length**decoding.length_penalty, ids[: length + 1]))
    return texts


def _write_one_by_one(continuation: _Continuation, decoding: Decoding, eos_token_id: int) -> Iterator[Tensor]:
    """Write a token to every row until all have ended; give each step's log-probabilities [R], 0 after the end."""
    has_ended = torch.zeros(len(continuation.ids), dtype=torch.bool, device=continuation.ids.device)
    while True:
        scores = continuation.penalise(continuation.logits, decoding, eos_token_id)
        if decoding.use_nucleus_sampling:
            scores = _cut_to_nucleus(scores, decoding)
            tokens = torch.multinomial(scores.softmax(dim=1), num_samples=1).squeeze(1)
        else:
            tokens = scores.argmax(dim=1)
        gained = scores.log_softmax(dim=1).gather(1, tokens.unsqueeze(1)).squeeze(1).masked_fill(has_ended, 0)
        continuation.append(tokens.masked_fill(has_ended, eos_token_id))
        has_ended |= tokens == eos_token_id
        yield gained
        if continuation.ids.shape[1] == decoding.max_length or bool(has_ended.all()):
            break
        continuation.read()


@dataclass
class _FinishedTexts:
    """The best `size` finished texts of a sample."""

    size: int
    length_penalty: float
    texts: list[_Text] = field(default_factory=list)

    def add(self, total: float, ids: list[int], ending: list[int]) -> None:
        """Enter a text whose log-probabilities sum to `total`; drop the worst one when there are too many."""
        self.texts.append(_Text(total / len(ids) ** self.length_penalty, ids + ending))
        self.texts.sort(key=lambda text: text.score, reverse=True)
        del self.texts[self.size :]

    def is_beyond(self, best_total: float, length: int) -> bool:
        """Return whether a text with a step's best sum would not enter at `length`: the sample is done.

        As in 4.33, one that ended in this very step counts too; without it a search would stop earlier.
        """
        return len(self.texts) == self.size and self.texts[-1].score >= best_total / length**self.length_penalty


def _search_beams(continuation: _Continuation, decoding: Decoding, eos_token_id: int) -> list[_Text]:
    """Write texts by beam search, or by sampling beams; a sample leaves the batch when it is done."""
    beams, device = decoding.num_beams, continuation.ids.device
    finished = [_FinishedTexts(beams, decoding.length_penalty) for _ in continuation.ids[::beams]]
    running = list(finished)
    totals = torch.zeros(len(running), beams, device=device)
    if not decoding.use_nucleus_sampling:
        totals[:, 1:] = NEVER
    while True:
        candidates = _candidates(continuation, totals, decoding, eos_token_id)
        length, chosen, still_running = continuation.ids.shape[1], [], []
        for sample, ranked in enumerate(candidates):
            kept = []
            for rank, (total, beam, token) in enumerate(ranked):
                row = sample * beams + beam
                if token != eos_token_id:
                    kept.append((total, row, token))
                elif rank < beams:
                    running[sample].add(total, continuation.ids[row].tolist(), [eos_token_id])
                if len(kept) == beams:
                    break
            if not running[sample].is_beyond(ranked[0][0], length + 1):
                still_running.append(running[sample])
                chosen += kept
        running = still_running
        if not running:
            break
        chosen_totals, rows, tokens = zip(*chosen, strict=True)
        totals = torch.tensor(chosen_totals, device=device).view(len(running), beams)
        continuation.select(torch.tensor(rows, device=device))
        continuation.append(torch.tensor(tokens, device=device))
        if continuation.ids.shape[1] == decoding.max_length:
            for texts, sample_totals, ids in zip(running, totals.tolist(), continuation.ids.split(beams), strict=True):
                for total, row_ids in zip(sample_totals, ids.tolist(), strict=True):
                    texts.add(total, row_ids, [])
            break
        continuation.read()
    return [text for texts in finished for text in texts.texts[: decoding.num_captions]]


def _candidates(
    continuation: _Continuation, totals: Tensor, decoding: Decoding, eos_token_id: int
) -> list[list[tuple[float, int, int]]]:
    """Return the 2 * num_beams best (or sampled) next steps of each sample, best first.

    Twice as many as beams, so that enough remain when every beam could end.

    Args:
        continuation: the running texts, num_beams rows for each of B samples.
        totals: summed log-probabilities of these rows [B, num_beams].

    Returns:
        For each sample, (summed log-probability, beam, token) triples.
    """
    scores = continuation.penalise(continuation.logits.log_softmax(dim=1), decoding, eos_token_id)
    if decoding.use_nucleus_sampling:
        scores = _cut_to_nucleus(scores, decoding)
    count, vocabulary = 2 * decoding.num_beams, scores.shape[1]
    scores = (scores + totals.view(-1, 1)).view(len(totals), -1)
    if decoding.use_nucleus_sampling:
        steps = torch.multinomial(scores.softmax(dim=1), num_samples=count)
        best, order = scores.gather(1, steps).sort(dim=1, descending=True)
        steps = steps.gather(1, order)
    else:
        best, steps = scores.topk(count, dim=1)
    columns = (best.tolist(), (steps // vocabulary).tolist(), (steps % vocabulary).tolist())
    return [list(zip(*sample, strict=True)) for sample in zip(*columns, strict=True)]


def _cut_to_nucleus(scores: Tensor, decoding: Decoding) -> Tensor:
    """Leave the likeliest tokens of scores [R, vocabulary] that hold `top_p` of the probability; the rest get -inf."""
    scores = scores / decoding.temperature
    smallest_of_top = scores.topk(min(NUCLEUS_TOP_K, scores.shape[1]), dim=1).values[:, -1:]
    scores = scores.masked_fill(scores < smallest_of_top, -math.inf)
    ascending, order = scores.sort(dim=1)
    is_cut = ascending.softmax(dim=1).cumsum(dim=1) <= 1 - decoding.top_p
    # A beam needs two tokens: one may be the end.
    is_cut[:, -(2 if decoding.num_beams > 1 else 1) :] = False
    return scores.masked_fill(is_cut.scatter(1, order, is_cut), -math.inf)
