"""Files that are nested more deeply than Python reads, or almost, end a command with one clear line."""

import json
import shutil

import pytest

PREDICTIONS = '[{"sample_id": "a", "pred_response": "a dog", "gt_response": "a dog", "extra": %s}]'
RECORDS = '[{"image": ["a.png"], "instruction": "x", "output": "y", "id": 1, "extra": %s}]'


@pytest.fixture(params=[900, 100_000])
def deep(request):
    return "[" * request.param + "]" * request.param


@pytest.mark.parametrize(
    ("words", "content"),
    [
        (("score",), "%s"),
        (("score",), PREDICTIONS),
        (("compare", "{story}"), PREDICTIONS),
        (("data", "validate"), "%s"),
        (("data", "validate"), RECORDS),
        (("data", "stats"), RECORDS),
    ],
)
def test_a_nested_file_is_read_or_refused(run, story, tmp_path, deep, words, content):
    path = tmp_path / "deep.json"
    path.write_text(content.replace("%s", deep), encoding="utf-8")
    code, _, err = run(*(word.format(story=story) for word in words), path)
    assert code in (0, 1, 2), err
    assert "Traceback" not in err


@pytest.mark.parametrize("key", ["made_by", "corpus", "data", "refused", "extra"])
def test_a_nested_manifest_of_results_is_read_or_refused(run, story, tmp_path, deep, key):
    assert run("score", story, "--out", tmp_path / "run" / "mine")[0] == 0
    path = tmp_path / "run" / "mine" / "manifest.json"
    manifest = {**json.loads(path.read_text("utf-8")), key: "deep"}
    path.write_text(json.dumps(manifest).replace('"deep"', deep), encoding="utf-8")
    for more in ([], ["--json"]):
        code, _, err = run("table", tmp_path / "run", *more)
        assert code in (0, 2), err
    shutil.rmtree(tmp_path / "run")


@pytest.mark.parametrize("file", ["manifest.json", "samples.jsonl", "rejections.jsonl"])
def test_a_nested_file_of_a_synthesis_is_refused(run, tmp_path, deep, file):
    files = {"manifest.json": '{"accepted": 1}', "samples.jsonl": "", "rejections.jsonl": ""}
    for name, content in {**files, file: f'{{"accepted": {deep}}}\n'}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    code, _, err = run("synthesize-report", tmp_path)
    assert code == 2
    assert "lavis-sam: error:" in err
