"""Settings of a case that make no sense."""

import pytest

from helpers.parity_cases import edit_settings
from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError
from lavis_sam.parity.report import run_folder

pytestmark = pytest.mark.parity


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s: s["config"]["vit"].pop("depth"), SamDataError, r"case_A\.json: config\.vit\.depth is None"),
        (lambda s: s["config"]["vit"].update(depth="2"), SamDataError, r"config\.vit\.depth is '2', .* type int"),
        (lambda s: s["config"]["vit"].update(depth=True), SamDataError, r"config\.vit\.depth is True"),
        (lambda s: s["config"]["vit"].update(depth=3), SamCheckpointError, r"missing: visual_encoder\.blocks\.2"),
        (lambda s: s["config"]["qformer"].update(num_layers=3), SamCheckpointError, r"unexpected: .*layer\.3"),
        (lambda s: s["config"]["llm"].update(intermediate_size=81), SamCheckpointError, r"\[80, 40\] in the file"),
        (lambda s: s["config"]["qformer"].update(num_heads=5), SamConfigurationError, r"heads 5"),
        (lambda s: s["config"]["qformer"].update(cross_attention_freq=0), SamDataError, r"cross_attention_freq is 0"),
        (lambda s: s.update(text_input="one text"), SamDataError, r"text_input is 'one text'"),
        (lambda s: s.update(text_input=["one text"]), SamDataError, r"2"),
        (lambda s: s.update(text_output=[1, 2]), SamDataError, r"text_output is \[1, 2\]"),
        (lambda s: s.update(generate={"x": {"beams": 5}}), SamConfigurationError, r"generate\.x: unknown .*'beams'"),
        (lambda s: s.update(generate={"x": {"num_beams": 0}}), SamConfigurationError, r"num_beams"),
        (lambda s: s.update(generate={"x": 5}), SamDataError, r"generate\.x is 5"),
    ],
)
def test_settings_that_make_no_sense_are_clear_errors(folder, change, error, words):
    edit_settings(folder, change)
    with pytest.raises(error, match=words):
        run_folder(folder)
