"""docs/keys.md is what tools/make_keys_page.py writes now, and no key is without a word."""

import dataclasses
import importlib.util
import re

import pytest

from helpers.environments import REPOSITORY
from lavis_sam.config.checks import ADDED
from lavis_sam.config.run_settings import RunSettings

SPEC = importlib.util.spec_from_file_location("make_keys_page", REPOSITORY / "tools" / "make_keys_page.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)
PAGE = (REPOSITORY / "docs" / "keys.md").read_text(encoding="utf-8")


def keys(heading):
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]
    return re.findall(r"^\| `([\w.]+)` \|", section, re.M)


def test_the_page_is_up_to_date():
    assert tool.page() == PAGE, "run python tools/make_keys_page.py"


def test_every_key_of_run_is_on_the_page_once():
    assert sorted(keys("run")) == sorted(field.name for field in dataclasses.fields(RunSettings))


def test_what_may_be_added_to_a_data_set_is_on_the_page():
    assert set(ADDED) - {"sample_ratio"} <= set(keys("datasets"))
    assert "`sample_ratio`" in PAGE


@pytest.mark.parametrize("line", [line for line in PAGE.splitlines() if line.startswith("| `")])
def test_every_key_has_a_word(line):
    assert line.split(" | ")[-1].removesuffix(" |").strip()


def test_comments_above_and_behind_a_key_are_taken(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(
        "# a file\n\nmodel:\n  # what it is,\n  # at length\n  one: 1  # and more\n  two: {a: '#'}  # flow\n"
        "  three:  # a block\n    inner: 1\n  four:\n    # nested\n    five: null\n",
        encoding="utf-8",
    )
    assert tool._yaml_lines([path], ("model",)) == [
        ("one", "`1`", "", "what it is, at length and more"),
        ("two", "`{a: '#'}`", "", "flow"),
        ("three", "`{inner: 1}`", "", "a block"),
        ("four.five", "`null`", "", "nested"),
    ]


def test_a_key_without_a_comment_is_an_error(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text("model:\n  one: 1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no comment says what these keys are for: one"):
        tool._yaml_lines([path], ("model",))
