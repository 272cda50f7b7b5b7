"""SIGTERM and SIGINT as a wish: the run ends at the next whole step, with a checkpoint."""

import multiprocessing.queues
import os
import signal
import threading
import time
import traceback
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A terminal signals a whole group of processes, and who started one of them (torchrun, a sweep) passes it on.
_TOGETHER_SECONDS = 2.0


class RunStopped(Exception):  # noqa: N818 - not an error
    """The run was asked to end and all its processes have agreed to."""


class StopRequest:
    """While its block runs, the first SIGTERM or SIGINT is kept here; a later one does what it always did.

    Signals that come within two seconds of the first are the same wish.

    Attributes:
        name: The signal's name once there was one, else None.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self._since = 0.0
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        # Python gives handlers to the main thread alone; a runner in another thread has its owner's.
        if threading.current_thread() is threading.main_thread():
            self._earlier = {number: signal.signal(number, self._keep) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._give_back()

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self.name is None:
            self.name, self._since = signal.Signals(number).name, time.monotonic()
        elif time.monotonic() - self._since > _TOGETHER_SECONDS:
            self._give_back()
            signal.raise_signal(number)

    def _give_back(self) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)
        self._earlier = {}


def ignore_signals_in_worker(worker: int = 0) -> None:
    """Let a data loading process live until the run has stopped, although a terminal and SLURM signal it too.

    SIGTERM from the parent ends it all the same. Python sends that one when it exits and then waits for the process:
    if it ignored that, an iterator that nobody has closed would keep the interpreter waiting for ever.

    A batch that it cannot hand over ends it, too: its queue would drop the batch, and the run wait for ever.

    Args:
        worker: Its number, which PyTorch gives and nothing here needs.
    """
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end_with_lost_batch)  # type: ignore[attr-defined]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):  # macOS: SIGTERM ends it, whoever sends it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return
    # A handler would not learn who has sent the signal; who waits for it does.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_when_the_parent_says, daemon=True).start()


def _end_with_lost_batch(error: Exception, batch: object) -> None:
    traceback.print_exception(error)
    if "shared memory" in str(error):
        # The same end as where the system finds shared memory full when it is written to. To this thread: the system
        # may give a signal to another one, and then it sometimes comes after the exit.
        signal.raise_signal(signal.SIGBUS)
    os._exit(1)


def _end_when_the_parent_says() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def stop_workers(iterator: object) -> None:
    """Let the worker processes of a data loader go now, not when the last traceback that knows its iterator goes."""
    shut_down = getattr(iterator, "_shutdown_workers", None)  # which PyTorch calls when an iterator is collected
    if shut_down is not None:
        with suppress(RuntimeError):  # a worker that is dead already; PyTorch says so wherever the run is
            shut_down()
