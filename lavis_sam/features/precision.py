"""How features are stored: exactly, in half precision, or as bytes with a scale for each channel."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from lavis_sam.errors import SamDataError

FEATURES, SCALES = "features", "scales"
TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": torch.int8}
_LARGEST_BYTE = 127
_FLOAT32_BYTES = 4


@dataclass
class StorageError:
    """How far stored features are from the exact ones.

    Attributes:
        squared: Sum of the squared differences.
        total: Sum of the squared exact values.
        largest: The largest difference.
    """

    squared: float = 0.0
    total: float = 0.0
    largest: float = 0.0

    def add(self, other: "StorageError") -> None:
        """Count further features."""
        self.squared += other.squared
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    @property
    def relative(self) -> float:
        """The root mean square of the differences over that of the values."""
        return (self.squared / self.total) ** 0.5 if self.total else 0.0


def entry_bytes(patches: int, width: int, precision: str) -> int:
    """Return the bytes of one image's features on the disk."""
    scales = width * _FLOAT32_BYTES if precision == "int8" else 0
    return patches * width * TYPES[precision].itemsize + scales


def encode(features: torch.Tensor, precision: str) -> dict[str, torch.Tensor]:
    """Return the tensors that are stored for features [n, P, D_v] in float32.

    Under int8, each channel of an image has a scale of its own: the largest values of a ViT stand in few channels, and
    must not take the accuracy of the others.

    Raises:
        SamDataError: A feature is not finite, or too large for fp16.
    """
    if precision == "int8":
        scales = features.abs().amax(dim=1) / _LARGEST_BYTE
        steps = torch.where(scales > 0, scales, 1.0)[:, None]
        stored = {FEATURES: (features / steps).round().to(torch.int8), SCALES: scales}
    else:
        stored = {FEATURES: features.to(TYPES[precision])}
    if not all(tensor.isfinite().all() for tensor in (features, *stored.values()) if tensor.is_floating_point()):
        raise SamDataError(
            f"the vision encoder gave features that are not finite in {precision}; use model.precision bf16 or fp32, "
            "and run.feature_cache_precision bf16 or fp32"
        )
    return stored


def decode(stored: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return features as the model gets them: float32 from bytes, half precision as it is (see `visual_path`)."""
    features = stored[FEATURES]
    return features * stored[SCALES].unsqueeze(-2) if SCALES in stored else features


def storage_error(exact: torch.Tensor, stored: Mapping[str, torch.Tensor]) -> StorageError:
    """Measure what storing cost."""
    differences = (decode(stored).float() - exact).double()
    return StorageError(
        squared=float(differences.square().sum()),
        total=float(exact.double().square().sum()),
        largest=float(differences.abs().max()),
    )
