"""`lavis-sam score`, as a user types it."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from helpers.scored import FIXTURES
from lavis_sam.datasets.annotations import write_annotations
from lavis_sam.datasets.sample import MultiImageSample


@pytest.mark.parametrize("name", ["caption", "story"])
def test_json_holds_the_authors_scores_and_is_all_that_is_on_stdout(tmp_path, name):
    stored = json.loads((FIXTURES / f"metrics_{name}.json").read_text("utf-8"))
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(stored["predictions"]), encoding="utf-8")
    command = [sys.executable, "-m", "lavis_sam.cli", "score", str(path), "--protocol", "sam", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert set(found) == {"protocol", "corpus", "largest_difference", "per_sample", "count"}
    assert (found["protocol"], found["count"]) == ("sam", len(stored["predictions"]))
    exact = stored["corpus_unrounded"]
    wanted = {"rouge": exact["rouge"], "cider": exact["cider"], "bleu4": exact["bleu"][3]}
    assert found["corpus"] == pytest.approx(wanted, abs=1e-6)
    for ours, theirs in zip(found["per_sample"], stored["per_sample"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_the_stored_file_itself_is_read_too(run):
    code, out, _ = run("score", FIXTURES / "metrics_story.json", "--json")
    assert code == 0
    assert json.loads(out)["corpus"]["rouge"] == pytest.approx(58.59054770924025, abs=1e-6)


def test_the_table_names_its_protocol_and_has_intervals(run, story):
    code, out, _ = run("score", story, "--resamples", 50)
    assert code == 0
    assert "30 samples, protocol sam" in out
    assert "58.59" in out
    assert "95 % interval" in out
    assert run("score", story, "--resamples", 50)[1] == out
    assert run("score", story, "--resamples", 50, "--seed", 1)[1] != out
    assert "interval" not in run("score", story, "--resamples", 0)[1]
    assert "protocol coco" in run("score", story, "--protocol", "coco", "--resamples", 0)[1]


def test_what_cannot_be_scored_is_one_line_and_exit_code_2(run, tmp_path, story):
    code, out, err = run("score", tmp_path / "none.json", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "none.json: unreadable file: No such file" in err
    code, out, err = run("score", story, "--protocol", "bleu")
    assert (code, out) == (2, "")
    assert "found 'bleu', wanted one of sam, coco" in err
    records = json.loads(story.read_text("utf-8"))
    records[3]["gt_response"] = " ."
    story.write_text(json.dumps(records), encoding="utf-8")
    code, out, err = run("score", story)
    assert (code, out) == (2, "")
    assert "1 sample(s) have an empty reference" in err
    assert "1003" in err


def test_score_says_once_why_the_cider_of_one_sample_is_0(tmp_path):
    path = tmp_path / "pred.json"
    path.write_text(json.dumps([{"sample_id": 1, "pred_response": "a dog", "gt_response": "a dog"}]))
    command = [sys.executable, "-m", "lavis_sam.cli", "score", str(path), "--out", str(tmp_path / "run" / "mine")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr.count("document frequency")) == (0, 1)
    assert "0.00" in result.stdout


def test_predictions_are_checked_against_their_data_set(run, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    references = ["a dog runs in the park", "the brown dog runs"]
    samples = [
        MultiImageSample(name, ("a.png",), "What?", references[0], tuple(references), "here") for name in ("x", "y")
    ]
    write_annotations(folder / "annotations.json", samples)
    predictions = [
        {"sample_id": name, "pred_response": "the brown dog runs", "gt_response": references[0]} for name in ("x", "y")
    ]
    path = tmp_path / "pred.json"
    path.write_text(json.dumps(predictions), encoding="utf-8")
    words = ["score", path, "--protocol", "coco", "--json"]
    assert json.loads(run(*words)[1])["corpus"]["bleu4"] < 10
    code, out, err = run(*words, "--data", folder)
    assert code == 0, err
    assert json.loads(out)["corpus"]["bleu4"] == pytest.approx(100)  # the second reference is that of the data set
    path.write_text(json.dumps([{**predictions[0], "sample_id": "z"}]), encoding="utf-8")
    code, out, err = run(*words, "--data", folder)
    assert (code, out) == (2, "")
    assert f"{path} lacks 2 of {folder}'s samples: x, y" in err
    assert f"{folder} lacks 1 of {path}'s samples: z" in err


def test_out_with_json_and_another_name(run, story, tmp_path):
    code, out, _ = run("score", story, "--json", "--out", tmp_path / "run" / "x", "--dataset", "vist")
    assert code == 0
    assert json.loads(out)["count"] == 30
    assert "| measured | run |" in run("table", tmp_path / "run")[1]


def test_score_replaces_results_of_other_predictions_only_when_asked(run, story, worse, tmp_path):
    place = ("--out", tmp_path / "AESOP", "--resamples", 0)
    assert run("score", story, *place)[0] == 0
    assert run("score", story, "--protocol", "coco", *place)[0] == 0  # the same predictions, scored again
    before = (tmp_path / "AESOP" / "eval.json").read_bytes()
    code, _, err = run("score", worse, *place)
    assert code == 2
    assert "results of other predictions" in err
    assert (tmp_path / "AESOP" / "eval.json").read_bytes() == before
    assert run("score", worse, "--overwrite", *place)[0] == 0
    assert (tmp_path / "AESOP" / "eval.json").read_bytes() != before
