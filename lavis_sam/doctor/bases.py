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
from lavis_sam.weights.checkpoint_files import read_checkpoint
from lavis_sam.weights.fingerprints import compare_fingerprints, fingerprint_weights
from lavis_sam.weights.instructblip import in_our_names
from lavis_sam.weights.locations import open_instructblip
from lavis_sam.weights.packaged import locate
from lavis_sam.weights.streaming import StreamedTensors, TensorInFile, old_parts, open_folder

AREA = "weights"


def check_base(config: DictConfig, adapter: Path) -> Iterator[Finding]:
    """Compare the base that a config names with the fingerprint in an adapter's folder.

    Nothing is found where the base comes from no files, or from files of which other checks say that they are damaged.
    """
    if not config.get("pretrained"):
        return
    try:
        wanted = read_adapter_config(adapter)
        pieces = int(config.sizes.language.vocabulary) - 1
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
    """The base's weights by our names, as they lie in their files."""
    folder = open_instructblip(config)
    if folder is not None:
        return in_our_names(folder.entries)
    eva = read_checkpoint(locate(config.vit_checkpoint))
    return {
        **{f"visual_encoder.{name}": tensor for name, tensor in eva.items()},
        **read_checkpoint(locate(config.pretrained)),
        **{f"llm_model.{name}": tensor for name, tensor in _llm_weights(Path(locate(config.llm_model))).items()},
    }


def _llm_weights(folder: Path) -> Mapping[str, TensorInFile | Tensor]:
    if any(folder.glob("*.safetensors")):
        return open_folder(folder)
    return {name: tensor for part in old_parts(folder) for name, tensor in read_checkpoint(part).items()}
