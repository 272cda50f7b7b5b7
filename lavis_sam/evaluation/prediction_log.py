"""Answers on the disk as they come: one line a sample, one file a process, so that nothing answered is lost.

    answers-0.jsonl     {"format": 1, "identity": {…}}
                        {"index": 17, "sample_id": "a", "pred_response": "…", "gt_response": "…", …}
                        …

A line is written whole; what a killed process left of one is cut off. All files of a folder are read, whichever
processes wrote them, so an evaluation may go on with another number of processes.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lavis_sam import distributed
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.evaluation.fingerprint import differences
from lavis_sam.files import numbered_lines

Record = dict[str, Any]

_FORMAT = 1
_PATTERN = "answers-*.jsonl"
# A killed process loses nothing that was written; a machine that loses power, at most this.
_SECONDS_BETWEEN_FLUSHES = 2.0
_MAX_LINE_BYTES = 16 * 2**20


class OtherAnswersError(SamDataError):
    """The answers in a folder were made by something else than what is to be evaluated now."""


class PredictionLog:
    """Appends this process's answers to its file in a folder.

    Attributes:
        path: The file; it is made with the first answer.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any], rank: int) -> None:
        """Name the file; see `open_prediction_log` for how to get one."""
        self.path = folder / f"answers-{rank}.jsonl"
        self._fingerprint = fingerprint
        self._file: Any = None
        self._flushed = 0.0

    def append(self, records: Sequence[Record]) -> None:
        """Write the answers of a batch.

        Raises:
            SamConfigurationError: The disk is full or read-only.
        """
        try:
            if self._file is None:
                self._file = self._opened()
            self._file.write(b"".join(_line(record) for record in records))
            self._file.flush()
            if time.monotonic() - self._flushed > _SECONDS_BETWEEN_FLUSHES:
                os.fsync(self._file.fileno())
                self._flushed = time.monotonic()
        except OSError as error:
            raise SamConfigurationError(
                f"{self.path}: cannot be written ({error.strerror or error}). Earlier answers are kept; make room and "
                "start again to continue."
            ) from error

    def close(self) -> None:
        """Make sure that everything is on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _opened(self) -> Any:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = open(self.path, "ab+")  # noqa: SIM115 - open as long as answers come
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(0)
            file.truncate(_whole_lines(file, size))
        if not file.seek(0, os.SEEK_END):
            file.write(_line({"format": _FORMAT, "identity": self._fingerprint}))
        return file


def open_prediction_log(
    folder: Path, fingerprint: Mapping[str, Any], *, count: int, restart: bool = False
) -> tuple[PredictionLog, dict[int, Record]]:
    """Return this process's prediction log, and all answers that are there already; all processes together.

    Args:
        restart: Throw answers away that were made by something else, instead of refusing them.

    Returns:
        The prediction log, and index -> record of every process's earlier answers.

    Raises:
        OtherAnswersError: The answers there were made by something else; the message names both sides.
        SamDataError: A file is damaged otherwise than by a process that was killed.
    """
    fingerprint = json.loads(json.dumps(fingerprint))
    own: dict[int, Record] = {}
    problem: SamDataError | None = None
    try:
        for path in sorted(folder.glob(_PATTERN)):
            own |= read_answers(path, fingerprint, count=count)
    except SamDataError as error:
        problem = error
    found = distributed.gather_on_all((own, problem))
    problems = [error for _, error in found if error is not None]
    if problems and not restart:
        raise problems[0]
    if problems:
        if distributed.is_main_process():
            for path in folder.glob(_PATTERN):
                path.unlink(missing_ok=True)
        distributed.barrier()
        found = []
    answers = {index: record for records, _ in found for index, record in records.items()}
    # No process may write before all have read.
    distributed.barrier()
    return PredictionLog(folder, fingerprint, distributed.rank()), answers


def read_answers(path: Path, fingerprint: Mapping[str, Any], *, count: int) -> dict[int, Record]:
    """Return the whole answers of one file: index -> record.

    Raises:
        OtherAnswersError: The file's answers depend on something else.
        SamDataError: A line is no answer.
    """
    answers: dict[int, Record] = {}
    for number, line in numbered_lines(path, remedy="No answer has.", most_bytes=_MAX_LINE_BYTES):
        if not line.endswith(b"\n"):
            break
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if number == 1:
            _check_header(path, record, fingerprint)
            continue
        index = record.get("index") if isinstance(record, dict) else None
        texts = [record.get(key) for key in ("pred_response", "gt_response")] if isinstance(record, dict) else [None]
        if type(index) is not int or not 0 <= index < count or not all(isinstance(text, str) for text in texts):
            raise SamDataError(
                f"{path}:{number}: found {line[:60]!r}, wanted an answer to one of the {count} samples. Remove the "
                "line to have that sample answered again."
            )
        answers[index] = record
    return answers


def _check_header(path: Path, header: Any, fingerprint: Mapping[str, Any]) -> None:
    if not isinstance(header, dict) or header.get("format") != _FORMAT or not isinstance(header.get("identity"), dict):
        raise SamDataError(
            f"{path}:1: no header of answers in format {_FORMAT}. Remove the file, or take another folder."
        )
    changed = differences(header["identity"], fingerprint)
    if changed:
        listing = "\n".join(f"  {change}" for change in changed)
        raise OtherAnswersError(
            f"{path.parent}: the answers there were made otherwise than this evaluation would make them:\n{listing}\n"
            "Evaluate as then to continue, take another folder, or remove this one to begin anew."
        )


def _whole_lines(file: Any, size: int) -> int:
    """Return how many bytes of a file are whole lines."""
    file.seek(max(0, size - _MAX_LINE_BYTES))
    last = file.read().rfind(b"\n")
    return max(0, size - _MAX_LINE_BYTES) + last + 1 if last >= 0 else 0


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode("ascii") + b"\n"
