"""`lavis-sam score`, `compare` and `table`, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lavis_sam.datasets.annotations import write_annotations
from lavis_sam.datasets.sample import MultiImageSample

FIXTURES = Path(__file__).parents[1] / "metrics" / "fixtures"


@pytest.fixture
def story(tmp_path):
    """The authors' story predictions as a file of their exchange format."""
    stored = json.loads((FIXTURES / "metrics_story.json").read_text("utf-8"))
    path = tmp_path / "story.json"
    path.write_text(json.dumps(stored["predictions"]), encoding="utf-8")
    return path


@pytest.fixture
def worse(story):
    """The same samples with every answer the same."""
    records = [{**record, "pred_response": "the end"} for record in json.loads(story.read_text("utf-8"))]
    path = story.with_name("worse.json")
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


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


def test_compare(run, story, worse):
    code, out, _ = run("compare", worse, story, "--resamples", 50)
    assert code == 0
    assert f"A: {worse}" in out
    assert "30 samples, protocol sam" in out
    code, out, _ = run("compare", worse, story, "--resamples", 50, "--json")
    assert code == 0
    metrics = json.loads(out)["metrics"]
    assert metrics["rouge"]["difference"] > 0
    assert metrics["rouge"]["p_value"] < 0.05


def test_compare_refuses_other_samples(run, story):
    code, out, err = run("compare", story, FIXTURES / "metrics_caption.json")
    assert (code, out) == (2, "")
    assert f"{story} lacks 39 of" in err
    assert "metrics_caption.json lacks 30 of" in err


def test_scored_predictions_become_a_table(run, story, worse, tmp_path):
    for path, name in ((story, "good"), (worse, "bad")):
        code, out, _ = run("score", path, "--out", tmp_path / name / "AESOP", "--resamples", 0)
        assert code == 0
        assert f"written to {tmp_path / name / 'AESOP'}" in out
    code, out, _ = run("table", tmp_path / "good", tmp_path / "bad")
    assert code == 0
    assert out.startswith("## Table 2b: storytelling (protocol sam, ×100)")
    assert "| published | SAM | 23.45 |" in out
    assert "| measured | good | 58.59 | 260.92 | 22.23 |" in out
    assert "| measured | bad |" in out
    code, out, _ = run("table", tmp_path / "good", "--json")
    assert code == 0
    (table,) = json.loads(out)["tables"]
    assert table["rows"][-1]["values"]["AESOP"]["cider"] == pytest.approx(260.9242266176951, abs=1e-6)


def test_out_with_json_and_another_name(run, story, tmp_path):
    code, out, _ = run("score", story, "--json", "--out", tmp_path / "run" / "x", "--dataset", "vist")
    assert code == 0
    assert json.loads(out)["count"] == 30
    assert "| measured | run |" in run("table", tmp_path / "run")[1]


def test_tables_do_not_mix_protocols_or_data(run, story, worse, tmp_path):
    run("score", story, "--out", tmp_path / "one" / "AESOP", "--resamples", 0)
    run("score", worse, "--out", tmp_path / "two" / "AESOP", "--resamples", 0, "--protocol", "coco")
    code, out, err = run("table", tmp_path / "one", tmp_path / "two")
    assert (code, out) == (2, "")
    assert "under protocol sam" in err
    assert "under coco" in err
    run("score", FIXTURES / "metrics_caption.json", "--out", tmp_path / "two" / "AESOP", "--resamples", 0)
    code, out, err = run("table", tmp_path / "one", tmp_path / "two")
    assert (code, out) == (2, "")
    assert "evaluated on different samples or references" in err


def test_published_tables_alone(run):
    code, out, _ = run("table", "--table", "4", "--table", "2a")
    assert code == 0
    assert out.index("Table 4: change captioning") < out.index("Table 2a: group captioning")
    assert "measured" not in out
    code, out, err = run("table", "--table", "1")
    assert (code, out) == (2, "")
    assert "found '1', wanted one of 2a, 2b, 3, 4" in err
    code, out, err = run("table", "nowhere")
    assert (code, out) == (2, "")
    assert "nowhere: there is no such folder" in err


@pytest.mark.parametrize("command", ["score", "compare", "table"])
def test_help_has_examples(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"lavis-sam {command} " in out.split("Examples:")[1]
