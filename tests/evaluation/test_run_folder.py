import json
import shutil

import pytest

from lavis_sam import files
from lavis_sam.errors import SamDataError
from lavis_sam.evaluation import run_folder
from lavis_sam.evaluation.run_folder import Provenance, read_results, read_run, write_results
from lavis_sam.metrics.predictions import Prediction, read_predictions
from lavis_sam.metrics.protocols import score

PREDICTIONS = [
    Prediction(1, "a dog runs here", "a dog runs fast", ("a dog runs fast",)),
    Prediction("x", "two cats", "a cat. two cats", ("a cat", "two cats")),
]
FILES = {"pred.json", "eval.json", "eval_score.json", "manifest.json"}


@pytest.fixture
def folder(tmp_path):
    provenance = Provenance(model="tiny", weights="abc", split="test", decoding={"num_beams": 5}, config={"run": {}})
    write_results(tmp_path / "AESOP", PREDICTIONS, score(PREDICTIONS), dataset="aesop", provenance=provenance)
    return tmp_path / "AESOP"


def read(path):
    return json.loads(path.read_text("utf-8"))


def test_the_authors_files_and_a_manifest(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    scores = score(PREDICTIONS)
    assert read_predictions(folder / "pred.json") == PREDICTIONS
    assert read(folder / "pred.json")[0] == {
        "sample_id": 1,
        "pred_response": "a dog runs here",
        "gt_response": "a dog runs fast",
    }
    assert read(folder / "eval.json") == {name: round(value, 2) for name, value in scores.corpus().items()}
    assert read(folder / "eval_score.json") == scores.per_sample()
    manifest = read(folder / "manifest.json")
    assert (manifest["protocol"], manifest["dataset"], manifest["count"]) == ("sam", "aesop", 2)
    assert manifest["made_by"]["decoding"] == {"num_beams": 5}
    assert manifest["made_by"]["prompts"] is None


def test_reading_gives_back_what_was_written(folder):
    results = read_results(folder)
    assert results.corpus == score(PREDICTIONS).corpus()
    assert (results.title, results.protocol, results.count) == ("AESOP", "sam", 2)
    assert results.made_by["weights"] == "abc"
    assert read_run(folder.parent).results == (results,)


def test_writing_again_replaces(folder):
    write_results(folder, PREDICTIONS[:1], score(PREDICTIONS[:1], "coco"), dataset="aesop")
    assert (read_results(folder).count, read_results(folder).protocol) == (1, "coco")
    assert {path.name for path in folder.iterdir()} == FILES


@pytest.mark.parametrize("survives", [0, 1, 2, 3])
def test_a_crash_while_writing_never_leaves_a_folder_that_looks_whole(folder, monkeypatch, survives):
    written = []

    def crashing(path, content):
        if len(written) == survives:
            raise KeyboardInterrupt
        written.append(path)
        files.write_json(path, content)

    monkeypatch.setattr(run_folder, "write_json", crashing)
    with pytest.raises(KeyboardInterrupt):
        write_results(folder, PREDICTIONS[:1], score(PREDICTIONS[:1]), dataset="aesop")
    with pytest.raises(SamDataError, match=r"found no manifest\.json, wanted a finished evaluation"):
        read_run(folder.parent)


def test_scores_of_other_predictions_are_refused(tmp_path):
    with pytest.raises(SamDataError, match="found scores of 1 samples and 2 predictions"):
        write_results(tmp_path / "a", PREDICTIONS, score(PREDICTIONS[:1]), dataset="aesop")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["pred.json", "eval.json", "eval_score.json"])
def test_a_changed_or_missing_file_is_noticed(folder, name):
    (folder / name).write_text((folder / name).read_text("utf-8") + " ")
    with pytest.raises(SamDataError, match=f"{name}: missing, or changed"):
        read_results(folder)
    (folder / name).unlink()
    with pytest.raises(SamDataError, match=f"{name}: missing, or changed"):
        read_results(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 2}, "format: found 2"),
        ({"dataset": ""}, "dataset: found ''"),
        ({"data": None}, "data: found None"),
        ({"protocol": "bleu"}, "protocol: found 'bleu'"),
        ({"protocol": ["sam"]}, "protocol: found"),
        ({"count": True}, "count: found True"),
        ({"corpus": {"rouge": 1}}, "corpus: found"),
        ({"corpus": {"rouge": 1, "cider": float("nan"), "bleu4": 1}}, "corpus: found"),
        ({"made_by": []}, "made_by: found"),
        ({"refused": [1]}, "refused: found"),
        ({"files": {"../../etc/passwd": "0"}}, "files: found"),
    ],
)
def test_a_damaged_manifest_is_refused(folder, changes, said):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**read(path), **changes}))
    with pytest.raises(SamDataError, match=said):
        read_results(folder)
    path.write_text("[]")
    with pytest.raises(SamDataError, match="found a list, wanted an object"):
        read_results(folder)


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(SamDataError, match="there is no such folder"):
        read_run(tmp_path / "none")
    with pytest.raises(SamDataError, match="found no results"):
        read_run(tmp_path)
    (tmp_path / "AESOP").mkdir()
    (tmp_path / "AESOP" / "eval.json").write_text("{}")
    with pytest.raises(SamDataError, match=r"lavis-sam score .*AESOP/pred\.json --out .*AESOP"):
        read_run(tmp_path)


def test_what_has_no_results_is_passed_over(folder):
    (folder.parent / "VIST").mkdir()
    (folder.parent / "VIST" / "pred.partial.jsonl").write_text("")
    (folder.parent / "log.txt").write_text("")
    assert len(read_run(folder.parent).results) == 1


def test_two_results_on_one_data_set_are_refused(folder):
    shutil.copytree(folder, folder.parent / "aesop_again")
    with pytest.raises(SamDataError, match=r"AESOP and .*aesop_again are both results on AESOP"):
        read_run(folder.parent)
