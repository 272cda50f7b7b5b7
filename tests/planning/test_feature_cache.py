"""The forecast of a feature cache, against the model's own sizes."""

import pytest
import torch

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.planning.feature_cache import plan_cache
from lavis_sam.planning.forecast import Load, counted_flops, planned_model

SIZES = {
    "vision": {"image_size": 28, "patch_size": 14, "width": 24, "depth": 2, "heads": 2, "mlp_ratio": 2.0},
    "q_former": {"width": 16, "layers": 2, "heads": 2, "intermediate": 24, "vocabulary": 1500, "queries": 3},
    "language": {"width": 20, "layers": 1, "heads": 2, "intermediate": 24, "vocabulary": 1501},
}


@pytest.mark.parametrize(("precision", "size"), [("fp32", 5 * 24 * 4), ("bf16", 5 * 24 * 2), ("int8", 5 * 24 + 24 * 4)])
def test_feature_cache_plan_counts_disk_and_savings(precision, size):
    run = RunSettings.from_config({"feature_cache": "x", "feature_crops": 3, "feature_cache_precision": precision})
    made = plan_cache({"sizes": SIZES}, run, Load(batch=4, images=2), samples=10)
    assert (made.entry_bytes, made.crops, made.entries, made.bytes) == (size, 3, 60, 60 * size)
    encoder = planned_model({"sizes": SIZES}).visual_encoder
    assert made.saved_weights == 4 * sum(p.numel() for p in encoder.parameters())
    with counted_flops() as flops:
        encoder(torch.empty(8, 3, 28, 28, device="meta"))
        assert made.saved_flops == flops() > 0


def test_feature_cache_plan_without_a_cache_or_a_number_of_samples():
    assert plan_cache({"sizes": SIZES}, RunSettings(), Load(), samples=10) is None
    made = plan_cache({"sizes": SIZES}, RunSettings(feature_cache="x"), Load(), samples=None)
    assert (made.entries, made.bytes) == (None, None)
    assert made.entry_bytes > 0
