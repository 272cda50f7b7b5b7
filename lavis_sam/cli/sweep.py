"""`lavis-sam sweep` and `lavis-sam report`: a table of runs, and what came out."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.experiments.jobs import Job
    from lavis_sam.experiments.page import LookUp
    from lavis_sam.experiments.sweep_file import Sweep

SOME_FAILED = 1


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file of the sweep.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the sweep; by default output/sweeps/ and the name of FILE."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The run that the rows change, in place of the file's own.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option(metavar="LIST", help="GPUs, one run at a time on each, such as 0,1,2,3.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time where no devices are named.")] = 1,
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Run as a SLURM array, with submitit's settings; give it several times."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all runs and list them; start none.")] = False,
) -> None:
    """Make a table of runs: rows of settings times seeds, each through `python -m lavis.train`.

    Every run is checked before the first one starts. What is finished is never made again: the same command continues
    a sweep that was killed, and tries those runs again that failed. `lavis-sam report` then says what came out.
    Exit code 1: some runs failed; each is named, with the end of its log.

    \b
    Examples:
      lavis-sam sweep projects/sam/ablations/table3.yaml
      lavis-sam sweep projects/sam/ablations/table3.yaml --config projects/sam/train.yaml --devices 0,1,2,3
      lavis-sam sweep projects/sam/ablations/table3.yaml --slurm slurm_partition=gpu --slurm gpus_per_node=1
    """
    from lavis_sam.experiments.jobs import claim, jobs_of
    from lavis_sam.experiments.sweep_file import read_sweep
    from lavis_sam.locks import locked

    _check_places(devices, jobs, slurm)
    wanted = read_sweep(file, config)
    folder = out or Path("output/sweeps") / file.stem
    every = jobs_of(wanted, folder)
    _check_runs(wanted, every)
    if dry_run:
        for job in every:
            echo(f"{job.name}: {'finished' if job.is_finished else 'to do'}")
        return
    with locked(folder, "or give another --out."):
        claim(wanted, folder)
        done, failed = _make(every, folder, devices=devices, jobs=jobs, slurm=slurm)
    echo(f"{done} of {len(every)} runs are finished, {failed} failed; {folder}")
    if done < len(every):
        echo("The same command continues with the others.")
        raise typer.Exit(SOME_FAILED)


def _check_places(devices: str | None, jobs: int, slurm: list[str] | None) -> None:
    from lavis_sam.errors import SamConfigurationError

    if devices is not None and (slurm or jobs > 1):
        other = "--slurm" if slurm else "--jobs"
        raise SamConfigurationError(f"--devices {devices} and {other}: both say where runs go; give one of them.")
    if devices is not None and not all(name.strip() for name in devices.split(",")):
        raise SamConfigurationError(f"--devices: found {devices!r}, wanted names of GPUs such as 0,1,2,3.")


def _make(
    every: "list[Job]", folder: Path, *, devices: str | None, jobs: int, slurm: list[str] | None
) -> tuple[int, int]:
    """Do the jobs that are not finished; return how many then are, and how many failed."""
    from lavis_sam.experiments.executors import run_here, run_on_slurm
    from lavis_sam.experiments.jobs import FAILED, FINISHED, Outcome
    from lavis_sam.progress import ProgressDisplay

    todo = [job for job in every if not job.is_finished]
    done = len(every) - len(todo)
    with ProgressDisplay("sweep", len(every), done=done, write=lambda text: echo(text, err=True)) as display:

        def show(outcome: Outcome) -> None:
            nonlocal done
            done += outcome.status == FINISHED
            text = f"{outcome.row}.seed-{outcome.seed}: {outcome.status} after {outcome.seconds:.0f} s"
            display.say(f"{text}. {outcome.message}" if outcome.message else text)
            display.show(done, f"{done}/{len(every)} runs")

        if slurm:
            outcomes = run_on_slurm(todo, folder, _parameters(slurm), at_once=jobs if jobs > 1 else None, show=show)
        else:
            slots = [name.strip() for name in devices.split(",")] if devices else [None] * jobs
            outcomes = run_here(todo, folder, slots, show=show)
    failed = sum(outcome.status == FAILED for outcome in outcomes)
    return done, failed


def _check_runs(wanted: "Sweep", every: "list[Job]") -> None:
    """Resolve the configuration of every run; nothing is started for one that could not be."""
    from lavis_sam.config.settings import Problems
    from lavis_sam.experiments.jobs import EVALUATE, as_text
    from lavis_sam.plugin.resolving import ResolvedConfig

    problems = Problems()
    first_seed = [job for job in every if job.seed == wanted.seeds[0]]
    for job in first_seed:
        for step in job.steps:
            options = [f"{key}={as_text(value)}" for key, value in step.options.items()]
            forced = {"run.evaluate": True} if step.module == EVALUATE else None
            before = len(problems)
            with problems.collect():
                ResolvedConfig(
                    Namespace(cfg_path=str(step.config), options=options, data=None), forced, check_files=True
                )
            problems[before:] = [f"rows.{job.row}, {step.config.name}: {problem}" for problem in problems[before:]]
    problems.raise_all()


def _parameters(words: list[str]) -> dict[str, object]:
    from lavis_sam.config.option_values import whole_number
    from lavis_sam.errors import SamConfigurationError

    found: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise SamConfigurationError(f"--slurm: found {word!r}, wanted KEY=VALUE such as slurm_partition=gpu.")
        number = whole_number(value)
        found[key] = value if number is None else number
    return found


def report(
    folder: Annotated[Path, typer.Argument(metavar="SWEEP", help="The folder of a sweep.")],
    guidance: Annotated[
        list[str] | None,
        typer.Option("--guidance", metavar="ROW", help="Draw what guides what in this row's model; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json, nothing else.")] = False,
) -> None:
    """Say what came out of a sweep: report.html, one page with everything inside, and report.json.

    The page holds the scores of every row with their intervals over the seeds, the differences of the rows with paired
    tests, the learning curves, the samples on which rows differ most with their images and every row's answer, and,
    where rows go through the interaction layers, Figure 5's surface. A sweep that is not finished has a report too, of
    the runs that are. --guidance loads the model of a row and shows, for each of these samples, which image guides
    which, and where.

    \b
    Examples:
      lavis-sam report output/sweeps/table3
      lavis-sam report output/sweeps/table3 --guidance sam_others --guidance lin_others
    """
    from lavis_sam.experiments.page import DATA, write_report

    page = write_report(folder, _look_up(folder), guidance=guidance or ())
    echo((folder / DATA).read_text(encoding="utf-8") if as_json else f"wrote {page}")


def _look_up(folder: Path) -> "LookUp":
    """Find samples in the data sets that the sweep's runs were evaluated on, as their configurations say."""
    from functools import cache

    from lavis_sam.errors import SamError
    from lavis_sam.evaluation.model import EvaluationSample, read_sample
    from lavis_sam.plugin.registry import registered_class
    from lavis_sam.plugin.run_config import SamConfig
    from lavis_sam.run_layout import config_of

    @cache
    def datasets(run: str) -> dict[str, Any]:
        try:
            config = SamConfig(Namespace(cfg_path=str(config_of(folder / run)), options=None, data=None))
            task = registered_class("task", config.run_cfg.task, "run.task").setup_task(cfg=config)
            return dict(task.build_datasets(config))
        except SamError as error:  # the scores are there all the same
            echo(f"{folder / run}: the page has no images of its samples: {error}", err=True)
            return {}

    def look_up(case: Mapping[str, Any]) -> EvaluationSample | None:
        """See `page.LookUp`."""
        dataset = datasets(case["run"]).get(case["dataset"], {}).get(case["split"])
        place = next(
            (i for i, one in enumerate(getattr(dataset, "annotation", ())) if str(one.id) == case["sample"]), None
        )
        try:
            return None if place is None else read_sample(dataset, place)
        except SamError as error:
            echo(f"{case['sample']}: {error}", err=True)
            return None

    return look_up
