"""`log.jsonl`: what a run did, one JSON object a line, numbers as numbers."""

import json
import math
import time
from pathlib import Path
from typing import Any

from lavis_sam import distributed


class Journal:
    """Appends lines to a run's `log.jsonl`; only rank 0 writes.

    Each line is one `write` to a file opened for appending, so a reader, or a killed run, leaves whole lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, **values: Any) -> None:
        """Append `{"event": event, "time": seconds since 1970, **values}`.

        Args:
            event: "train", "epoch" or "evaluation".
            values: Plain values; a number that JSON cannot say (NaN, infinity) becomes null.
        """
        if distributed.is_main_process():
            line = json.dumps(
                {"event": event, "time": round(time.time(), 3)} | {k: _plain(v) for k, v in values.items()}
            )
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
