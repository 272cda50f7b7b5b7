"""VPG-C, the injection that the package brings: built by its preset, trained in float32, saved and loaded again."""

import pytest
import torch
from omegaconf import OmegaConf

from helpers.models import random_batch
from lavis_sam.models.language.sequence import prompt_ends, target_loss, training_inputs
from lavis_sam.plugin.model import Blip2VicunaSAM
from lavis_sam.plugin.question_answering import candidate_losses
from lavis_sam.predictor.exporting import export_model
from lavis_sam.predictor.load_model import load_model
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import save_checkpoint, trained_checkpoint
from lavis_sam.weights.packaged import MODEL_CONFIGS

NAMES = {"vpg_c.queries", *(f"vpg_c.linear_{end}.{kind}" for end in ("in", "out") for kind in ("weight", "bias"))}
SETTINGS = {"trainable": "vpg_c", "guidance": {"extractor": "none"}}


def built(**settings):
    model = build_model(OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, SETTINGS, settings))
    with torch.no_grad():
        for name in NAMES:
            model.get_parameter(name).add_(torch.randn_like(model.get_parameter(name)) * 0.1)
    return model


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_is_trained_in_float32_beside_the_projection(precision):
    model = built(precision=precision).train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(trained) == NAMES | {"llm_proj.weight", "llm_proj.bias"}
    model(random_batch([2, 3], size=112))["loss"].backward()
    assert all(p.dtype is torch.float32 and bool(p.grad.any()) for p in trained.values())


def test_a_checkpoint_and_an_adapter_bring_it_back_with_its_options(tmp_path):
    inject = {"inject": {"vpg_c": {"layer": 2, "instruction": False}}}
    model = built(**inject).eval()
    node = OmegaConf.to_container(OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, SETTINGS, inject))
    save_checkpoint(tmp_path / "a.pth", trained_checkpoint(model, {"model": node}))
    export_model(model, tmp_path / "adapter", "adapter", source=tmp_path / "a.pth")
    batch = random_batch([2, 3], size=112)
    wanted = model(batch)["per_sample_loss"]
    for source in ("a.pth", "adapter"):
        again = load_model(tmp_path / source, device="cpu").eval()
        assert (again.vpg_c.layer, again.vpg_c.instruction) == (2, False)
        assert torch.equal(again(batch)["per_sample_loss"], wanted)


def test_candidates_are_scored_with_it():
    node = OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, SETTINGS)
    model = build_model(node, model_class=Blip2VicunaSAM).eval()
    with torch.no_grad():
        for name in NAMES:
            torch.nn.init.normal_(model.get_parameter(name), std=0.5)
        prompts, candidates = ["What is it?", "Which pet?"], ["a cat", "a red chair"]
        visual = model.encode(random_batch([2, 3], size=112), prompts)
        found = candidate_losses(model, visual, prompts, candidates, n_segments=1)
        for column, text in enumerate(candidates):
            # No end token follows a candidate, so the sum lacks its loss.
            inputs = training_inputs(
                model.llm_model, model.llm_tokenizer, visual.tokens, visual.token_mask, prompts, [text] * 2,
                max_txt_len=99, max_output_txt_len=99, append_eos=False,
            )  # fmt: skip
            result = target_loss(model.language(visual, prompts, prompt_ends(inputs)), inputs)
            torch.testing.assert_close(found[:, column], result.per_sample_loss * result.target_tokens)
            plain = target_loss(model.llm_model, inputs).per_sample_loss * result.target_tokens
            assert not torch.allclose(found[:, column], plain, atol=1e-2)
