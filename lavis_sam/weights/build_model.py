"""The one place where a model is put together: from the `model` node of a config to a model with its weights.

Three kinds of base exist. With `pretrained` in the config, the frozen parts come from files and nothing is ever
initialised for them: from LAVIS's file, EVA's and a Vicuna folder, or, where `pretrained` is a folder, all from
transformers' InstructBLIP, as the embedded model's own is. Without it, they are random but fixed by `base_seed`.

Each of them takes another language model from a folder of transformers' (see `chosen_language_model`); the projection
to it starts anew, by `base_seed`.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, overload

import torch
from torch import nn
from transformers import PreTrainedModel

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.language.language_model import (
    build_language_model,
    empty_language_model,
    enable_gradient_checkpointing,
)
from lavis_sam.models.language.packing import REMEDY, require_packing
from lavis_sam.models.language.tokenizers import TextTokenizer
from lavis_sam.models.layer_norm import Float32LayerNorm
from lavis_sam.models.objectives import read_objectives
from lavis_sam.models.q_former import QFormer, QFormerBert
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import LanguageSizes, ModelSizes, QFormerSizes, VisionSizes
from lavis_sam.models.trainable import FROM_NOTHING, select_trainable
from lavis_sam.models.vision import EvaVisionTransformer
from lavis_sam.models.w_former import sam_modules
from lavis_sam.weights import pretrained
from lavis_sam.weights.checkpoints import require_complete
from lavis_sam.weights.device_map import check_names, place_language_model, read_device_map
from lavis_sam.weights.embedded import embedded_layers, guidance_of, with_base_of_layers
from lavis_sam.weights.injection import inject, wanted_injections
from lavis_sam.weights.instructblip import InstructBlipFolder, load_base
from lavis_sam.weights.language_models import language_sizes, load_llm, read_language_config
from lavis_sam.weights.locations import (
    base_hint,
    chosen_language_model,
    finetuned_path,
    llm_tokenizer_path,
    open_instructblip,
    q_former_tokenizer_path,
    require_files,
    weight_sources,
)
from lavis_sam.weights.packaged import TINY_TOKENIZERS, locate, locate_folder
from lavis_sam.weights.quantised import pack_language_model, read_llm_precision
from lavis_sam.weights.tokenizers import load_q_former_tokenizer, load_tokenizer
from lavis_sam.weights.trained import load_trained
from lavis_sam.weights.vicuna import refuse_other_version

_LOG = logging.getLogger(__name__)
Model = TypeVar("Model", bound=SemanticAlignment)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
INITIAL_STD = 0.02  # BERT's, EVA's and Llama's, for what a random base draws
# With small weights a random LLM is insensitive to visual tokens: wider ones let these move its logits, so that the
# trainable parts have something to learn (42 steps bring the loss from 8.3 to 2.9 instead of from 7.3 to 6.7).
RANDOM_LLM_STD = 0.1


def build_vision(sizes: VisionSizes, *, gradient_checkpointing: bool = False) -> EvaVisionTransformer:
    """Return the ViT as PyTorch initialises it; CLS and position embeddings are zero."""
    return EvaVisionTransformer(
        image_size=sizes.image_size,
        patch_size=sizes.patch_size,
        width=sizes.width,
        depth=sizes.depth,
        heads=sizes.heads,
        mlp_ratio=sizes.mlp_ratio,
        gradient_checkpointing=gradient_checkpointing,
    )


def build_q_former(sizes: QFormerSizes, *, vision_width: int) -> QFormer:
    """Return the Q-Former."""
    return QFormer(
        QFormerBert(
            width=sizes.width,
            layers=sizes.layers,
            heads=sizes.heads,
            intermediate=sizes.intermediate,
            vocabulary=sizes.vocabulary,
            max_positions=sizes.max_positions,
            vision_width=vision_width,
            cross_attention_frequency=sizes.cross_attention_frequency,
            num_queries=sizes.queries,
        )
    )


def build_visual_modules(sizes: ModelSizes, *, gradient_checkpointing: bool = False) -> dict[str, Any]:
    """Return the modules before the language model, as keyword arguments of `SemanticAlignment`, in float32."""
    width = sizes.q_former.width
    return {
        "visual_encoder": build_vision(sizes.vision, gradient_checkpointing=gradient_checkpointing),
        "ln_vision": Float32LayerNorm(sizes.vision.width),
        "q_former": build_q_former(sizes.q_former, vision_width=sizes.vision.width),
        "query_tokens": nn.Parameter(torch.empty(1, sizes.q_former.queries, width).normal_(std=INITIAL_STD)),
        "llm_proj": nn.Linear(width, sizes.language.width),
    }


@overload
def build_model(cfg: Mapping[str, Any], *, model_class: type[Model], device: str | torch.device = "cpu") -> Model: ...
@overload
def build_model(cfg: Mapping[str, Any], *, device: str | torch.device = "cpu") -> SemanticAlignment: ...
def build_model(
    cfg: Mapping[str, Any],
    *,
    model_class: type[SemanticAlignment] = SemanticAlignment,
    device: str | torch.device = "cpu",
) -> SemanticAlignment:
    """Build the model that a config describes, with its weights.

    In this order: base, injected modules, what is trained, trained layers; each finds what stands before it.

    Args:
        cfg: The `model` node of a config (see configs/models/*.yaml, which explain every key).
        model_class: `SemanticAlignment`, or a class derived from it.
        device: Where to put it. On "meta" it has shapes and no storage: no weights are read, and its tokenizers are
            the tiny model's.

    Raises:
        SamConfigurationError: An impossible setting.
        SamCheckpointError: Files are missing (all are listed), damaged, do not fit, or leave a parameter without value.
    """
    device = torch.device(device)
    is_meta = device.type == "meta"
    trained = finetuned_path(cfg)
    cfg = with_base_of_layers(cfg, trained)
    guidance = guidance_of(cfg)
    guidance.at_depth(ModelSizes.from_mapping(cfg.get("sizes")).q_former.layers)
    precision, llm_precision, packing = read_precision(cfg), read_llm_precision(cfg), read_packing(cfg)
    device_map = None if is_meta else read_device_map(cfg)
    if isinstance(device_map, dict):
        check_names(build_model(cfg, device="meta"), device_map, device)
    if not is_meta:
        require_files(weight_sources(cfg), hint=base_hint(cfg))
    folder = open_instructblip(cfg)
    model = model_class(
        **(_meta_parts if is_meta else _parts)(cfg, read_sizes(cfg), precision, folder),
        guidance=guidance,
        max_txt_len=int(cfg.get("max_txt_len", 128)),
        max_output_txt_len=int(cfg.get("max_output_txt_len", 256)),
        prompt=str(cfg.get("prompt", "") or ""),
        objectives=read_objectives(cfg.get("objectives")),
    )
    if packing:
        require_packing(model.llm_model)
    model.packing = packing
    set_vision_precision(model.visual_encoder, precision)
    if cfg.get("gradient_checkpointing", False):
        enable_gradient_checkpointing(model.llm_model)
    if not is_meta:
        _load_base(model, cfg, folder)
    if llm_precision and not is_meta:
        pack_language_model(model, llm_precision, device)
    inject(model, wanted_injections(cfg))
    select_trainable(model, str(cfg.get("trainable", "sam")), further=model.injected)
    if trained and not is_meta:
        load_trained(model, trained)
    elif not is_meta:
        _say_what_is_without_layers(cfg)
    if device_map is not None:
        place_language_model(model, device_map, device)
    return model.to(device)


def _say_what_is_without_layers(cfg: Mapping[str, Any]) -> None:
    """Say why a config that would have the embedded layers is built without them."""
    if cfg.get("finetuned") and cfg.get("load_finetuned", True):
        _LOG.warning(
            "model.%s is not the embedded model's: SAM's layers that were trained for it are left out "
            "(model.load_finetuned=false says so)", embedded_layers(cfg)[1],
        )  # fmt: skip


def build_encoder(cfg: Mapping[str, Any]) -> SemanticAlignment:
    """Build the model of a config with the weights of its base's visual part alone; the language model has none.

    An embedded base is small, and drawn as a whole: it comes whole.

    Raises:
        SamConfigurationError, SamCheckpointError: As for `build_model`, of what is read.
    """
    cfg = with_base_of_layers(cfg, finetuned_path(cfg))
    if not cfg.get("pretrained"):
        return build_model(cfg)
    model, folder = build_model(cfg, device="meta"), open_instructblip(cfg)
    if folder:
        load_base(model, folder, with_language=False)
    else:
        pretrained.load_eva_vit(model.visual_encoder, locate(cfg["vit_checkpoint"]))
        pretrained.load_instructblip(model, locate(cfg["pretrained"]), with_projection=False)
    return model


def read_sizes(cfg: Mapping[str, Any]) -> ModelSizes:
    """Return the sizes of a config; those of a language model of the user's choice stand in its folder.

    Raises:
        SamConfigurationError: A size is impossible, or the config names neither sizes nor a folder.
        SamCheckpointError: The folder's config.json is missing, damaged or of an unknown architecture.
    """
    sizes, chosen = ModelSizes.from_mapping(cfg.get("sizes")), chosen_language_model(cfg)
    if chosen is None:
        return sizes
    if not chosen:
        raise SamConfigurationError(
            "model.sizes.language is null and model.llm_model empty; name the folder of a language model, whose "
            "config.json says its sizes"
        )
    return replace(sizes, language=language_sizes(read_language_config(chosen)))


def _parts(
    cfg: Mapping[str, Any], sizes: ModelSizes, precision: torch.dtype, folder: InstructBlipFolder | None
) -> dict[str, Any]:
    """Build modules and tokenizers; with a pretrained base, visual modules are on the meta device until it is read."""
    chosen = chosen_language_model(cfg)
    tokenizer = load_q_former_tokenizer(q_former_tokenizer_path(cfg, folder), vocabulary=sizes.q_former.vocabulary)
    llm_tokenizer = load_tokenizer(llm_tokenizer_path(cfg, folder), json_first=chosen is not None)
    checkpointing = bool(cfg.get("gradient_checkpointing", False))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(cfg.get("base_seed", 0)))
        with torch.device("meta" if cfg.get("pretrained") else "cpu"):
            visual = build_visual_modules(sizes, gradient_checkpointing=checkpointing)
        if not cfg.get("pretrained"):
            initialise_vision(visual["visual_encoder"])
        elif chosen:  # the base's projection leads to another language model
            visual["llm_proj"] = nn.Linear(sizes.q_former.width, sizes.language.width)
        if folder:
            folder.check_sizes(sizes, with_language=chosen is None)
        if chosen:
            vocabulary = len(llm_tokenizer) if llm_tokenizer.adds_pad_row else None
            llm_model = load_llm(chosen, precision, vocabulary=vocabulary)
        elif folder:
            llm_model = folder.build_language(len(llm_tokenizer), precision)
        elif cfg.get("pretrained"):
            refuse_other_version(locate_folder(cfg["llm_model"]))
            llm_model = load_llm(locate_folder(cfg["llm_model"]), precision, vocabulary=len(llm_tokenizer))
        else:
            # A base that is trained itself learns from small weights, as Llama does; see RANDOM_LLM_STD for the other.
            std = INITIAL_STD if cfg.get("trainable") in FROM_NOTHING else RANDOM_LLM_STD
            llm_model = build_language_model(sizes.language, initial_std=std).to(precision)
    check_language(llm_model, llm_tokenizer, None if chosen else sizes.language)
    return {**visual, "llm_model": llm_model, "tokenizer": tokenizer, "llm_tokenizer": llm_tokenizer}


def _meta_parts(
    cfg: Mapping[str, Any], sizes: ModelSizes, precision: torch.dtype, folder: InstructBlipFolder | None
) -> dict[str, Any]:
    """Return the modules without storage."""
    chosen = chosen_language_model(cfg)
    with torch.device("meta"):
        visual = build_visual_modules(sizes, gradient_checkpointing=bool(cfg.get("gradient_checkpointing", False)))
        plain = None if chosen or folder else build_language_model(sizes.language).to(precision)
    if folder:
        folder.check_sizes(sizes, with_language=chosen is None)
    if chosen:
        llm_model = empty_language_model(read_language_config(chosen), precision)
    elif folder:
        llm_model = folder.build_language(sizes.language.vocabulary, precision)
    else:
        llm_model = plain
    return {
        **visual,
        "llm_model": llm_model,
        "tokenizer": load_q_former_tokenizer(TINY_TOKENIZERS),
        "llm_tokenizer": load_tokenizer(TINY_TOKENIZERS),
    }


def _load_base(model: SemanticAlignment, cfg: Mapping[str, Any], folder: InstructBlipFolder | None) -> None:
    """Give the parts that are still on the meta device the weights of their files."""
    is_whole = chosen_language_model(cfg) is None
    initialised = sam_modules() if is_whole else (*sam_modules(), "llm_proj", "llm_model")
    if folder:
        require_complete(model, [load_base(model, folder, with_language=is_whole)], initialised=initialised)
    elif cfg.get("pretrained"):
        vision = pretrained.load_eva_vit(model.visual_encoder, locate(cfg["vit_checkpoint"]))
        base = pretrained.load_instructblip(model, locate(cfg["pretrained"]), with_projection=is_whole)
        require_complete(model, [vision.under("visual_encoder"), base], initialised=("llm_model", *initialised))


def read_precision(cfg: Mapping[str, Any]) -> torch.dtype:
    """Return the type of the frozen ViT's and language model's matrices.

    Raises:
        SamConfigurationError: An unknown precision.
    """
    name = cfg.get("precision", "fp32")
    if name not in PRECISIONS:
        raise SamConfigurationError(f"model.precision is {name!r}; choose one of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def read_packing(cfg: Mapping[str, Any]) -> bool:
    """Return whether samples share rows of the language model in training.

    Raises:
        SamConfigurationError: No truth value, or VPG-C is asked for beside it.
    """
    packing = cfg.get("packing", False)
    if not isinstance(packing, bool):
        raise SamConfigurationError(f"model.packing is {packing!r}; wanted true or false")
    if packing and "vpg_c" in wanted_injections(cfg):
        raise SamConfigurationError(
            "model.packing is true beside VPG-C (model.trainable or model.inject), which changes a row's states in "
            f"the language model as those of one sample. {REMEDY}"
        )
    return packing


def set_vision_precision(visual_encoder: EvaVisionTransformer, dtype: torch.dtype) -> None:
    """Turn the ViT's matrices to `dtype`; norms, embeddings and the residual stream stay in float32."""
    for module in visual_encoder.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.to(dtype)


def initialise_vision(visual_encoder: EvaVisionTransformer) -> None:
    """Draw the embeddings of a random ViT, which would otherwise be zero and blind to positions."""
    nn.init.normal_(visual_encoder.cls_token, std=INITIAL_STD)
    nn.init.normal_(visual_encoder.pos_embed, std=INITIAL_STD)


def check_language(llm_model: PreTrainedModel, tokenizer: TextTokenizer, sizes: LanguageSizes | None) -> None:
    """Refuse a language model that is not the one the config describes, or not its tokenizer's.

    Args:
        sizes: What the config says; None where the folder itself says it.

    Raises:
        SamConfigurationError: vocabulary, width, depth or positions differ.
    """
    config = llm_model.config
    found = {
        "vocabulary": config.vocab_size,
        "width": config.hidden_size,
        "layers": config.num_hidden_layers,
        "max_positions": config.max_position_embeddings,
    }
    for name, value in found.items() if sizes else ():
        if value != getattr(sizes, name):
            raise SamConfigurationError(
                f"the language model has {name} {value}, the config says model.sizes.language.{name} = "
                f"{getattr(sizes, name)}; give model.llm_model the folder this model_type is made for, or take "
                "model_type custom, which takes any"
            )
    # Other models' tables may be longer than their vocabulary, filled up to a round number.
    if len(tokenizer) > config.vocab_size or (sizes and len(tokenizer) != config.vocab_size):
        raise SamConfigurationError(
            f"the language model's tokenizer has {len(tokenizer)} pieces with [PAD], its embedding {config.vocab_size} "
            "rows; they must come from the same release"
        )
