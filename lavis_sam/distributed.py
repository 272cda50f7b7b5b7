"""One process or many: the process group, and what the rest of the package asks of it.

Every function works without a process group, as the only process. LAVIS's own helpers know NCCL alone, move metrics to
"cuda", and wait a year for a lost rank.

What a step agrees on (losses, counts, the wish to stop) goes over gloo, before any gradient goes over NCCL: so a
process that is late or lost is met there, where waiting ends with an error of ours that names it.
"""

import gc
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from lavis_sam.errors import SamConfigurationError, SamError
from lavis_sam.locks import locked

DEFAULT_TIMEOUT = timedelta(minutes=30)
# How long the processes that noticed a failure wait for the others to say that they noticed it too.
_GRACE_SECONDS = 5.0
# Words in what gloo, NCCL and their store raise when another process is gone or late.
_FAILED_EXCHANGE = ("gloo", "nccl", "connection", "timed out", "timeout", "socket", "broken pipe")


class LostProcessError(SamError, RuntimeError):
    """Another process of the run died, or did not answer within the time limit."""


@dataclass(frozen=True)
class Launch:
    """This process's place among all of them, as the launcher (torchrun, srun) says in the environment."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Launch":
        """Read torchrun's RANK, WORLD_SIZE and LOCAL_RANK, else a SLURM step's; without any, the process is alone.

        A SLURM step is one started by srun: inside an allocation's own shell (SLURM_STEP_ID unset) a program is alone.

        Raises:
            SamConfigurationError: Only some of them are set, or one is no integer in range.
        """
        names: tuple[str, ...] = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        if not any(name in environment for name in names):
            names = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
            # An interactive shell is a step too, with one task, whatever the allocation could hold.
            if "SLURM_STEP_ID" not in environment or environment.get("SLURM_STEP_NUM_TASKS") == "1":
                return cls()
        found = {name: environment.get(name) for name in names}
        try:
            launch = cls(*(int(environment[name]) for name in names))
        except (KeyError, ValueError) as error:
            raise SamConfigurationError(
                f"environment: found {found}, wanted all three as integers; start with torchrun or srun, or unset them."
            ) from error
        if not 0 <= launch.rank < launch.world_size:
            raise SamConfigurationError(f"environment: found {found}, wanted 0 <= {names[0]} < {names[1]}.")
        return launch


@contextmanager
def process_group(launch: Launch, device: torch.device, timeout: timedelta = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Join the process group for the length of the block: NCCL for GPUs, gloo for CPUs.

    Args:
        launch: This process's place; with a world of one there is nothing to join.
        timeout: How long a rank waits for the others.

    Raises:
        SamConfigurationError: There is no MASTER_ADDR or MASTER_PORT.
        LostProcessError: An exchange in the block failed; the message names the process at fault.
    """
    if launch.world_size == 1 or is_distributed():
        yield
        return
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise SamConfigurationError(
            f"environment: {', '.join(missing)} missing; torchrun sets them, under srun the launcher has to "
            "(run_scripts/train_slurm.sh does)."
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    store, _, _ = next(dist.rendezvous("env://", launch.rank, launch.world_size, timeout=timeout))
    dist.init_process_group(
        backend,
        store=dist.PrefixStore("group", store),
        rank=launch.rank,
        world_size=launch.world_size,
        timeout=timeout,
    )
    global _control
    _control = dist.new_group(backend="gloo", timeout=timeout) if backend != "gloo" else None
    watch = _Watch(dist.PrefixStore("watch", store), launch)
    try:
        with watch:
            yield
    finally:
        _control = None
        # A DDP wrapper that still waits to be collected would keep threads of the group alive.
        gc.collect()
        with suppress(RuntimeError):
            dist.destroy_process_group()


# The gloo group of the same processes, where the group itself is NCCL's.
_control: Any = None


class _Watch:
    """Turns the failure of an exchange into an error that names the process at fault."""

    def __init__(self, store: Any, launch: Launch) -> None:
        self.store, self.launch = store, launch

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is None:
            return
        exchange_failed = isinstance(error, RuntimeError) and any(
            word in str(error).lower() for word in _FAILED_EXCHANGE
        )
        if not exchange_failed or isinstance(error, SamError):
            with suppress(RuntimeError):
                self.store.set(f"left/{self.launch.rank}", f"{type(error).__name__}: {error}"[:500])
            return
        raise LostProcessError(
            f"rank {self.launch.rank}: an exchange with the other processes failed; {self._who()} "
            "Continue with run.resume=auto once the cause is gone; run.timeout_minutes is the time limit."
        ) from error

    def _who(self) -> str:
        """Say who did not notice the failure as this process did: who died or still works on something else."""
        others = [other for other in range(self.launch.world_size) if other != self.launch.rank]
        try:
            self.store.set(f"noticed/{self.launch.rank}", "yes")
            deadline = time.monotonic() + _GRACE_SECONDS
            while others and time.monotonic() < deadline:
                others = [other for other in others if not self.store.check([f"noticed/{other}"])]
                time.sleep(0.1)
            reasons = {
                other: self.store.get(f"left/{other}").decode()
                for other in others
                if self.store.check([f"left/{other}"])
            }
        except RuntimeError:
            return "rank 0, which keeps the processes' common store, is gone."
        if not others:
            return "all processes are there, so look at the network between them."
        return " ".join(
            f"rank {other} stopped ({reasons[other]})." if other in reasons else f"rank {other} died or is late."
            for other in others
        )


def is_distributed() -> bool:
    """Return whether this process has joined a process group."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return this process's number, from 0."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if is_distributed() else 1


def is_main_process() -> bool:
    """Return whether this is rank 0, the only one that writes."""
    return rank() == 0


def barrier() -> None:
    """Wait for all processes."""
    if is_distributed():
        dist.barrier(group=_control)


def sum_over_ranks(values: Sequence[float]) -> list[float]:
    """Return the element-wise sum over all processes, in double precision."""
    if not is_distributed():
        return [float(value) for value in values]
    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total, group=_control)
    return total.tolist()


def gather_on_main(value: Any) -> list[Any] | None:
    """Return the values of all processes in rank order on rank 0, None elsewhere; values must be picklable."""
    if not is_distributed():
        return [value]
    gathered: list[Any] | None = [None] * world_size() if is_main_process() else None
    dist.gather_object(value, gathered, group=_control)
    return gathered


def gather_on_all(value: Any) -> list[Any]:
    """Return the values of all processes in rank order, on every one; values must be picklable."""
    if not is_distributed():
        return [value]
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, value, group=_control)
    return gathered


def from_main(value: Any) -> Any:
    """Return rank 0's value, on every process; it must be picklable."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box, group=_control)
    return box[0]


def whole_tensor(tensor: Any) -> torch.Tensor:
    """Return a tensor whole; of one that is sharded (run.sharding), all processes have to ask together."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def share_of(value: Any, like: Any) -> Any:
    """Return this process's share of a tensor that all have whole, sharded as `like`, which has its shape.

    The value itself comes back where `like` is not sharded or has another shape.
    """
    if not hasattr(like, "full_tensor") or getattr(value, "shape", None) != like.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    moved = value.to(like.device, like.dtype)
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)


@contextmanager
def locked_by_main(folder: Path, remedy: str) -> Iterator[None]:
    """Have a folder to this run for the length of the block: rank 0 holds the lock (see `locked`).

    Raises:
        SamConfigurationError: Another process works in the folder, or it cannot be made; on every rank.
    """
    with ExitStack() as held:
        problem: SamConfigurationError | None = None
        if is_main_process():
            try:
                held.enter_context(locked(folder, remedy))
            except SamConfigurationError as error:
                problem = error
        problem = from_main(problem)
        if problem is not None:
            raise problem
        yield


def choose_device(name: str, launch: Launch | None = None) -> torch.device:
    """Return the device of this process.

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
