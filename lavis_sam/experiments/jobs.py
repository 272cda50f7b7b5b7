"""The runs of a sweep: what each is asked to do, and what is finished of it.

OUT/sweep.json              what is being made; a continued sweep has to be the same, or have more rows and seeds
OUT/ROW/seed-N/             the run's folder, as `python -m lavis.train` writes it
OUT/ROW/seed-N/evaluations/ a folder for each further evaluation
OUT/jobs/ROW.seed-N.json    how the last attempt ended
OUT/jobs/ROW.seed-N.log     everything that its processes printed
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lavis_sam.config.option_values import read_option
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.experiments.sweep_file import Sweep
from lavis_sam.files import read_json, sha256_of, to_json, write_json
from lavis_sam.training.output_folder import is_finished

SWEEP_FILE, JOBS = "sweep.json", "jobs"
TRAIN, EVALUATE = "lavis.train", "lavis.evaluate"
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"
# How a process ends whose signal came before it could listen for one.
_ASKED_TO_STOP = (-signal.SIGTERM, -signal.SIGINT)
_LAST_LINES = 5
_REMEDY = "Restore it, or give another folder."


@dataclass(frozen=True)
class Step:
    """One process of a run.

    Attributes:
        module: `lavis.train` or `lavis.evaluate`.
        config: its YAML file.
        options: {dotted key: value}.
        folder: the folder that it fills.
        trained_in: the run whose checkpoint is evaluated; None for none.
    """

    module: str
    config: Path
    options: Mapping[str, Any]
    folder: Path
    trained_in: Path | None = None

    @property
    def is_finished(self) -> bool:
        """Whether its log says that it came to its end."""
        return is_finished(self.folder)

    def command(self) -> list[str]:
        """Return the process's arguments."""
        options = dict(self.options)
        if self.trained_in is not None:
            options["model.finetuned"] = str(self.trained_in)
        words = [f"{key}={as_text(value)}" for key, value in options.items()]
        return [sys.executable, "-m", self.module, "--cfg-path", str(self.config), "--options", *words]


@dataclass(frozen=True)
class Job:
    """One row with one seed."""

    row: str
    seed: int
    folder: Path
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """Its name in messages and files."""
        return f"{self.row}.seed-{self.seed}"

    @property
    def is_finished(self) -> bool:
        """Whether all its steps are."""
        return all(step.is_finished for step in self.steps)


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a job ended.

    Attributes:
        status: `FINISHED`, `FAILED` or `STOPPED`.
        message: what was wrong; "" when nothing was.
    """

    row: str
    seed: int
    status: str
    seconds: float
    message: str = ""


def jobs_of(sweep: Sweep, out: Path) -> list[Job]:
    """Return the runs of a sweep, seed by seed, so that a table is whole early."""
    out = out.absolute()
    return [_job(sweep, out, row, seed) for seed in sweep.seeds for row in sweep.rows]


def _job(sweep: Sweep, out: Path, row: str, seed: int) -> Job:
    above, name = out / row, f"seed-{seed}"
    folder = above / name
    own = {**sweep.options, **sweep.rows[row].options}
    run = {**own, "run.seed": seed, "run.output_dir": str(above), "run.job_id": name}
    trains = sweep.rows[row].train
    if trains:
        run["run.resume"] = "auto"
    steps = [Step(TRAIN if trains else EVALUATE, sweep.config, run, folder)]
    # A feature cache serves the evaluations too: the rows of a sweep have one vision encoder.
    model = {key: value for key, value in own.items() if key.startswith(("model.", "run.feature_"))}
    for config in sweep.evaluate:
        place = {"run.seed": seed, "run.output_dir": str(folder / "evaluations"), "run.job_id": config.stem}
        options, trained_in = {**model, **place}, folder if trains else None
        steps.append(Step(EVALUATE, config, options, folder / "evaluations" / config.stem, trained_in))
    return Job(row, seed, folder, tuple(steps))


def as_text(value: Any) -> str:
    """Return a value as `--options` reads it back; a text that would be read as something else stands in quotes."""
    return value if isinstance(value, str) and _is_plain(value) else json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    try:
        return bool(read_option(text, Any) == text)
    except SamConfigurationError:
        return False


def claim(sweep: Sweep, out: Path) -> None:
    """Note what the folder is for, or check that it is for this.

    Raises:
        SamConfigurationError: It holds something else, or rows and seeds with other settings.
        SamDataError: Its sweep.json is damaged.
    """
    wanted = description(sweep)
    path = out / SWEEP_FILE
    if path.is_file():
        different = list(_differences(read_description(out), wanted))
        if different:
            raise SamConfigurationError(
                f"{out}: holds another sweep:\n  "
                + "\n  ".join(different)
                + "\nGive another --out, or the file as it was."
            )
    elif out.is_dir() and any(out.iterdir()):
        found = min(entry.name for entry in out.iterdir())
        raise SamConfigurationError(f"{out}: found {found!r} and no {SWEEP_FILE}, wanted a new or an empty folder.")
    out.mkdir(parents=True, exist_ok=True)
    (out / JOBS).mkdir(exist_ok=True)
    write_json(path, wanted)


def description(sweep: Sweep) -> dict[str, Any]:
    """Return everything that a sweep's results depend on, as plain data."""
    return {
        "config": {"name": sweep.config.name, "sha256": sha256_of(sweep.config)},
        "evaluate": [{"name": path.name, "sha256": sha256_of(path)} for path in sweep.evaluate],
        "seeds": list(sweep.seeds),
        "rows": {
            name: {
                "title": sweep.title(name),
                "train": row.train,
                "options": json.loads(to_json({**sweep.options, **row.options})),
            }
            for name, row in sweep.rows.items()
        },
        "compare": [list(pair) for pair in sweep.compare],
    }


def read_description(out: Path) -> dict[str, Any]:
    """Read what a folder's sweep is.

    Raises:
        SamDataError: There is no sweep.json, or it is none of a sweep.
    """
    path = out / SWEEP_FILE
    if not path.is_file():
        raise SamDataError(f"{out}: found no {SWEEP_FILE}, wanted the folder of a `lavis-sam sweep`.")
    found = read_json(path, remedy=_REMEDY, wanted=dict)
    kinds = {"config": dict, "evaluate": list, "seeds": list, "rows": dict, "compare": list}
    wrong = [key for key, kind in kinds.items() if not isinstance(found.get(key), kind)]
    wrong += [f"rows.{name}" for name, row in (found["rows"].items() if not wrong else ()) if not _is_row(row)]
    wrong += [f"evaluate: {entry!r}" for entry in (found["evaluate"] if not wrong else ()) if not _is_file(entry)]
    if wrong:
        raise SamDataError(f"{path}: {', '.join(wrong)}: missing or damaged; it is none of a sweep. {_REMEDY}")
    return dict(found)


def _is_row(row: Any) -> bool:
    kinds = {"title": str, "train": bool, "options": dict}
    return isinstance(row, dict) and all(isinstance(row.get(key), kind) for key, kind in kinds.items())


def _is_file(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def _differences(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of an earlier sweep is not in this one; more rows and seeds are no difference, nor are titles."""
    for key in ("config", "evaluate"):
        if before[key] != wanted[key]:
            yield f"{key}: it was {before[key]}, now {wanted[key]}"
    if missing := [seed for seed in before["seeds"] if seed not in wanted["seeds"]]:
        yield f"seeds: it had {missing} as well"
    for name, row in before["rows"].items():
        if name not in wanted["rows"]:
            yield f"rows: it had {name!r} as well"
            continue
        for key in ("train", "options"):
            if row[key] != wanted["rows"][name][key]:
                yield f"rows.{name}.{key}: it was {row[key]}, now {wanted['rows'][name][key]}"


def attempt(
    job: Job, out: Path, *, device: str | None = None, start: Callable[..., "subprocess.Popen[bytes]"] | None = None
) -> Outcome:
    """Do what is not finished of a job, and keep how that ended.

    Args:
        job: The job.
        out: The sweep's folder.
        device: What CUDA_VISIBLE_DEVICES is for it; None leaves it as it is.
        start: Starts a process, as `subprocess.Popen`.
    """
    began = time.monotonic()
    environment = dict(os.environ) if device is None else {**os.environ, "CUDA_VISIBLE_DEVICES": device}
    status, message = FINISHED, ""
    with (out / JOBS / f"{job.name}.log").open("ab") as log:
        for step in job.steps:
            if step.is_finished:
                continue
            command = step.command()
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            process = (start or subprocess.Popen)(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
            code = process.wait()
            if code not in (0, *_ASKED_TO_STOP):
                status, message = FAILED, f"{step.module} ended with code {code}: {_last_lines(log.name)}"
                break
            if not step.is_finished:  # a signal ended it, at a checkpoint or before its first step
                status, message = STOPPED, f"{step.module} was asked to stop; it continues where it was"
                break
    outcome = Outcome(job.row, job.seed, status, round(time.monotonic() - began, 3), message)
    write_json(out / JOBS / f"{job.name}.json", asdict(outcome))
    return outcome


def _last_lines(path: str) -> str:
    with open(path, "rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
        lines = log.read().decode("utf-8", errors="replace").strip().splitlines()
    return " | ".join(line.strip() for line in lines[-_LAST_LINES:])
