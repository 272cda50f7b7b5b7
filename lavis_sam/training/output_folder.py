"""The folder of a run: a new one, or the one to continue in."""

import os
import shutil
from datetime import datetime
from pathlib import Path

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError
from lavis_sam.run_layout import ASIDE_FOLDER, CONFIG_FILE, LOG_FILE, RESULT_FOLDER
from lavis_sam.training.checkpoints import RunCheckpoints
from lavis_sam.training.metric_log import read_metric_log

# What a run writes into its folder, which `run.overwrite` removes; other files there are not ours.
_CHECKPOINTS, _EVALUATE_CONFIG_FILE = "checkpoint_*.pth", "config_evaluate.yaml"
_PROOFS = (_CHECKPOINTS, LOG_FILE, RESULT_FOLDER)
_FILES = (*_PROOFS, CONFIG_FILE, _EVALUATE_CONFIG_FILE, ASIDE_FOLDER, "tensorboard", "wandb")


def agreed_run_folder(settings: RunSettings, name: str | None) -> tuple[str, Path]:
    """Return the folder of this run, the same for all processes: rank 0 chooses and makes it.

    Args:
        settings: `output_dir`, `job_id`, and `resume`, which may choose the run to continue.
        name: The folder's name, if somebody gave one.

    Returns:
        Its name and its absolute path.

    Raises:
        SamConfigurationError: It cannot be made, or its name leads elsewhere; on every process.
    """
    problem = None
    if (found := name or settings.job_id) and not _is_one_name(found):
        raise SamConfigurationError(
            f"run.job_id: found {found!r}, wanted the name of one folder, without {os.sep!r} and no {os.pardir!r}; "
            "run.output_dir says where it is."
        )
    if distributed.is_main_process():
        try:
            parent, name = Path(settings.output_dir), name or settings.job_id
            if name is None and settings.resume == "auto" and not settings.evaluate:
                name = unfinished_run(parent)
            name = make_run_folder(parent, name)
        except OSError as error:
            problem = str(error)
    name, problem = distributed.from_main((name, problem))
    if problem:
        raise SamConfigurationError(
            f"run.output_dir: the folder {settings.output_dir!r} cannot be made or written ({problem}); "
            "name another one."
        )
    return str(name), Path(os.path.abspath(os.path.expanduser(settings.output_dir))) / str(name)


def _is_one_name(name: str) -> bool:
    return Path(name).name == name and name not in (os.curdir, os.pardir) and "\0" not in name


def make_run_folder(parent: Path, name: str | None) -> str:
    """Make the folder of a run.

    Args:
        parent: `run.output_dir`.
        name: The folder's name; it may exist. Without one: date and time, and a number when that is taken.

    Returns:
        The name.
    """
    parent = parent.expanduser()
    if name:
        (parent / name).mkdir(parents=True, exist_ok=True)
        return name
    parent.mkdir(parents=True, exist_ok=True)
    now, number = datetime.now().strftime("%Y%m%d-%H%M%S"), 1
    while True:
        candidate = now if number == 1 else f"{now}-{number}"
        try:
            (parent / candidate).mkdir()
        except FileExistsError:
            number += 1
        else:
            return candidate


def check_is_free(folder: Path, settings: RunSettings) -> None:
    """Refuse to begin a run where there is one already, unless it is to be continued, replaced or only evaluated.

    Raises:
        SamConfigurationError: The folder holds a run.
    """
    if settings.evaluate or settings.overwrite or settings.resume or settings.resume_ckpt_path:
        return
    found = sorted(path.name for pattern in _PROOFS for path in folder.glob(pattern))
    if found:
        raise SamConfigurationError(
            f"{folder}: found {', '.join(found[:3])}, so there is a run in this folder already. Continue it with "
            "run.resume=auto, remove it and begin anew with run.overwrite=true, or name another run.job_id."
        )


def remove_run(folder: Path) -> None:
    """Remove what a run has written into its folder, and nothing else."""
    for path in [path for pattern in _FILES for path in folder.glob(pattern)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def config_path(folder: Path, *, evaluate: bool) -> Path:
    """Name the file for a run's configuration; an evaluation in a training's folder leaves that one's as it is."""
    is_beside = evaluate and any(folder.glob(_CHECKPOINTS))
    return folder / (_EVALUATE_CONFIG_FILE if is_beside else CONFIG_FILE)


def unfinished_run(parent: Path) -> str | None:
    """Return the folder under `run.output_dir` whose run got a checkpoint last and did not finish; None without one."""
    newest: tuple[float, str] | None = None
    for folder in sorted(path for path in parent.expanduser().glob("*") if path.is_dir()):
        checkpoints = RunCheckpoints(folder, keep=1).newest_first()
        if not checkpoints or is_finished(folder):
            continue
        when = max(path.stat().st_mtime for path in checkpoints)
        if newest is None or when > newest[0]:
            newest = when, folder.name
    return newest[1] if newest else None


def is_finished(folder: Path) -> bool:
    """Return whether the run in `folder` came to its end; evaluations, and an end before it went on, do not count."""
    log, trained, finished = folder / LOG_FILE, -1, False
    for event in read_metric_log(log) if log.is_file() else ():
        if event["event"] == "train":
            trained, finished = event.get("step", 0), False
        elif event["event"] == "resumed" and event.get("step", trained + 1) <= trained:
            trained, finished = event["step"] - 1, False  # the later steps are of a future that was given up
        finished = finished or (event["event"] == "finished" and event.get("step", trained + 1) > trained)
    return finished
