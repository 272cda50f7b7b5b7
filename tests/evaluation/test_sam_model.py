"""SAM as an evaluation model: one visual path for answers and losses, the same answers as `generate`."""

import pytest
import torch

from helpers.dummies import DummyDataset, DummyModel
from helpers.models import TEXTS, random_batch, small_model
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.evaluation.evaluate import answer_samples
from lavis_sam.evaluation.prediction_log import OtherAnswersError
from lavis_sam.evaluation.sam_model import SamModel, sam_provenance, warn_if_untrained
from lavis_sam.models.decoding import Decoding

DECODING = Decoding(num_beams=2, max_length=8)


@pytest.fixture
def batch():
    batch = random_batch([2, 1, 3])
    count = len(batch["image"])
    return batch | {
        "text_input": TEXTS[:count],
        "text_output": [f"answer {i}" for i in range(count)],
        "sample_id": list(range(count)),
        "references": [["x"], [], ["y"]][:count],
    }


def test_vit_and_q_former_run_once_per_evaluation_batch(batch):
    model, runs = small_model(), {"vit": 0, "projection": 0}

    def count(name):
        def hook(*_):
            runs[name] += 1

        return hook

    model.visual_encoder.register_forward_hook(count("vit"))
    model.llm_proj.register_forward_hook(count("projection"))
    SamModel(model, DECODING).records(batch)
    assert runs == {"vit": 1, "projection": 1}


def test_records_are_what_loss_and_generate_say(batch):
    model = small_model().eval()
    records = SamModel(model, DECODING).records(batch)
    with torch.no_grad():
        output = model(batch)
    texts = model.generate({**batch, "prompt": batch["text_input"]}, num_beams=2, max_length=8)
    assert [record["pred_response"] for record in records] == texts
    assert [record["target_loss"] for record in records] == pytest.approx(output["per_sample_loss"].tolist())
    assert [record["target_tokens"] for record in records] == output["target_tokens"].tolist()
    assert [record.get("references") for record in records] == [one or None for one in batch["references"]]


def test_answers_keep_no_graph(batch):
    model = small_model()
    SamModel(model, DECODING).records(batch)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_description_holds_what_answers_depend_on():
    config = {
        "model": {"arch": "a", "model_type": "tiny", "guidance": {"layer_l": 3}, "base": "/somewhere"},
        "datasets": {
            "vist": {"vis_processor": {"eval": {"image_size": 56}}, "build_info": {"prompt_set": "published"}}
        },
    }
    described = SamModel(DummyModel(), DECODING, config=config, dataset="vist").describe()
    assert described["model"] == {"arch": "a", "model_type": "tiny", "guidance": {"layer_l": 3}}
    assert described["pictures"] == {"image_size": 56}
    assert described["decoding"]["num_beams"] == 2
    provenance = sam_provenance(config, "vist", DECODING, weights="w", split="val")
    assert (provenance.model, provenance.prompts, provenance.weights) == ("a tiny", "published", "w")
    assert sam_provenance({}, "vist", DECODING, weights=None, split="val").config is None


@pytest.mark.parametrize(
    ("place", "one", "other"),
    [
        ("model.prompt", "What?", "Why?"),
        ("model.lora", {"alpha": 8}, {"alpha": 16}),
        ("model.inject", {"lora": {"alpha": 8}}, {"lora": {"alpha": 16}}),
        ("model.inject", {"vpg_c": {"layer": 2}}, {"vpg_c": {"layer": 3}}),
        ("model.inject", {}, {"vpg_c": {"instruction": False}}),
        ("datasets.vist.text_processor.eval", {"name": "sam_text"}, {"name": "mine", "template": "Question: {}"}),
        (
            "datasets.vist.text_processor.eval",
            {"name": "mine", "template": "Q: {}"},
            {"name": "mine", "template": "{}"},
        ),
    ],
)
def test_answers_under_other_settings_are_never_taken_for_these(tmp_path, place, one, other):
    """Weights, decoding, ids and instructions are the same each time."""

    def answers(value):
        node = config = {}
        *above, last = place.split(".")
        for key in above:
            node = node.setdefault(key, {})
        node[last] = value
        model = SamModel(DummyModel(), DECODING, config=config, dataset="vist")
        return answer_samples(EvaluationLoader(DummyDataset(3), 2), model, tmp_path, name="vist")[0]

    assert answers(one) == answers(one)
    with pytest.raises(OtherAnswersError, match=r"then .*, now "):
        answers(other)


def test_what_takes_no_part_in_answers_is_no_part_of_their_description():
    config = {
        "model": {"inject": {"query_words": {"data": "/a"}, "patch_words": {"data": "/b"}}, "lora": {}},
        "datasets": {"vist": {"text_processor": {"eval": {"name": "sam_text"}, "train": {"name": "mine"}}}},
    }
    described = SamModel(DummyModel(), DECODING, config=config, dataset="vist").describe()
    assert described == SamModel(DummyModel(), DECODING).describe()


def test_nothing_is_described_where_nothing_is_kept(monkeypatch):
    """A validation without a folder has no use for a fingerprint of billions of weights."""
    monkeypatch.setattr(SamModel, "describe", lambda self: pytest.fail("described"))
    records, described = answer_samples(EvaluationLoader(DummyDataset(3), 2), SamModel(DummyModel()), None, name="mine")
    assert len(records) == 3
    assert described == {}


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (small_model(zero=True), False),
        (small_model(zero=True, extractor="linear"), False),
        (small_model(), True),
        (small_model(extractor="none"), None),
    ],
)
def test_results_and_log_say_that_sams_layers_are_untrained(model, wanted, caplog):
    assert SamModel(model, DECODING).provenance({}, split="test").is_trained is wanted
    warn_if_untrained(model)
    assert ("SAM'S LAYERS ARE UNTRAINED" in caplog.text) == (wanted is False)
