"""Numbers in files that YAML 1.1 takes for others."""

import pytest

from lavis_sam.config.yaml_files import read_yaml
from lavis_sam.errors import SamConfigurationError


@pytest.mark.parametrize(("written", "misread"), [("042", 34), ("1:30", 90), ("-0_17", -15), ("1:30.5", 90.5)])
@pytest.mark.parametrize("text", ["run:\n  seed: {}\n", "a: [1,\n  {}]\n", "a:\n  {}: b\n"])
def test_read_yaml_names_a_misread_number_with_its_line(tmp_path, written, misread, text):
    path = tmp_path / "run.yaml"
    path.write_text(text.format(written))
    with pytest.raises(SamConfigurationError) as caught:
        read_yaml(path, "--cfg-path")
    assert f"--cfg-path: {path}, line 2: found {written}, which YAML 1.1 reads as {misread};" in str(caught.value)


def test_read_yaml_keeps_what_is_not_ambiguous(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("a: '042'\nb: 007\nc: 1e-4\nd: 0.5\ne: &x [a, 0x10]\nf: *x\ng: \"1:30\"\nh: 1_000\n")
    values = {"a": "042", "b": 7, "c": 1e-4, "d": 0.5, "e": ["a", 16], "f": ["a", 16], "g": "1:30", "h": 1000}
    assert read_yaml(path, "--cfg-path") == values


@pytest.mark.parametrize(
    ("text", "place"),
    [("a:\n  b: 1\n c: 2\n", "line 3, column 2"), ("a:\n\tb: 1\n", "line 2, column 1"), ("a: 1\na: 2\n", "2")],
)
def test_read_yaml_names_the_line_that_is_wrong_on_one_line(tmp_path, text, place):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SamConfigurationError, match=place) as caught:
        read_yaml(path, "--cfg-path")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: {", "a: &x [*x]", "[" * 5000, "a: \x07"])
def test_read_yaml_of_what_is_no_yaml(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SamConfigurationError, match=r"is no YAML|is nested too deeply"):
        read_yaml(path, "--cfg-path")
