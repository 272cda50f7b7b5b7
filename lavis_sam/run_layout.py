"""The layout of a run's folder, for everything that is given one where a file is wanted.

OUTPUT_DIR/            `run.output_dir`, a folder of runs
  JOB_ID/              one run
    config.yaml        its resolved configuration (config_evaluate.yaml of an evaluation beside its checkpoints)
    log.jsonl          what it did
    checkpoint_<epoch>.pth, checkpoint_<epoch>_step<n>.pth, checkpoint_best.pth
    set_aside/<n>/     checkpoints that a run had got farther with, before it went on from an earlier one
    result/<split>[_epoch<n>]/<data set>/    answers and scores
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lavis_sam.errors import SamCheckpointError, SamConfigurationError, SamDataError, SamError

CONFIG_FILE, LOG_FILE, RESULT_FOLDER, ASIDE_FOLDER = "config.yaml", "log.jsonl", "result", "set_aside"
BEST_CHECKPOINT = "checkpoint_best.pth"
_CHECKPOINT = re.compile(r"checkpoint_(\d+)(?:_step(\d+))?\.pth")
_VALIDATION = re.compile(r".+_epoch\d+")
_TEST = "test"
_END = float("inf")
_NAMES_SHOWN = 8


def newest_first(folder: Path) -> list[Path]:
    """Return all checkpoints of a run but the best, whole or not, the one that got farthest first."""
    return [path for *_, path in sorted(_places(folder), reverse=True)]


def beyond(folder: Path, *, epochs: int, step: int) -> list[Path]:
    """Return the checkpoints of a run but the best that got farther than whole epochs and a step, the nearest first."""
    return [path for epoch, at, path in sorted(_places(folder)) if (epoch >= epochs if at == _END else at > step)]


def _places(folder: Path) -> Iterator[tuple[int, float, Path]]:
    """Yield the epoch, the step within (or `_END`) and the path of each checkpoint but the best."""
    for path in folder.glob("checkpoint_*.pth"):
        if match := _CHECKPOINT.fullmatch(path.name):
            epoch, step = match.groups()
            yield int(epoch), _END if step is None else int(step), path


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run's: it has a log or a checkpoint."""
    return (folder / LOG_FILE).is_file() or (folder / BEST_CHECKPOINT).is_file() or bool(newest_first(folder))


def run_name(folder: Path) -> str:
    """Return what the run is called that a folder is, or whose results a folder holds: by default its job id."""
    folder = folder.resolve()
    above = folder.parent
    return above.parent.name if above.name == RESULT_FOLDER and is_run(above.parent) else folder.name


def distinct_names(folders: Sequence[Path], given: Sequence[str | None]) -> list[str]:
    """Return what each run is called: as a person said, or else by its job id, or its path where two would be the same.

    Raises:
        SamConfigurationError: A person gave two runs one name.
    """
    short = [name or run_name(folder) for folder, name in zip(folders, given, strict=True)]
    twice = [name for name in given if name and given.count(name) > 1]
    if twice:
        raise SamConfigurationError(f"{twice[0]}: found this name twice, wanted another one for each run.")
    return [
        str(folder) if name is None and short.count(found) > 1 else found
        for folder, name, found in zip(folders, given, short, strict=True)
    ]


def named_path(word: str) -> tuple[str | None, Path]:
    """Return what `NAME=PATH` says, as an argument; a path alone has no name, even with "=" in it."""
    name, mark, path = word.partition("=")
    return (name, Path(path)) if mark and name and path and not Path(word).exists() else (None, Path(word))


def checkpoint_of(path: str | os.PathLike[str]) -> Path:
    """Return the checkpoint that a path stands for.

    Args:
        path: Of a run's folder, the best checkpoint is meant, or else the last. Any other path stands for itself.

    Raises:
        SamCheckpointError: A run without a checkpoint, or a folder of runs.
    """
    path = Path(path)
    if not is_run(path):
        _refuse_several(path, SamCheckpointError)
        return path
    found = [best] if (best := path / BEST_CHECKPOINT).is_file() else newest_first(path)
    if not found:
        raise SamCheckpointError(
            f"{path}: this run has no checkpoint ({BEST_CHECKPOINT}, checkpoint_<epoch>.pth): it only evaluated, or "
            "ended before its first. Give the folder of a run that trained, or a checkpoint file."
        )
    return found[0]


def config_of(path: str | os.PathLike[str]) -> Path:
    """Return the configuration that a path stands for: of a run's folder, its config.yaml; any other path is itself.

    Raises:
        SamConfigurationError: A run without one, or a folder of runs.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if (path / CONFIG_FILE).is_file():
        return path / CONFIG_FILE
    _refuse_several(path, SamConfigurationError)
    raise SamConfigurationError(f"{path}: this folder has no {CONFIG_FILE}. Give a run's folder, or a YAML file.")


def log_of(path: str | os.PathLike[str]) -> Path:
    """Return the log that a path stands for: of a folder, its log.jsonl; any other path is itself.

    Raises:
        SamDataError: A folder of runs.
    """
    path = Path(path)
    if path.is_dir() and not (path / LOG_FILE).is_file():
        _refuse_several(path, SamDataError)
    return path / LOG_FILE if path.is_dir() else path


def results_of(path: str | os.PathLike[str]) -> Path:
    """Find the results that a path stands for: of a run's folder, those of its test split, or of its only one.

    Raises:
        SamDataError: A run that was not evaluated yet, or on several splits, or a folder of runs.
    """
    path = Path(path)
    if not is_run(path):
        _refuse_several(path, SamDataError)
        return path
    splits = sorted(entry for entry in (path / RESULT_FOLDER).glob("*") if entry.is_dir())
    final = [entry for entry in splits if not _VALIDATION.fullmatch(entry.name)]
    chosen = [entry for entry in final if entry.name == _TEST] or final
    if len(chosen) == 1:
        return chosen[0]
    if final:
        raise SamDataError(f"{path}: this run has results of several splits. Give one of {_listed(final)}.")
    others = f", or give one of its validations: {_listed(splits)}" if splits else ""
    raise SamDataError(
        f"{path}: this run has no results of a test split ({RESULT_FOLDER}/{_TEST}). Let it finish, evaluate it with "
        f"`lavis-sam evaluate {path}`{others}."
    )


def _refuse_several(folder: Path, error: type[SamError]) -> None:
    runs = sorted(entry for entry in folder.glob("*") if entry.is_dir() and is_run(entry))
    if runs:
        raise error(f"{folder}: a folder of runs, wanted one of them: {_listed(runs)}.")


def _listed(paths: list[Path]) -> str:
    shown = ", ".join(str(path) for path in paths[:_NAMES_SHOWN])
    return shown if len(paths) <= _NAMES_SHOWN else f"{shown} and {len(paths) - _NAMES_SHOWN} more"
