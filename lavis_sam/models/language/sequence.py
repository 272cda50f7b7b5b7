"""Step 6, language: visual tokens and text as one sequence for the frozen LLM, and its loss on the target tokens.

A sample's sequence is [all visual tokens][instruction][target][padding]; the LLM sees embeddings, never a placeholder
token. Padding may stand anywhere, as padded images lie among the visual tokens: masks and positions skip it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.models.language.language_model import LanguageModel, as_language_model
from lavis_sam.models.language.packing import read_packed
from lavis_sam.models.language.token_losses import token_losses
from lavis_sam.models.language.tokenizers import TextTokenizer

IGNORED = -100


@dataclass(frozen=True)
class LanguageInputs:
    """What the LLM reads, V = N*Q visual positions before T text positions.

    Attributes:
        inputs_embeds: [B, V+T, D_llm] in the LLM's dtype.
        attention_mask: int64 [B, V+T], 0 at padded images and padded text.
        position_ids: int64 [B, V+T], counting real positions only.
        labels: int64 [B, V+T], the token to predict, -100 everywhere but at target tokens.
    """

    inputs_embeds: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    labels: Tensor


@dataclass
class LanguageLoss:
    """The loss of a batch.

    Attributes:
        token_losses: float32 [target tokens], sample by sample.
        per_sample_loss: [B], mean over each sample's own target tokens.
        target_tokens: int64 [B], target tokens of each sample.
        target_ids: int64 [target tokens].
        states: [target tokens, D_llm], the hidden states that predict the targets.
        language: what made them.
    """

    token_losses: Tensor
    per_sample_loss: Tensor
    target_tokens: Tensor
    target_ids: Tensor
    states: Tensor
    language: LanguageModel

    @cached_property
    def logits(self) -> Tensor:
        """float32 [target tokens, vocabulary], sample by sample; computed, all at once, when first asked for."""
        return self.language.logits(self.states)

    @property
    def loss(self) -> Tensor:
        """Scalar, the mean over all target tokens of the batch."""
        return self.token_losses.mean()


def training_inputs(
    llm_model: Any,
    tokenizer: TextTokenizer,
    visual_tokens: Tensor,
    visual_mask: Tensor,
    text_input: Sequence[str],
    text_output: Sequence[str],
    *,
    max_txt_len: int,
    max_output_txt_len: int,
    append_eos: bool = True,
) -> LanguageInputs:
    """Lay out visual tokens, instructions and targets for teacher forcing.

    Args:
        llm_model: the LLM, a `LanguageModel` or a module of transformers'; only its embedding is used.
        visual_tokens: [B, V, D_llm].
        visual_mask: bool [B, V], False at padded images.
        text_input: B instructions; cut on the left to `max_txt_len` ids.
        text_output: B targets; cut on the right to `max_output_txt_len` ids, which drops the end token.
        max_txt_len: the most ids of an instruction, its start token included.
        max_output_txt_len: the same for a target (whose start token is then dropped).
        append_eos: end targets with the end token.

    Raises:
        SamConfigurationError: the batch sizes differ, or a length leaves no room for a token.
        SamDataError: a sample is longer than the language model reads.
    """
    check_batch(visual_tokens, visual_mask, text_input=len(text_input), text_output=len(text_output))
    for name, value, least in (("max_txt_len", max_txt_len, 1), ("max_output_txt_len", max_output_txt_len, 2)):
        if value < least:
            raise SamConfigurationError(f"model.{name} is {value}; it must be at least {least}.")
    prompts = [tokenizer.encode(text, max_length=max_txt_len, truncation_side="left") for text in text_input]
    targets = [
        tokenizer.encode_target(text, append_eos=append_eos, max_length=max_output_txt_len) for text in text_output
    ]
    text = tokenizer.pad([prompt + target for prompt, target in zip(prompts, targets, strict=True)])

    column = torch.arange(text.input_ids.shape[1])
    prompt_lengths = torch.tensor([len(prompt) for prompt in prompts]).unsqueeze(1)
    is_target = text.attention_mask.bool() & (column >= prompt_lengths)
    labels = F.pad(text.input_ids.masked_fill(~is_target, IGNORED), (visual_mask.shape[1], 0), value=IGNORED)
    inputs_embeds, attention_mask = join(llm_model, visual_tokens, visual_mask, text.input_ids, text.attention_mask)
    return LanguageInputs(
        inputs_embeds, attention_mask, count_positions(attention_mask), labels.to(inputs_embeds.device)
    )


def prompt_ends(inputs: LanguageInputs) -> Tensor:
    """Return the position of each prompt's last token, int64 [B]: the one before its first target."""
    return (inputs.labels != IGNORED).int().argmax(dim=1) - 1


def target_loss(llm_model: Any, inputs: LanguageInputs, *, packing: bool = False) -> LanguageLoss:
    """Run the LLM and score the target tokens; the head is applied at those positions alone.

    Args:
        llm_model: the frozen LLM, in any floating dtype; logits and loss are float32.
        inputs: what `training_inputs` made.
        packing: let samples share rows where that saves padding; see `lavis_sam.models.language.packing`.

    Raises:
        SamConfigurationError: `packing`, and the language model cannot read such rows.
    """
    language = as_language_model(llm_model)
    is_target = inputs.labels[:, 1:] != IGNORED  # position t predicts token t+1
    given = (inputs.inputs_embeds, inputs.attention_mask, inputs.position_ids)
    if packing:
        states = read_packed(language, *given, wanted=F.pad(is_target, (0, 1)))
    else:
        states = language.hidden(*given).states[:, :-1][is_target]
    target_ids = inputs.labels[:, 1:][is_target]
    losses = token_losses(language, states, target_ids)
    # Back to [B, ...] by masked_scatter: unlike index_add it sums in the same order on every run on a GPU.
    sample_sums = torch.zeros(is_target.shape, device=losses.device).masked_scatter(is_target, losses).sum(dim=1)
    target_tokens = is_target.sum(dim=1)
    return LanguageLoss(
        token_losses=losses,
        per_sample_loss=sample_sums / target_tokens,
        target_tokens=target_tokens,
        target_ids=target_ids,
        states=states,
        language=language,
    )


def join(
    llm_model: Any, visual_tokens: Tensor, visual_mask: Tensor, text_ids: Tensor, text_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Put visual tokens before embedded text.

    Args:
        llm_model: its embedding is used, and its dtype and device taken.
        visual_tokens: [B, V, D_llm].
        visual_mask: bool [B, V].
        text_ids: int64 [B, T].
        text_mask: int64 [B, T].

    Returns:
        Embeddings [B, V+T, D_llm], zero at padded images, and the attention mask int64 [B, V+T].

    Raises:
        SamDataError: a sample is longer than the LLM can read.
    """
    check_length(llm_model, visual_mask.sum(dim=1).tolist(), text_mask.sum(dim=1).tolist())
    text = as_language_model(llm_model).embed(text_ids)
    visual = visual_tokens.to(text).masked_fill(~visual_mask.to(text.device).unsqueeze(-1), 0)
    mask = torch.cat((visual_mask.to(text_mask), text_mask), dim=1)
    return torch.cat((visual, text), dim=1), mask.to(text.device)


def check_length(llm_model: Any, visual_counts: Sequence[int], text_counts: Sequence[int]) -> None:
    """Refuse samples that are longer than the LLM's positions, beyond which it writes nonsense.

    Args:
        visual_counts: visual tokens of each sample.
        text_counts: text tokens of each sample.

    Raises:
        SamDataError: naming the first such sample, and both numbers.
    """
    limit = as_language_model(llm_model).max_positions
    for sample, (visual, text) in enumerate(zip(visual_counts, text_counts, strict=True)):
        if visual + text > limit:
            raise SamDataError(
                f"sample {sample} of the batch has {visual} visual tokens (its images) and {text} text tokens; the "
                f"language model reads at most {limit} in all. Give it fewer images or a shorter text."
            )


def count_positions(attention_mask: Tensor) -> Tensor:
    """Number the real positions of each row [B, T] from 0, as if padding were not there (padding itself gets 1)."""
    return (attention_mask.cumsum(dim=1) - 1).masked_fill(attention_mask == 0, 1)


def check_batch(visual_tokens: Tensor, visual_mask: Tensor, **counts: int) -> None:
    """Refuse masks and texts that do not fit the visual tokens [B, V, D_llm].

    Raises:
        SamConfigurationError: naming both numbers.
    """
    if visual_mask.shape != visual_tokens.shape[:2]:
        raise SamConfigurationError(
            f"visual_mask is {tuple(visual_mask.shape)} for visual tokens {tuple(visual_tokens.shape)}; it must be "
            f"[B, V] = {tuple(visual_tokens.shape[:2])}."
        )
    for name, count in counts.items():
        if count != visual_tokens.shape[0]:
            raise SamConfigurationError(
                f"{name} has {count} texts for a batch of {visual_tokens.shape[0]} samples; give one text per sample."
            )
