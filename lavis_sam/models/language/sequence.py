"""Step 6, language: visual tokens and text as one sequence for the frozen LLM, and its loss on the target tokens.

A sample's sequence is [all visual tokens][instruction][target][padding]; the LLM sees embeddings, never a placeholder
token. Padding may stand anywhere, as padded images lie among the visual tokens: masks and positions skip it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.models.language.tokenizers import LLM_REMEDY, TextTokenizer

IGNORED = -100
PAD_ROW_SEED = 0


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
        logits: float32 [target tokens, vocabulary], sample by sample.
        target_ids: int64 [target tokens].
    """

    token_losses: Tensor
    per_sample_loss: Tensor
    target_tokens: Tensor
    logits: Tensor
    target_ids: Tensor

    @property
    def loss(self) -> Tensor:
        """Scalar, the mean over all target tokens of the batch."""
        return self.token_losses.mean()


def training_inputs(
    llm_model: LlamaForCausalLM,
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
    """Lays out visual tokens, instructions and targets for teacher forcing.

    Args:
        llm_model: the LLM; only its embedding is used.
        tokenizer: the LLM's tokenizer.
        visual_tokens: [B, V, D_llm].
        visual_mask: bool [B, V], False at padded images.
        text_input: B instructions; cut on the left to `max_txt_len` ids.
        text_output: B targets; cut on the right to `max_output_txt_len` ids, which drops the end token.
        max_txt_len: the most ids of an instruction, its leading 2 included.
        max_output_txt_len: the same for a target (whose leading 2 is then dropped).
        append_eos: end targets with 2.

    Raises:
        SamConfigurationError: the batch sizes differ, or a length leaves no room for a token.
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


def target_loss(llm_model: LlamaForCausalLM, inputs: LanguageInputs) -> LanguageLoss:
    """Runs the LLM and scores the target tokens; the head is applied at those positions alone.

    Args:
        llm_model: the frozen LLM, in any floating dtype; logits and loss are float32.
        inputs: what `training_inputs` made.
    """
    with checkpointed_layers(llm_model):
        hidden = llm_model.model(
            inputs_embeds=inputs.inputs_embeds,
            attention_mask=inputs.attention_mask,
            position_ids=inputs.position_ids,
            use_cache=False,
        ).last_hidden_state
    is_target = inputs.labels[:, 1:] != IGNORED  # position t predicts token t+1
    target_ids = inputs.labels[:, 1:][is_target]
    logits = llm_model.lm_head(hidden[:, :-1][is_target]).float()
    token_losses = F.cross_entropy(logits, target_ids, reduction="none")
    # Back to [B, ...] by masked_scatter: unlike index_add it sums in the same order on every run on a GPU.
    sample_sums = torch.zeros(is_target.shape, device=logits.device).masked_scatter(is_target, token_losses).sum(dim=1)
    target_tokens = is_target.sum(dim=1)
    return LanguageLoss(
        token_losses=token_losses,
        per_sample_loss=sample_sums / target_tokens,
        target_tokens=target_tokens,
        logits=logits,
        target_ids=target_ids,
    )


def join(
    llm_model: LlamaForCausalLM, visual_tokens: Tensor, visual_mask: Tensor, text_ids: Tensor, text_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Puts visual tokens before embedded text.

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
    embedding = llm_model.get_input_embeddings()
    visual = visual_tokens.to(embedding.weight).masked_fill(~visual_mask.to(embedding.weight.device).unsqueeze(-1), 0)
    text = embedding(text_ids.to(visual.device))
    mask = torch.cat((visual_mask.to(text_mask), text_mask), dim=1)
    return torch.cat((visual, text), dim=1), mask.to(visual.device)


def check_length(llm_model: LlamaForCausalLM, visual_counts: Sequence[int], text_counts: Sequence[int]) -> None:
    """Refuses samples that are longer than the LLM's positions, beyond which it writes nonsense.

    Args:
        llm_model: the LLM.
        visual_counts: visual tokens of each sample.
        text_counts: text tokens of each sample.

    Raises:
        SamDataError: naming the first such sample, and both numbers.
    """
    limit = llm_model.config.max_position_embeddings
    for sample, (visual, text) in enumerate(zip(visual_counts, text_counts, strict=True)):
        if visual + text > limit:
            raise SamDataError(
                f"sample {sample} of the batch has {visual} visual tokens (its images) and {text} text tokens; the "
                f"language model reads at most {limit} in all. Give it fewer images or a shorter text."
            )


def count_positions(attention_mask: Tensor) -> Tensor:
    """Numbers the real positions of each row [B, T] from 0, as if padding were not there (padding itself gets 1)."""
    return (attention_mask.cumsum(dim=1) - 1).masked_fill(attention_mask == 0, 1)


def check_batch(visual_tokens: Tensor, visual_mask: Tensor, **counts: int) -> None:
    """Refuses masks and texts that do not fit the visual tokens [B, V, D_llm].

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


def empty_llm(config: LlamaConfig, dtype: torch.dtype) -> LlamaForCausalLM:
    """The frozen LLM on the meta device: weights can be loaded into it without ever being initialised.

    Args:
        config: its sizes.
        dtype: the type that its weights will have.
    """
    with torch.device("meta"):
        llm_model = LlamaForCausalLM(config).to(dtype)
    # The rotary frequencies are computed, not loaded, so they must not stay on the meta device.
    llm_model.model.rotary_emb = type(llm_model.model.rotary_emb)(config=config)
    return llm_model.requires_grad_(False).eval()


def add_pad_row(llm_model: LlamaForCausalLM, vocabulary: int, *, seed: int = PAD_ROW_SEED) -> None:
    """Adds the row of `[PAD]` to the LLM's embedding and head, the same one in every process.

    The released code leaves this row to the global random state. It is never embedded with attention on it, but its
    logit takes part in every softmax, so it must be the same in training, evaluation and on all ranks.

    Args:
        llm_model: changed in place; left alone when it has the row already.
        vocabulary: rows wanted.
        seed: seed of the new row.

    Raises:
        SamCheckpointError: the LLM and its tokenizer differ by more than this row.
    """
    table = llm_model.get_input_embeddings().weight
    if table.shape[0] == vocabulary:
        return
    if table.shape[0] != vocabulary - 1:
        raise SamCheckpointError(
            f"The LLM's embedding has {table.shape[0]} rows, its tokenizer needs {vocabulary - 1}, or {vocabulary} "
            f"with [PAD]; they are of different models. {LLM_REMEDY}."
        )
    with torch.random.fork_rng(devices=[table.device] if table.device.type == "cuda" else []):
        llm_model.resize_token_embeddings(vocabulary, mean_resizing=False)
    rows = draw_pad_rows(table.shape[1], std=llm_model.config.initializer_range, seed=seed)
    for module, row in zip((llm_model.get_input_embeddings(), llm_model.get_output_embeddings()), rows, strict=True):
        with torch.no_grad():
            module.weight[-1] = row.to(module.weight)
        module.weight.requires_grad_(table.requires_grad)


def draw_pad_rows(width: int, *, std: float, seed: int = PAD_ROW_SEED) -> tuple[Tensor, Tensor]:
    """The rows of `[PAD]` in the LLM's embedding and head, float32 [D_llm] each, the same ones in every process."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(width, generator=generator) * std, torch.randn(width, generator=generator) * std


def enable_gradient_checkpointing(llm_model: LlamaForCausalLM) -> None:
    """Makes `target_loss` recompute decoder layers in the backward pass instead of keeping their activations."""
    name = "activation_checkpointing_enable"  # transformers 5.23's word; 4.57 has the old one only
    enable = getattr(llm_model, name, None) or llm_model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


@contextmanager
def checkpointed_layers(llm_model: LlamaForCausalLM) -> Iterator[None]:
    """Lets gradient checkpointing, where it was enabled, work in an LLM that stays in eval mode.

    transformers checkpoints a decoder layer only while the layer's own `training` flag is set. The flag is set on the
    layers alone, not on the modules within, so nothing else changes.
    """
    layers = [layer for layer in llm_model.model.layers if getattr(layer, "gradient_checkpointing", False)]
    flags = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.training = True
        yield
    finally:
        for layer, flag in zip(layers, flags, strict=True):
            layer.training = flag
