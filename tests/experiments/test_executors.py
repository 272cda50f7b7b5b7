"""Several jobs at a time: on this machine with real processes, and as an array through submitit's local executor."""

import dataclasses
import json
import os
import signal
import sys
import threading
import time

import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.experiments import jobs as jobs_module
from lavis_sam.experiments.executors import run_here, run_on_slurm
from lavis_sam.experiments.jobs import FAILED, FINISHED, STOPPED, Job, Step

# Says when it began and on which device; waits for the file `go` or for SIGTERM, which ends it unfinished with code 0.
PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
folder, above, code = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
stopped = []
signal.signal(signal.SIGTERM, lambda *given: stopped.append(1))
folder.mkdir(parents=True, exist_ok=True)
with open(above / "began", "a") as began:
    began.write(f"{folder.name} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")
while not (above / "go").exists() and not stopped:
    time.sleep(0.01)
(folder / "log.jsonl").write_text(json.dumps({"event": "train" if stopped or code else "finished"}) + "\\n")
sys.exit(code)
"""


# A run as ours are: it hears a signal, makes its step, and saves.
LISTENING = """
import os, sys, time
from pathlib import Path
from lavis_sam.signals import StopRequest
folder, above = Path(sys.argv[1]), Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
with StopRequest() as stop:
    (above / "began").write_text(str(os.getpid()))
    while stop.name is None:
        time.sleep(0.01)
    time.sleep(1)
    (folder / "saved").touch()
"""


@dataclasses.dataclass(frozen=True)
class Program(Step):
    """A step whose process is the program above."""

    code: int = 0

    def command(self):
        return [sys.executable, "-S", "-c", PROGRAM, str(self.folder), str(self.folder.parent), str(self.code)]


class Absent(Program):
    """A step whose program is not there, found out once another job has begun."""

    def command(self):
        wait_for(lambda: began(self.folder.parent))
        return [str(self.folder / "absent")]


class Listening(Program):
    """A step that saves when it was asked to stop."""

    def command(self):
        return [sys.executable, "-c", LISTENING, str(self.folder), str(self.folder.parent)]


class Short(Program):
    """A step that fails at once."""

    def command(self):
        return [sys.executable, "-S", "-c", "raise SystemExit(3)"]


@pytest.fixture
def make(tmp_path):
    (tmp_path / jobs_module.JOBS).mkdir()

    def made(name, code=0, step=Program):
        return Job(name, 0, tmp_path / name, (step("program", tmp_path, {}, tmp_path / name, None, code),))

    return made


@pytest.fixture
def in_the_end(tmp_path):
    """Let every run end, so that one which nobody stops fails its test and does not keep it waiting."""
    timer = threading.Timer(10, (tmp_path / "go").touch)
    timer.start()
    yield
    timer.cancel()


def statuses(folder):
    found = [json.loads(path.read_text()) for path in (folder / jobs_module.JOBS).glob("*.json")]
    return {outcome["row"]: outcome["status"] for outcome in found}


def began(folder):
    path = folder / "began"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.01)


def test_every_device_has_one_run_at_a_time(make, tmp_path):
    shown, at_once = [], []

    def let_go():
        wait_for(lambda: len(began(tmp_path)) == 2)
        time.sleep(0.3)  # a third would begin meanwhile
        at_once.append(len(began(tmp_path)))
        (tmp_path / "go").touch()

    thread = threading.Thread(target=let_go)
    thread.start()
    outcomes = run_here([make(name) for name in "abcd"], tmp_path, ["0", "1"], show=shown.append)
    thread.join()
    assert at_once == [2]
    assert {outcome.status for outcome in outcomes} == {FINISHED}
    assert sorted(outcome.row for outcome in shown) == list("abcd")
    assert {line.split()[1] for line in began(tmp_path)[:2]} == {"0", "1"}


def test_a_failed_run_does_not_keep_the_others_from_running(make, tmp_path):
    (tmp_path / "go").touch()
    outcomes = run_here([make("a", code=3), make("b")], tmp_path, [None])
    assert {outcome.row: outcome.status for outcome in outcomes} == {"a": FAILED, "b": FINISHED}


def test_a_signal_lets_runs_end_at_their_next_step_and_begins_no_other(make, tmp_path):
    def send():
        wait_for(lambda: len(began(tmp_path)) == 1)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    outcomes = run_here([make("a"), make("b")], tmp_path, [None])
    thread.join()
    assert [(outcome.row, outcome.status) for outcome in outcomes] == [("a", STOPPED)]
    assert [line.split()[0] for line in began(tmp_path)] == ["a"]


def test_a_terminals_signal_reaches_runs_too_and_they_still_save(make, tmp_path):
    def send():
        wait_for(lambda: began(tmp_path) and began(tmp_path)[0].isdecimal())
        for process in (int(began(tmp_path)[0]), os.getpid()):
            os.kill(process, signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    outcomes = run_here([make("a", step=Listening), make("b")], tmp_path, [None])
    thread.join()
    assert [(outcome.row, outcome.status) for outcome in outcomes] == [("a", STOPPED)]
    assert (tmp_path / "a" / "saved").exists()


@pytest.mark.usefixtures("in_the_end")
def test_a_program_that_cannot_be_started_stops_the_running_and_begins_no_other(make, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        run_here([make("a"), make("b", step=Absent), make("c"), make("d")], tmp_path, ["0", "1"])
    assert statuses(tmp_path) == {"a": STOPPED}
    assert [line.split()[0] for line in began(tmp_path)] == ["a"]


@pytest.mark.usefixtures("in_the_end")
def test_an_error_of_the_caller_stops_the_running_and_begins_no_other(make, tmp_path):
    def show(outcome):
        wait_for(lambda: began(tmp_path))  # the next job's thread takes it without waiting for this
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_here([make("a", step=Short), make("b"), make("c")], tmp_path, [None], show=show)
    assert statuses(tmp_path) == {"a": FAILED, "b": STOPPED}
    assert [line.split()[0] for line in began(tmp_path)] == ["b"]


@pytest.mark.integration  # 6 s: submitit starts three processes
def test_an_array_of_slurm_does_the_same_jobs(make, tmp_path):
    (tmp_path / "go").touch()
    shown = []
    outcomes = run_on_slurm(
        [make("a"), make("b", code=2)], tmp_path, {"timeout_min": 5}, cluster="local", show=shown.append
    )
    assert {outcome.row: outcome.status for outcome in outcomes} == {"a": FINISHED, "b": FAILED}
    assert outcomes == shown


def test_a_machine_without_slurm_and_unknown_settings_are_named(make, tmp_path):
    with pytest.raises(SamConfigurationError, match="--slurm: "):
        run_on_slurm([make("a")], tmp_path, {})
    with pytest.raises(SamConfigurationError, match=r"--slurm: .*partitoin"):
        run_on_slurm([make("a")], tmp_path, {"partitoin": "gpu"}, cluster="local")


def test_the_extra_is_named_where_it_is_missing(make, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(SamConfigurationError, match=r"pip install lavis_sam\[slurm\]"):
        run_on_slurm([make("a")], tmp_path, {})
