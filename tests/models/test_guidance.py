"""The switches refuse what they do not know, and a layer that a setting does not use does not exist."""

import pytest

from helpers.models import small_model
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.guidance import Guidance

LINEAR_A = {"adaptive_adjustment.linear_a.weight", "adaptive_adjustment.linear_a.bias"}
W_FORMER = {f"w_former.linear_{part}.{kind}" for part in "hc" for kind in ("weight", "bias")}
LINEAR = {"linear_extractor.linear_c.weight", "linear_extractor.linear_c.bias"}
PROJECTION = {"llm_proj.weight", "llm_proj.bias"}


@pytest.mark.parametrize(
    ("guidance", "layers"),
    [
        ({}, LINEAR_A | W_FORMER),
        ({"context": "others"}, LINEAR_A | W_FORMER),
        ({"context": "self"}, W_FORMER),
        ({"weighting": "average"}, W_FORMER),
        ({"extractor": "linear"}, LINEAR_A | LINEAR),
        ({"extractor": "linear", "weighting": "average"}, LINEAR),
        ({"extractor": "none"}, set()),
    ],
)
def test_only_layers_in_use_exist(guidance, layers):
    model = small_model(**guidance)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == layers | PROJECTION


@pytest.mark.parametrize("key", ["context", "normalise", "weighting", "extractor", "positions"])
def test_an_unknown_value_is_named_with_the_known_ones(key):
    with pytest.raises(SamConfigurationError, match=rf"model\.guidance\.{key} is 'al'; choose one of "):
        Guidance(**{key: "al"})


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(
        SamConfigurationError, match=r"model\.guidance: unknown key 'contxt'\. Did you mean 'context'\?"
    ):
        Guidance.from_mapping({"contxt": "all"})


@pytest.mark.parametrize(("layer_l", "layer_k"), [(3, 2), (1, 5), (5, 5), (None, 2)])
def test_layers_outside_their_order_name_all_three_numbers(layer_l, layer_k):
    with pytest.raises(SamConfigurationError, match=rf"layer_k = {layer_k} with K = 4"):
        Guidance(layer_l=layer_l, layer_k=layer_k).at_depth(4)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "12"])
def test_a_layer_is_counted_from_one(value):
    with pytest.raises(SamConfigurationError, match="counts layers from 1"):
        Guidance(layer_l=value)


def test_defaults_are_the_last_layer():
    guidance = Guidance().at_depth(12)
    assert (guidance.layer_l, guidance.layer_k) == (12, 12)
