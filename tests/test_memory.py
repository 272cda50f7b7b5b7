"""Memory that ran out is described by its error, whoever raised it, and named with the samples."""

import pytest
import torch

from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.memory import is_dead_worker, is_out_of_memory, naming_dead_worker, naming_samples, peak_bytes


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_out_of_memory_names_the_samples_and_the_remedy():
    words = r"out of memory while answering a, b \(no room\)\. Take fewer\."
    with pytest.raises(SamConfigurationError, match=words), naming_samples(lambda: "answering a, b", "Take fewer."):
        raise MemoryError("no room\nand a long trace")


def test_other_errors_pass_and_nobody_asks_for_names():
    with pytest.raises(KeyError, match="other"), naming_samples(lambda: pytest.fail("asked"), "Take fewer."):
        raise KeyError("other")


def test_peak_memory_of_a_process_is_in_bytes():
    assert 10**7 < peak_bytes(torch.device("cpu")) < 10**13


# What PyTorch 2.13 said when these things were done to it.
KILLED = "DataLoader worker (pid 10767) is killed by signal: Killed. "
BUS = (
    "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are out of "
    "shared memory. Please try to raise your shared memory limit."
)
CRASHED = (
    "DataLoader worker (pid 8) exited unexpectedly with exit code 3. Details are lost due to multiprocessing. "
    "Rerunning with num_workers=0 may give better error trace."
)
INSIDE = "Caught {} in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n{}"
NO_SHARED = "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"


@pytest.mark.parametrize("is_loading", [False, True])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError(KILLED), r"process 10767 was killed by signal: Killed: .*by the system.*memory ran out"),
        (RuntimeError(BUS), r"process 7 was killed by signal: Bus error: shared memory is full: `df -h /dev/shm`"),
        (RuntimeError(CRASHED), r"process 8 exited unexpectedly: memory ran out, or a library crashed: .*workers=0"),
        (RuntimeError("DataLoader worker (pid(s) 3, 4) exited unexpectedly"), "process 3, 4 exited unexpectedly"),
        (RuntimeError(INSIDE.format("RuntimeError", NO_SHARED)), "data worker 1: shared memory is full"),
        (MemoryError(INSIDE.format("MemoryError", "MemoryError")), "data worker 1: memory ran out"),
    ],
)
def test_a_dead_worker_is_named_with_the_likely_reason(error, message, is_loading):
    words = message + r"(?s:.*)Lower run\.num_workers or the batch size.*run\.resume=auto"
    with pytest.raises(SamConfigurationError, match=words), naming_dead_worker(is_loading=is_loading):
        raise error


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "Connection reset by peer"), EOFError(), FileNotFoundError(2, "No such file")]
)
def test_broken_connections_are_a_dead_workers_only_while_a_batch_is_awaited(monkeypatch, error):
    with pytest.raises(type(error)), naming_dead_worker():
        raise error
    for described, message in (
        (KILLED, "process 10767 was killed by signal: Killed"),
        (None, "a data worker .* is gone"),
    ):

        def sleep(seconds, described=described):
            if described:
                raise RuntimeError(described)

        monkeypatch.setattr("lavis_sam.memory.time.sleep", sleep)
        with pytest.raises(SamConfigurationError, match=message), naming_dead_worker(is_loading=True):
            raise error


def test_too_many_open_files_of_the_workers_have_their_own_remedy():
    error = RuntimeError("Too many open files. Communication with the workers is no longer possible.")
    with pytest.raises(SamConfigurationError, match="raise `ulimit -n`"), naming_dead_worker(is_loading=True):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("size mismatch"),
        ValueError(KILLED),
        SamCheckpointError(f"rank 1 stopped ({KILLED})"),
        RuntimeError(INSIDE.format("RuntimeError", "size mismatch")),
        ConnectionResetError(INSIDE.format("ConnectionResetError", "the server")),
    ],
)
def test_errors_that_are_not_a_workers_end_pass(error):
    with pytest.raises(type(error)) as caught, naming_dead_worker(is_loading=True):
        raise error
    assert caught.value is error


def test_a_dead_worker_is_told_from_other_errors():
    assert is_dead_worker(RuntimeError(KILLED))
    assert not is_dead_worker(RuntimeError("file write failed"))
