"""The embedded model's own weights: where its trained layers belong, and layers of the random base of before."""

import logging

import pytest
import torch
from omegaconf import OmegaConf

from lavis_sam.models.w_former import is_trained
from lavis_sam.predictor.load_model import load_model, model_config
from lavis_sam.weights.adapters import save_adapter
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.embedded import embedded_layers, fill_guidance, guidance_of, stand_on_random_base
from lavis_sam.weights.locations import finetuned_path
from lavis_sam.weights.packaged import MODEL_CONFIGS, PACKAGE

BASE, LAYERS = "package:assets/tiny/base", "package:assets/tiny/sam"


def tiny(**changes):
    return OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, changes)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({}, ""),
        ({"max_txt_len": 9, "precision": "bf16"}, ""),
        ({"pretrained": ""}, "pretrained"),
        ({"pretrained": "somewhere/else"}, "pretrained"),
        ({"llm_model": "a/llama"}, "llm_model"),
        ({"trainable": "projection"}, "trainable"),
        ({"lora": {"targets": ["query"]}}, "lora"),
        ({"sizes": {"vision": {"depth": 2}}}, "sizes"),
        ({"guidance": {"context": "others"}}, "guidance"),
        ({"guidance": {"layer_l": 3}}, "guidance"),
        ({"guidance": {"extractor": "none"}}, "guidance"),
    ],
)
def test_the_layers_belong_to_the_packaged_config(changes, key):
    config = tiny(**changes)
    assert embedded_layers(config) == (("", key) if key else (f"{LAYERS}_others", ""))
    assert finetuned_path(config) == ("" if key else str(PACKAGE / "assets" / "tiny" / "sam_others"))


RELEASED = {"context": "all", "layer_l": 4, "layer_k": 4}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"guidance": RELEASED}, "sam"),
        ({"guidance": {"context": "all"}}, "sam"),  # the rest is the released code's
        ({"guidance": {"context": "others", "layer_l": 3, "layer_k": 3}}, "sam_others"),
        ({"guidance": RELEASED, "finetuned": LAYERS}, "sam"),
        ({"finetuned": f"{LAYERS}_others"}, "sam_others"),
        ({"finetuned": LAYERS}, "sam"),
        # Layers that are named are not exchanged for others.
        ({"guidance": RELEASED, "finetuned": f"{LAYERS}_others"}, None),
    ],
)
def test_each_reading_has_its_layers(changes, found):
    assert finetuned_path(tiny(**changes)) == (str(PACKAGE / "assets" / "tiny" / found) if found else "")


def test_the_layers_of_a_reading_load_into_its_model():
    others, released = (load_model("tiny", device="cpu", settings={"guidance": part}) for part in ({}, RELEASED))
    assert (others.guidance.context, released.guidance.context) == ("others", "all")
    assert is_trained(others)
    assert is_trained(released)
    assert not torch.equal(others.llm_proj.weight, released.llm_proj.weight)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, ("others", 3, 3)),
        ({"finetuned": LAYERS}, ("all", 4, 4)),
        # Without them, or with layers of one's own, as before they shipped: the released code's reading.
        ({"finetuned": ""}, ("all", None, None)),
        ({"load_finetuned": False}, ("all", None, None)),
        ({"finetuned": "my/run"}, ("all", None, None)),
        ({"pretrained": ""}, ("all", None, None)),
        ({"guidance": {"extractor": "none"}}, ("all", None, None)),
    ],
)
def test_a_config_without_guidance_has_that_of_the_layers_which_it_gets(changes, found):
    config = tiny(**changes)
    guidance = guidance_of(config)
    assert (guidance.context, guidance.layer_l, guidance.layer_k) == found
    fill_guidance(config)
    assert guidance_of(config).at_depth(4) == guidance.at_depth(4)


def test_a_model_that_leaves_them_out_says_so(caplog):
    caplog.set_level(logging.WARNING)
    build_model(tiny(guidance={"context": "self"}))
    assert (
        "model.guidance is not the embedded model's: SAM's layers that were trained for it are left out" in caplog.text
    )
    caplog.clear()
    for changes in ({}, {"finetuned": ""}, {"load_finetuned": False, "guidance": {"context": "self"}}):
        build_model(tiny(**changes))
    assert "left out" not in caplog.text


def test_its_default_is_trained_and_without_them_it_is_its_base():
    trained, base = load_model("tiny", device="cpu"), load_model("tiny", device="cpu", settings={"finetuned": ""})
    assert (is_trained(trained), is_trained(base)) == (True, False)
    assert torch.equal(trained.query_tokens, base.query_tokens)


@pytest.mark.parametrize("settings", [{"pretrained": "", "load_finetuned": False}, {"load_finetuned": False}])
def test_an_adapter_gets_the_base_that_it_was_trained_over(tmp_path, settings):
    model = load_model("tiny", device="cpu", settings=settings)
    save_adapter(tmp_path, model, model_type="tiny")
    is_random = "pretrained" in settings
    assert stand_on_random_base(tmp_path) is is_random
    found = load_model(tmp_path, device="cpu")
    assert torch.equal(found.query_tokens, model.query_tokens)


@pytest.mark.parametrize(
    ("content", "is_random"),
    [
        ({"model": {}}, False),  # the authors' format says nothing
        ({"model": {}, "config": {"model": {"model_type": "tiny"}}}, True),  # version 0.1.0
        ({"model": {}, "config": {"model": {"model_type": "tiny", "pretrained": ""}}}, True),
        ({"model": {}, "config": {"model": {"model_type": "tiny", "pretrained": BASE}}}, False),
        ({"model": {}, "config": {"model": {"model_type": "vicuna7b", "pretrained": ""}}}, False),
    ],
)
def test_a_checkpoint_says_which_base_it_stands_on(tmp_path, content, is_random):
    torch.save(content, tmp_path / "some.pth")
    assert stand_on_random_base(tmp_path / "some.pth") is is_random
    assert model_config("tiny").pretrained == BASE
