"""Texts from files come out of a configuration as they went in."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from helpers.fuzzing import fuzz_settings
from lavis_sam.config.literal import literal
from lavis_sam.errors import SamCheckpointError, SamDataError


@pytest.mark.parametrize(
    "text", ["${oc.env:HOME}", r"\${x}", r"\\${x}", "${", "$${a}", "a ${b} {c}", r"\\", "?", "????"]
)
def test_literal_texts_come_out_as_they_went_in(text):
    config = OmegaConf.create(literal({"a": {"b": text}, "c": [text]}, "x"))
    assert OmegaConf.to_container(config, resolve=True) == {"a": {"b": text}, "c": [text]}
    assert config.a.b == text


@fuzz_settings(300)
@given(st.text(alphabet="a$\\{}:'\" ,?.\n[]", max_size=12).filter(lambda text: text != "???"))
def test_literal_texts_survive_merging_and_yaml(text):
    config = OmegaConf.merge(OmegaConf.create({"a": "x"}), literal({"a": text}, "x"))
    assert config.a == text
    assert OmegaConf.create(OmegaConf.to_yaml(config)).a == text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": "???"}, r"x\.a: is '\?\?\?', which is no text"),
        (["\ud800"], "no text that a configuration can hold"),
        ({"a": {3: 1}}, r"x\.a: has a key of the type int"),
        (torch.ones(1), "is a Tensor"),
        ({"a": b"x"}, "is a bytes"),
        ([10**5000], "is a int; text, a number of 64 bits"),
    ],
)
def test_what_no_configuration_can_hold_is_refused(value, words):
    with pytest.raises(SamCheckpointError, match=words):
        literal(value, "x")


def test_deep_values_are_refused_in_the_error_that_is_wanted():
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(SamDataError, match="x: is nested more deeply than 16 levels"):
        literal(value, "x", error=SamDataError)
