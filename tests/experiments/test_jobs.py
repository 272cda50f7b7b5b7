"""The jobs of a sweep: their commands, what is finished of them, and whose folder it is."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lavis_sam.config.option_values import read_option
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.experiments.jobs import FAILED, FINISHED, STOPPED, as_text, attempt, claim, jobs_of
from lavis_sam.experiments.sweep_file import Row, Sweep


@pytest.fixture
def sweep(tmp_path):
    for name in ("train.yaml", "more.yaml"):
        (tmp_path / name).write_text("run: {}\n", encoding="utf-8")
    return make(tmp_path)


def make(folder, rows=None, seeds=(0, 1), options=None):
    rows = rows or {"base": Row(train=False), "sam": Row({"model.guidance.context": "others"})}
    return Sweep(
        config=folder / "train.yaml",
        seeds=seeds,
        options={"run.max_epoch": 2} if options is None else options,
        rows=rows,
        evaluate=(folder / "more.yaml",),
        compare=(),
    )


class Started:
    """A process that writes what its run would."""

    def __init__(self, codes=(), events=("finished",)):
        self.codes, self.events, self.commands, self.environments = list(codes), events, [], []

    def __call__(self, command, stdout, stderr, env):
        self.commands.append(command)
        self.environments.append(env)
        options = dict(word.split("=", 1) for word in command[command.index("--options") + 1 :])
        folder = Path(options["run.output_dir"]) / options["run.job_id"]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.writelines(json.dumps({"event": event, "time": 0}) + "\n" for event in self.events)
        stdout.write(b"line one\nCUDA is lost\n")
        stdout.flush()  # as another process's output is
        self.code = self.codes.pop(0) if self.codes else 0
        return self

    def wait(self):
        return self.code


def test_jobs_come_seed_by_seed(sweep, tmp_path):
    jobs = jobs_of(sweep, tmp_path / "out")
    assert [job.name for job in jobs] == ["base.seed-0", "sam.seed-0", "base.seed-1", "sam.seed-1"]
    assert jobs[1].folder == tmp_path / "out" / "sam" / "seed-0"


def test_a_row_trains_resuming_and_is_then_evaluated_with_its_checkpoint(sweep, tmp_path):
    train, evaluate = jobs_of(sweep, tmp_path / "out")[1].steps
    command = train.command()
    assert command[1:5] == ["-m", "lavis.train", "--cfg-path", str(tmp_path / "train.yaml")]
    assert set(command[6:]) == {
        "run.max_epoch=2",
        "model.guidance.context=others",
        "run.seed=0",
        f"run.output_dir={tmp_path / 'out' / 'sam'}",
        "run.job_id=seed-0",
        "run.resume=auto",
    }
    command = evaluate.command()
    assert command[1:5] == ["-m", "lavis.evaluate", "--cfg-path", str(tmp_path / "more.yaml")]
    assert set(command[6:]) == {
        "model.guidance.context=others",
        "run.seed=0",
        f"run.output_dir={tmp_path / 'out' / 'sam' / 'seed-0' / 'evaluations'}",
        "run.job_id=more",
        f"model.finetuned={tmp_path / 'out' / 'sam' / 'seed-0'}",
    }


def test_a_row_that_does_not_train_is_evaluated_as_it_is(sweep, tmp_path):
    first, further = jobs_of(sweep, tmp_path / "out")[0].steps
    assert (first.module, further.module) == ("lavis.evaluate", "lavis.evaluate")
    words = [*first.command(), *further.command()]
    assert not [word for word in words if word.startswith(("run.resume", "model.finetuned"))]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a # b", "a # b"),
        (True, "true"),
        (None, "null"),
        (1e-5, "1e-05"),
        ([1, "x"], '[1, "x"]'),
        ("07", '"07"'),
        ("null", '"null"'),
        ("", '""'),
        ("'quoted'", "\"'quoted'\""),
        ("[no list", '"[no list"'),
        ("Größe", "Größe"),
    ],
)
def test_values_are_written_as_options_read_them_back(value, text):
    assert as_text(value) == text
    assert read_option(text, Any) == value
    if isinstance(value, str):
        assert read_option(text, str) == value


def test_an_attempt_does_what_is_left_and_keeps_how_it_ended(sweep, tmp_path):
    out = tmp_path / "out"
    claim(sweep, out)
    job, start = jobs_of(sweep, out)[1], Started()
    assert not job.is_finished
    outcome = attempt(job, out, device="3", start=start)
    assert (outcome.status, outcome.message) == (FINISHED, "")
    assert job.is_finished
    assert len(start.commands) == 2
    assert {environment["CUDA_VISIBLE_DEVICES"] for environment in start.environments} == {"3"}
    assert json.loads((out / "jobs" / "sam.seed-0.json").read_text(encoding="utf-8"))["status"] == FINISHED
    assert attempt(job, out, start=start).status == FINISHED
    assert len(start.commands) == 2  # nothing is made again


def test_a_failed_run_is_named_with_the_end_of_its_log_and_what_follows_does_not_start(sweep, tmp_path):
    out = tmp_path / "out"
    claim(sweep, out)
    job, start = jobs_of(sweep, out)[1], Started(codes=[2], events=("train",))
    outcome = attempt(job, out, start=start)
    assert outcome.status == FAILED
    assert outcome.message == "lavis.train ended with code 2: " + " | ".join(
        [f"$ {' '.join(start.commands[0])}", "line one", "CUDA is lost"]
    )
    assert len(start.commands) == 1
    assert attempt(job, out, start=Started()).status == FINISHED  # the same command tries it again


def test_a_run_that_stopped_at_a_checkpoint_is_not_called_finished(sweep, tmp_path):
    out = tmp_path / "out"
    claim(sweep, out)
    job = jobs_of(sweep, out)[1]
    assert attempt(job, out, start=Started(events=("train",))).status == STOPPED
    assert not job.is_finished


def test_more_rows_and_seeds_may_come_and_nothing_else(sweep, tmp_path):
    out = tmp_path / "out"
    claim(sweep, out)
    wider = make(tmp_path, {**sweep.rows, "self": Row({"model.guidance.context": "self"})}, seeds=(0, 1, 2))
    claim(wider, out)
    longer = {"run.max_epoch": 3}
    others = {
        r"rows: it had 'self' as well": sweep,
        r"seeds: it had \[2\] as well": make(tmp_path, wider.rows, seeds=(0, 1)),
        r"rows\.sam\.options: it was": make(tmp_path, {**wider.rows, "sam": Row()}, seeds=(0, 1, 2)),
        r"rows\.base\.options: it was .*'run\.max_epoch': 2": make(tmp_path, wider.rows, (0, 1, 2), longer),
    }
    before = (out / "sweep.json").read_bytes()
    for words, other in others.items():
        with pytest.raises(SamConfigurationError, match=words):
            claim(other, out)
    (tmp_path / "train.yaml").write_text("run: {seed: 1}\n", encoding="utf-8")
    with pytest.raises(SamConfigurationError, match="config: it was"):
        claim(wider, out)
    assert (out / "sweep.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(sweep, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SamConfigurationError, match=r"found 'thesis\.txt' and no sweep\.json"):
        claim(sweep, out)
    for content in ("[1]", "{}", '{"config": {}, "evaluate": [3], "seeds": [], "rows": {}, "compare": []}'):
        (out / "sweep.json").write_text(content, encoding="utf-8")
        with pytest.raises(SamDataError, match=r"sweep\.json"):
            claim(sweep, out)
    assert sorted(path.name for path in out.iterdir()) == ["sweep.json", "thesis.txt"]


def test_jobs_share_a_feature_cache_with_their_evaluations(tmp_path):
    for name in ("train.yaml", "more.yaml"):
        (tmp_path / name).write_text("run: {}\n", encoding="utf-8")
    options = {"run.feature_cache": "features", "run.feature_crops": 4, "run.max_epoch": 2}
    for job in jobs_of(make(tmp_path, options=options), tmp_path / "out"):
        for step in job.steps:
            assert step.options["run.feature_cache"] == "features"
            assert step.options["run.feature_crops"] == 4
        assert "run.max_epoch" not in job.steps[-1].options


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, STOPPED), (signal.SIGINT, STOPPED), (signal.SIGKILL, FAILED)]
)
def test_a_process_that_is_asked_to_stop_while_it_starts_is_no_failure(sweep, tmp_path, number, status):
    def start(command, **options):
        process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
        process.send_signal(number)
        return process

    claim(sweep, tmp_path / "out")
    outcome = attempt(jobs_of(sweep, tmp_path / "out")[0], tmp_path / "out", start=start)
    assert outcome.status == status


def test_a_process_that_is_asked_to_stop_behind_its_end_is_finished(sweep, tmp_path):
    claim(sweep, tmp_path / "out")
    outcome = attempt(jobs_of(sweep, tmp_path / "out")[0], tmp_path / "out", start=Started(codes=[-signal.SIGTERM]))
    assert outcome.status == FINISHED
