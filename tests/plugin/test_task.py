"""The task: train output, answers, and the prediction file in the authors' format."""

import gc
import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lavis.common.registry import registry
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.run_folder import read_run
from lavis_sam.plugin.task import MultiImageCaptioningTask


def predicted(identity, **changes):
    return {"sample_id": identity, "pred_response": "p", "gt_response": "g", "target_loss": 1.0, "target_tokens": 1} | (
        changes
    )


def loader(length, batch_size):
    dataset = DummyDataset(length)
    return DataLoader(dataset, batch_size=batch_size, collate_fn=dataset.collater)


def test_registered_and_set_up_from_a_configuration(tmp_path):
    assert registry.get_task_class("multi_image_captioning") is MultiImageCaptioningTask
    task = MultiImageCaptioningTask.setup_task(cfg=dummy_config(tmp_path, decoding={"num_beams": 2}))
    assert task.decoding == {"num_beams": 2}
    assert MultiImageCaptioningTask.setup_task(cfg=dummy_config(tmp_path)).decoding == {}


@pytest.mark.parametrize(
    ("decoding", "message"),
    [({"num_beam": 2}, "run.decoding: unknown key 'num_beam'.*'num_beams'"), ({"num_beams": 0}, "num_beams")],
)
def test_wrong_decoding_shows_before_anything_is_loaded(tmp_path, decoding, message):
    with pytest.raises(SamConfigurationError, match=message):
        MultiImageCaptioningTask.setup_task(cfg=dummy_config(tmp_path, decoding=decoding))


def test_train_output_counts_the_target_tokens():
    batch = next(iter(loader(5, 5)))  # answers of 1, 2, 3, 4 and 5 words
    task, model = MultiImageCaptioningTask(), DummyModel()
    output = task.train_output(model, batch)
    assert output.target_tokens == 15
    assert torch.equal(task.train_step(model, batch), output.loss)
    assert output.loss.requires_grad


def test_evaluation_does_not_depend_on_the_batch_size():
    task, model = MultiImageCaptioningTask({"num_beams": 3}), DummyModel()
    alone, together = (task.evaluation(model, loader(7, size)) for size in (1, 7))
    assert [r["sample_id"] for r in alone] == [f"s{i}" for i in range(7)]
    assert alone[4]["pred_response"] == "question 4 (3 beams)"
    assert alone[4]["gt_response"] == "word word word word word"
    for one, other in zip(alone, together, strict=True):
        assert one == other | {"target_loss": pytest.approx(other["target_loss"], rel=1e-6)}


def test_evaluation_keeps_no_graph():
    model = DummyModel()
    MultiImageCaptioningTask().evaluation(model, loader(2, 2))
    assert model.trained.weight.grad is None


def test_several_captions_a_sample_keep_the_first():
    class Talkative(DummyModel):
        def generate(self, samples, num_captions, **decoding):
            return [f"{prompt} {i}" for prompt in samples["prompt"] for i in range(num_captions)]

    results = MultiImageCaptioningTask({"num_captions": 3}).evaluation(Talkative(), loader(2, 2))
    assert [r["pred_response"] for r in results] == ["question 0 0", "question 1 0"]


def test_after_evaluation_weighs_the_loss_by_tokens_and_scores_the_answers(tmp_path):
    records = [predicted("a", target_loss=1.0, target_tokens=1), predicted("b", target_loss=4.0, target_tokens=3)]
    records[0]["pred_response"] = "g"
    metrics = MultiImageCaptioningTask().after_evaluation(records, "test", "last", result_dir=tmp_path / "mine")
    assert metrics == {
        "samples": 2,
        "loss": pytest.approx(13 / 4),
        "rouge": pytest.approx(50),
        "cider": 0,
        "bleu4": pytest.approx(0, abs=0.1),
        "protocol": "sam",
        "predictions": str(tmp_path / "mine" / "pred.json"),
        "agg_metrics": pytest.approx(-13 / 4),
    }
    (results,) = read_run(tmp_path).results
    assert (results.dataset, results.count, results.made_by["split"]) == ("mine", 2, "test")
    assert results.made_by["decoding"]["num_beams"] == 5


@pytest.mark.parametrize(("by", "wanted"), [("loss", -1.0), ("rouge", 100.0), ("cider", 0.0)])
def test_the_best_checkpoint_may_be_chosen_by_a_score(tmp_path, by, wanted):
    task = MultiImageCaptioningTask(select_best_by=by)
    metrics = task.after_evaluation([predicted(1, pred_response="g")], "val", 0, result_dir=tmp_path)
    assert metrics["agg_metrics"] == pytest.approx(wanted, abs=1e-5)


def test_a_metric_that_is_none_is_refused():
    with pytest.raises(SamConfigurationError, match=r"run.select_best_by: unknown metric 'ruge'.*'rouge'"):
        MultiImageCaptioningTask(select_best_by="ruge")


def test_the_file_is_the_authors_format_and_written_at_once(tmp_path):
    (tmp_path / "pred.json").write_text("an earlier file")
    records = [predicted(1, pred_response="Ü"), predicted("b")]
    MultiImageCaptioningTask().after_evaluation(records, "test", "last", result_dir=tmp_path)
    expected = [
        {"sample_id": 1, "pred_response": "Ü", "gt_response": "g"},
        {"sample_id": "b", "pred_response": "p", "gt_response": "g"},
    ]
    assert json.loads((tmp_path / "pred.json").read_text(encoding="utf-8")) == expected
    files = ["eval.json", "eval_score.json", "manifest.json", "pred.json"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == files


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "0 predictions"),
        ([predicted(1), predicted("1")], "occur more than once: 1"),
        ([predicted(1), predicted("bad", gt_response=" . ")], "empty reference.*'bad'"),
    ],
)
def test_predictions_that_cannot_be_right_are_refused(tmp_path, records, message):
    with pytest.raises(SamDataError, match=message):
        MultiImageCaptioningTask().after_evaluation(records, "test", "last", result_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_empty_answer_scores_nothing(tmp_path):
    records = [predicted(1, pred_response=""), predicted(2, pred_response="g")]
    metrics = MultiImageCaptioningTask().after_evaluation(records, "test", "last", result_dir=tmp_path)
    assert metrics["rouge"] == pytest.approx(50)
    assert json.loads((tmp_path / "eval_score.json").read_text())[0] == {"id": 1, "rouge": 0, "cider": 0, "bleu4": 0}


def test_answers_are_kept_and_not_asked_for_again(tmp_path):
    task, model, place = (
        MultiImageCaptioningTask(),
        DummyModel(),
        {"dataset": "mine", "result_dir": tmp_path},
    )
    first = task.evaluation(model, loader(5, 2), **place)
    assert sorted(name for call in model.calls for name in call) == [f"s{i}" for i in range(5)]
    model.calls.clear()
    assert task.evaluation(model, loader(5, 2), **place) == first
    assert model.calls == []


def test_other_weights_are_refused_or_begin_anew(tmp_path):
    task, model, place = (
        MultiImageCaptioningTask(),
        DummyModel(),
        {"dataset": "mine", "result_dir": tmp_path},
    )
    task.evaluation(model, loader(3, 2), **place)
    model.trained.weight.data += 1
    model.calls.clear()
    with pytest.raises(SamDataError, match=r"made otherwise(.|\n)*weights: then \"[0-9a-f]{64}\", now \"[0-9a-f]{64}"):
        task.evaluation(model, loader(3, 2), **place)
    assert model.calls == []
    task.evaluation(model, loader(3, 2), restart=True, **place)
    assert sum(map(len, model.calls)) == 3


def test_unknown_names_list_the_valid_ones():
    task = MultiImageCaptioningTask()
    unknown_model = SimpleNamespace(model_cfg=OmegaConf.create({"arch": "blip2_vicuna_spam"}))
    with pytest.raises(SamConfigurationError, match=r"unknown model 'blip2_vicuna_spam'.*'blip2_vicuna_sam'.*Valid: "):
        task.build_model(unknown_model)
    with pytest.raises(SamConfigurationError, match=r"unknown data set 'mmlnk'.*'mmlink'.*Valid: "):
        task.build_datasets(SimpleNamespace(datasets_cfg=OmegaConf.create({"mmlnk": {}})))
    with pytest.raises(SamConfigurationError, match="at least one data set"):
        task.build_datasets(SimpleNamespace(datasets_cfg=OmegaConf.create({})))


ANSWERS = [
    {"sample_id": f"s{i}", "pred_response": "a", "gt_response": "a b", "target_loss": 1.0, "target_tokens": 2}
    for i in range(3)
]


def test_after_evaluation_writes_whole_files_and_closes_them(tmp_path):
    task = MultiImageCaptioningTask()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        found = task.after_evaluation(val_result=ANSWERS, split_name="val", epoch=0, result_dir=tmp_path)
        gc.collect()
    assert not [warning for warning in caught if warning.category is ResourceWarning]
    before = Path(found["predictions"]).read_text()
    assert [answer["sample_id"] for answer in json.loads(before)] == ["s0", "s1", "s2"]
    broken = [ANSWERS[0] | {"gt_response": object(), "pred_response": object()}]
    with pytest.raises(Exception, match="object"):
        task.after_evaluation(val_result=broken, split_name="val", epoch=0, result_dir=tmp_path)
    assert Path(found["predictions"]).read_text() == before


def test_build_model_lists_the_known_names():
    cfg = SimpleNamespace(model_cfg=OmegaConf.create({"arch": "blip2_vicuna_sm"}))
    with pytest.raises(SamConfigurationError, match=r"model.arch: .*Did you mean 'blip2_vicuna_sam'\?.*Valid: "):
        MultiImageCaptioningTask().build_model(cfg)
