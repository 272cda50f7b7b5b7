"""Running our model on a stored case: the same weights, images and texts, through the path that training uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from lavis_sam.errors import SamDataError
from lavis_sam.models.language.sequence import LanguageInputs, LanguageLoss, target_loss, training_inputs
from lavis_sam.models.released_search import Decoding, Generation, generate
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import LanguageSizes, ModelSizes, QFormerSizes, VisionSizes
from lavis_sam.models.visual_path import GuidedVisualPath, VisualPath, guided_visual_path
from lavis_sam.parity.cases import Case
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import RELEASED_NAMES, load_checked, translate_released

GRADIENTS = "out.grad."


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
    sizes = _read_sizes(case, weights)
    model = build_model(
        {
            "sizes": asdict(sizes),
            "bert_tokenizer": str(case.tokenizers),
            "llm_tokenizer": str(case.tokenizers),
            "max_txt_len": case.setting("config.max_txt_len", int),
            "max_output_txt_len": case.setting("config.max_output_txt_len", int),
        }
    )
    load_checked(model, weights, provides=("*",), source=f"case_{case.name}_weights.safetensors")
    return model.eval()


def _read_sizes(case: Case, weights: dict[str, Tensor]) -> ModelSizes:
    """Sizes from the case's JSON; the vocabularies, which an added token made longer, from the weights."""

    def size(key: str, kind: type = int) -> Any:
        value = case.setting(key, kind)
        if value <= 0:
            raise SamDataError(f"case_{case.name}.json: {key} is {value}, a positive number is wanted.")
        return value

    return ModelSizes(
        vision=VisionSizes(
            image_size=size("config.vit.img_size"),
            patch_size=size("config.vit.patch_size"),
            width=size("config.vit.embed_dim"),
            depth=size("config.vit.depth"),
            heads=size("config.vit.num_heads"),
            mlp_ratio=size("config.vit.mlp_ratio", float),
        ),
        q_former=QFormerSizes(
            width=size("config.qformer.hidden_size"),
            layers=size("config.qformer.num_layers"),
            heads=size("config.qformer.num_heads"),
            intermediate=size("config.qformer.intermediate_size"),
            vocabulary=_rows(case, weights, "Qformer.bert.embeddings.word_embeddings.weight"),
            max_positions=size("config.qformer.max_position_embeddings"),
            cross_attention_frequency=size("config.qformer.cross_attention_freq"),
            queries=size("config.qformer.num_query_tokens"),
        ),
        language=LanguageSizes(
            width=size("config.llm.hidden_size"),
            layers=size("config.llm.num_layers"),
            heads=size("config.llm.num_heads"),
            intermediate=size("config.llm.intermediate_size"),
            vocabulary=_rows(case, weights, "llm_model.model.embed_tokens.weight"),
            max_positions=size("config.llm.max_position_embeddings"),
        ),
    )


def _rows(case: Case, weights: dict[str, Tensor], name: str) -> int:
    if name not in weights:
        raise SamDataError(f"case_{case.name}_weights.safetensors: {name} is missing. Copy the complete case.")
    return len(weights[name])


def read_samples(case: Case) -> dict[str, Any]:
    """The case's batch, as `SemanticAlignment.forward` takes it.

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
    """Steps 1 to 5 without gradients."""
    return guided_visual_path(model, samples, samples["text_input"])


def watched_visual_path(model: SemanticAlignment, samples: dict[str, Any]) -> tuple[GuidedVisualPath, Streams]:
    """Steps 1 to 5 of a guided batch without gradients, and what ran inside."""
    with _watch(model) as seen:
        visual = visual_path(model, samples)
    return visual, Streams(seen["q"], seen["w"], seen["input_ids"])


@contextmanager
def _watch(model: SemanticAlignment) -> Iterator[dict[str, Tensor]]:
    """Note what passes the modules around the first interaction, which is at the input of the last layer.

    The layer in front of it serves the Q stream, then the W stream; Linear_h comes next, so what it gave last is W.
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
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def language(
    model: SemanticAlignment, samples: dict[str, Any], visual: VisualPath
) -> tuple[LanguageInputs, LanguageLoss]:
    """Step 6 in training: what the language model reads, and the logits and losses of the target tokens."""
    with torch.no_grad():
        inputs = training_inputs(
            model.llm_model,
            model.llm_tokenizer,
            visual.tokens,
            visual.token_mask,
            samples["text_input"],
            samples["text_output"],
            max_txt_len=model.max_txt_len,
            max_output_txt_len=model.max_output_txt_len,
        )
        return inputs, target_loss(model.llm_model, inputs)


def loss_and_gradients(
    model: SemanticAlignment, samples: dict[str, Any], names: list[str]
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Loss of a training step, and the gradients of the parameters that the authors' code calls `names`.

    Raises:
        SamDataError: the model has no such parameter.
    """
    parameters = dict(model.named_parameters())
    ours = {name: _our_name(name) for name in names}
    unknown = [name for name in names if ours[name] not in parameters]
    if unknown:
        raise SamDataError(f"gradients of {', '.join(unknown)} are stored, but the model has no such parameter")
    for name in ours.values():
        parameters[name].requires_grad_(True)
    model.zero_grad(set_to_none=True)
    loss = model(samples)["loss"]
    loss.backward()
    return loss.detach(), {name: parameters[ours[name]].grad for name in names}


def _our_name(name: str) -> str:
    old = next((prefix for prefix in RELEASED_NAMES if name.startswith(prefix)), "")
    return RELEASED_NAMES[old] + name.removeprefix(old) if old else name


def read_decoding(case: Case, name: str) -> Decoding:
    """The generation setting `name` of a case.

    Raises:
        SamDataError: it has a key that generation does not know.
        SamConfigurationError: a value is impossible.
    """
    settings = case.setting(f"generate.{name}", dict)
    known = [field.name for field in fields(Decoding)]
    unknown = [key for key in settings if key not in known]
    if unknown:
        raise SamDataError(
            f"case_{case.name}.json: generate.{name} has unknown keys {', '.join(unknown)}; known: {', '.join(known)}."
        )
    return Decoding(**settings)


def generated(
    model: SemanticAlignment, prompts: list[str], visual: VisualPath, decoding: Decoding
) -> tuple[Generation, Tensor]:
    """Generate from visual tokens that are there already.

    Returns:
        What was generated, and the position ids [B, V + T] (each num_beams times) of the first pass through the LLM.
    """
    positions: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        positions.append(keywords["position_ids"])

    hook = model.llm_model.get_submodule("model").register_forward_pre_hook(note, with_kwargs=True)
    try:
        result = generate(model.llm_model, model.llm_tokenizer, visual.tokens, visual.token_mask, prompts, decoding)
    finally:
        hook.remove()
    return result, positions[0]
