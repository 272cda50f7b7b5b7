"""The jobs of a sweep, several at a time."""

import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from lavis_sam.errors import SamConfigurationError
from lavis_sam.experiments.jobs import STOPPED, Job, Outcome, attempt
from lavis_sam.signals import StopRequest

logger = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2


class _Processes:
    """The processes that are running; once they were asked to stop, another one is asked as soon as it starts.

    An error inside its block asks them to stop.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.is_stopping = False

    def __enter__(self) -> "_Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.stop()

    def start(self, command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        with self._lock:
            process = subprocess.Popen(command, **options)
            self._running = {other for other in self._running if other.poll() is None} | {process}
            if self.is_stopping:
                process.send_signal(signal.SIGTERM)
            return process

    def stop(self) -> None:
        """Ask all of them to end at their next step, with a checkpoint."""
        with self._lock:
            self.is_stopping = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)


def run_here(
    jobs: Sequence[Job],
    out: Path,
    devices: Sequence[str | None],
    *,
    show: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Do jobs on this machine, one at a time for each device.

    SIGTERM, SIGINT and an error let the runs end at their next step with a checkpoint; what they had not begun stays
    for later.

    Args:
        jobs: Those to do.
        out: The sweep's folder.
        devices: What CUDA_VISIBLE_DEVICES is for the jobs of a slot; None leaves it as it is.
        show: Gets each job that ended.

    Returns:
        The outcomes, in the order in which they came; jobs that were not begun have none.

    Raises:
        OSError: A process cannot be started, or its log or outcome not be written.
        Exception: Whatever `show` raises.
    """
    free: SimpleQueue[str | None] = SimpleQueue()
    for device in devices:
        free.put(device)
    processes, outcomes = _Processes(), []

    def work(job: Job) -> Outcome | None:
        """Do a job on the next free device; None where the sweep is stopping."""
        if processes.is_stopping:
            return None
        device = free.get()
        try:
            with processes:  # here as well: this thread takes the next job before the loop below hears of an error
                return attempt(job, out, device=device, start=processes.start)
        finally:
            free.put(device)

    with StopRequest() as stop, ThreadPoolExecutor(len(devices)) as pool, processes:
        left = {pool.submit(work, job) for job in jobs}
        while left:
            done, left = wait(left, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
            if stop.name and not processes.is_stopping:
                logger.warning("%s: the runs end at their next step; the same command continues them", stop.name)
                processes.stop()
            for future in done:
                outcome = future.result()
                if outcome is not None:
                    outcomes.append(outcome)
                    show(outcome)
    return outcomes


def run_on_slurm(
    jobs: Sequence[Job],
    out: Path,
    parameters: dict[str, Any],
    *,
    at_once: int | None = None,
    cluster: str | None = None,
    show: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Do jobs as one array of SLURM, with submitit; wait for them.

    Args:
        jobs: Those to do.
        out: The sweep's folder, on a disk that all nodes see.
        parameters: What submitit gives to sbatch: `slurm_partition`, `gpus_per_node`, `timeout_min`, …
        at_once: How many may run at a time; None for any number.
        cluster: submitit's name of another executor, such as "local".
        show: Gets each job that ended.

    Raises:
        SamConfigurationError: submitit is not installed, there is no SLURM here, or a parameter that it does not know.
    """
    try:
        import submitit
    except ImportError as error:
        raise SamConfigurationError(
            f"--slurm needs submitit, which cannot be imported ({error}); install it with `pip install "
            "lavis_sam[slurm]`."
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=out / "slurm" / "%j", cluster=cluster or "slurm")
        executor.update_parameters(**parameters)
        if at_once is not None and cluster in (None, "slurm"):
            executor.update_parameters(slurm_array_parallelism=at_once)
    except (RuntimeError, TypeError, NameError, ValueError) as error:
        raise SamConfigurationError(f"--slurm: {error}") from error
    submitted = executor.map_array(attempt, jobs, [out] * len(jobs))
    outcomes = []
    for job, sent in zip(jobs, submitted, strict=True):
        try:
            outcome = sent.result()
        except Exception as error:  # whatever a cluster does to a job; its log says more
            text = str(error).strip().splitlines() or [type(error).__name__]
            outcome = Outcome(job.row, job.seed, STOPPED, 0.0, f"SLURM job {sent.job_id}: {text[-1]}")
        outcomes.append(outcome)
        show(outcome)
    return outcomes
