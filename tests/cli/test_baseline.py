"""`lavis-sam baseline`, as a user types it."""

import json
import threading

import pytest

from helpers.benchmarks import EVALUATION_SETS, write_benchmarks
from helpers.endpoint_server import Reply, failed, instruction_of, said
from helpers.vision_language import write_llava
from lavis_sam.cli import baseline
from lavis_sam.errors import SamConfigurationError

KEY = "sk-secret-0815"
TRUTHS = {"Say 0.": "a red dog runs", "Say 1.": "two cats sleep", "Say 2.": "the bus is late", "Say 3.": "one tree"}


@pytest.fixture
def asked(service, data_set, tmp_path):
    """The arguments that ask the service about the data set, and the run's folder."""
    service.otherwise = lambda body: said(TRUTHS[instruction_of(body)])
    out = tmp_path / "runs" / "served"
    return ["baseline", "--endpoint", service.url, "--model", "gpt-x", "--dataset", "mine", "--data", data_set], out


def test_a_service_becomes_a_row_of_a_table(run, asked, service, monkeypatch):
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    words, out = asked
    code, text, err = run(*words, "--out", out, "--api-key-env", "MY_KEY", "--json")
    assert code == 0, err
    report = json.loads(text)
    assert report["sets"][0]["count"] == 4
    assert report["sets"][0]["corpus"]["rouge"] == pytest.approx(87.5, abs=13)  # three of four are perfect
    assert "at most 4 requests" in err
    assert service.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    manifest = json.loads((out / "mine" / "manifest.json").read_text("utf-8"))
    assert (manifest["dataset"], manifest["protocol"], manifest["made_by"]["model"]) == ("mine", "sam", "gpt-x")
    assert manifest["made_by"]["decoding"] == {"max_tokens": 255, "temperature": 0.0}
    for name in ("pred.json", "eval.json", "eval_score.json"):
        assert (out / "mine" / name).is_file()
    for path in out.rglob("*"):
        assert path.is_dir() or KEY not in path.read_text("utf-8")
    assert KEY not in text + err
    code, text, err = run("table", out)
    assert code == 0, err
    assert "| measured | served |" in text


@pytest.mark.parametrize("word", ["{}", "{}/annotations.json", "own={}"])
def test_own_data_are_asked_about_by_their_folder(run, asked, data_set, tmp_path, word):
    words, out = asked
    wanted = data_set.name if "own=" not in word else "own"
    words = [*words[: words.index("--dataset")], "--dataset", word.format(data_set)]
    code, text, err = run(*words, "--out", out, "--json")
    assert code == 0, err
    (found,) = json.loads(text)["sets"]
    assert (found["dataset"], found["count"]) == (wanted, 4)
    assert (out / wanted / "manifest.json").is_file()


def test_a_second_run_asks_nothing(run, asked, service, tmp_path):
    words, out = asked
    assert run(*words, "--out", out)[0] == 0
    assert len(service.requests) == 4
    service.otherwise = lambda body: failed(500)
    assert run(*words, "--out", out)[0] == 0
    other = ["--out", tmp_path / "runs" / "again", "--cache", out / "answers-of-endpoint", "--max-requests", 0]
    assert run(*words, *other)[0] == 0
    assert len(service.requests) == 4
    assert (out / "mine" / "pred.json").read_bytes() == (
        tmp_path / "runs" / "again" / "mine" / "pred.json"
    ).read_bytes()


def test_an_interrupted_run_continues(run, asked, service):
    words, out = asked
    answered, service.otherwise = service.otherwise, lambda body: failed(401, "no such key")
    service.replies = [said("one"), said("two")]
    code, text, err = run(*words, "--out", out, "--concurrency", 1)
    assert (code, text) == (2, "")
    assert "HTTP 401" in err
    assert not (out / "mine" / "manifest.json").exists()
    service.otherwise = answered
    assert run(*words, "--out", out, "--concurrency", 1)[0] == 0
    assert len(service.requests) == 5  # two, one that failed, the other two


def filtered(body):
    """Answers all but the second and the third question."""
    if instruction_of(body) == "Say 1.":
        return Reply(400, b'{"error": {"code": "content_filter", "message": "filtered"}}')
    if instruction_of(body) == "Say 2.":
        return said(None, choices=[{"message": {"content": None, "reasoning": "Hm"}, "finish_reason": "length"}])
    return said(TRUTHS[instruction_of(body)])


def test_a_refused_sample_ends_the_run_unless_it_is_to_be_skipped(run, asked, service):
    words, out = asked
    service.otherwise = filtered
    code, text, err = run(*words, "--out", out, "--concurrency", 1)
    assert (code, text) == (2, "")
    assert "sample 1 at http" in err or "sample 2 at http" in err
    assert "--skip-refused" in err
    assert not (out / "mine" / "manifest.json").exists()
    code, text, err = run(*words, "--out", out, "--concurrency", 1, "--skip-refused", "--json")
    assert code == 0, err
    (report,) = json.loads(text)["sets"]
    assert (report["count"], report["refused"]) == (4, 2)
    assert "WARNING: mine: the service refused 2 of 4 samples (1, 2)" in err
    manifest = json.loads((out / "mine" / "manifest.json").read_text("utf-8"))
    assert [entry["sample_id"] for entry in manifest["refused"]] == [1, 2]
    assert "HTTP 400" in manifest["refused"][0]["reason"]
    answers = json.loads((out / "mine" / "pred.json").read_text("utf-8"))
    assert [one["pred_response"] for one in answers] == [TRUTHS["Say 0."], "", "", TRUTHS["Say 3."]]
    code, text, err = run("table", out)
    assert code == 0, err
    assert "- served, mine: 2 of 4 samples refused; they score 0." in text


def test_a_continued_run_still_reports_what_was_refused(run, asked, service):
    words, out = asked
    service.otherwise = filtered
    assert run(*words, "--out", out, "--skip-refused")[0] == 0
    before = len(service.requests)
    code, _, err = run(*words, "--out", out)
    assert (code, len(service.requests)) == (0, before)
    assert "refused 2 of 4 samples" in err


def test_empty_answers_are_reported(run, asked, service, caplog):
    words, out = asked
    service.otherwise = lambda body: said("" if instruction_of(body) == "Say 1." else "a dog")
    assert run(*words, "--out", out)[0] == 0
    assert "mine: 1 of 4 answers are empty" in caplog.text


def test_two_at_once_pay_once(run, asked, service, data_set):
    """The second one comes while the first waits for an answer."""
    words, out = asked
    answer, refused, first = service.otherwise, [], threading.Lock()

    def meanwhile(body):
        if first.acquire(blocking=False):
            try:
                options = {"endpoint": service.url, "model": "gpt-x", "dataset": ["mine"], "data": data_set}
                baseline(**options, out=out)
            except SamConfigurationError as error:
                refused.append(str(error))
        return answer(body)

    service.otherwise = meanwhile
    code, _, err = run(*words, "--out", out)
    assert code == 0, err
    (message,) = refused
    assert message == f"{out}: another process is working in this folder. Wait until it ends; or give another --out."
    assert len(service.requests) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-requests", 3], "at most 4 of requests; the limit is 3"),
        (["--max-total-tokens", 5000], "of tokens; the limit is 5,000"),
        (["--max-spending", 0.01, "--input-price", 3, "--output-price", 15], "of money; the limit is 0.01"),
        (["--max-images", 2], "found 3 images, the limit is 2"),
    ],
)
def test_what_is_too_much_is_refused_before_the_first_request(run, asked, service, options, message):
    words, out = asked
    code, text, err = run(*words, "--out", out, *options)
    assert (code, text) == (2, "")
    assert message in err
    assert service.requests == []


def test_a_dry_run_says_what_it_would_cost(run, asked, service):
    words, out = asked
    prices = ["--input-price", 1, "--output-price", 2]
    code, text, err = run(*words, "--out", out, "--dry-run", *prices, "--max-requests", 1, "--json")
    assert code == 0
    found = json.loads(text)
    assert (found["requests"], found["output_tokens"]) == (4, 1020)
    assert found["price"] == pytest.approx((found["input_tokens"] + 2040) / 1e6)
    assert "at most 4 requests" in err
    assert service.requests == []
    assert not out.exists()


def test_keys_of_the_request(run, asked, service):
    words, out = asked
    assert run(*words, "--out", out, "--request", "max_tokens=null", "--request", "max_completion_tokens=99")[0] == 0
    assert "max_tokens" not in service.requests[0][2]
    assert service.requests[0][2]["max_completion_tokens"] == 99
    for word in ("seed", "seed=x", "=1", 'model="other"', f"seed={'[' * 10_000}"):
        code, _, err = run(*words, "--out", out, "--request", word)
        assert code == 2
        assert "--request seed" in err or "not to be changed" in err


def test_another_model_does_not_go_into_the_same_run(run, asked):
    words, out = asked
    assert run(*words, "--out", out)[0] == 0
    words[words.index("gpt-x")] = "gpt-y"
    code, text, err = run(*words, "--out", out)
    assert (code, text) == (2, "")
    assert "gpt-x, as http" in err
    assert "gpt-y, as http" in err


def test_a_local_model(run, data_set, tmp_path):
    model, out = write_llava(tmp_path / "tiny-llava"), tmp_path / "runs" / "llava"
    words = ["baseline", model, "--dataset", "mine", "--data", data_set, "--out", out, "--device", "cpu"]
    code, text, err = run(*words, "--max-length", 6, "--batch-size", 3, "--json")
    assert code == 0, err
    assert json.loads(text)["sets"][0]["count"] == 4
    manifest = json.loads((out / "mine" / "manifest.json").read_text("utf-8"))
    assert manifest["made_by"]["model"] == "tiny-llava"
    assert manifest["made_by"]["decoding"]["num_beams"] == 5
    first = (out / "mine" / "pred.json").read_bytes()
    words[words.index(out)] = tmp_path / "runs" / "one-by-one"
    code, text, err = run(*words, "--max-length", 6)
    assert code == 0, err
    assert "Results are in" in text
    assert (tmp_path / "runs" / "one-by-one" / "mine" / "pred.json").read_bytes() == first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "wanted one of them: NAME_OR_FOLDER or --endpoint"),
        (["folder", "--endpoint", "http://localhost/v1", "--model", "m"], "wanted one of them"),
        (["--endpoint", "http://localhost/v1"], "--endpoint and --model go together"),
        (["folder", "--model", "m"], "--endpoint and --model go together"),
        (["folder"], "--out: missing"),
        (["folder", "--out", "x", "--dry-run"], "--dry-run is for an endpoint"),
    ],
)
def test_what_does_not_go_together(run, words, message):
    code, text, err = run("baseline", *words)
    assert (code, text) == (2, "")
    assert message in err


def test_what_is_not_there(run, asked, data_set, tmp_path):
    words, out = asked
    code, _, err = run(*words, "--out", out, "--api-key-env", "NO_SUCH_KEY")
    assert (code, "NO_SUCH_KEY: the environment has no such variable" in err) == (2, True)
    code, _, err = run("baseline", tmp_path / "no-model", "--dataset", "mine", "--data", data_set, "--out", out)
    assert (code, "no-model: there is no such folder, and no model of this name" in err) == (2, True)
    code, _, err = run("baseline", "m", "--data", data_set, "--out", out)
    assert (code, "wanted one name for it" in err) == (2, True)


def test_the_papers_data_sets_are_read_as_the_benchmark_reads_them(run, service, tmp_path):
    ask = [
        "baseline",
        "--endpoint",
        service.url,
        "--model",
        "m",
        "--out",
        tmp_path / "run",
        "--data",
        tmp_path / "data",
    ]
    code, text, err = run(*ask, "--dataset", "vist")
    assert (code, text) == (2, "")
    assert "VIST is not on the disk" in err
    code, text, err = run(*ask, "--dataset", "coco")
    assert (code, text) == (2, "")
    assert "unknown data set, task or table 'coco'" in err
    assert service.requests == []


def test_all_data_sets_of_the_paper_by_one_command(run, service, tmp_path):
    out = tmp_path / "run"
    data = write_benchmarks(tmp_path / "data")
    service.otherwise = lambda body: said("two people stand in front of something")
    ask = ["baseline", "--endpoint", service.url, "--model", "m", "--out", out, "--data", data, "--json"]
    code, text, err = run(*ask)
    assert code == 0, err
    assert [one["dataset"] for one in json.loads(text)["sets"]] == list(EVALUATION_SETS)
    code, text, err = run("table", out)
    assert code == 0, err
    assert text.count("| measured | run |") == 3  # tables 2a, 2b and 4
    before = len(service.requests)
    code, text, err = run(*ask, "--dataset", "storytelling")  # all of it is answered
    assert (code, len(json.loads(text)["sets"])) == (0, 3)
    assert len(service.requests) == before


def test_help_has_examples(run):
    code, out, _ = run("baseline", "--help")
    assert code == 0
    assert "lavis-sam baseline " in out.split("Examples:")[1]
