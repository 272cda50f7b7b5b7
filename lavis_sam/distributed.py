"""One process or many: the process group, and what the rest of the package asks of it.

Every function works without a process group, as the only process. LAVIS's own helpers know NCCL alone, move metrics to
"cuda", and wait a year for a lost rank.
"""

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from lavis_sam.errors import SamConfigurationError

DEFAULT_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class Launch:
    """This process's place among all of them, as the launcher (torchrun) says in the environment."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Launch":
        """Read RANK, WORLD_SIZE and LOCAL_RANK; without them this is the only process.

        Raises:
            SamConfigurationError: Only some of them are set, or one is no integer in range.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        present = [name for name in names if name in environment]
        if not present:
            return cls()
        found = {name: environment.get(name) for name in names}
        try:
            launch = cls(*(int(environment[name]) for name in names))
        except (KeyError, ValueError) as error:
            raise SamConfigurationError(
                f"environment: found {found}, wanted all three as integers; start with torchrun, or unset them."
            ) from error
        if not 0 <= launch.rank < launch.world_size:
            raise SamConfigurationError(f"environment: found {found}, wanted 0 <= RANK < WORLD_SIZE.")
        return launch


@contextmanager
def process_group(launch: Launch, device: torch.device, timeout: timedelta = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Join the process group for the length of the block: NCCL for GPUs, gloo for CPUs.

    Args:
        launch: This process's place; with a world of one there is nothing to join.
        device: Where the model lives.
        timeout: How long a rank waits for the others.
    """
    if launch.world_size == 1 or is_distributed():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=launch.rank, world_size=launch.world_size, timeout=timeout)
    try:
        yield
    finally:
        # A DDP wrapper that still waits to be collected would keep threads of the group alive.
        gc.collect()
        dist.destroy_process_group()


def is_distributed() -> bool:
    """Whether this process has joined a process group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if is_distributed() else 1


def is_main_process() -> bool:
    """Whether this is rank 0, the only one that writes."""
    return rank() == 0


def barrier() -> None:
    """Wait for all processes."""
    if is_distributed():
        dist.barrier()


def sum_over_ranks(values: Sequence[float], device: torch.device) -> list[float]:
    """Element-wise sum over all processes, in double precision."""
    if not is_distributed():
        return [float(value) for value in values]
    total = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return total.tolist()


def gather_on_main(value: Any) -> list[Any] | None:
    """The values of all processes in rank order on rank 0, None elsewhere; values must be picklable."""
    if not is_distributed():
        return [value]
    gathered: list[Any] | None = [None] * world_size() if is_main_process() else None
    dist.gather_object(value, gathered)
    return gathered


def from_main(value: Any) -> Any:
    """Rank 0's value, on every process."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def choose_device(name: str, launch: Launch | None = None) -> torch.device:
    """The device of this process.

    Args:
        name: "cpu", "cuda", or "auto" for a GPU when there is one.
        launch: This process's place; by default what the environment says. It chooses among the machine's GPUs.

    Raises:
        SamConfigurationError: "cuda" without a usable GPU, or fewer GPUs than processes on this machine.
    """
    launch = launch or Launch.from_environment()
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SamConfigurationError("run.device: found 'cuda', but torch sees no GPU; use 'auto' or 'cpu'.")
    if launch.local_rank >= torch.cuda.device_count():
        raise SamConfigurationError(
            f"LOCAL_RANK {launch.local_rank}: this machine has {torch.cuda.device_count()} GPU(s); start at most one "
            "process for each."
        )
    return torch.device("cuda", launch.local_rank)
