"""Texts of options and the values that settings get from them."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from lavis_sam.config.option_values import read_option, wanted_type, whole_number
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.decoding import Decoding

TEXTS = (
    "Describe image #1 and #2",
    "{image#1} what?",
    "1234567",
    "2024_01_15",
    "042",
    "0x10",
    "1e3",
    "1:30",
    "yes",
    "[a",
    " a ",
    "'a' and 'b'",
    "&a b",
    "* all",
    "!x y",
    "a: b",
    "- a",
    "| a",
    "a\nb",
    "It's",
    '"',
)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("wanted", [str, str | None, str | list[str] | None, dict[str, Any] | str])
def test_read_option_leaves_a_text_as_typed(text, wanted):
    if not (wanted == dict[str, Any] | str and text.startswith("{")):
        assert read_option(text, wanted) == text


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("042", int, 42),
        ("-7", int | None, -7),
        ("1_000", int, 1000),
        ("0042.5", float, 42.5),
        ("1e-4", float | None, 1e-4),
        (".5", float, 0.5),
        ("3", float, 3),
        ("no", bool, False),
        ("True", bool, True),
        ("", str, None),
        ("null", int | None, None),
        ("~", str | None, None),
        ('"#1"', str, "#1"),
        ("'1'", str, "1"),
        ("[]", list[str], []),
        ("[on, 042, 'a, b']", list[str], ["on", "042", "a, b"]),
        ('["a.json", "b.json"]', str | list[str] | None, ["a.json", "b.json"]),
        ("[1, 042, yes, null]", list, [1, 42, "yes", None]),
        ("{a: 1, b: {c: 2e-5}, d: 1:30}", dict[str, Any], {"a": 1, "b": {"c": 2e-5}, "d": "1:30"}),
        ('{"a": [true, "042"]}', dict, {"a": [True, "042"]}),
        ("042", Any, 42),
        ("1:30", Any, "1:30"),
        ("yes", Any, "yes"),
        ("false", Any, False),
        ("2024_01_15", Any, "2024_01_15"),
        ("a #b", Any, "a #b"),
        ("'1'", Any, "1"),
        ("[1]", Any, [1]),
    ],
)
def test_read_option_of_other_types(text, wanted, value):
    read = read_option(text, wanted)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("text", ["1:30", "0x10", "0b1", "yes", "1 #", "1e999", "٤٢", "9" * 5000])
@pytest.mark.parametrize("wanted", [int, float])
def test_read_option_makes_no_number_of_what_is_none(text, wanted):
    assert read_option(text, wanted) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)),
        *((text, None) for text in ("", "-1", "1\n", "²", "٤", "9" * 5000)),
    ],
)
def test_whole_number_is_of_decimal_digits_alone(text, number):
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text", ["{a: 1, a: 2}", "[&a 1]", "[!!str 1]", "[1] # more", "[1] [2]", "[" * 9000, "{[a]: 1}"]
)
def test_read_option_loses_nothing_of_a_collection(text):
    kind = list if text.startswith("[") else dict
    assert read_option(text, kind) == text
    with pytest.raises(SamConfigurationError, match="write a text in quotes"):
        read_option(text, Any)


def test_wanted_type_comes_from_classes_and_packaged_values():
    defaults = OmegaConf.create(
        {
            "model": {"llm_model": "${oc.env:NOWHERE}", "prompt": None, "sizes": {"width": 4}, "load": True},
            "datasets": {"a": {"build_info": {"images": {"storage": "x"}, "samples": None}}},
        }
    )
    nested = {"run.decoding": Decoding}
    wanted = {
        "run.job_id": str | None,
        "run.decoding.num_beams": int,
        "run.unknown": Any,
        "model.llm_model": str,
        "model.prompt": str,
        "model.sizes": dict,
        "model.sizes.width": int,
        "model.load": bool,
        "model.unknown": Any,
        "model.objectives.language": Any,
        "datasets.a.build_info.samples": int | None,
        "datasets.a.build_info.strict": bool,
        "datasets.a.build_info.annotations.val.storage": str | list[str] | None,
        "datasets.b.type": str,
    }
    assert {key: wanted_type(key, defaults, nested) for key in wanted} == wanted
