"""What an exported task of lmms-eval names is there and does what the task says."""

import pytest
import yaml
from PIL import Image

from helpers.dummies import record, write_dataset
from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.exchange.lmms_eval import METRICS, write_lmms_eval
from lavis_sam.errors import SamDataError
from lavis_sam.evaluators import lmms_eval_task
from lavis_sam.evaluators.scoring import NAMES, corpus_score

DOCUMENT = {"sample_id": "1", "instruction": "What?", "gt_response": "A cat.", "references": ["A cat."]}


def test_images_in_their_order(tmp_path):
    for name, colour in (("b.png", "red"), ("a.png", "blue")):
        Image.new("RGB", (4, 4), colour).save(tmp_path / name)
    document = {**DOCUMENT, "images": [str(tmp_path / "b.png"), str(tmp_path / "a.png")]}
    assert [image.getpixel((0, 0)) for image in lmms_eval_task.doc_to_visual(document)] == [(255, 0, 0), (0, 0, 255)]
    assert lmms_eval_task.doc_to_text(document) == "What?"
    with pytest.raises(SamDataError, match=r"absent\.png"):
        lmms_eval_task.doc_to_visual({**DOCUMENT, "images": [str(tmp_path / "absent.png")]})


def test_results_are_scored_as_a_corpus():
    results = lmms_eval_task.process_results(DOCUMENT, ["A cat"])
    assert set(results) == set(NAMES)
    assert lmms_eval_task.sam_rouge([results["sam_rouge"]]) == corpus_score([results["sam_rouge"]], "sam_rouge") > 0
    with pytest.raises(AttributeError, match="sam_meteor"):
        _ = lmms_eval_task.sam_meteor


def test_an_exported_task_names_functions_that_exist(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    samples = read_annotations(write_dataset(root, [record(1)]), root)
    task, _ = write_lmms_eval(samples, root, tmp_path / "tasks", "pairs")
    functions = [line.split("!function ")[1] for line in task.read_text().splitlines() if "!function" in line]
    assert len(functions) == 3 + len(NAMES)
    for function in functions:
        module, name = function.rsplit(".", 1)
        assert module == lmms_eval_task.__name__
        assert callable(getattr(lmms_eval_task, name))
    metrics = yaml.safe_load(task.read_text().replace("!function ", ""))["metric_list"]
    assert tuple(metric["metric"] for metric in metrics) == METRICS == tuple(NAMES)
