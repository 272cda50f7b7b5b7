"""LoRA: where it goes, that it trains, that adapters and checkpoints hold it, and that merging it changes no answer."""

import sys

import pytest
import torch
from omegaconf import OmegaConf

from helpers.models import SIZES, random_batch, small_model
from helpers.weights import config_for, write_release
from lavis_sam.errors import SamConfigurationError
from lavis_sam.planning.forecast import Load, make_plan
from lavis_sam.predictor.exporting import export_model
from lavis_sam.predictor.load_model import load_model
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import save_checkpoint, trainable_state_dict, trained_checkpoint
from lavis_sam.weights.lora import merge_lora
from lavis_sam.weights.packaged import MODEL_CONFIGS

LORA = {"targets": ["v_proj", "query"], "rank": 2, "alpha": 8}
TINY = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, resolve=True)


def train(model, steps=2):
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = model(random_batch([2, 3], seed=step, size=model.visual_encoder.image_size))["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses


def outputs(model):
    batch = random_batch([2, 3], size=model.visual_encoder.image_size)
    with torch.no_grad():
        return model(batch)["per_sample_loss"]


@pytest.fixture
def tiny():
    return build_model({**TINY, "lora": LORA}).eval()


def test_lora_starts_at_the_plain_model_and_names_its_layers(tiny):
    plain = build_model({**TINY, "finetuned": ""}).eval()
    assert torch.equal(outputs(tiny), outputs(plain))
    changed = {name.partition(".lora_")[0] for name in tiny.injected}
    linear = {name for name, module in plain.named_modules() if name.rpartition(".")[2] in ("v_proj", "query")}
    assert changed == linear
    assert any(".crossattention." in name for name in changed)
    assert set(trainable_state_dict(tiny)) == set(trainable_state_dict(plain)) | set(tiny.injected)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_lora_is_trained_in_float32_over_a_frozen_base(precision):
    model = build_model({**TINY, "lora": LORA, "precision": precision})
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    train(model)
    for name, parameter in model.named_parameters():
        if name in model.injected:
            assert parameter.dtype is torch.float32
            assert not torch.equal(parameter, before[name]), name
        elif not parameter.requires_grad:
            assert torch.equal(parameter, before[name]), name


def test_lora_beside_another_injection_leaves_both_trained():
    model = build_model({**TINY, "trainable": "vpg_c", "guidance": {"extractor": "none"}, "lora": LORA})
    assert {name.partition(".")[0] for name in model.injected} == {"vpg_c", "llm_model", "Qformer"}


def test_lora_of_a_checkpoint_and_of_an_adapter_is_loaded_again(tiny, tmp_path):
    train(tiny)
    save_checkpoint(tmp_path / "a.pth", trained_checkpoint(tiny, {"model": {**TINY, "lora": LORA}}))
    export_model(tiny, tmp_path / "adapter", "adapter", source=tmp_path / "a.pth")
    for source in ("a.pth", "adapter"):
        again = load_model(tmp_path / source, device="cpu")
        assert set(again.injected) == set(tiny.injected)
        assert torch.equal(outputs(again), outputs(tiny))
    written = load_model("tiny", device="cpu", settings={"lora": LORA})
    export_model(written, tmp_path / "untrained", "adapter", source="tiny")
    with pytest.raises(SamConfigurationError, match=r"model\.lora is .* and model\.inject\.lora"):
        load_model(tmp_path / "adapter", device="cpu", settings={"lora": {**LORA, "rank": 3}})


def test_lora_merged_gives_the_same_logits_and_a_plain_instructblip_folder(tmp_path):
    donor = small_model()
    config = config_for(donor, SIZES, write_release(tmp_path, donor), lora=LORA)
    model = build_model(config).eval()
    train(model)
    wanted, plain = outputs(model), set(donor.state_dict())
    export_model(model, tmp_path / "folder", "instructblip", source="tiny")
    assert set(model.state_dict()) == plain
    assert model.injected == ()
    torch.testing.assert_close(outputs(model), wanted, rtol=1e-5, atol=1e-5)
    assert not torch.equal(wanted, outputs(build_model(config).eval()))
    folder = build_model({**config, "lora": {}, "pretrained": str(tmp_path / "folder")}).state_dict()
    for name in ("llm_model.model.layers.0.self_attn.v_proj.weight", "llm_proj.weight"):
        assert torch.equal(folder[name], model.state_dict()[name])


def test_lora_in_packed_rows_has_the_gradients_of_a_padded_batch():
    model, gradients = build_model({**TINY, "lora": LORA, "packing": True}).train(), []
    for name in model.injected:
        torch.nn.init.normal_(model.get_parameter(name), std=0.1)
    assert model.packing
    for model.packing in (True, False):
        model(random_batch([5, 1, 1, 2], size=model.visual_encoder.image_size))["loss"].backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        model.zero_grad(set_to_none=True)
    assert gradients[0].keys() == gradients[1].keys() >= set(model.injected)
    for name, gradient in gradients[1].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-3, atol=1e-4 * scale, msg=name)


def test_lora_is_counted_by_plan():
    plain, lora = (make_plan({**TINY, "lora": node}, Load()) for node in ({}, LORA))
    model = build_model({**TINY, "lora": LORA})
    added = sum(model.get_parameter(name).numel() for name in model.injected)
    assert lora.trainable_parameters - plain.trainable_parameters == added == lora.parameters["injected"]


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"targets": ["w_proj"]}, r"names 'w_proj', and this model has no such linear layer .* choose from .*q_proj"),
        ({"targets": ["lm_head"]}, r"names 'lm_head'"),
        ({"targets": "q_proj"}, r"targets is 'q_proj'; wanted a list"),
        ({"targets": []}, r"wanted a list"),
        ({"rank": 0}, r"rank is 0; wanted a whole number from 1"),
        ({"rank": True}, r"rank is True"),
        ({"alpha": 0.5}, r"alpha is 0.5; wanted a whole number from 1"),
        ({"ranks": 3}, r"got an unexpected keyword argument 'ranks'"),
    ],
)
def test_lora_settings_that_are_impossible_are_named(node, words):
    with pytest.raises(SamConfigurationError, match=words):
        build_model({**TINY, "lora": node}, device="meta")


def test_lora_without_peft_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SamConfigurationError, match=r"model\.lora needs peft: pip install"):
        build_model({**TINY, "lora": LORA}, device="meta")


def test_merging_a_model_without_lora_changes_nothing():
    model = small_model()
    before = set(model.state_dict())
    merge_lora(model)
    assert set(model.state_dict()) == before
