"""Any model under the same data, prompts and protocol."""

import json

import pytest

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.evaluate import evaluate
from lavis_sam.evaluation.model import ImageTextModel
from lavis_sam.evaluation.run_folder import read_results


class Parrot(ImageTextModel):
    """Answers with the names of the images; refuses one sample."""

    def __init__(self, refuses=None, **described):
        self.refuses, self.described, self.asked = (
            refuses,
            {"model": "parrot", "decoding": {"beams": 1}} | described,
            [],
        )

    def describe(self):
        return self.described

    def answer(self, samples):
        for one in samples:
            if one.id == self.refuses:
                raise SamDataError(f"sample {one.id!r}: no answer")
            self.asked.append((one.id, one.instruction, [image.size for image in one.images]))
        return [" ".join(one.sample.images) if one.id != "silent" else "" for one in samples]


@pytest.fixture
def dataset(tmp_path):
    records = [
        record("a", output="one.png two.png"),
        record("b", img_list=["one.png"], output="x. y", references=["x", "y"]),
        record("silent", img_list=["one.png", "two.png", "three.png"]),
    ]
    path = write_dataset(tmp_path / "data", records)
    return MultiImageDataset(read_annotations(path, path.parent), FolderImages(path.parent))


def test_every_sample_is_asked_once_with_its_images(dataset, tmp_path):
    parrot = Parrot()
    results = evaluate(dataset, parrot, tmp_path / "run" / "mine", name="mine", prompts="default", batch_size=2)
    assert sorted(parrot.asked) == [
        ("a", "What?", [(12, 10)] * 2),
        ("b", "What?", [(12, 10)]),
        ("silent", "What?", [(12, 10)] * 3),
    ]
    assert results == read_results(tmp_path / "run" / "mine")
    assert (results.dataset, results.protocol, results.count) == ("mine", "sam", 3)
    assert results.made_by["model"] == "parrot"
    assert results.made_by["decoding"] == {"beams": 1}
    assert results.made_by["prompts"] == "default"
    scores = json.loads((tmp_path / "run" / "mine" / "eval_score.json").read_text())
    assert [round(entry["rouge"], 3) for entry in scores] == [1, 0, 0]
    predictions = json.loads((tmp_path / "run" / "mine" / "pred.json").read_text())
    assert predictions[1]["references"] == ["x", "y"]


def test_an_interrupted_evaluation_goes_on(dataset, tmp_path):
    with pytest.raises(SamDataError, match="sample 'b': no answer"):
        evaluate(dataset, Parrot(refuses="b"), tmp_path / "mine", name="mine")
    again = Parrot()
    assert evaluate(dataset, again, tmp_path / "mine", name="mine").count == 3
    assert [name for name, _, _ in again.asked] == ["b"]


def test_another_model_or_other_data_are_refused(dataset, tmp_path):
    evaluate(dataset, Parrot(), tmp_path / "mine", name="mine")
    with pytest.raises(SamDataError, match='model: then "parrot", now "crow"'):
        evaluate(dataset, Parrot(model="crow"), tmp_path / "mine", name="mine")
    dataset.annotation.pop()
    with pytest.raises(SamDataError, match=r'data: then "\w+", now "\w+"'):
        evaluate(dataset, Parrot(), tmp_path / "mine", name="mine")


def test_what_cannot_be_scored_is_refused_before_anything_is_asked(tmp_path):
    path = write_dataset(tmp_path, [record("a"), record("dots", output="...")])
    dataset, parrot = MultiImageDataset(read_annotations(path, tmp_path), FolderImages(tmp_path)), Parrot()
    with pytest.raises(SamDataError, match=r"empty reference.*'dots'"):
        evaluate(dataset, parrot, tmp_path / "mine", name="mine")
    assert parrot.asked == []


def test_a_wrong_number_of_answers_is_refused(dataset, tmp_path):
    parrot = Parrot()
    parrot.answer = lambda samples: ["one", "two"]
    with pytest.raises(SamConfigurationError, match=r"Parrot gave 2 answers to 1 samples"):
        evaluate(dataset, parrot, tmp_path / "mine", name="mine")


def test_half_characters_become_question_marks(dataset, tmp_path):
    parrot = Parrot()
    parrot.answer = lambda samples: ["a\ud800b" for _ in samples]
    evaluate(dataset, parrot, tmp_path / "mine", name="mine")
    predictions = json.loads((tmp_path / "mine" / "pred.json").read_text(encoding="utf-8"))
    assert {entry["pred_response"] for entry in predictions} == {"a?b"}
