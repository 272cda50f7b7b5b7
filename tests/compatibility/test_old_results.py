"""Results that version 0.1.0 wrote: evaluations go on from its answers, and its scores stay what they are."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lavis_sam import evaluate

CONFIGS = Path(__file__).resolve().parents[2] / "projects" / "sam" / "eval"
EVALUATE = ["--cfg-path", "evaluate.yaml", "--ckpt", "run_finished/checkpoint_2.pth", "--options"]
NEEDED = ("evaluate.yaml", "photographs.json", "run_finished/checkpoint_2.pth")
BENCHMARK = ["benchmark", "--model", "tiny", "--checkpoint", "adapter", "--data", "releases", "--only", "storytelling"]
BENCHMARK += ["--out", "benchmark_run", "--configs", CONFIGS, "--json"]
BENCHMARK += ["--options", "run.decoding.max_length=12", "run.num_workers=0", "run.device=cpu"]
# Nobody listens there: what is stored must not be asked again.
SERVICE = ["--endpoint", "http://127.0.0.1:47112/v1", "--model", "gpt-x", "--attempts", "1"]
BASELINE = ["baseline", *SERVICE, "--dataset", "mine", "--data", "unified"]
SAMPLES = 6


def results(root, name):
    return root / name / "result" / "test" / "mmlink"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def mark(journal, line, text="this was kept"):
    """Put other words into an answer of a journal: who answers the sample again loses them. Returns the sample's id."""
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    record = json.loads(lines[line]) | {"pred_response": text}
    lines[line] = json.dumps(record) + "\n"
    journal.write_text("".join(lines), encoding="utf-8")
    return record["sample_id"]


def with_answer(predictions, name, text="this was kept"):
    return [one | ({"pred_response": text} if one["sample_id"] == name else {}) for one in predictions]


def test_an_interrupted_evaluation_ends_at_the_same_answers(bring, assert_same):
    """Three of six answers are there, the fourth was torn when the process was killed."""
    root = bring(*NEEDED, "evaluation_interrupted", "evaluation_finished/result")
    folder, wanted = results(root, "evaluation_interrupted"), results(root, "evaluation_finished")
    journal = folder / "answers-0.jsonl"
    kept = mark(journal, 1)
    before = journal.read_bytes()
    answered = before.count(b"\n") - 1
    assert 0 < answered < SAMPLES
    journal.write_bytes(before + b'{"index": 5, "sample_id": "ret')
    assert evaluate.main([*EVALUATE, "run.job_id=evaluation_interrupted"]) == 0
    assert journal.read_bytes().startswith(before)
    indices = [json.loads(line)["index"] for line in journal.read_text("utf-8").splitlines()[1:]]
    assert sorted(indices) == list(range(SAMPLES))
    assert read(folder / "pred.json") == with_answer(read(wanted / "pred.json"), kept)
    # What the marked answer does not change.
    scores = [read(place / "eval_score.json") for place in (folder, wanted)]
    assert len(scores[1]) == SAMPLES
    for found, before in zip(*scores, strict=True):
        assert set(found) == set(before)
        if found["id"] != kept:
            assert_same(found, before)
    assert read(folder / "manifest.json")["data"] == read(wanted / "manifest.json")["data"]


def test_a_finished_evaluation_answers_nothing_again(bring):
    root = bring(*NEEDED, "evaluation_finished")
    folder = results(root, "evaluation_finished")
    journal, wanted = (folder / "answers-0.jsonl").read_bytes(), read(folder / "pred.json")
    scores, manifest = read(folder / "eval.json"), read(folder / "manifest.json")
    assert evaluate.main([*EVALUATE, "run.job_id=evaluation_finished"]) == 0
    assert (folder / "answers-0.jsonl").read_bytes() == journal
    assert (read(folder / "pred.json"), read(folder / "eval.json")) == (wanted, scores)
    found = read(folder / "manifest.json")
    for key in ("format", "dataset", "protocol", "count", "data"):
        assert found[key] == manifest[key], key
    assert found["made_by"]["weights"] == manifest["made_by"]["weights"]
    assert found["made_by"]["decoding"] == manifest["made_by"]["decoding"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["run.decoding.max_length=9"], "max_length"),
        pytest.param(["model.guidance.layer_l=2"], "layer_l", marks=pytest.mark.integration),
        pytest.param(["datasets.mmlink.vis_processor.eval.image_size=56"], "image_size", marks=pytest.mark.integration),
        pytest.param(["model.finetuned="], "weights", marks=pytest.mark.integration),
    ],
)
def test_an_old_evaluation_is_not_continued_by_another_one(bring, capsys, options, message):
    root = bring(*NEEDED, "evaluation_interrupted")
    journal = results(root, "evaluation_interrupted") / "answers-0.jsonl"
    before = journal.read_bytes()
    words = [word for word in EVALUATE if "finetuned" not in options[0] or word not in EVALUATE[2:4]]
    assert evaluate.main([*words, "run.job_id=evaluation_interrupted", *options]) == 2
    assert message in capsys.readouterr().err
    assert journal.read_bytes() == before


def test_a_benchmark_goes_on_where_it_was(bring, run, assert_same):
    """One of three data sets is missing, one has a marked answer, one is whole: only the missing one is answered."""
    root = bring("benchmark_run", "releases", "adapter")
    wanted = {name: read(root / "benchmark_run" / name / "pred.json") for name in ("AESOP", "VIST", "DM800K")}
    report = read(root / "benchmark_run" / "benchmark.json")
    shutil.rmtree(root / "benchmark_run" / "VIST")
    kept = mark(root / "benchmark_run" / "AESOP" / "answers-0.jsonl", 1)
    wanted["AESOP"] = with_answer(wanted["AESOP"], kept)
    journals = {name: root / "benchmark_run" / name / "answers-0.jsonl" for name in ("AESOP", "DM800K")}
    before = {name: path.read_bytes() for name, path in journals.items()}
    code, text, error = run(*BENCHMARK)
    assert code == 0, error
    assert {name: path.read_bytes() for name, path in journals.items()} == before
    for name, predictions in wanted.items():
        assert read(root / "benchmark_run" / name / "pred.json") == predictions, name
    found = json.loads(text)
    assert [(one["dataset"], one["status"], one["count"]) for one in found["sets"]] == [
        (one["dataset"], one["status"], one["count"]) for one in report["sets"]
    ]
    assert_same(found["sets"][1:], report["sets"][1:])


def test_another_models_results_do_not_go_into_the_old_run(bring, run):
    root = bring("benchmark_run", "releases")
    words = [word for word in BENCHMARK if word not in ("--checkpoint", "adapter")]
    code, _, error = run(*words)
    assert code == 2
    assert "benchmark_run" in error
    assert "weights" in error
    assert read(root / "benchmark_run" / "AESOP" / "pred.json")


def test_the_tables_of_old_runs_hold_the_same_numbers(bring, run, expected, assert_same):
    root = bring("benchmark_run", "scored_run", "baseline_run", "baseline_other_run", "expected/benchmark_table.md")
    for file, runs in (
        ("benchmark_table.json", ("benchmark_run", "scored_run")),
        ("baseline_table.json", ("baseline_run", "baseline_other_run")),
    ):
        code, text, error = run("table", *runs, "--json")
        assert code == 0, error
        assert_same(json.loads(text), expected(file))
    code, text, error = run("table", "benchmark_run", "scored_run")
    assert code == 0, error

    def rows(table):
        """The cells of the measured and the published rows."""
        return [re.split(r" *\| *", line) for line in table.splitlines() if line.startswith(("| meas", "| publ"))]

    wanted = rows((root / "expected" / "benchmark_table.md").read_text(encoding="utf-8"))
    assert sum(row[1] == "measured" for row in wanted) == 2
    assert rows(text) == wanted


def test_a_changed_file_of_an_old_run_is_noticed(bring, run):
    root = bring("benchmark_run")
    path = root / "benchmark_run" / "VIST" / "eval.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.0", "9.0", 1), encoding="utf-8")
    code, _, error = run("table", "benchmark_run")
    assert code == 2
    assert "eval.json" in error


@pytest.mark.parametrize("protocol", ["sam", "coco"])
def test_old_predictions_have_the_same_scores(bring, run, expected, assert_same, protocol):
    bring("baseline_run/mine", "unified")
    for more in ((), ("--data", "unified")):
        code, text, error = run("score", "baseline_run/mine/pred.json", "--protocol", protocol, "--json", *more)
        assert code == 0, error
        found = json.loads(text)
        # The data set knows two references of one sample, which the file holds as one text.
        assert_same(found, expected(f"score_{protocol}.json"))


def test_the_comparison_of_two_old_runs_is_the_same(bring, run, expected, assert_same):
    bring("baseline_run", "baseline_other_run")
    words = ["compare", "baseline_run/mine/pred.json", "baseline_other_run/mine/pred.json"]
    code, text, error = run(*words, "--resamples", "200", "--json")
    assert code == 0, error
    assert_same(json.loads(text), expected("compare.json"))


def test_a_finished_baseline_asks_nothing_again(bring, run):
    root = bring("baseline_run", "unified")
    folder = root / "baseline_run" / "mine"
    before = {name: (folder / name).read_bytes() for name in ("answers-0.jsonl", "pred.json", "eval.json")}
    code, _, error = run(*BASELINE, "--out", "baseline_run", "--max-requests", 0)
    assert code == 0, error
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_answers_of_a_service_are_not_paid_for_twice(bring, run):
    """Only the kept answers are there, under hashes of the questions: a new run finds all of them."""
    root = bring("baseline_run", "unified")
    words = ["--out", "again", "--cache", "baseline_run/answers-of-endpoint", "--max-requests", 0]
    code, _, error = run(*BASELINE, *words)
    assert code == 0, error
    assert read(root / "again" / "mine" / "pred.json") == read(root / "baseline_run" / "mine" / "pred.json")
    next(root.glob("baseline_run/answers-of-endpoint/*/*.json")).unlink()
    code, _, error = run(*BASELINE, "--out", "once_more", *words[2:])
    assert code == 2
    assert "requests" in error
