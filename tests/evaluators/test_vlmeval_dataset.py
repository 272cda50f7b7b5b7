"""Our exports as data sets of VLMEvalKit, and their scores."""

import csv
import json
from importlib import import_module

import pytest

from helpers import fake_vlmeval
from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.exchange.vlmevalkit import COLUMNS, write_vlmevalkit
from lavis_sam.errors import SamDataError
from lavis_sam.evaluators.scoring import NAMES, corpus_score


@pytest.fixture(scope="module")
def module():
    with fake_vlmeval.installed():
        yield import_module("lavis_sam.evaluators.vlmeval_dataset")


@pytest.fixture
def exported(tmp_path, monkeypatch):
    """LMUData's folder with a data set of ours, whose texts a reader of tables could take for something else."""
    monkeypatch.setenv("LMUData", str(tmp_path))
    root = tmp_path / "data"
    root.mkdir()
    texts = ("NA", 'A "cat"\tor\ntwo.', "007")
    records = [record(text, instruction=text, output=f"{text} on the mat") for text in texts]
    write_vlmevalkit(read_annotations(write_dataset(root, records), root), root, tmp_path, "pairs")
    return tmp_path


def test_only_our_exports_are_known(module, exported):
    (exported / "BLINK.tsv").write_text("index\timage\tquestion\n")
    (exported / "empty.tsv").write_text("")
    assert module.ExportedDataset.supported_datasets() == ["pairs"]


def test_texts_are_read_as_they_were_written(module, exported):
    table = module.ExportedDataset().load_data("pairs")
    assert tuple(table.columns) == COLUMNS
    assert list(table["question"]) == ["NA", 'A "cat"\tor\ntwo.', "007"]


def answered(folder, answers):
    """Write the table that VLMEvalKit makes: without images, with answers."""
    with (folder / "pairs.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    path = folder / "lavis_sam_pairs.tsv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["index", "lavis_sam_sample", "prediction"], dialect="excel-tab", quoting=1)
        writer.writeheader()
        for row, answer in zip(rows, answers, strict=True):
            writer.writerow({key: row[key] for key in ("index", "lavis_sam_sample")} | {"prediction": answer})
    return path


def test_scores_are_those_of_both_protocols(module, exported):
    answers = ["NA", "", "007 on the mat"]
    row = module.ExportedDataset().evaluate(str(answered(exported, answers))).iloc[0]
    records = json.loads((exported / "lavis_sam_pairs_predictions.json").read_text())
    assert [one["pred_response"] for one in records] == answers
    assert [one["references"] for one in records] == [
        ["NA on the mat"],
        ['A "cat"\tor\ntwo. on the mat'],
        ["007 on the mat"],
    ]
    scores = json.loads((exported / "lavis_sam_pairs_scores.json").read_text())
    assert set(scores) == set(NAMES)
    for name in NAMES:
        assert row[name] == scores[name] == corpus_score(records, name)
    assert scores["sam_rouge"] > 0


def test_a_table_without_samples_is_refused(module, tmp_path):
    (tmp_path / "other.tsv").write_text("index\tprediction\n0\tyes\n")
    with pytest.raises(SamDataError, match=r"other\.tsv: found no column lavis_sam_sample"):
        module.ExportedDataset().evaluate(str(tmp_path / "other.tsv"))


def test_answers_of_a_stopped_run_come_back_as_they_were(module, exported):
    load = module.exact_load(lambda path: f"loaded {path}")
    table = load(str(answered(exported, ["NA", "", "007"])))
    assert list(table["prediction"]) == ["NA", "", "007"]
    (exported / "numbers.tsv").write_text("index\tprediction\n0\t1\n1\t2\n")
    assert list(load(str(exported / "numbers.tsv"))["index"]) == [0, 1]
    assert load("other.pkl") == "loaded other.pkl"
