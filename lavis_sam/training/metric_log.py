"""`log.jsonl`: what a run did, one JSON object a line, numbers as numbers; and the loggers that a switch adds."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from lavis_sam.errors import SamConfigurationError
from lavis_sam.files import numbered_lines

_MAX_LINE_BYTES = 16 * 2**20


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say clearly that a file of a run cannot be written.

    Raises:
        SamConfigurationError: The disk is full or read-only.
    """
    try:
        yield
    except OSError as error:
        raise SamConfigurationError(
            f"{path}: cannot be written ({error.strerror or error}). Earlier checkpoints are as they were; make room "
            "or name another run.output_dir, and continue with run.resume=auto."
        ) from error


class MetricLogger(Protocol):
    """Another place for a run's numbers."""

    def write(self, event: str, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of an event."""

    def close(self) -> None:
        """End the run."""


class MetricLog:
    """Appends lines to a run's `log.jsonl`; only rank 0 writes.

    Each line is one `write` to a file opened for appending, so a reader, or a killed run, leaves whole lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metric_loggers: list[MetricLogger] = []
        self._step = 0

    def write(self, event: str, **values: Any) -> None:
        """Append `{"event": event, "time": seconds since 1970, **values}`.

        Args:
            event: "train" (a step), "epoch", "evaluation", "resumed", "set_aside", "stopped", "finished", "skipped",
                "bad_samples".
            values: Plain values; a number that JSON cannot say (NaN, infinity) becomes null.

        Raises:
            SamConfigurationError: The disk is full or read-only.
        """
        from lavis_sam import distributed  # and with it PyTorch, which reading a log does not need

        if not distributed.is_main_process():
            return
        line = json.dumps({"event": event, "time": round(time.time(), 3)} | {k: _plain(v) for k, v in values.items()})
        with writing(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._step = int(values.get("step", self._step))
        values |= {f"losses/{name}": value for name, value in values.pop("losses", {}).items()}
        numbers = {k: float(v) for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        for metric_logger in self.metric_loggers:
            metric_logger.write(event, self._step, {k: v for k, v in numbers.items() if k not in ("step", "epoch")})

    def close(self) -> None:
        """Close the metric loggers; each of them, whatever happens to the one before."""
        with ExitStack() as closing:
            for metric_logger in self.metric_loggers:
                closing.callback(metric_logger.close)
            self.metric_loggers = []

    def end_last_line(self) -> None:
        """End the line that a killed run left unfinished, so that the next one starts anew."""
        from lavis_sam import distributed

        if distributed.is_main_process() and self.path.is_file():
            with open(self.path, "rb+") as file:
                if file.seek(0, 2) and (file.seek(-1, 2), file.read())[1] != b"\n":
                    file.write(b"\n")


def read_metric_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a `log.jsonl`; what a killed run left unfinished is passed over.

    Raises:
        OSError: It cannot be read.
        SamDataError: A line is longer than any that a run writes.
    """
    for _, line in numbered_lines(path, remedy="No run writes one; restore the log.", most_bytes=_MAX_LINE_BYTES):
        try:
            event = json.loads(line.decode("utf-8", errors="replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and "event" in event:
            yield event


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
