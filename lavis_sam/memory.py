"""Memory: how much was needed; and "out of memory", said clearly: on which samples, and what makes it smaller.

Data workers are what the system kills first when memory ends, and PyTorch says so wherever the run happens to be.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lavis_sam.errors import SamConfigurationError, SamError

if TYPE_CHECKING:
    import torch

# What PyTorch's allocators say where they raise a plain RuntimeError (the CPU's does, and some CUDA libraries do).
_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")

# What PyTorch raises in the run when a data worker is gone, and what it says of an error inside one.
_DEATH = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (is killed by signal: [^.]+|exited unexpectedly)")
_INSIDE = re.compile(r"Caught \w+ in DataLoader worker process (\d+)")
# PyTorch says which worker it was when the system tells it, a moment after the worker's connections break.
_SECONDS_UNTIL_NAMED = 2.0
_FULL_SHARED_MEMORY = "shared memory is full: `df -h /dev/shm` (a container gets more by --shm-size)"
# How a worker ended, in PyTorch's words -> why, most likely.
_REASONS = {
    "Killed": "most likely by the system, because the machine's memory ran out (`dmesg` says so)",
    "Bus error": _FULL_SHARED_MEMORY,
    "": "memory ran out, or a library crashed: run.num_workers=0 loads in the run's own process and shows where",
}


def peak_bytes(device: "torch.device") -> int:
    """Return the most memory that this process has used: on a GPU its tensors, on a CPU all that was resident."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    import resource  # which Windows has not

    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, of a GPU or of the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def first_line(error: BaseException) -> str:
    """Return what an error says first, not at length."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


@contextmanager
def naming_samples(doing: Callable[[], str], remedy: str) -> Iterator[None]:
    """Turn "out of memory" inside the block into an error that names the samples; let every other error pass.

    Args:
        doing: What was being done and on which samples; asked only when it went wrong.
        remedy: What makes it need less.

    Raises:
        SamConfigurationError: Memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise SamConfigurationError(f"out of memory while {doing()} ({first_line(error)}). {remedy}") from error


def is_dead_worker(error: BaseException) -> bool:
    """Return whether an error is PyTorch's about a data worker that is gone: it may come up anywhere."""
    return isinstance(error, RuntimeError) and _DEATH.search(str(error)) is not None


@contextmanager
def naming_dead_worker(*, is_loading: bool = False) -> Iterator[None]:
    """Turn the end of a data worker inside the block into an error that names it, and why; let others pass.

    Args:
        is_loading: Whether the block only takes a batch from workers, so that broken connections are theirs too.

    Raises:
        SamConfigurationError: A data worker was killed, crashed, or had no memory left.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError, EOFError) as error:
        problem = None if isinstance(error, SamError) else _worker_problem(error, is_loading=is_loading)
        if problem is None:
            raise
        raise SamConfigurationError(
            f"{problem}. Lower run.num_workers or the batch size and start again: run.resume=auto continues a "
            "training, and an evaluation goes on with what is answered."
        ) from error


def _worker_problem(error: BaseException, *, is_loading: bool) -> str | None:
    text = str(error)
    inside = _INSIDE.match(text)
    if inside is not None:
        reason = _FULL_SHARED_MEMORY if "shared memory" in text else "memory ran out"
        return f"data worker {inside[1]}: {reason}" if is_out_of_memory(error) or "shared memory" in text else None
    if is_loading and ("open files" in text or "ancdata" in text):
        return f"the data workers' batches cannot be received ({text[:80]}): raise `ulimit -n`"
    is_broken = is_loading and isinstance(error, OSError | EOFError)
    # The error of PyTorch's signal handler names the signal; where PyTorch catches it, the next error has it as cause.
    described = _last_words() if is_broken else error.__cause__
    death = _DEATH.search(str(described)) or _DEATH.search(text)
    if death is None:
        return f"a data worker process is gone ({text}): {_REASONS['']}" if is_broken else None
    reason = next(reason for words, reason in _REASONS.items() if words in death[2])
    return f"data worker process {death[1]} {death[2].replace('is killed', 'was killed')}: {reason}"


def _last_words() -> RuntimeError | None:
    """Return what PyTorch says about the worker whose connections broke; its signal handler raises out of the sleep."""
    try:
        time.sleep(_SECONDS_UNTIL_NAMED)
    except RuntimeError as death:
        return death
    return None
