"""What a feature cache will take of the disk, and what it saves of memory and computing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.features.precision import entry_bytes
from lavis_sam.planning.forecast import Load, counted_flops, planned_model


@dataclass(frozen=True)
class CachePlan:
    """The forecast of a cache.

    Attributes:
        precision: How features are stored.
        crops: Of each training image.
        entry_bytes: Of one image's crop.
        entries: At most so many for the training images: fewer where samples share images. None where nobody knows the
            number of samples.
        bytes: Of all entries.
        saved_weights: Bytes of the vision encoder's weights, which a step does not need.
        saved_flops: Of one batch.
    """

    precision: str
    crops: int
    entry_bytes: int
    entries: int | None
    bytes: int | None
    saved_weights: int
    saved_flops: int


def plan_cache(model_cfg: Mapping[str, Any], run: RunSettings, load: Load, samples: int | None) -> CachePlan | None:
    """Return the forecast of a run's feature cache; None where it has none.

    Args:
        model_cfg: The `model` node, as plain containers.
        load: What a step is planned for.
        samples: Training samples; None if that is not known.
    """
    if run.feature_cache is None:
        return None
    encoder = planned_model(model_cfg).visual_encoder
    size, crops = encoder.image_size, run.feature_crops or 1
    with counted_flops() as flops, torch.no_grad():
        encoder(torch.empty(load.batch * load.images, 3, size, size, device="meta"))
        saved = flops()
    one = entry_bytes(encoder.patch_embed.num_patches + 1, encoder.num_features, run.feature_cache_precision)
    entries = None if samples is None else samples * load.images * crops
    return CachePlan(
        precision=run.feature_cache_precision,
        crops=crops,
        entry_bytes=one,
        entries=entries,
        bytes=None if entries is None else entries * one,
        saved_weights=sum(p.numel() * p.element_size() for p in encoder.parameters()),
        saved_flops=saved,
    )
