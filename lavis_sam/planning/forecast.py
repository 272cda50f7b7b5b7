"""What a training step will need, before there are weights or data: parameters, memory and FLOPs.

Nothing is estimated by a formula that could go out of date: the model's own code runs one step, forward and backward,
on PyTorch's meta device, whose tensors have a shape and no storage. What lives at once is counted as it is on a real
device, and matrix products are counted as they are called. Works without LAVIS.
"""

import dataclasses
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.kv_cache import most_cache_bytes
from lavis_sam.models.language.language_model import as_language_model
from lavis_sam.models.language.token_losses import token_losses
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.models.visual_path import VisualPath
from lavis_sam.models.w_former import EXTRACTORS
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.quantised import packed_bytes, packed_layers, read_llm_precision

# Part of the way of the data -> beginnings of parameter names.
PARTS = {
    "vision": ("visual_encoder.", "ln_vision."),
    "adaptive_weights": ("adaptive_adjustment.",),
    "w_former": tuple(f"{entry.module}." for entry in EXTRACTORS.values()),
    "q_former": ("Qformer.", "query_tokens"),
    "projection": ("llm_proj.",),
    "language": ("llm_model.",),
}
_ADAMW_MOMENTS = 2
_FLOAT32_BYTES = 4
# Of a batch over twice this, steps of this many and of twice as many samples are run; from there needs grow evenly.
_LARGEST_BATCH = 128


@dataclass(frozen=True)
class Load:
    """What a step is planned for.

    Attributes:
        batch: Samples in a batch of one process.
        images: Images of each sample, N.
        text_tokens: Tokens of each instruction, for both tokenizers.
        target_tokens: Tokens of each answer.
        gpus: Processes.
        accumulation: Batches that one optimizer step sums up.
        eval_batch: Samples in a batch when generating.
    """

    batch: int = 1
    images: int = 2
    text_tokens: int = 32
    target_tokens: int = 32
    gpus: int = 1
    accumulation: int = 1
    eval_batch: int = 1

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise SamConfigurationError(f"plan: {field.name} is {getattr(self, field.name)}, wanted at least 1")


@dataclass(frozen=True)
class Plan:
    """The answer; memory in bytes for each GPU.

    Attributes:
        load: What it is planned for.
        precision: Of the frozen ViT and language model.
        parameters: Part -> number of parameters.
        total_parameters: Their sum.
        trainable_parameters: How many of them are trained.
        memory: `weights` (part -> bytes), `gradients`, `optimizer`, `activations` (what a step needs beyond these, at
            its peak), `training` (the sum), `kv_cache` (of generation), `generation` (with the weights).
        flops: `forward` and `backward` of one batch, `step` of an optimizer step over all GPUs and accumulated batches;
            a multiplication and an addition are two.
    """

    load: Load
    precision: str
    parameters: dict[str, int]
    total_parameters: int
    trainable_parameters: int
    memory: dict[str, Any]
    flops: dict[str, int]


def make_plan(model_cfg: Mapping[str, Any], load: Load, decoding: Mapping[str, Any] | None = None) -> Plan:
    """Plan a run of a model config.

    Args:
        model_cfg: The `model` node, as plain containers.
        load: Batch and lengths.
        decoding: Arguments of `generate`, for the KV cache.

    Raises:
        SamConfigurationError: An impossible setting.
    """
    model = planned_model(model_cfg)
    packed = _packed(model, read_llm_precision(model_cfg))
    parameters, weights = _count_weights(model, packed)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    activations, forward, backward = _step_needs(model, load)
    # A packed matrix is unpacked for the time of its product, one after the other.
    activations += max((model.get_parameter(name).nbytes for name in packed), default=0)
    # Under DDP gradients exist twice: in the parameters and in what is sent.
    gradients = trainable * _FLOAT32_BYTES * (2 if load.gpus > 1 else 1)
    optimizer = trainable * _FLOAT32_BYTES * _ADAMW_MOMENTS
    cache = _kv_cache(model, load, Decoding(**dict(decoding or {})))
    total = sum(weights.values())
    return Plan(
        load=load,
        precision=str(model_cfg.get("precision", "fp32")),
        parameters=parameters,
        total_parameters=sum(parameters.values()),
        trainable_parameters=trainable,
        memory={
            "weights": weights,
            "gradients": gradients,
            "optimizer": optimizer,
            "activations": activations,
            "training": total + gradients + optimizer + activations,
            "kv_cache": cache,
            "generation": total + cache,
        },
        flops={
            "forward": forward,
            "backward": backward,
            "step": (forward + backward) * load.accumulation * load.gpus,
        },
    )


def plan_generation(
    model_cfg: Mapping[str, Any], load: Load, decoding: Mapping[str, Any] | None = None
) -> tuple[int, int]:
    """Return the bytes of the weights, and of generation with them, as `make_plan` does; no step is run for it."""
    model = planned_model(model_cfg)
    weights = sum(_count_weights(model, _packed(model, read_llm_precision(model_cfg)))[1].values())
    return weights, weights + _kv_cache(model, load, Decoding(**dict(decoding or {})))


def _packed(model: SemanticAlignment, llm_precision: str) -> dict[str, int]:
    """Return the names of the parameters that are packed when the model is built, and their bytes then."""
    layers = packed_layers(model.llm_model) if llm_precision else {}
    return {
        f"llm_model.{name}.weight": packed_bytes(layer, llm_precision)
        for name, layer in layers.items()
        if ".lora_" not in name
    }


def planned_model(model_cfg: Mapping[str, Any]) -> SemanticAlignment:
    """Return the model of a config on the meta device, as it trains; it takes texts of any length."""
    longest = ModelSizes.from_mapping(model_cfg.get("sizes")).q_former.max_positions
    return build_model({**model_cfg, "max_txt_len": longest}, device="meta").train()


def step_loss(model: SemanticAlignment, load: Load) -> Tensor:
    """Return the loss of one batch of images without content, on the model's device."""
    size = model.visual_encoder.image_size
    images = torch.zeros(()).expand(load.batch, 3, load.images, size, size)
    # "a" is one token; the tokenizer adds two of its own.
    instructions = [" ".join(["a"] * max(1, load.text_tokens - 2))] * load.batch
    return _language_loss(model, model.encode({"image": images}, instructions), instructions, load)


def _count_weights(model: SemanticAlignment, packed: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Return part -> number of parameters, and part -> their bytes; those of packed parameters are given."""
    parameters, weights = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    for name, parameter in model.named_parameters():
        part = next((part for part, names in PARTS.items() if name.startswith(names)), "injected")
        part = "injected" if name in model.injected else part
        parameters[part] = parameters.get(part, 0) + parameter.numel()
        weights[part] = weights.get(part, 0) + packed.get(name, parameter.numel() * parameter.element_size())
    return parameters, weights


def _step_needs(model: SemanticAlignment, load: Load) -> tuple[int, int, int]:
    """Return what `_run_step` does, of any batch in about the same time.

    Texts, and the chunks in which losses are computed, are as many as samples, so a step's time grows with them.
    """
    if load.batch <= 2 * _LARGEST_BATCH:
        return _run_step(model, load)
    near, far = (_run_step(model, replace(load, batch=times * _LARGEST_BATCH)) for times in (1, 2))
    further = load.batch - 2 * _LARGEST_BATCH
    activations, forward, backward = (b + (b - a) * further // _LARGEST_BATCH for a, b in zip(near, far, strict=True))
    return activations, forward, backward


def _run_step(model: SemanticAlignment, load: Load) -> tuple[int, int, int]:
    """Return peak bytes beyond weights and gradients, forward FLOPs and backward FLOPs of one batch."""
    # Twice, as the counter of products keeps tensors alive that checkpointing lets go of.
    with counted_flops() as flops:
        value = step_loss(model, load)
        forward = flops()
        value.backward()
    backward = flops() - forward
    del value
    model.zero_grad(set_to_none=True)
    with LiveBytes("meta") as live, _Attention().counted():
        step_loss(model, load).backward()
    # The gradients were made within the step and are counted by themselves.
    gradients = sum(p.grad.numel() * p.grad.element_size() for p in model.parameters() if p.grad is not None)
    return max(live.peak - gradients, live.forward_peak), forward, backward


def _language_loss(model: SemanticAlignment, visual: VisualPath, instructions: list[str], load: Load) -> Tensor:
    """Do step 6 without a tokenizer: sequences as `training_inputs` lays them out, the head at targets alone."""
    text, device = load.text_tokens + load.target_tokens, visual.tokens.device
    ends = torch.full((load.batch,), visual.tokens.shape[1] + load.text_tokens - 1, device=device)
    language = as_language_model(model.language(visual, instructions, ends))
    words = language.embed(torch.zeros(load.batch, text, dtype=torch.long, device=device))
    embeds = torch.cat((visual.tokens.to(words), words), dim=1)
    length = embeds.shape[1]
    mask = torch.ones(load.batch, 1, length, length, dtype=torch.bool, device=device)
    positions = torch.arange(length, device=device).unsqueeze(0)
    hidden = language.hidden(embeds, mask, positions).states
    states = hidden[:, -load.target_tokens :].flatten(0, 1)
    return token_losses(language, states, torch.zeros(len(states), dtype=torch.long, device=device)).mean()


def _kv_cache(model: SemanticAlignment, load: Load, decoding: Decoding) -> int:
    prompt = load.images * model.query_tokens.shape[1] + load.text_tokens
    return load.eval_batch * most_cache_bytes(model.llm_model, prompt, decoding)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations allocate on a kind of device while it is on.

    Attributes:
        live: What lives now.
        peak: The most that lived at once.
        forward_peak: The same, while no operation ran in a backward pass.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.live = self.peak = self.forward_peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if not isinstance(tensor, Tensor) or tensor.device.type != self.device:
                continue
            storage = tensor.untyped_storage()
            if id(storage) in given or storage in self._known:
                continue  # a view, or an operation in place
            self._known.add(storage)
            self._take(storage.nbytes())
            weakref.finalize(storage, self._give_back, storage.nbytes())
        return output

    def _take(self, size: int) -> None:
        self.live += size
        self.peak = max(self.peak, self.live)
        if torch._C._current_graph_task_id() == -1:
            self.forward_peak = max(self.forward_peak, self.live)

    def _give_back(self, size: int) -> None:
        self.live -= size


@contextmanager
def counted_flops() -> Iterator[Callable[[], int]]:
    """Count the matrix products of what runs in the block on the meta device; gives their FLOPs so far when called."""
    flops, attention = FlopCounterMode(display=False), _Attention()
    with attention.counted(), flops:
        yield lambda: flops.get_total_flops() + attention.flops


class _Attention:
    """Attention on the meta device as the fused kernels do it: no [length, length] matrix is ever stored."""

    def __init__(self) -> None:
        self.flops = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Let attention run through this object, which counts its products."""
        counter = self

        class Fused(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
                # Laid out as the kernels do, so that joining the heads copies nothing.
                shape = (query.shape[0], query.shape[2], query.shape[1], value.shape[-1])
                output = query.new_empty(shape).transpose(1, 2)
                ctx.save_for_backward(query, key, value, output, query.new_empty(query.shape[:-1], dtype=torch.float32))
                counter.flops += _products(query, key, value)
                return output

            @staticmethod
            def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
                query, key, value, *_ = ctx.saved_tensors
                counter.flops += 2 * _products(query, key, value)
                return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)

        def attend(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return Fused.apply(query, key, value)

        original = F.scaled_dot_product_attention
        F.scaled_dot_product_attention = attend
        try:
            yield
        finally:
            F.scaled_dot_product_attention = original


def _products(query: Tensor, key: Tensor, value: Tensor) -> int:
    """Return FLOPs of the two products of one attention."""
    return 2 * query.shape[:-1].numel() * key.shape[-2] * (key.shape[-1] + value.shape[-1])
