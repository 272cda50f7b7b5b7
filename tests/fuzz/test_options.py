"""Whatever is typed as an option's value arrives as typed, is read as what the setting wants, or is refused."""

from argparse import Namespace

import pytest
from hypothesis import given, strategies
from omegaconf import OmegaConf

from helpers.fuzzing import fuzz_settings
from lavis_sam.config.option_values import read_option
from lavis_sam.errors import SamConfigurationError
from lavis_sam.plugin.run_config import SamConfig

# Characters that YAML gives a meaning to come often.
TEXTS = strategies.text(
    strategies.one_of(strategies.sampled_from(" #:{}[]'\"&*!|>%@`,-?~\\\n0123456789_exy"), strategies.characters())
)
FILE = """
model: {arch: blip2_vicuna_sam, model_type: tiny}
datasets: {mmlink: {type: photographs}}
run: {test_splits: [test]}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(FILE)
    return path


@given(TEXTS)
@fuzz_settings(300)
def test_a_text_is_read_as_typed_and_a_number_as_decimal(text):
    if text[:1] not in "'\"" and text not in ("null", "~"):
        assert read_option(text, str) == text
    number = read_option(text, int)
    assert type(number) is not int or int(text) == number


@given(TEXTS)
@fuzz_settings(12)
def test_a_prompt_survives_the_configuration_and_its_file(path, text):
    try:
        config = SamConfig(Namespace(cfg_path=str(path), options=[f"model.prompt={text}"]))
    except SamConfigurationError:
        assert "${" in text or text == "???" or any("\ud800" <= letter <= "\udfff" for letter in text)
        return
    if "${" not in text and text[:1] not in "'\"" and text not in ("null", "~"):
        assert config.model_cfg.prompt == text
        written = OmegaConf.to_yaml(OmegaConf.create(config.to_dict()))
        path.with_name("again.yaml").write_text(written, encoding="utf-8")
        again = SamConfig(Namespace(cfg_path=str(path.with_name("again.yaml")), options=None))
        assert again.model_cfg.prompt == text
