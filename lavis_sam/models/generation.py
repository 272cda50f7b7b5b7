"""Step 6, language: text from visual tokens and a prompt, decoded as the released code decodes.

The search is transformers' own. The released code ran it on version 4.33, where a search that starts from embeddings
counted an invisible `<s>` (1) in the length and in the repetition penalty's history. Today's versions do that only
when told to; three settings bring it back (`_settings`), and the sequences are then the released ones, token by token.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LlamaForCausalLM,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
)

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.language import check_batch, join
from lavis_sam.models.tokenizers import LlamaSentencePieceTokenizer

NUCLEUS_TOP_K = 50
"""transformers' default for sampling, which the released code left in place beside `top_p`."""


@dataclass(frozen=True)
class Decoding:
    """How to decode; the defaults are the released ones.

    Attributes:
        use_nucleus_sampling: sample (from torch's global generator) instead of taking the best token; with several
            beams the beams are sampled.
        num_beams: beams; 1 is greedy.
        max_length: the longest sequence, an invisible start token included: 256 is at most 255 new tokens.
        min_length: the shortest one before the end token is allowed, counted alike.
        top_p: probability mass to sample from.
        repetition_penalty: above 1 makes tokens of the text so far less likely; the prompt does not count.
        length_penalty: exponent of the length that divides a beam's score; above 0 favours longer texts.
        num_captions: texts per sample.
        temperature: divides the logits before sampling.

    Raises:
        SamConfigurationError: a value is impossible, alone or together with another.
    """

    use_nucleus_sampling: bool = False
    num_beams: int = 5
    max_length: int = 256
    min_length: int = 1
    top_p: float = 0.9
    repetition_penalty: float = 1.5
    length_penalty: float = 1.0
    num_captions: int = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is bool:
                self._require(field.name, isinstance(value, bool), "true or false")
            elif field.type is int:
                self._require(field.name, isinstance(value, int) and not isinstance(value, bool), "a whole number")
            else:
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                self._require(field.name, is_number and math.isfinite(value), "a finite number")
        self._require("num_beams", self.num_beams >= 1, "at least 1")
        self._require("max_length", self.max_length >= 2, "at least 2, which is one new token")
        self._require("min_length", 0 <= self.min_length <= self.max_length, f"0 to max_length ({self.max_length})")
        self._require("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        self._require("repetition_penalty", self.repetition_penalty > 0, "above 0 (1 is none)")
        self._require("temperature", self.temperature > 0, "above 0")
        self._require("num_captions", self.num_captions >= 1, "at least 1")
        if self.num_beams > 1 or not self.use_nucleus_sampling:
            self._require(
                "num_captions",
                self.num_captions <= self.num_beams,
                f"at most num_beams ({self.num_beams}), unless use_nucleus_sampling with num_beams 1",
            )

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise SamConfigurationError(
                f"{name} of generate is {getattr(self, name)!r}; wanted: {wanted}. Change it in the call, or under "
                "`run` in the config."
            )


@dataclass
class Generation:
    """Generated texts, sample by sample, B * num_captions of them.

    Attributes:
        texts: the texts, stripped.
        sequences: int64 [B * num_captions, T], each a start token 1, its tokens and the end token 2, then 2 as padding.
        scores: float32 [B * num_captions], when asked for: the sum of a sequence's log-probabilities divided by its
            length (start token included, end token not) to the power of the length penalty. Beam search takes the
            log-probabilities before normalisation of penalised scores, as it ranks by them; without beams they are
            those of the distribution that was chosen from.
    """

    texts: list[str]
    sequences: Tensor
    scores: Tensor | None = None


@torch.no_grad()
def generate(
    llm_model: LlamaForCausalLM,
    tokenizer: LlamaSentencePieceTokenizer,
    visual_tokens: Tensor,
    visual_mask: Tensor,
    prompts: Sequence[str],
    decoding: Decoding,
    output_scores: bool = False,
) -> Generation:
    """Generates text from visual tokens and prompts.

    Without sampling, a sample's text does not depend on the other samples of the batch.

    Args:
        llm_model: the LLM.
        tokenizer: its tokenizer.
        visual_tokens: [B, V, D_llm].
        visual_mask: bool [B, V], False at padded images.
        prompts: B prompts; not truncated.
        decoding: how to decode.
        output_scores: whether to return scores; they keep every step's scores in memory.

    Raises:
        SamConfigurationError: batch sizes differ.
    """
    check_batch(visual_tokens, visual_mask, prompts=len(prompts))
    text = tokenizer(prompts, padding_side="left")
    inputs_embeds, attention_mask = join(llm_model, visual_tokens, visual_mask, text.input_ids, text.attention_mask)
    with _without_stored_settings(llm_model):
        output = llm_model.generate(
            input_ids=torch.full((len(prompts), 1), tokenizer.sequence_start_id, device=inputs_embeds.device),
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            generation_config=GenerationConfig(**_settings(tokenizer, decoding, output_scores)),
            logits_processor=_penalties(decoding),
        )
    sequences = output.sequences[:, : decoding.max_length]
    scores = _sequence_scores(llm_model, output, tokenizer.eos_token_id, decoding) if output_scores else None
    # The released code turns unknown pieces into the end token, so both read as nothing.
    sequences = sequences.masked_fill(sequences == tokenizer.unk_token_id, tokenizer.eos_token_id)
    texts = [text.strip() for text in tokenizer.batch_decode(sequences[:, 1:])]
    return Generation(texts, sequences, scores)


def _settings(tokenizer: LlamaSentencePieceTokenizer, decoding: Decoding, output_scores: bool) -> dict[str, Any]:
    """Says a Decoding in transformers' words; lengths there count new tokens only."""
    settings: dict[str, Any] = {
        "bos_token_id": tokenizer.sequence_start_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
        "max_new_tokens": decoding.max_length - 1,
        "min_new_tokens": max(0, decoding.min_length - 1),
        "num_return_sequences": decoding.num_captions,
        "do_sample": decoding.use_nucleus_sampling,
        "num_beams": decoding.num_beams,
        "return_dict_in_generate": True,
        "output_scores": output_scores,
    }
    if decoding.use_nucleus_sampling:
        settings |= {"top_p": decoding.top_p, "top_k": NUCLEUS_TOP_K, "temperature": float(decoding.temperature)}
    if decoding.num_beams > 1:
        # 4.33 divided an unfinished beam's score by its full length, newer versions by one more. With room for one
        # more token, and that token forced to be the end, the divisor is the old one; the token is then cut off.
        settings |= {
            "length_penalty": float(decoding.length_penalty),
            "early_stopping": False,
            "max_new_tokens": decoding.max_length,
            "forced_eos_token_id": tokenizer.eos_token_id,
        }
    return settings


def _penalties(decoding: Decoding) -> LogitsProcessorList:
    """The repetition penalty over the whole history.

    Not left to the settings: transformers 5 then skips as many tokens of the history as the prompt has leading padding,
    although a prompt of embeddings is not in that history.
    """
    processors = LogitsProcessorList()
    if decoding.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(float(decoding.repetition_penalty)))
    return processors


@contextmanager
def _without_stored_settings(llm_model: LlamaForCausalLM) -> Iterator[None]:
    """Hides the folder's generation_config.json: its temperature or lengths would mix into ours, with warnings."""
    stored = llm_model.generation_config
    llm_model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        llm_model.generation_config = stored


def _sequence_scores(llm_model: LlamaForCausalLM, output: Any, eos_token_id: int, decoding: Decoding) -> Tensor:
    """Scores of sequences [B * num_captions], as `Generation` defines them."""
    if decoding.num_beams > 1:
        return output.sequences_scores
    new_tokens = output.sequences[:, 1:]
    log_probabilities = llm_model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
    ended_before = (new_tokens == eos_token_id).cumsum(dim=1) - (new_tokens == eos_token_id).long() > 0
    total = log_probabilities.masked_fill(ended_before, 0).sum(dim=1)
    length = 1 + ((new_tokens == eos_token_id).cumsum(dim=1) == 0).sum(dim=1)
    return total / length**decoding.length_penalty
