"""Is the base on this disk the one that an adapter was trained over?

Seven matrices of the base are read, not all of its weights; see `lavis_sam.weights.fingerprints`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor

from lavis_sam.doctor.findings import Finding, Verdict
from lavis_sam.errors import SamError
from lavis_sam.weights.adapters import read_adapter_config
from lavis_sam.weights.build_model import read_sizes
from lavis_sam.weights.checkpoint_files import read_checkpoint
from lavis_sam.weights.fingerprints import compare_fingerprints, fingerprint_weights
from lavis_sam.weights.instructblip import in_our_names
from lavis_sam.weights.locations import chosen_language_model, open_instructblip
from lavis_sam.weights.packaged import locate, locate_folder
from lavis_sam.weights.streaming import StreamedTensors, TensorInFile, old_parts, open_folder
from lavis_sam.weights.tokenizers import load_tokenizer

AREA = "weights"


def check_base(config: DictConfig, adapter: Path) -> Iterator[Finding]:
    """Compare the base that a config names with the fingerprint in an adapter's folder.

    Nothing is found where the base comes from no files, or from files of which other checks say that they are damaged.
    """
    if not config.get("pretrained"):
        return
    try:
        wanted = read_adapter_config(adapter)
        pieces = read_sizes(config).language.vocabulary - 1
        chosen = chosen_language_model(config)
        if chosen and load_tokenizer(chosen, json_first=True).adds_pad_row:
            pieces += 1  # the folder's own rows, none of which is [PAD]
        found = fingerprint_weights(StreamedTensors(_weights(config)), pieces=pieces)
    except SamError:
        return
    other = compare_fingerprints(wanted.base, found)
    if other:
        yield Finding(
            AREA,
            "base of the adapter",
            Verdict.FAILURE,
            f"{adapter} was trained over another base; different are {', '.join(other)}",
            f"Give the {wanted.model_type} weights that it was trained over, or an adapter for these.",
        )
        return
    known = len([part for part in wanted.base if part in found])
    yield Finding(AREA, "base of the adapter", Verdict.OK, f"it was trained over this one ({known} parts compared)")


def _weights(config: DictConfig) -> Mapping[str, TensorInFile | Tensor]:
    """Return the base's weights by our names, as they lie in their files."""
    folder, llm_model = open_instructblip(config), chosen_language_model(config)
    base: dict[str, TensorInFile | Tensor] = {}
    if folder is not None:
        base |= in_our_names(folder.entries)
    else:
        eva = read_checkpoint(locate(config.vit_checkpoint))
        base |= {f"visual_encoder.{name}": tensor for name, tensor in eva.items()}
        base |= read_checkpoint(locate(config.pretrained))
        llm_model = llm_model or locate_folder(config.llm_model)
    if llm_model:
        base = {name: tensor for name, tensor in base.items() if not name.startswith("llm_model.")}
        base |= {f"llm_model.{name}": tensor for name, tensor in _llm_weights(Path(llm_model)).items()}
    return base


def _llm_weights(folder: Path) -> Mapping[str, TensorInFile | Tensor]:
    if any(folder.glob("*.safetensors")):
        return open_folder(folder)
    return {name: tensor for part in old_parts(folder) for name, tensor in read_checkpoint(part).items()}
