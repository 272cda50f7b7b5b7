"""The pool of processes: workers that die, hang up or fail."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.synthesis.runners import PartTask, Progress
from lavis_sam.synthesis.runners.local import LocalRunner


@dataclass(frozen=True)
class FakeJob:
    """Leaves a file for each finished part, and dies where it is described to."""

    folder: Path
    fatal: tuple = ()  # (slot, try) that kill the worker
    once: tuple = ()  # slots that kill the first worker only
    fail: str = ""
    at_start: str = ""

    def prepare(self):
        if self.at_start == "exit":
            os._exit(7)
        if self.at_start == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return self.make

    def make(self, task, emit):
        if self.fail == "disk":
            raise OSError(28, "No space left on device")
        if self.fail:
            raise {"data": SamDataError, "config": SamConfigurationError, "bug": ZeroDivisionError}[self.fail](
                "oh dear"
            )
        done = []
        for slot, attempt, _ in task.slots:
            if (slot, attempt) in task.crashed:
                continue
            if task.isolate:
                emit((slot, attempt))
            marker = self.folder / f"once {slot}"
            if (slot, attempt) in self.fatal or (slot in self.once and not marker.exists()):
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(slot)
        emit(Progress("accepted", len(done), len(task.slots) - len(done)))
        (self.folder / f"{task.key}.txt").write_text(f"{done} {os.getpid()}")


def tasks(count=5):
    return [PartTask(0, number, tuple((number * 3 + k, 0, "icons") for k in range(3))) for number in range(count)]


def run(job, workers=2, count=5):
    events = []
    LocalRunner(workers).run(job, tasks(count), events.append)
    return {path.stem: path.read_text() for path in job.folder.glob("*.txt")}, events


def made(texts):
    return {key: text.rsplit(" ", 1)[0] for key, text in texts.items()}


EVERYTHING = {f"0-{number:06d}": str([number * 3, number * 3 + 1, number * 3 + 2]) for number in range(5)}


@pytest.mark.parametrize("workers", [1, 3])
def test_all_parts_are_made(tmp_path, workers):
    texts, events = run(FakeJob(tmp_path), workers)
    assert made(texts) == EVERYTHING
    assert sum(event.passed for event in events) == 15
    assert len({text.rsplit(" ", 1)[1] for text in texts.values()}) <= workers


def test_a_worker_that_dies_once_loses_nothing(tmp_path):
    texts, _ = run(FakeJob(tmp_path, once=(4, 5, 13)))
    assert made(texts) == EVERYTHING


def test_a_try_that_kills_workers_is_given_up_and_nothing_else_is(tmp_path):
    texts, events = run(FakeJob(tmp_path, fatal=((4, 0), (12, 0), (14, 0))))
    assert made(texts) == EVERYTHING | {"0-000001": "[3, 5]", "0-000004": "[13]"}
    assert sum(event.rejected for event in events) == 3


@pytest.mark.parametrize(
    ("how", "described"), [("exit", r"exit code 7"), ("kill", r"signal SIGKILL, most likely because .* memory ran out")]
)
def test_workers_that_cannot_start_are_one_clear_error(tmp_path, how, described):
    with pytest.raises(SamConfigurationError, match=rf"3 worker processes ended \({described}\) before"):
        run(FakeJob(tmp_path, at_start=how), workers=1)


@pytest.mark.parametrize(
    ("fail", "error", "message"),
    [
        ("data", SamDataError, "^oh dear$"),
        ("config", SamConfigurationError, "^oh dear$"),
        ("disk", OSError, r"No space left on device.*--resume"),
        ("bug", RuntimeError, r"(?s)ZeroDivisionError: oh dear.*Traceback"),
    ],
)
def test_errors_of_workers_arrive(tmp_path, fail, error, message):
    with pytest.raises(error, match=message):
        run(FakeJob(tmp_path, fail=fail), workers=1)


def test_no_worker_is_refused():
    with pytest.raises(SamConfigurationError, match="workers: found 0, wanted at least 1"):
        LocalRunner(0)


SLEEPER = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from lavis_sam.synthesis.runners import PartTask
from lavis_sam.synthesis.runners.local import LocalRunner

@dataclass
class Sleeper:
    folder: Path
    def prepare(self):
        return self.make
    def make(self, task, tell):
        import os
        (self.folder / "pid").write_text(str(os.getpid()))
        time.sleep(60)

if __name__ == "__main__":
    LocalRunner(1).run(Sleeper(Path(sys.argv[1])), [PartTask(0, 0, ((0, 0, "icons"),))], print)
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    """Orphans would write into the folder of the run that resumes."""
    script = tmp_path / "sleeper.py"
    script.write_text(SLEEPER)
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text())
    child = int(pid.read_text())
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(child))


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
