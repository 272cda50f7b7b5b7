"""This package's model against stored results, and the comparison against damaged ones."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from helpers.parity_cases import edit_settings, edit_tensors
from lavis_sam.errors import SamDataError
from lavis_sam.parity.report import run_folder

pytestmark = pytest.mark.parity
HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
DUE = [
    "out.vit_features",
    "out.adaptive_weights",
    "out.merged_context",
    "out.q_before_last",
    "out.w_before_last",
    "out.query_output",
    "out.visual_tokens",
    "out.visual_tokens_4d",
    "out.visual_tokens_n1_5d",
    "out.loss",
    "out.loss_4d",
    "out.logits",
]


def failures(report):
    return [(case.name, row) for case in report.cases for row in case.comparisons if row.verdict == "FAIL"]


def rows_of(report):
    return {row.array: row for row in report.cases[0].comparisons}


def test_the_model_is_the_authors_model():
    report = run_folder(FIXTURES)
    assert failures(report) == []
    assert report.passed
    assert [case.name for case in report.cases] == ["A", "B"]
    for case in report.cases:
        verdicts = {row.array: row.verdict for row in case.comparisons}
        stored = load_file(FIXTURES / f"case_{case.name}_io.safetensors")
        gradients = [name for name in stored if name.startswith("out.grad.")]
        settings = json.loads((FIXTURES / f"case_{case.name}.json").read_text())["generate"]
        sequences = [f"out.gen_{setting}_sequences" for setting in settings]
        texts = [f"generated_text.{setting}" for setting in settings]
        assert len(gradients) == 8
        assert len(settings) == 4
        for name in DUE + gradients + sequences + texts:
            assert verdicts[name] == "pass", name
        assert "absent" not in verdicts.values()


def test_the_tolerances_are_the_promised_ones():
    report = run_folder(FIXTURES)
    for case in report.cases:
        stored = load_file(FIXTURES / f"case_{case.name}_io.safetensors")
        for row in case.comparisons:
            if row.array.startswith("out.loss"):
                assert row.tolerance == 1e-5
            elif row.array == "out.grad.attn.bias":
                assert row.tolerance == 1e-6
            elif row.array.startswith("out.grad."):
                assert row.tolerance == pytest.approx(1e-4 * float(stored[row.array].abs().max()))
            elif row.array in DUE and row.array != "out.logits":
                assert row.tolerance == 5e-5
            elif "sequences" in row.array:
                assert row.tolerance is None


def test_it_also_holds_where_the_authors_cases_do_not_look():
    report = run_folder(HERE / "independent")
    assert failures(report) == []
    assert [case.name for case in report.cases] == ["odd_depth", "ragged", "untrained_single"]
    assert report.count("absent") == report.count("skipped") == 0
    assert report.count("pass") > 80


@pytest.mark.parametrize(
    ("weight", "first"),
    [
        ("visual_encoder.blocks.1.attn.v_bias", "out.vit_features"),
        ("ln_vision.bias", "out.vit_features"),
        ("attn.weight", "out.adaptive_weights"),
        ("Qformer.bert.encoder.layer.0.output.dense.bias", "out.q_before_last"),
        ("Qformer.bert.encoder.layer.2.crossattention.self.key.weight", "out.q_before_last"),
        ("Qformer.bert.encoder.one_2_muliple.0.weight", "out.query_output"),
        ("Qformer.bert.encoder.multiple_2_one.0.bias", "out.query_output"),
        ("query_tokens", "out.q_before_last"),
        ("llm_proj.bias", "out.visual_tokens"),
        ("llm_model.model.layers.1.mlp.up_proj.weight", "out.loss_4d"),
        ("llm_model.lm_head.weight", "out.loss_4d"),
    ],
)
def test_a_changed_weight_is_noticed_where_it_acts_first(folder, weight, first):
    def change(weights):
        torch.manual_seed(0)
        weights[weight] += 0.02 * torch.randn_like(weights[weight])

    edit_tensors(folder, "weights", change)
    report = run_folder(folder)
    assert not report.passed
    assert failures(report)[0][1].array == first


@pytest.mark.parametrize(
    ("array", "change"),
    [
        ("out.visual_tokens", lambda a: a.add_(1e-4)),
        ("out.loss", lambda a: a.add_(2e-5)),
        ("out.grad.llm_proj.weight", lambda a: a.mul_(1.001)),
        ("out.grad.attn.bias", lambda a: a.add_(1e-5)),
        ("out.w_before_last", lambda a: a[0, 0].fill_(float("nan"))),
        ("in.qformer_input_ids", lambda a: a[0, 3].add_(1)),
        ("out.logits", lambda a: a[:, -3].add_(1e-2)),
    ],
)
def test_a_changed_result_fails_alone(folder, array, change):
    edit_tensors(folder, "io", lambda arrays: change(arrays[array]))
    report = run_folder(folder)
    assert [row.array for _, row in failures(report)] == [array]
    json.dumps(report.as_dict(), allow_nan=False)


def test_what_is_not_compared_cannot_fail(folder):
    """Logits where nothing is predicted, and whatever the authors stored beyond what a verdict is due on."""

    def change(arrays):
        arrays["out.logits"][:, 0] += 1
        arrays["out.k_of_another_day"] = torch.ones(1)

    edit_tensors(folder, "io", change)
    assert run_folder(folder).passed


def test_generated_tokens_and_texts_must_be_equal(folder):
    def change(settings):
        settings["generate"] = {"greedy": {"num_beams": 1, "repetition_penalty": 1.0, "max_length": 40}}
        settings["generated_text"]["greedy"][1] += "."

    edit_settings(folder, change)
    edit_tensors(folder, "io", lambda arrays: arrays["out.gen_greedy_sequences"][0, 5].add_(1))
    failed = {row.array: row.note for _, row in failures(run_folder(folder))}
    assert set(failed) == {"out.gen_greedy_sequences", "generated_text.greedy"}
    assert failed["out.gen_greedy_sequences"] == "1 of 32 differ"
    assert "1 of 2 differ, first: 'eoemage" in failed["generated_text.greedy"]


def test_sampled_text_is_skipped_by_name(folder):
    sampled = {"num_beams": 1, "use_nucleus_sampling": True, "max_length": 5}
    edit_settings(folder, lambda settings: settings.update(generate={"sampled": sampled}))
    report = run_folder(folder)
    assert report.passed
    assert rows_of(report)["out.gen_sampled_sequences"].verdict == "skipped"


def test_an_array_that_is_not_there_is_said_to_be_absent(folder):
    def change(arrays):
        for name in ("out.merged_context", "out.loss_4d", "in.labels", "out.llm_full_attention_mask"):
            del arrays[name]

    edit_tensors(folder, "io", change)
    report = run_folder(folder)
    assert report.passed
    absent = [name for name, row in rows_of(report).items() if row.verdict == "absent"]
    assert absent == ["out.merged_context", "out.loss_4d", "in.labels", "out.inputs_embeds", "out.logits"]
    assert "5 absent" in report.summary()


def test_a_case_with_nothing_to_compare_is_an_error_not_a_success(folder):
    def change(arrays):
        for name in [name for name in arrays if name != "in.image"]:
            del arrays[name]

    edit_tensors(folder, "io", change)
    with pytest.raises(SamDataError, match="holds no array that can be compared"):
        run_folder(folder)


def test_a_gradient_of_a_parameter_that_does_not_exist_is_an_error(folder):
    edit_tensors(folder, "io", lambda arrays: arrays.update({"out.grad.other.weight": torch.ones(1)}))
    with pytest.raises(SamDataError, match=r"other\.weight"):
        run_folder(folder)


def test_a_gradient_that_never_arrives_fails(folder):
    """As if a layer were cut off from the loss: no gradient is compared as zero."""
    edit_tensors(
        folder, "io", lambda arrays: arrays.update({"out.grad.visual_encoder.pos_embed": torch.ones(1, 17, 48)})
    )
    assert [row.array for _, row in failures(run_folder(folder))] == ["out.grad.visual_encoder.pos_embed"]
