"""Memory: how much was needed; and "out of memory", said clearly: on which samples, and what makes it smaller."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lavis_sam.errors import SamConfigurationError

if TYPE_CHECKING:
    import torch

# What PyTorch's allocators say where they raise a plain RuntimeError (the CPU's does, and some CUDA libraries do).
_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")


def peak_bytes(device: "torch.device") -> int:
    """The most memory that this process has used so far: on a GPU its tensors, on a CPU all that was resident."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    import resource  # which Windows has not

    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, of a GPU or of the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


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
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise SamConfigurationError(f"out of memory while {doing()} ({first_line[:160]}). {remedy}") from error
