"""An exported task of lmms-eval."""

import json

import yaml

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.exchange.lmms_eval import write_lmms_eval


def test_documents_and_task(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    records = [record(1), record("b", references=["A.", "B."], instruction='"quoted"\n{image#2}', output="A. B.")]
    samples = read_annotations(write_dataset(root, records), root)
    task, documents = write_lmms_eval(samples, root, tmp_path / "a: folder", "my_pairs")
    assert (task.name, documents.name) == ("my_pairs.yaml", "my_pairs.jsonl")
    first, second = map(json.loads, documents.read_text(encoding="utf-8").splitlines())
    images = [str(root / "one.png"), str(root / "two.png")]
    assert first == {
        "sample_id": "1",
        "images": images,
        "instruction": "What?",
        "gt_response": "An answer.",
        "references": ["An answer."],
    }
    assert second["references"] == ["A.", "B."]
    assert second["instruction"] == '"quoted"\n{image#2}'
    read = yaml.safe_load(task.read_text(encoding="utf-8").replace("!function ", ""))
    assert read["task"] == "my_pairs"
    assert read["dataset_kwargs"]["data_files"]["test"] == str(documents)
    assert read["generation_kwargs"] == {"until": []}
