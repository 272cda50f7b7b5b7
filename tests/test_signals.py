"""Signals as a wish to end: what the run hears, and what its data loading processes do not."""

import os
import signal
import subprocess
import sys
import time

import pytest

from lavis_sam import signals
from lavis_sam.signals import StopRequest

WORKERS = """
import os
from torch.utils.data import DataLoader
from lavis_sam.signals import ignore_signals_in_worker

class Pids:
    def __len__(self):
        return 100

    def __getitem__(self, index):
        return os.getpid()

iterator = iter(DataLoader(Pids(), num_workers=2, worker_init_fn=ignore_signals_in_worker))
"""
# What pytest and notebooks do with the frames of an error: something refers to the iterator until the very end.
ABANDONED = WORKERS + "next(iterator); import builtins; builtins.kept = iterator; print('passed', flush=True)"
SIGNALLED = (
    WORKERS
    + """
pids = {int(next(iterator)), int(next(iterator))}
for pid in pids:  # a stranger sends them: the parent itself would be obeyed
    os.system(f"kill -TERM {pid}; kill -INT {pid}")
print(len(pids) + len(list(iterator)))
"""
)

# A tensor that finds shared memory full while the worker's queue hands it over: PyTorch alone would wait for ever.
LOST_BATCH = (
    """
class Full:
    def __reduce__(self):
        raise RuntimeError({reason!r})
"""
    + WORKERS.replace("worker_init_fn=", "collate_fn=lambda items: Full(), worker_init_fn=")
    + """
from lavis_sam.memory import SamConfigurationError, naming_dead_worker
try:
    with naming_dead_worker(is_loading=True):
        next(iterator)
except SamConfigurationError as error:
    print(error)
"""
)


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0)  # a handler runs between two instructions


def test_the_first_signal_is_kept_and_a_later_one_does_what_it_did(monkeypatch):
    monkeypatch.setattr(signals, "_TOGETHER_SECONDS", 0.5)
    heard = []
    earlier = signal.signal(signal.SIGTERM, lambda *_: heard.append("earlier handler"))
    try:
        with StopRequest() as stop:
            assert stop.name is None
            send(signal.SIGTERM)
            assert (stop.name, heard) == ("SIGTERM", [])
            time.sleep(0.6)
            send(signal.SIGTERM)
            assert heard == ["earlier handler"]
    finally:
        signal.signal(signal.SIGTERM, earlier)


def test_signals_that_come_together_are_one():
    """As after Ctrl-C, which reaches a run and the program that started it, and the program passes it on."""
    with StopRequest() as stop:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            send(number)
        assert stop.name == "SIGINT"


def test_data_loading_processes_live_through_a_signal():
    assert run(SIGNALLED) == "100"


@pytest.mark.parametrize("system", ["", "import signal; del signal.sigwaitinfo"], ids=["Linux", "macOS"])
def test_an_iterator_that_nobody_closed_does_not_keep_the_interpreter(system):
    assert run(system + ABANDONED) == "passed"


def run(program):
    """What the program prints; it has to end by itself."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (
            "unable to allocate shared memory(shm) for file </torch_1>: No space left on device",
            "Bus error: shared memory is full",
        ),
        ("this cannot be pickled", "exited unexpectedly"),
    ],
)
def test_a_worker_that_cannot_hand_its_batch_over_ends(reason, message):
    assert message in run(LOST_BATCH.replace("{reason!r}", repr(reason)))
