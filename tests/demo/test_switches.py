"""A switched model is the one that those settings build, with the same weights."""

from dataclasses import asdict

import pytest
import torch

from lavis_sam.demo.switches import choices_of, guided_by, off, switch
from lavis_sam.errors import SamConfigurationError
from lavis_sam.predictor.load_model import load_model

IMAGES = {"image": torch.randn(1, 3, 3, 112, 112, generator=torch.Generator().manual_seed(0))}


def tokens(model, guidance=None):
    with torch.no_grad(), guided_by(model, guidance or model.guidance):
        return model.encode(IMAGES, ["What is it?"]).tokens


@pytest.mark.parametrize(
    "values",
    [
        {"context": "others"},
        {"context": "self"},
        {"normalise": "patches"},
        {"weighting": "average"},
        {"positions": "queries"},
        {"layer_l": 2, "layer_k": 3},
    ],
    ids=str,
)
def test_a_switch_gives_what_a_model_built_that_way_gives(model, values):
    built = load_model("tiny", device="cpu", settings={"guidance": {**asdict(model.guidance), **values}})
    built.load_state_dict({name: model.state_dict()[name] for name in built.state_dict()})
    before = tokens(model)
    switched = tokens(model, switch(model, values))
    assert torch.equal(switched, tokens(built))
    assert not torch.equal(switched, before)
    assert torch.equal(tokens(model), before), "and afterwards the model is as it was"


def test_off_is_the_model_without_guidance(model):
    built = load_model("tiny", device="cpu", settings={"guidance": {"extractor": "none"}})
    built.load_state_dict({name: model.state_dict()[name] for name in built.state_dict()})
    assert torch.equal(tokens(model, off(model)), tokens(built))
    assert choices_of(built) == {}


def test_an_error_meanwhile_leaves_the_model_as_it_was(model):
    before = model.guidance
    with pytest.raises(ZeroDivisionError), guided_by(model, off(model)):
        raise ZeroDivisionError
    assert model.guidance is model.extractor.guidance is model.adaptive_adjustment.guidance is before


def test_a_model_without_learned_weights_offers_the_mean_alone():
    model = load_model("tiny", device="cpu", settings={"guidance": {"weighting": "average"}})
    assert choices_of(model)["weighting"] == ("average",)
    with pytest.raises(SamConfigurationError, match="weighting: found 'adaptive'"):
        switch(model, {"weighting": "adaptive"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"context": "every"}, "context: found 'every'"),
        ({"extractor": "linear"}, "extractor: found 'linear'"),
        ({"layer_l": 4, "layer_k": 2}, "layer_l = 4, layer_k = 2"),
        ({"layer_k": "4"}, "layer_k is '4'"),
    ],
)
def test_what_the_model_cannot_do_is_refused(model, values, said):
    with pytest.raises(SamConfigurationError, match=said):
        switch(model, values)
