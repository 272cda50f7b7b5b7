"""Running our model on a stored case: the same weights, images and texts, through the path that training uses."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lavis_sam.errors import SamDataError
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.sequence import LanguageInputs, LanguageLoss, target_loss
from lavis_sam.models.released_search import Generation
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.visual_path import GuidedVisualPath, VisualPath, guided_visual_path
from lavis_sam.parity.cases import Case
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import load_checked, translate_released

GRADIENTS = "out.grad."
# Section of our sizes -> the section of a case's JSON, and our names -> the authors'.
SIZES = {
    "vision": (
        "vit",
        {
            "image_size": "img_size",
            "patch_size": "patch_size",
            "width": "embed_dim",
            "depth": "depth",
            "heads": "num_heads",
            "mlp_ratio": "mlp_ratio",
        },
    ),
    "q_former": (
        "qformer",
        {
            "width": "hidden_size",
            "layers": "num_layers",
            "heads": "num_heads",
            "intermediate": "intermediate_size",
            "max_positions": "max_position_embeddings",
            "cross_attention_frequency": "cross_attention_freq",
            "queries": "num_query_tokens",
        },
    ),
    "language": (
        "llm",
        {
            "width": "hidden_size",
            "layers": "num_layers",
            "heads": "num_heads",
            "intermediate": "intermediate_size",
            "max_positions": "max_position_embeddings",
        },
    ),
}
EMBEDDINGS = {
    "q_former": "Qformer.bert.embeddings.word_embeddings.weight",
    "language": "llm_model.model.embed_tokens.weight",
}


@dataclass(frozen=True)
class Streams:
    """What runs inside steps 3 and 4, in front of the last layer.

    Attributes:
        q: the Q stream at the input of layer K, before anything is added, [B*N, S, D_q].
        w: the W stream there, [B, S, D_q]: one for all images of a sample.
        input_ids: the Q-Former's instruction ids [B, L].
    """

    q: Tensor
    w: Tensor
    input_ids: Tensor


def build_case_model(case: Case) -> SemanticAlignment:
    """Build the model of a case's sizes, with its weights and tokenizers, as the released code configures it.

    Raises:
        SamDataError: a size is missing or no number.
        SamCheckpointError: the weights do not fit the sizes.
    """
    weights = translate_released(case.weights)
    model = build_model(
        {
            "sizes": _read_sizes(case, weights),
            "bert_tokenizer": str(case.tokenizers),
            "llm_tokenizer": str(case.tokenizers),
            "max_txt_len": case.setting("config.max_txt_len", int),
            "max_output_txt_len": case.setting("config.max_output_txt_len", int),
        }
    )
    load_checked(model, weights, provides=("*",), source=f"case_{case.name}_weights.safetensors")
    return model.eval()


def _read_sizes(case: Case, weights: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Return the `sizes` node of a case; the vocabularies, which an added token made longer, from the weights."""
    sizes: dict[str, dict[str, float]] = {}
    for section, (theirs, names) in SIZES.items():
        sizes[section] = {}
        for ours, name in names.items():
            key = f"config.{theirs}.{name}"
            sizes[section][ours] = value = case.setting(key, float if ours == "mlp_ratio" else int)
            if value <= 0:
                raise SamDataError(f"case_{case.name}.json: {key} is {value}, a positive number is wanted.")
    for section, table in EMBEDDINGS.items():
        if table not in weights:
            raise SamDataError(f"case_{case.name}_weights.safetensors: {table} is missing. Copy the complete case.")
        sizes[section]["vocabulary"] = len(weights[table])
    return sizes


def read_samples(case: Case) -> dict[str, Any]:
    """Return the case's batch, as `SemanticAlignment.forward` takes it.

    Raises:
        SamDataError: the images are missing.
    """
    if "in.image" not in case.arrays:
        raise SamDataError(f"case_{case.name}_io.safetensors: in.image is missing. Copy the complete case.")
    return {
        "image": case.arrays["in.image"],
        "text_input": case.texts("text_input"),
        "text_output": case.texts("text_output"),
    }


@torch.no_grad()
def visual_path(model: SemanticAlignment, samples: dict[str, Any]) -> GuidedVisualPath:
    """Do steps 1 to 5 without gradients."""
    return guided_visual_path(model, samples, samples["text_input"])


@torch.no_grad()
def watched_visual_path(model: SemanticAlignment, samples: dict[str, Any]) -> tuple[GuidedVisualPath, Streams]:
    """Run steps 1 to 5 of a guided batch without gradients, and note both streams where they meet.

    That is at the input of the last layer, where Linear_h is given the Q stream. The layer before it has served the Q
    stream first and the W stream last, so what it gave last is the W stream.
    """
    bert = model.Qformer.bert
    before = bert.encoder.layer[-2] if bert.num_layers > 1 else bert.embeddings
    seen: dict[str, Tensor] = {}

    def note_ids(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen["input_ids"] = inputs[1]

    def note_stream(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen["stream"] = output

    def note_interaction(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen["q"], seen["w"] = inputs[0], seen["stream"]

    hooks = [
        bert.embeddings.register_forward_pre_hook(note_ids),
        before.register_forward_hook(note_stream),
        model.get_submodule("w_former.linear_h").register_forward_pre_hook(note_interaction),
    ]
    try:
        visual = visual_path(model, samples)
    finally:
        for hook in hooks:
            hook.remove()
    return visual, Streams(seen["q"], seen["w"], seen["input_ids"])


@torch.no_grad()
def language(
    model: SemanticAlignment, samples: dict[str, Any], visual: VisualPath
) -> tuple[LanguageInputs, LanguageLoss]:
    """Do step 6 in training: return what the language model reads, and the loss of its target tokens."""
    inputs = model.language_inputs(visual, samples["text_input"], samples["text_output"])
    return inputs, target_loss(model.llm_model, inputs)


def loss_and_gradients(
    model: SemanticAlignment, samples: dict[str, Any], stored: dict[str, Tensor]
) -> tuple[Tensor, list[Tensor | None]]:
    """Run a training step.

    Args:
        stored: gradients by the authors' parameter names.

    Returns:
        The loss, and our gradients of these parameters, in their order.

    Raises:
        SamDataError: the model has no such parameter.
    """
    parameters, ours = dict(model.named_parameters()), list(translate_released(stored))
    if unknown := [theirs for theirs, name in zip(stored, ours, strict=True) if name not in parameters]:
        raise SamDataError(f"gradients of {', '.join(unknown)} are stored, but the model has no such parameter")
    chosen = [parameters[name].requires_grad_(True) for name in ours]
    model.zero_grad(set_to_none=True)
    loss = model(samples)["loss"]
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in chosen]


def read_decoding(case: Case, name: str) -> Decoding:
    """Read the generation setting `name` of a case.

    Raises:
        SamConfigurationError: it has a key that generation does not know, or an impossible value.
    """
    return Decoding.from_mapping(case.setting(f"generate.{name}", dict), f"case_{case.name}.json: generate.{name}")


def generated(
    model: SemanticAlignment, prompts: list[str], visual: VisualPath, decoding: Decoding
) -> tuple[Generation, Tensor]:
    """Generate from visual tokens that are there already.

    Returns:
        What was generated, and the position ids [B, V + T] of the first pass through the LLM.
    """
    positions: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        positions.append(keywords["position_ids"])

    hook = model.llm_model.get_submodule("model").register_forward_pre_hook(note, with_kwargs=True)
    try:
        result = model.generate_from(visual, prompts, decoding)
    finally:
        hook.remove()
    return result, positions[0]
