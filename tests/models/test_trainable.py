"""The presets of what is trained: which parameters, in which precision, and that they move."""

import pytest
import torch
from omegaconf import OmegaConf

from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.trainable import PRESETS, MasterWeightLinear, select_trainable
from lavis_sam.plugin.model import Blip2VicunaSAM

LLM = [f"llm_model.model.layers.{layer}.self_attn.{name}_proj.weight" for layer in (0, 1) for name in ("q", "v")]
PROJECTION = ["llm_proj.weight", "llm_proj.bias"]
SAM = [
    *(f"adaptive_adjustment.linear_a.{kind}" for kind in ("weight", "bias")),
    *(f"w_former.linear_{layer}.{kind}" for layer in ("h", "c") for kind in ("weight", "bias")),
]
BATCH = {
    "image": torch.rand(2, 3, 2, 112, 112, generator=torch.Generator().manual_seed(0)),
    "text_input": ["What is this?", "Why?"],
    "text_output": ["a cat", "a dog and a cat"],
}

LAST_TEXT_PARTS = ("intermediate.dense", "output.dense", "output.LayerNorm")


def build(preset, precision="fp32", **guidance):
    cfg = OmegaConf.load(Blip2VicunaSAM.default_config_path("tiny")).model
    cfg.trainable, cfg.precision = preset, precision
    cfg.guidance = OmegaConf.merge(cfg.guidance, guidance)
    return Blip2VicunaSAM.from_config(cfg).train()


@pytest.mark.parametrize(
    ("preset", "extractor", "expected"),
    [("sam", "w_former", SAM + PROJECTION), ("projection", "none", PROJECTION), ("mmicl", "none", PROJECTION + LLM)],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_preset_trains_its_parameters_in_float32_and_no_other(preset, extractor, expected, precision):
    model = build(preset, precision, extractor=extractor)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(trained) == set(expected)
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}
    model(BATCH)["loss"].backward()
    # Linear_h and what is before it get no gradient while Linear_c is zero.
    behind = [name for name in trained if name.startswith(("adaptive_adjustment", "w_former.linear_h"))]
    assert all(bool(trained[name].grad.any()) for name in trained if name not in behind)
    assert all(p.grad is None for name, p in model.named_parameters() if name not in trained)


def test_float32_weights_compute_in_the_type_of_their_input():
    layer = torch.nn.Linear(4, 3).to(torch.bfloat16)
    values = torch.randn(2, 4, dtype=torch.bfloat16)
    expected = layer(values)
    layer.__class__ = MasterWeightLinear
    layer.float()
    assert torch.equal(layer(values), expected)


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(SamConfigurationError, match=r"'all'; choose one of sam, projection, vpg_c, base, vision"):
        select_trainable(torch.nn.Linear(1, 1), "all")
    with pytest.raises(SamConfigurationError, match="no such layers"):
        select_trainable(torch.nn.Linear(1, 1), "mmicl")
    assert list(PRESETS) == ["sam", "projection", "vpg_c", "base", "vision", "language", "mmicl"]


def test_a_base_is_trained_whole_but_for_the_layers_of_sam():
    model = build("base", "fp32", extractor="none")
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in model.named_parameters()}
    model(BATCH)["loss"].backward()
    # The text half of the last Q-Former layer is never computed, nor is the word embedding of what no text holds.
    without = {name for name, p in model.named_parameters() if p.grad is None}
    last = "Qformer.bert.encoder.layer.3"
    assert without <= {f"{last}.{part}.{kind}" for part in LAST_TEXT_PARTS for kind in ("weight", "bias")}
    with_sam = build("base", "fp32", extractor="w_former")
    frozen = {name for name, p in with_sam.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith(("adaptive_adjustment.", "w_former.")) for name in frozen)


def test_a_base_in_half_precision_is_refused():
    with pytest.raises(SamConfigurationError, match=r"'base', but .* is torch\.bfloat16; set model\.precision=fp32"):
        build("base", "bf16", extractor="none")
