"""`lavis-sam table`, as a user types it."""

import json

import pytest

from helpers.scored import FIXTURES


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


def test_tables_do_not_mix_protocols_or_data(run, story, worse, tmp_path):
    run("score", story, "--out", tmp_path / "one" / "AESOP", "--resamples", 0)
    run("score", worse, "--out", tmp_path / "two" / "AESOP", "--resamples", 0, "--protocol", "coco")
    code, out, err = run("table", tmp_path / "one", tmp_path / "two")
    assert (code, out) == (2, "")
    assert "under protocol sam" in err
    assert "under coco" in err
    other = FIXTURES / "metrics_caption.json"
    run("score", other, "--out", tmp_path / "two" / "AESOP", "--resamples", 0, "--overwrite")
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
