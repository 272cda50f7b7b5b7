"""What the package needs of a language model, and transformers' causal models as it.

A `LanguageModel` reads embeddings and gives hidden states and logits; everything above it (sequences, losses, search)
knows no more. Weights stay in transformers' module, whose parameter names checkpoints hold.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import set_checkpoint_early_stop
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.models.language.tokenizers import LLM_REMEDY
from lavis_sam.models.sizes import LanguageSizes

PAD_ROW_SEED = 0
INITIAL_STD = 0.02  # Llama's
# Settings of architectures whose logits are more than their head's product with the hidden states.
_FURTHER_LOGITS = ("logit_scale", "logits_scaling", "final_logit_softcapping")


class Cache(Protocol):
    """Keys and values of what was read."""

    def reorder_cache(self, beam_idx: Tensor) -> Any:
        """Go on with these rows [R'], in this order; a row may come several times."""
        ...


class Hidden(NamedTuple):
    """What the layers of a language model give.

    Attributes:
        states: [R, T, D_llm].
        cache: keys and values; None where none was asked for.
    """

    states: Tensor
    cache: Any


@runtime_checkable
class LanguageModel(Protocol):
    """A causal language model that reads embeddings."""

    @property
    def max_positions(self) -> int:
        """The longest sequence that it reads."""
        ...

    def embed(self, ids: Tensor) -> Tensor:
        """Embed ids [...] as [..., D_llm], on the model's device and in its type."""
        ...

    def hidden(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        *,
        cache: Cache | None = None,
        use_cache: bool = False,
    ) -> Hidden:
        """Run the layers.

        Args:
            inputs_embeds: [R, T, D_llm], what comes after the cache's T_c positions.
            attention_mask: int64 [R, T_c + T], 0 at padding. A model whose `reads_4d_masks` is true also gets masks
                [R, 1, T, T_c + T], see there.
            position_ids: int64 [R, T].
            cache: what was read before.
            use_cache: whether to return a cache; without one, gradient checkpointing may work.
        """
        ...

    def logits(self, states: Tensor) -> Tensor:
        """Return the logits [..., vocabulary] of hidden states [..., D_llm], float32."""
        ...


class TransformersLanguageModel:
    """A causal model of transformers (Llama, Qwen2, Mistral, …) as a `LanguageModel`; it holds no weights of its own.

    Args:
        model: transformers' module.

    Raises:
        SamConfigurationError: its logits are not its head's product with the hidden states alone.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        for name in _FURTHER_LOGITS:
            if getattr(model.config, name, None) is not None:
                raise SamConfigurationError(
                    f"the language model, a {type(model).__name__}, has {name} in its configuration, which changes its "
                    "logits in a way that is not implemented; choose another one, such as Vicuna, Llama or Qwen2"
                )
        self.model = model
        self._decoder: Any = model.base_model
        self._head: Any = model.get_output_embeddings()
        self._embedding: Any = model.get_input_embeddings()

    @property
    def max_positions(self) -> int:
        """See `LanguageModel`."""
        return self.model.config.max_position_embeddings

    @property
    def reads_4d_masks(self) -> bool:
        """Whether `hidden` also takes masks [R, 1, T, T_c + T] that are added to attention scores.

        Positions must come from `position_ids` alone, and the attention must look at any mask and at no window beside.
        """
        config, has_rotary = self.model.config, getattr(self._decoder, "rotary_emb", None) is not None
        has_window = getattr(config, "sliding_window", None) is not None
        return has_rotary and not has_window and config._attn_implementation in ("eager", "sdpa")

    @property
    def reads_packed_rows(self) -> bool:
        """Whether a row may hold several samples, which such a mask keeps apart."""
        return self.reads_4d_masks

    def embed(self, ids: Tensor) -> Tensor:
        """See `LanguageModel`."""
        return self._embedding(ids.to(execution_device(self._embedding)))

    def hidden(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        *,
        cache: Cache | None = None,
        use_cache: bool = False,
    ) -> Hidden:
        """See `LanguageModel`."""
        given = {"past_key_values": cache} if cache is not None else {}
        if not use_cache:
            attention_mask = without_trailing_padding(attention_mask)
        with checkpointed_layers(self.model, enabled=not use_cache), _without_autocast_on(inputs_embeds.device):
            output = self._decoder(
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                position_ids=position_ids,
                use_cache=use_cache,
                **given,
            )
        # The last layer's device may be another one, where the layers are spread over several.
        states = output.last_hidden_state.to(inputs_embeds.device)
        return Hidden(states, output.past_key_values if use_cache else None)

    def logits(self, states: Tensor) -> Tensor:
        """See `LanguageModel`."""
        return self._head(states).float().to(states.device)


@contextmanager
def _without_autocast_on(device: torch.device) -> Iterator[None]:
    """Keep transformers 4.57 from turning autocast off on the meta device, where PyTorch has none and refuses to."""
    usual: Any = torch.autocast
    if device.type == "meta":
        torch.autocast = lambda *_, **__: nullcontext()  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        torch.autocast = usual  # type: ignore[misc]


def execution_device(module: nn.Module) -> torch.device:
    """Return where a module computes: where its weights are, or where accelerate brings them to for the time of it."""
    place = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    if place is None:
        return next(module.parameters()).device
    return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)


def without_trailing_padding(attention_mask: Tensor) -> Tensor:
    """Return the mask of ones, where padding stands behind all real positions: causal attention never looks there.

    A mask of ones is none to transformers, so that kernels which take no mask (flash attention) can run. What the
    padding itself becomes changes; nobody reads it.

    Args:
        attention_mask: int64 [R, T], 0 at padding; masks of other shapes are returned as they are.
    """
    if attention_mask.ndim != 2 or bool((attention_mask[:, 1:] > attention_mask[:, :-1]).any()):
        return attention_mask
    return torch.ones_like(attention_mask)


def as_language_model(model: Any) -> LanguageModel:
    """Return a `LanguageModel` as it is, transformers' module within one."""
    return model if isinstance(model, LanguageModel) else TransformersLanguageModel(model)


def build_language_model(sizes: LanguageSizes, *, initial_std: float = INITIAL_STD) -> LlamaForCausalLM:
    """Build a Llama of these sizes with transformers' random initialisation and Llama's ids (bos 1, eos 2, pad 0)."""
    config = LlamaConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.width,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads or sizes.heads,
        max_position_embeddings=sizes.max_positions,
        rms_norm_eps=1e-6,
        initializer_range=initial_std,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def empty_language_model(config: PretrainedConfig, dtype: torch.dtype) -> Any:
    """Build a configuration's frozen model on the meta device: weights are loaded without being initialised before.

    Args:
        config: transformers' configuration of a causal model.
        dtype: the type that its weights will have.

    Raises:
        SamConfigurationError: the architecture has computed buffers that nothing here knows how to make.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config).to(dtype)
    # The rotary frequencies are computed, not loaded, so they must not stay on the meta device.
    rotary = getattr(model.base_model, "rotary_emb", None)
    if rotary is not None:
        model.base_model.rotary_emb = type(rotary)(config=config)
    loaded = model.state_dict().keys()
    if left := [name for name, buffer in model.named_buffers() if buffer.is_meta and name not in loaded]:
        raise SamConfigurationError(
            f"the language model is a {config.model_type!r}, whose {left[0]} is neither loaded nor computed here; "
            "choose one with rotary positions, such as Vicuna, Llama or Qwen2"
        )
    return model.requires_grad_(False).eval()


def add_pad_row(llm_model: PreTrainedModel, vocabulary: int, *, seed: int = PAD_ROW_SEED) -> None:
    """Add the row of `[PAD]` to the LLM's embedding and head, the same one in every process.

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
    """Draw the rows of `[PAD]` in the LLM's embedding and head, float32 [D_llm] each, the same in every process."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(width, generator=generator) * std, torch.randn(width, generator=generator) * std


def enable_gradient_checkpointing(llm_model: PreTrainedModel) -> None:
    """Make training recompute decoder layers in the backward pass instead of keeping their activations."""
    name = "activation_checkpointing_enable"  # transformers 5.23's word; 4.57 has the old one only
    enable = getattr(llm_model, name, None) or llm_model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


@contextmanager
def checkpointed_layers(llm_model: PreTrainedModel, *, enabled: bool = True) -> Iterator[None]:
    """Let gradient checkpointing, where it was enabled, work in a language model that stays in eval mode.

    transformers checkpoints a decoder layer only while the layer's own `training` flag is set. The flag is set on the
    layers alone, not on the modules within, so nothing else changes.
    """
    layers: list[nn.Module] = []
    if enabled:
        modules = (module for module in llm_model.modules() if isinstance(module, GradientCheckpointingLayer))
        layers = [layer for layer in modules if layer.gradient_checkpointing]
    flags = [layer.training for layer in layers]
    # Recomputing usually stops once all is there that was asked for. Weights that wait on the CPU or a disk are sent
    # back when a layer ends, so there it has to go on to the end.
    stops_early = not hasattr(llm_model, "hf_device_map")
    try:
        for layer in layers:
            layer.training = True
        with set_checkpoint_early_stop(stops_early):
            yield
    finally:
        for layer, flag in zip(layers, flags, strict=True):
            layer.training = flag
