"""Evaluation as users start it: the same answers whatever processes, batches and interruptions; all sets at once."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from helpers.benchmarks import EVALUATION_SETS, write_benchmarks
from lavis_sam.evaluation.run_folder import read_run

REPOSITORY = Path(__file__).resolve().parents[2]
EVALUATE = ["-m", "lavis.evaluate", "--cfg-path", "projects/sam/tiny/evaluate.yaml"]
TWO_RANKS = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
SECONDS = 300
PHOTOGRAPHS = 18

pytestmark = pytest.mark.integration


def environment(**more):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **more}


def start(folder, *words, **more):
    """A process of python's in `folder`."""
    if not (folder / "projects").exists():
        (folder / "projects").symlink_to(REPOSITORY / "projects")
    log = open(folder / "stderr", "a+")  # noqa: SIM115 - the process writes to it
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *words],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )


def run(folder, *words, code=0, **more):
    """What a process says on standard output."""
    process = start(folder, *words, **more)
    try:
        said, _ = process.communicate(timeout=SECONDS)
    finally:
        if process.poll() is None:
            kill(process)
    assert process.returncode == code, (folder / "stderr").read_text()[-3000:]
    return said


def evaluate(folder, name, *options, launcher=(), **checks):
    words = ["run.decoding.num_beams=5", f"run.job_id={name}", *options]
    run(folder, *launcher, *EVALUATE, "--ckpt", str(folder / "trained.pth"), "--options", *words, **checks)
    return predictions(folder, name)


def results(folder, name):
    return folder / "output" / "sam" / "tiny_evaluation" / name / "result" / "test" / "mmlink"


def predictions(folder, name):
    return (results(folder, name) / "pred.json").read_text()


def answered(folder):
    """How many answers lie in a folder of results."""
    return sum(max(0, path.read_bytes().count(b"\n") - 1) for path in folder.glob("answers-*.jsonl"))


def wait_for_answers(process, folder, count):
    deadline = time.monotonic() + SECONDS
    while answered(folder) < count:
        assert process.poll() is None, "the evaluation ended before it was interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def descendants(pid):
    """A process and all below it; torchrun gives its own a session each, so no signal to a group reaches them."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            found += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    return found


def kill(process):
    """Without warning: the launcher, the processes, and those that load data."""
    for pid in descendants(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=SECONDS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with SAM's layers after a short training, and the answers of one process and whole batches."""
    folder = tmp_path_factory.mktemp("evaluation")
    words = ["run.max_epoch=2", "run.warmup_steps=0", "run.job_id=short", "run.test_splits=[]"]
    run(folder, "-m", "lavis.train", "--cfg-path", "projects/sam/tiny/train.yaml", "--options", *words)
    (folder / "output" / "sam" / "tiny" / "short" / "checkpoint_1.pth").rename(folder / "trained.pth")
    return folder, evaluate(folder, "whole")


def test_the_answers_are_scored_and_say_how_they_were_made(trained):
    folder, text = trained
    assert len(json.loads(text)) == PHOTOGRAPHS
    (found,) = read_run(results(folder, "whole").parent).results
    assert (found.dataset, found.protocol, found.count) == ("mmlink", "sam", PHOTOGRAPHS)
    assert found.made_by["split"] == "test"
    assert found.made_by["model"] == "blip2_vicuna_sam tiny"
    assert found.made_by["decoding"]["num_beams"] == 5
    assert found.made_by["config"]["model"]["guidance"]["layer_l"] == 4
    assert len(found.made_by["weights"]) == 64


def test_one_sample_at_a_time_and_ragged_batches_answer_alike(trained):
    """The batches of nine hold pairs and triples."""
    folder, expected = trained
    assert evaluate(folder, "alone", "run.batch_size_eval=1") == expected


def test_two_processes_with_other_batches_answer_alike(trained):
    folder, expected = trained
    assert evaluate(folder, "two", "run.batch_size_eval=4", launcher=TWO_RANKS) == expected
    shares = [path.read_text().splitlines()[1:] for path in sorted(results(folder, "two").glob("answers-*.jsonl"))]
    indices = [json.loads(line)["index"] for share in shares for line in share]
    assert len(shares) == 2
    assert sorted(indices) == list(range(PHOTOGRAPHS))


def interrupted(folder, name, count, stop, *launcher):
    """Start an evaluation, `stop` it when it has given `count` answers; returns how many lie there then."""
    words = ["run.decoding.num_beams=5", f"run.job_id={name}", "run.batch_size_eval=1"]
    process = start(folder, *launcher, *EVALUATE, "--ckpt", str(folder / "trained.pth"), "--options", *words)
    wait_for_answers(process, results(folder, name), count)
    stop(process)
    found = answered(results(folder, name))
    assert count <= found < PHOTOGRAPHS
    assert not (results(folder, name) / "manifest.json").exists()
    return found


def ask_to_stop(process):
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_a_killed_and_a_stopped_evaluation_go_on_where_they_were(trained):
    folder, expected = trained
    found = interrupted(folder, "stopped", 3, kill)
    interrupted(folder, "stopped", found + 3, ask_to_stop)
    assert evaluate(folder, "stopped", "run.batch_size_eval=1") == expected
    assert answered(results(folder, "stopped")) == PHOTOGRAPHS


def test_what_two_killed_processes_began_one_may_finish(trained):
    folder, expected = trained
    interrupted(folder, "killed", 4, kill, *TWO_RANKS)
    assert evaluate(folder, "killed", "run.batch_size_eval=3") == expected
    assert answered(results(folder, "killed")) == PHOTOGRAPHS


def test_going_on_with_something_else_is_refused(trained):
    folder, expected = trained
    evaluate(folder, "whole", "run.decoding.max_length=9", code=2)
    assert "decoding.max_length: then 24, now 9" in (folder / "stderr").read_text()
    annotations = REPOSITORY / "lavis_sam" / "assets" / "photographs" / "annotations.json"
    (folder / "fewer.json").write_text(json.dumps(json.loads(annotations.read_text())[:5]))
    evaluate(folder, "whole", "datasets.mmlink.build_info.annotations.test.storage=fewer.json", code=2)
    assert 'data: then "' in (folder / "stderr").read_text()
    assert predictions(folder, "whole") == expected


TROUBLE = """
import sys
from datetime import timedelta
from pathlib import Path

import torch
from helpers.dummies import DummyDataset
from lavis_sam import distributed
from lavis_sam.errors import SamDataError
from lavis_sam.evaluation.generation_loop import generate_records
from lavis_sam.evaluation.batches import EvaluationLoader
from lavis_sam.signals import RunStopped, StopRequest

trouble, folder, stop = sys.argv[1], Path(sys.argv[2]), StopRequest()


def answer(batch):
    (name,) = batch["sample_id"]
    if name == "s13" and trouble == "data":
        raise SamDataError(f"sample {name}: cannot be used")
    if name == "s13" and trouble == "stop":
        stop.name = "SIGTERM"
    return [{"sample_id": name, "pred_response": name, "gt_response": "g"}]


with distributed.process_group(distributed.Launch.from_environment(), torch.device("cpu"), timedelta(seconds=60)):
    place = {"rank": distributed.rank(), "world_size": distributed.world_size()}
    try:
        found = generate_records(EvaluationLoader(DummyDataset(40), 1, **place), answer, folder=folder, stop=stop)
        ending = " ".join(record["pred_response"] for record in found)
    except (SamDataError, RunStopped) as error:
        ending = f"{type(error).__name__} {error}"
    # One write, so that the lines of two processes do not mix.
    sys.stdout.write(f"rank {distributed.rank()}: {ending}\\n")
"""


@pytest.mark.parametrize(
    ("trouble", "ending"), [("data", "SamDataError sample s13: cannot be used"), ("stop", "RunStopped ")]
)
def test_trouble_of_one_process_ends_both_and_loses_nothing(tmp_path, trouble, ending):
    (tmp_path / "trouble.py").write_text(TROUBLE)
    tests = str(REPOSITORY / "tests")
    words = [*TWO_RANKS, "trouble.py"]
    said = run(tmp_path, *words, trouble, "kept", PYTHONPATH=tests).splitlines()
    assert sorted(said) == [f"rank 0: {ending}", f"rank 1: {ending}"]
    assert 10 <= answered(tmp_path / "kept") < 40
    said = run(tmp_path, *words, "none", "kept", PYTHONPATH=tests).splitlines()
    assert sorted(said) == [f"rank 0: {' '.join(f's{i}' for i in range(40))}", "rank 1: "]
    assert answered(tmp_path / "kept") == 40


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_benchmarks(tmp_path_factory.mktemp("data"))


SHORT = ["--options", "run.decoding.max_length=12", "run.num_workers=0"]


def benchmark(folder, *words, launcher=(), **checks):
    return run(folder, *launcher, "-m", "lavis_sam.cli", "benchmark", "--model", "tiny", *words, *SHORT, **checks)


def test_all_ten_sets_by_one_command(data, tmp_path):
    report = json.loads(benchmark(tmp_path, "--data", str(data), "--out", "runs/sam", "--json"))
    assert [(one["dataset"], one["status"]) for one in report["sets"]] == [(name, "done") for name in EVALUATION_SETS]
    assert list(report["averages"]) == ["group captioning", "storytelling", "change captioning"]
    assert report == json.loads((tmp_path / "runs" / "sam" / "benchmark.json").read_text())
    table = run(tmp_path, "-m", "lavis_sam.cli", "table", "runs/sam")
    assert "| published | SAM | 20.93 |" in table
    assert table.count("| measured | sam |") == 3
    # Two processes, the sets of one table: the same answers.
    benchmark(tmp_path, "--data", str(data), "--out", "runs/two", "--only", "2a", launcher=TWO_RANKS)
    for title in ("Conceptual", "Animal", "Vehicle"):
        files = [tmp_path / "runs" / name / title / "pred.json" for name in ("sam", "two")]
        assert files[0].read_text() == files[1].read_text()


def test_a_failing_set_does_not_stop_the_others(data, tmp_path):
    root = write_benchmarks(tmp_path / "data", "aesop", "dm800k")
    (root / "aesop" / "data" / "test.json").write_text("[")
    report = json.loads(benchmark(tmp_path, "--data", "data", "--only", "2b", "--out", "run", "--json", code=1))
    assert [one["status"] for one in report["sets"]] == ["failed", "missing", "done"]
    assert "test.json" in report["sets"][0]["message"]
    assert report["averages"] == {}


def test_a_run_folder_holds_one_model(tmp_path):
    write_benchmarks(tmp_path / "data", "aesop", "vist")
    benchmark(tmp_path, "--only", "aesop", "--out", "run")
    words = ["run.decoding.num_beams=1"]
    benchmark(tmp_path, "--only", "vist", "--out", "run", *words, code=2)
    assert "holds one model's results" in (tmp_path / "stderr").read_text()
