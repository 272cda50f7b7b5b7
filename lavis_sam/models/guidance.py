"""The switches of the guidance: which reading of the paper a model follows.

The paper's text and the authors' code differ; ARCHITECTURE.md tells how, and the defaults are the code's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from lavis_sam.config.names import unknown_name
from lavis_sam.errors import SamConfigurationError

_BUILT_IN = ("w_former", "linear")
CHOICES: dict[str, tuple[str, ...]] = {
    "context": ("all", "others", "self"),
    "normalise": ("images", "patches"),
    "weighting": ("adaptive", "average"),
    "extractor": (*_BUILT_IN, "none"),
    "positions": ("all", "queries"),
}


@dataclass(frozen=True)
class Guidance:
    """How the other images guide the extraction of each image's tokens. Defaults are the released code's.

    Attributes:
        context: `all` merges every image of the sample, the current one included, into one Î; `others` leaves the
            current image out, one Î_i per image (the paper's text); `self` takes Î_i = I_i, the control that has the
            same W-former but no other image (and so no Linear_a).
        normalise: the softmax of the adaptive weights runs over the `images` at each patch, or over the `patches` of
            each image (literal and not rescaled: Î shrinks, about 45-fold on random features at P = 257).
        weighting: `adaptive` learns the weights; `average` is the plain mean over the context images whatever
            `normalise` says (Table 3 row 3).
        extractor: `w_former`, or another of `EXTRACTORS`: `linear` draws the contextual semantics from the pooled Î
            with one linear layer (Table 3 row 4). `none` is InstructBLIP.
        positions: the additions to both streams cover `all` positions, or only the `queries`.
        layer_l: the layer (1-based) whose input in the W stream receives Linear_h(q_i^l); None means the last, K.
        layer_k: the layer whose output in the W stream becomes c_i, and whose input in the Q stream receives it; None
            means K.
    """

    context: str = "all"
    normalise: str = "images"
    weighting: str = "adaptive"
    extractor: str = "w_former"
    positions: str = "all"
    layer_l: int | None = None
    layer_k: int | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if name == "extractor" and value not in choices:  # PyTorch is imported only for what somebody registered
                from lavis_sam.models.w_former import EXTRACTORS

                choices = (*EXTRACTORS, "none")
            if value not in choices:
                raise SamConfigurationError(f"model.guidance.{name} is {value!r}; choose one of {', '.join(choices)}")
        for name in ("layer_l", "layer_k"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise SamConfigurationError(f"model.guidance.{name} is {value!r}; it counts layers from 1")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object] | None) -> "Guidance":
        """Read the `guidance` node of a model config; null stands for a default.

        Raises:
            SamConfigurationError: an unknown key (the nearest known one is named) or value.
        """
        known = [entry.name for entry in fields(cls)]
        for key in values or {}:
            if key not in known:
                raise SamConfigurationError(unknown_name("key", key, known, "model.guidance"))
        said = {str(key): value for key, value in (values or {}).items() if value is not None}
        return cls(**said)  # type: ignore[arg-type]  # __post_init__ checks every value

    def at_depth(self, layers: int) -> "ResolvedGuidance":
        """Fill in and check the interaction layers for a Q-Former of K = `layers` layers.

        Raises:
            SamConfigurationError: unless 1 <= l <= k <= K.
        """
        layer_l, layer_k = self.layer_l or layers, self.layer_k or layers
        if not 1 <= layer_l <= layer_k <= layers:
            raise SamConfigurationError(
                f"model.guidance: layer_l = {layer_l}, layer_k = {layer_k} with K = {layers} Q-Former layers; "
                "1 <= layer_l <= layer_k <= K must hold"
            )
        return ResolvedGuidance(**{**asdict(self), "layer_l": layer_l, "layer_k": layer_k})

    @property
    def is_active(self) -> bool:
        """Whether anything guides at all."""
        return self.extractor != "none"

    @property
    def has_linear_a(self) -> bool:
        """Whether adaptive weights are learned; a layer that a setting does not use does not exist."""
        return self.is_active and self.weighting == "adaptive" and self.context != "self"

    @property
    def needs_three_images(self) -> bool:
        """Whether Linear_a gets no gradient from pairs: with one other image, its softmax over images is always 1."""
        return self.has_linear_a and self.context == "others" and self.normalise == "images"


@dataclass(frozen=True)
class ResolvedGuidance(Guidance):
    """The switches of a model of a known depth K: 1 <= `layer_l` <= `layer_k` <= K; see `Guidance.at_depth`."""

    layer_l: int = field(kw_only=True)
    layer_k: int = field(kw_only=True)
