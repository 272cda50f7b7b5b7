"""Which files a model config needs from outside the package, and where each of them is said to be.

The base comes in one of two layouts, told apart by what `model.pretrained` names: LAVIS's file, which needs EVA's file
and a Vicuna folder beside it, or transformers' InstructBLIP folder, which holds everything.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lavis_sam.models.language.tokenizers import find_bert_vocabulary
from lavis_sam.weights.checkpoint_files import WeightSource
from lavis_sam.weights.instructblip import InstructBlipFolder

PACKAGE = Path(__file__).resolve().parents[1]
DEFAULT_MODEL_TYPE = "vicuna7b"
MODEL_TYPES = (DEFAULT_MODEL_TYPE, "vicuna13b", "tiny")
MODEL_CONFIGS = {
    model_type: str(PACKAGE / "configs" / "models" / f"blip2_vicuna_sam_{model_type}.yaml")
    for model_type in MODEL_TYPES
}
_LLM_NAMES = {"vicuna13b": "Vicuna-13B v1.1 (lmsys/vicuna-13b-v1.1)"}
# What an adapter's folder holds: how its layers work, and the layers (see `lavis_sam.weights.adapters`).
ADAPTER_FILES = ("config.json", "sam_adapter.safetensors")


def locate(path: str) -> str:
    """A path of a model config as a path on disk: `package:` stands for the package's own folder, `~` for the home."""
    inside = path.removeprefix("package:")
    return str(Path(path).expanduser()) if inside == path else str(PACKAGE / inside)


def open_instructblip(cfg: Mapping[str, Any]) -> InstructBlipFolder | None:
    """The one folder that `pretrained` names, if it names a folder.

    Raises:
        SamCheckpointError: it is no InstructBLIP folder of transformers'.
    """
    path = str(cfg.get("pretrained") or "")
    return InstructBlipFolder.read(locate(path)) if path and Path(locate(path)).is_dir() else None


def finetuned_path(cfg: Mapping[str, Any]) -> str:
    """Path of the checkpoint or adapter with SAM's trained layers, empty when the config wants none."""
    wanted = cfg.get("finetuned") if cfg.get("load_finetuned", True) else None
    return locate(str(wanted)) if wanted else ""


def llm_tokenizer_path(cfg: Mapping[str, Any], folder: InstructBlipFolder | None) -> str:
    """The language model's tokenizer: in the InstructBLIP folder, at `llm_tokenizer`, or in the `llm_model` folder."""
    if folder is not None and folder.llm_tokenizer:
        return str(folder.llm_tokenizer)
    return locate(str(cfg.get("llm_tokenizer") or cfg.get("llm_model") or ""))


def q_former_tokenizer_path(cfg: Mapping[str, Any], folder: InstructBlipFolder | None) -> str:
    """The Q-Former's vocabulary: in the InstructBLIP folder, or what `bert_tokenizer` names."""
    if folder is not None and folder.q_former_tokenizer:
        return str(folder.q_former_tokenizer)
    return locate(str(cfg["bert_tokenizer"]))


def environment_variable(name: str, cfg: Mapping[str, Any]) -> str:
    """The variable that sets a path for this model type: LAVIS_SAM_VICUNA, or LAVIS_SAM_VICUNA_13B."""
    return f"LAVIS_SAM_{name}" + ("_13B" if cfg.get("model_type") == "vicuna13b" else "")


def weight_sources(cfg: Mapping[str, Any]) -> list[WeightSource]:
    """Every file and folder that a model config needs from outside the package."""
    sources = []
    if cfg.get("pretrained"):
        folder = open_instructblip(cfg)
        sources = [_base(cfg), _eva(cfg), _llm(cfg)] if folder is None else [_folder(cfg)]
        if folder is not None and not folder.llm_tokenizer:
            sources.append(_llm_tokenizer(cfg))
        if find_bert_vocabulary(q_former_tokenizer_path(cfg, folder)) is None:
            bert = environment_variable("BERT", {})  # the same for every model type
            sources.append(
                WeightSource(cfg["bert_tokenizer"], "model.bert_tokenizer", bert, "bert-base-uncased's vocab.txt")
            )
    if finetuned_path(cfg):
        sources.append(_trained(cfg))
    return sources


def base_hint(cfg: Mapping[str, Any]) -> str:
    """A sentence on the easiest way to the base of this model type; empty where it needs none."""
    if not cfg.get("pretrained"):
        return ""
    size = "13b" if cfg.get("model_type") == "vicuna13b" else "7b"
    return (
        f"The base is also to be had in one folder, with both tokenizers: Salesforce/instructblip-vicuna-{size} in "
        "transformers' layout, as model.pretrained."
    )


def _trained(cfg: Mapping[str, Any]) -> WeightSource:
    path = finetuned_path(cfg)
    return WeightSource(
        path,
        "model.finetuned",
        environment_variable("CHECKPOINT", cfg),
        "SAM's trained layers: the authors' file, a checkpoint of yours or an adapter's folder",
        contents=ADAPTER_FILES if Path(path).is_dir() else (),
    )


def _base(cfg: Mapping[str, Any]) -> WeightSource:
    return WeightSource(
        cfg["pretrained"],
        "model.pretrained",
        environment_variable("INSTRUCTBLIP", cfg),
        "InstructBLIP, LAVIS's trimmed .pth (or transformers' folder, which holds all of the base)",
    )


def _folder(cfg: Mapping[str, Any]) -> WeightSource:
    return WeightSource(
        locate(cfg["pretrained"]),
        "model.pretrained",
        environment_variable("INSTRUCTBLIP", cfg),
        "InstructBLIP, transformers' folder",
        contents=("config.json", "*.safetensors"),
    )


def _eva(cfg: Mapping[str, Any]) -> WeightSource:
    variable = environment_variable("EVA_VIT", {})  # the same for every model type
    return WeightSource(
        cfg.get("vit_checkpoint"), "model.vit_checkpoint", variable, "EVA ViT-g, BLIP-2's eva_vit_g.pth"
    )


def _llm(cfg: Mapping[str, Any]) -> WeightSource:
    name = _LLM_NAMES.get(str(cfg.get("model_type")), "Vicuna-7B v1.1 (lmsys/vicuna-7b-v1.1)")
    return WeightSource(
        cfg.get("llm_model"),
        "model.llm_model",
        environment_variable("VICUNA", cfg),
        f"{name}, a transformers folder",
        contents=("config.json", "tokenizer.model", "*.safetensors|*.bin"),
    )


def _llm_tokenizer(cfg: Mapping[str, Any]) -> WeightSource:
    return WeightSource(
        cfg.get("llm_tokenizer") or cfg.get("llm_model"),
        "model.llm_tokenizer",
        environment_variable("VICUNA", cfg),
        "Vicuna's tokenizer, which the InstructBLIP folder lacks: a folder",
        contents=("tokenizer.model",),
    )
