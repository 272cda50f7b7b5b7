"""The task: train output, answers, and the prediction file in the authors' format."""

import json
from types import SimpleNamespace

import pytest
import torch
from lavis.common.registry import registry
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from helpers.stand_in import StandInDataset, StandInModel, stand_in_config
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.tasks.multi_image_captioning import MultiImageCaptioningTask, interleaved, to_device


def predicted(identity, **changes):
    return {"sample_id": identity, "pred_response": "p", "gt_response": "g", "target_loss": 1.0, "target_tokens": 1} | (
        changes
    )


def loader(length, batch_size):
    dataset = StandInDataset(length)
    return DataLoader(dataset, batch_size=batch_size, collate_fn=dataset.collater)


def test_registered_and_set_up_from_a_configuration(tmp_path):
    assert registry.get_task_class("multi_image_captioning") is MultiImageCaptioningTask
    task = MultiImageCaptioningTask.setup_task(cfg=stand_in_config(tmp_path, decoding={"num_beams": 2}))
    assert task.decoding == {"num_beams": 2}
    assert MultiImageCaptioningTask.setup_task(cfg=stand_in_config(tmp_path)).decoding == {}


@pytest.mark.parametrize(
    ("decoding", "message"),
    [({"num_beam": 2}, "run.decoding: unknown key 'num_beam'.*'num_beams'"), ({"num_beams": 0}, "num_beams")],
)
def test_wrong_decoding_shows_before_anything_is_loaded(tmp_path, decoding, message):
    with pytest.raises(SamConfigurationError, match=message):
        MultiImageCaptioningTask.setup_task(cfg=stand_in_config(tmp_path, decoding=decoding))


def test_train_output_counts_the_target_tokens():
    batch = next(iter(loader(5, 5)))  # answers of 1, 2, 3, 4 and 5 words
    task, model = MultiImageCaptioningTask(), StandInModel()
    output = task.train_output(model, batch)
    assert output.target_tokens == 15
    assert torch.equal(task.train_step(model, batch), output.loss)
    assert output.loss.requires_grad


def test_evaluation_does_not_depend_on_the_batch_size():
    task, model = MultiImageCaptioningTask({"num_beams": 3}), StandInModel()
    alone, together = (task.evaluation(model, loader(7, size)) for size in (1, 7))
    assert [r["sample_id"] for r in alone] == [f"s{i}" for i in range(7)]
    assert alone[4]["pred_response"] == "question 4 (3 beams)"
    assert alone[4]["gt_response"] == "word word word word word"
    for one, other in zip(alone, together, strict=True):
        assert one == other | {"target_loss": pytest.approx(other["target_loss"], rel=1e-6)}


def test_evaluation_keeps_no_graph():
    model = StandInModel()
    MultiImageCaptioningTask().evaluation(model, loader(2, 2))
    assert model.trained.weight.grad is None


def test_several_captions_a_sample_keep_the_first():
    class Talkative(StandInModel):
        def generate(self, samples, num_captions, **decoding):
            return [f"{prompt} {i}" for prompt in samples["prompt"] for i in range(num_captions)]

    results = MultiImageCaptioningTask({"num_captions": 3}).evaluation(Talkative(), loader(2, 2))
    assert [r["pred_response"] for r in results] == ["question 0 0", "question 1 0"]


def test_after_evaluation_weighs_the_loss_by_tokens(tmp_path):
    records = [predicted("a", target_loss=1.0, target_tokens=1), predicted("b", target_loss=4.0, target_tokens=3)]
    metrics = MultiImageCaptioningTask().after_evaluation(records, "test", "last", result_dir=tmp_path)
    assert metrics == {
        "samples": 2,
        "loss": pytest.approx(13 / 4),
        "predictions": str(tmp_path / "pred.json"),
        "agg_metrics": pytest.approx(-13 / 4),
    }


def test_the_file_is_the_authors_format_and_written_at_once(tmp_path):
    (tmp_path / "pred.json").write_text("an earlier file")
    task = MultiImageCaptioningTask()
    path = task.save_result([predicted(1, pred_response="Ü"), predicted("b")], tmp_path)
    expected = [
        {"sample_id": 1, "pred_response": "Ü", "gt_response": "g"},
        {"sample_id": "b", "pred_response": "p", "gt_response": "g"},
    ]
    assert json.loads(path.read_text(encoding="utf-8")) == expected
    assert [entry.name for entry in tmp_path.iterdir()] == ["pred.json"]


@pytest.mark.parametrize(
    ("records", "message"), [([], "0 predictions"), ([predicted(1), predicted("1")], "'1' was predicted twice")]
)
def test_predictions_that_cannot_be_right_are_refused(tmp_path, records, message):
    with pytest.raises(SamDataError, match=message):
        MultiImageCaptioningTask().save_result(records, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [0, 1, 4, 5, 6, 7])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_interleaved_undoes_the_split_over_ranks(length, ranks):
    assert interleaved([list(range(rank, length, ranks)) for rank in range(ranks)]) == list(range(length))


def test_unknown_names_list_the_valid_ones():
    task = MultiImageCaptioningTask()
    unknown_model = SimpleNamespace(model_cfg=OmegaConf.create({"arch": "blip2_vicuna_spam"}))
    with pytest.raises(SamConfigurationError, match=r"unknown model 'blip2_vicuna_spam'.*'blip2_vicuna_sam'.*Valid: "):
        task.build_model(unknown_model)
    with pytest.raises(SamConfigurationError, match=r"unknown data set 'mmlnk'.*'mmlink'.*Valid: "):
        task.build_datasets(SimpleNamespace(datasets_cfg=OmegaConf.create({"mmlnk": {}})))
    with pytest.raises(SamConfigurationError, match="at least one data set"):
        task.build_datasets(SimpleNamespace(datasets_cfg=OmegaConf.create({})))


def test_to_device_moves_tensors_and_keeps_the_rest():
    moved = to_device({"image": torch.ones(2), "sample_id": ["a"]}, torch.device("meta"))
    assert moved["image"].device.type == "meta"
    assert moved["sample_id"] == ["a"]
