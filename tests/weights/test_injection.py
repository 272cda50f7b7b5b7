"""Injected modules: built in after the base, trained, saved, loaded again; the smallest is a low-rank adapter."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from helpers.models import SIZES, random_batch, small_model
from helpers.weights import config_for, write_release
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.predictor.exporting import export_model
from lavis_sam.predictor.load_model import load_model
from lavis_sam.weights import injection
from lavis_sam.weights.adapters import save_adapter
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import save_checkpoint, trainable_state_dict, trained_checkpoint
from lavis_sam.weights.injection import register_injection
from lavis_sam.weights.packaged import MODEL_CONFIGS

QUERY = "llm_model.model.layers.0.self_attn.q_proj"
ADDED = {f"{QUERY}.low_rank.{name}.weight" for name in ("down", "up")}


class LowRank(nn.Module):
    """W x + B A x with the rank of A and B; B is zero at first."""

    def __init__(self, width, output, rank):
        super().__init__()
        self.down, self.up = nn.Linear(width, rank, bias=False), nn.Linear(rank, output, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, layer, inputs, output):
        return output + self.up(self.down(inputs[0].float())).to(output.dtype)


def add_low_rank(model, *, rank=2):
    layer = model.get_submodule(QUERY)
    layer.low_rank = LowRank(layer.in_features, layer.out_features, rank)
    layer.register_forward_hook(layer.low_rank)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(injection, "INJECTIONS", {})
    register_injection("low_rank")(add_low_rank)


@pytest.fixture(scope="module")
def donor():
    return small_model()


@pytest.fixture(scope="module")
def files(donor, tmp_path_factory):
    return write_release(tmp_path_factory.mktemp("release"), donor)


@pytest.fixture
def config(donor, files):
    return config_for(donor, SIZES, files, inject={"low_rank": {"rank": 3}})


def train(model):
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(random_batch([2, 3]))["loss"].backward()
        optimizer.step()
    return model.eval()


def assert_equal(found, wanted):
    assert set(found.state_dict()) == set(wanted.state_dict())
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_injected_parameters_are_trained_in_float32_over_the_loaded_base(donor, config, precision):
    config.precision = precision
    model = build_model(config)
    assert set(model.injected) == ADDED
    assert set(trainable_state_dict(model)) == set(trainable_state_dict(donor)) | ADDED
    assert torch.equal(model.get_submodule(QUERY).weight, donor.get_submodule(QUERY).weight.to(model.llm_model.dtype))
    before = trainable_state_dict(model)
    after = trainable_state_dict(train(model))
    for name in ADDED:
        assert after[name].dtype is torch.float32
        assert not torch.equal(before[name], after[name]), name


def test_a_checkpoint_with_injected_parameters_is_loaded_again(config, tmp_path):
    model = train(build_model(config))
    save_checkpoint(tmp_path / "a.pth", trained_checkpoint(model, {}))
    again = build_model(OmegaConf.merge(config, {"finetuned": str(tmp_path / "a.pth")}))
    assert_equal(again, model)
    batch = random_batch([2, 3])
    assert torch.equal(again.eval()(batch)["loss"], model(batch)["loss"])


def test_an_adapter_says_what_was_injected(tmp_path):
    settings = {"inject": {"low_rank": {"rank": 4}}}
    model = load_model("tiny", device="cpu", settings=settings)
    model.load_state_dict({name: t + 0.1 if name in ADDED else t for name, t in model.state_dict().items()})
    node = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["tiny"]).model) | settings
    save_checkpoint(tmp_path / "a.pth", trained_checkpoint(model, {"model": node}))
    export_model(model, tmp_path / "adapter", "adapter", source=tmp_path / "a.pth")
    for source in ("a.pth", "adapter"):
        assert_equal(load_model(tmp_path / source, device="cpu"), model)


@pytest.mark.parametrize("form", ["released", "instructblip"])
def test_forms_that_have_no_place_for_injected_modules_are_refused(config, tmp_path, form):
    with pytest.raises(SamConfigurationError, match=r"has injected modules .*low_rank.* only the format adapter"):
        export_model(build_model(config), tmp_path / "out", form, source="tiny")


def test_weights_without_what_was_injected_and_the_reverse_are_refused(donor, files, config, tmp_path):
    plain = config_for(donor, SIZES, files)
    save_adapter(tmp_path / "plain", build_model(plain), model_type="vicuna7b")
    save_checkpoint(tmp_path / "injected.pth", trained_checkpoint(build_model(config), {}))
    for node, path, words in ((config, "plain", "2 missing"), (plain, "injected.pth", "2 unexpected")):
        with pytest.raises(SamCheckpointError, match=rf"{words}: {QUERY}\.low_rank\.down\.weight"):
            build_model(OmegaConf.merge(node, {"finetuned": str(tmp_path / path)}))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"low_rnk": {}}, r"model\.inject: unknown injection 'low_rnk'\. Did you mean 'low_rank'\?"),
        ({"low_rank": {"rnk": 3}}, r"model\.inject\.low_rank is {'rnk': 3}: got an unexpected keyword argument 'rnk'"),
        ({"low_rank": 3}, r"model\.inject\.low_rank is 3: wanted a mapping of options"),
    ],
)
def test_unknown_injections_and_options_are_named(config, wanted, words):
    config = OmegaConf.create({**config, "inject": wanted})
    with pytest.raises(SamConfigurationError, match=words):
        build_model(config)


def test_a_name_is_given_once():
    with pytest.raises(SamConfigurationError, match="'low_rank' is registered already"):
        register_injection("low_rank")(lambda model: None)
