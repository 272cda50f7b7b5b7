"""The sizes of the model: plain numbers, InstructBLIP-Vicuna-7B's by default."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lavis_sam.config.settings import read_settings, setting


def _size(default: float | None) -> Any:
    return setting(default, "a size of the model", above=0)


@dataclass(frozen=True)
class VisionSizes:
    """Sizes of the ViT; see `EvaVisionTransformer`."""

    image_size: int = _size(224)
    patch_size: int = _size(14)
    width: int = _size(1408)
    depth: int = _size(39)
    heads: int = _size(16)
    mlp_ratio: float = _size(4.3637)


@dataclass(frozen=True)
class QFormerSizes:
    """Sizes of the Q-Former; see `QFormerBert`. `queries` is Q, `vocabulary` counts [DEC]."""

    width: int = _size(768)
    layers: int = _size(12)
    heads: int = _size(12)
    intermediate: int = _size(3072)
    vocabulary: int = _size(30523)
    max_positions: int = _size(512)
    cross_attention_frequency: int = _size(2)
    queries: int = _size(32)


@dataclass(frozen=True)
class LanguageSizes:
    """Sizes of the language model; `width` is D_llm, `vocabulary` the rows of its embedding ([PAD] included).

    `kv_heads` are the key-value heads that groups of heads share; None is one for each head.
    """

    width: int = _size(4096)
    layers: int = _size(32)
    heads: int = _size(32)
    intermediate: int = _size(11008)
    vocabulary: int = _size(32001)
    max_positions: int = _size(2048)
    kv_heads: int | None = _size(None)


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of the whole model; the defaults are InstructBLIP-Vicuna-7B's."""

    vision: VisionSizes = VisionSizes()
    q_former: QFormerSizes = QFormerSizes()
    language: LanguageSizes = LanguageSizes()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> "ModelSizes":
        """Read the `sizes` node of a model config; a section that is null has its defaults.

        Raises:
            SamConfigurationError: Every unknown key, and every size that is not a positive number.
        """
        given = {key: section for key, section in (values or {}).items() if section is not None}
        return read_settings(cls, given, "model.sizes")
