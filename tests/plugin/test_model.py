"""The registered model: the names of its parameters are promises, as files of every release hold them."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lavis_sam.plugin.model import Blip2VicunaSAM


@pytest.mark.parametrize("extractor", ["w_former", "linear", "none"])
def test_parameter_names_and_shapes_are_those_of_earlier_releases(extractor):
    stored = json.loads(Path(__file__).with_name("parameter_names.json").read_text())
    cfg = OmegaConf.load(Blip2VicunaSAM.default_config_path("tiny")).model
    cfg.guidance.extractor = extractor
    state = Blip2VicunaSAM.from_config(cfg).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == stored["base"] | stored.get(extractor, {})
