"""The sizes of the model: plain numbers, InstructBLIP-Vicuna-7B's by default."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError

Section = TypeVar("Section")


@dataclass(frozen=True)
class VisionSizes:
    """Sizes of the ViT; see `EvaVisionTransformer`."""

    image_size: int = 224
    patch_size: int = 14
    width: int = 1408
    depth: int = 39
    heads: int = 16
    mlp_ratio: float = 4.3637


@dataclass(frozen=True)
class QFormerSizes:
    """Sizes of the Q-Former; see `QFormerBert`. `queries` is Q, `vocabulary` counts [DEC]."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    vocabulary: int = 30523
    max_positions: int = 512
    cross_attention_frequency: int = 2
    queries: int = 32


@dataclass(frozen=True)
class LanguageSizes:
    """Sizes of the language model; `width` is D_llm, `vocabulary` the rows of its embedding ([PAD] included).

    `kv_heads` are the key-value heads that groups of heads share; None is one for each head.
    """

    width: int = 4096
    layers: int = 32
    heads: int = 32
    intermediate: int = 11008
    vocabulary: int = 32001
    max_positions: int = 2048
    kv_heads: int | None = None


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of the whole model; the defaults are InstructBLIP-Vicuna-7B's."""

    vision: VisionSizes = VisionSizes()
    q_former: QFormerSizes = QFormerSizes()
    language: LanguageSizes = LanguageSizes()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any] | None) -> "ModelSizes":
        """Read the `sizes` node of a model config.

        Raises:
            SamConfigurationError: an unknown key, or a size that is not a positive number.
        """
        values = values or {}
        for key in values:
            if key not in ("vision", "q_former", "language"):
                raise SamConfigurationError(unknown_name("key", key, ("vision", "q_former", "language"), "model.sizes"))
        return cls(
            vision=_read_section("vision", VisionSizes, values),
            q_former=_read_section("q_former", QFormerSizes, values),
            language=_read_section("language", LanguageSizes, values),
        )


def _read_section(name: str, section: type[Section], values: Mapping[str, Any]) -> Section:
    """Return one section of `sizes` as its dataclass."""
    given = dict(values.get(name) or {})
    known = [field.name for field in fields(section)]  # type: ignore[arg-type]
    for key, value in given.items():
        if key not in known:
            raise SamConfigurationError(unknown_name("key", key, known, f"model.sizes.{name}"))
        if value is None and key == "kv_heads":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise SamConfigurationError(f"model.sizes.{name}.{key} is {value!r}; it must be a positive number")
    return section(**given)
