"""Which files a model config needs from outside the package, and where each of them is said to be.

The base comes in one of two layouts, known by what `model.pretrained` names: LAVIS's file, which needs EVA's file
and a Vicuna folder beside it, or transformers' InstructBLIP folder, which holds everything.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lavis_sam.errors import SamCheckpointError
from lavis_sam.run_layout import checkpoint_of
from lavis_sam.weights.adapters import CONFIG_FILE, WEIGHTS_FILE
from lavis_sam.weights.embedded import embedded_layers, is_embedded
from lavis_sam.weights.instructblip import InstructBlipFolder
from lavis_sam.weights.packaged import locate, locate_folder
from lavis_sam.weights.tokenizers import find_bert_vocabulary

_LLM_NAMES = {"vicuna13b": "Vicuna-13B v1.1 (lmsys/vicuna-13b-v1.1)"}
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")


@dataclass(frozen=True)
class WeightSource:
    """A file or folder with weights that the user has to provide.

    Attributes:
        path: What the config says: a path, or None or "" when it says nothing (then the environment variable counts).
        config_key: The key that sets `path`, as the user writes it (`model.vit_checkpoint`).
        environment: The environment variable that sets it where the config does not.
        description: What it is, for a reader who has to go and find it ("EVA ViT-g weights, eva_vit_g.pth").
        contents: For a folder, the names it must hold; alternatives are separated by "|", `*` matches as in a shell.
            Empty for a file.
    """

    path: str | os.PathLike[str] | None
    config_key: str
    environment: str
    description: str
    contents: tuple[str, ...] = ()

    def resolve(self) -> Path | None:
        """Return the path that the config, or else the environment variable, names; None when neither does."""
        found = os.fspath(self.path) if self.path is not None else ""
        found = found.strip() or os.environ.get(self.environment, "").strip()
        if not found:
            return None
        path = Path(os.path.expandvars(found)).expanduser()
        return Path(locate_folder(str(path))) if self.contents else path

    def problem(self) -> str | None:
        """Return what is wrong with it, in words that end before the remedy; None when it can be read."""
        path = self.resolve()
        if path is None:
            return "not set"
        if _ADDRESS.match(os.fspath(path)):
            return f"{os.fspath(self.path or path)} is an address; download the file and give its path"
        if not path.exists():
            return f"{path.absolute()} does not exist"
        if not os.access(path, os.R_OK):
            return f"{path.absolute()} cannot be read (permissions)"
        if not self.contents:
            return f"{path.absolute()} is a folder, a file is wanted" if path.is_dir() else None
        if not path.is_dir():
            return f"{path.absolute()} is a file, a folder is wanted"
        absent = [names for names in self.contents if not any(any(path.glob(name)) for name in names.split("|"))]
        return f"{path.absolute()} has no {', no '.join(n.replace('|', ' or ') for n in absent)}" if absent else None

    def remedy(self) -> str:
        """Return what to do about a problem: get it, and where to put it or how to say where it is."""
        path = self.resolve()
        there = "put it there, or " if path is not None and not path.exists() and not _ADDRESS.match(str(path)) else ""
        return f"{there}set {self.config_key} in the config or {self.environment} in the environment to its path"


def require_files(sources: Iterable[WeightSource], *, hint: str = "") -> list[Path]:
    """Check that every source is there, without touching the network.

    Args:
        sources: What the model needs.
        hint: A further sentence for the message: where such files come from.

    Returns:
        The resolved paths, in the order of `sources`.

    Raises:
        SamCheckpointError: Some are not; one message lists all of them, each with the config key and the environment
            variable that point to it.
    """
    sources = list(sources)
    problems = [(source, problem) for source in sources if (problem := source.problem()) is not None]
    if problems:
        lines = [f"  - {source.description}: {problem}; {source.remedy()}" for source, problem in problems]
        count = "1 file or folder" if len(lines) == 1 else f"{len(lines)} files or folders"
        raise SamCheckpointError(
            "\n".join([f"{count} that this model needs cannot be used:", *lines])
            + f'\nNothing was downloaded. {hint} model_type="tiny" works offline and needs no files.'.replace("  ", " ")
        )
    return [path for source in sources if (path := source.resolve()) is not None]


def open_instructblip(cfg: Mapping[str, Any]) -> InstructBlipFolder | None:
    """Return the one folder that `pretrained` names, if it names a folder.

    Raises:
        SamCheckpointError: it is no InstructBLIP folder of transformers'.
    """
    path = locate_folder(str(cfg.get("pretrained") or ""))
    return InstructBlipFolder.read(path) if cfg.get("pretrained") and Path(path).is_dir() else None


def chosen_language_model(cfg: Mapping[str, Any]) -> str | None:
    """Return the folder of a language model of the user's choice, whose config.json says its sizes.

    Returns:
        None where the config describes the language model: the base's own, by `sizes.language`. The choice is the
        user's where `sizes.language` is null, and where `llm_model` is named although the base is the embedded one.
        Empty if it has to be named and is not.
    """
    named = str(cfg.get("llm_model") or "").strip()
    is_open = "sizes" in cfg and "language" in cfg["sizes"] and cfg["sizes"]["language"] is None
    if named and (is_open or not cfg.get("pretrained") or is_embedded(cfg["pretrained"])):
        return locate_folder(named)
    return "" if is_open else None


def finetuned_path(cfg: Mapping[str, Any]) -> str:
    """Return the path of the checkpoint or adapter with SAM's trained layers, empty when the config wants none.

    Raises:
        SamCheckpointError: The config names a run without a checkpoint, or a folder of runs.
    """
    wanted = cfg.get("finetuned") if cfg.get("load_finetuned", True) else None
    if wanted and is_embedded(wanted):
        wanted, _ = embedded_layers(cfg)
    return str(checkpoint_of(locate(str(wanted)))) if wanted else ""


def llm_tokenizer_path(cfg: Mapping[str, Any], folder: InstructBlipFolder | None) -> str:
    """Find the LLM's tokenizer: in the InstructBLIP folder, at `llm_tokenizer`, or in `llm_model`'s folder."""
    if (chosen := chosen_language_model(cfg)) is not None:
        return chosen
    if folder is not None and folder.llm_tokenizer:
        return str(folder.llm_tokenizer)
    return locate_folder(str(cfg.get("llm_tokenizer") or cfg.get("llm_model") or ""))


def q_former_tokenizer_path(cfg: Mapping[str, Any], folder: InstructBlipFolder | None) -> str:
    """Return the Q-Former's vocabulary: in the InstructBLIP folder, or what `bert_tokenizer` names."""
    if folder is not None and folder.q_former_tokenizer:
        return str(folder.q_former_tokenizer)
    return locate(str(cfg["bert_tokenizer"]))


def environment_variable(name: str, cfg: Mapping[str, Any]) -> str:
    """Return the variable that sets a path for this model type: LAVIS_SAM_VICUNA, or LAVIS_SAM_VICUNA_13B."""
    return f"LAVIS_SAM_{name}" + ("_13B" if cfg.get("model_type") == "vicuna13b" else "")


def weight_sources(cfg: Mapping[str, Any]) -> list[WeightSource]:
    """Return every file and folder that a model config needs from outside the package."""
    sources, chosen = [], chosen_language_model(cfg)
    if chosen is not None:
        sources.append(_chosen(chosen))
    if cfg.get("pretrained"):
        folder = open_instructblip(cfg)
        sources += [_base(cfg), _eva(cfg)] if folder is None else [_folder(cfg)]
        if chosen is None and folder is None:
            sources.append(_llm(cfg))
        elif chosen is None and folder is not None and not folder.llm_tokenizer:
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
    """Return a sentence on the easiest way to the base of this model type; empty where it needs none."""
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
        "SAM's trained layers: the authors' file, a checkpoint of yours, a run's folder or an adapter's",
        contents=(CONFIG_FILE, WEIGHTS_FILE) if Path(path).is_dir() else (),
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
        locate_folder(cfg["pretrained"]),
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
        contents=("config.json", "tokenizer.model|tokenizer.json", "*.safetensors|*.bin"),
    )


def _chosen(path: str) -> WeightSource:
    return WeightSource(
        path,
        "model.llm_model",
        "LAVIS_SAM_LLM",
        "a language model, a transformers folder",
        contents=("config.json", "tokenizer.json|tokenizer.model", "*.safetensors|*.bin"),
    )


def _llm_tokenizer(cfg: Mapping[str, Any]) -> WeightSource:
    return WeightSource(
        cfg.get("llm_tokenizer") or cfg.get("llm_model"),
        "model.llm_tokenizer",
        environment_variable("VICUNA", cfg),
        "Vicuna's tokenizer, which the InstructBLIP folder lacks: a folder",
        contents=("tokenizer.model|tokenizer.json",),
    )
