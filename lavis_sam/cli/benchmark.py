"""`lavis-sam benchmark`: the paper's data sets, all that are there, by one command."""

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lavis_sam.cli.model_options import Base, Checkpoint, Json, Model, Precision
from lavis_sam.cli.run_options import Option, Words
from lavis_sam.terminal import echo, log_to_stderr

if TYPE_CHECKING:
    from lavis_sam.plugin.benchmark import BenchmarkSet, Outcome
_Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Where the data sets are; by default LAVIS_SAM_DATA, else data."),
]
_Only = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        metavar="NAME|[NAME=]PATH",
        help="A data set (vist), task (storytelling), table (2b), or data of your own; repeatable.",
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="RUN", help="Folder of one model's results; continues there."),
]
_Configs = Annotated[
    Path, typer.Option("--configs", metavar="FOLDER", help="Evaluation configurations, <data set>.yaml.")
]


def benchmark(
    words: Words = None,
    model: Model = "vicuna7b",
    base: Base = None,
    checkpoint: Checkpoint = None,
    precision: Precision = None,
    data: _Data = None,
    only: _Only = None,
    out: _Out = None,
    configs: _Configs = Path("projects/sam/eval"),
    protocol: Annotated[str, typer.Option(help="sam: the paper's way of scoring; coco: the field's standard.")] = "sam",
    only_list: Annotated[bool, typer.Option("--list", help="Only say what is there and how to get the rest.")] = False,
    as_json: Json = False,
    options: Option = None,
) -> None:
    """Evaluate a model on the paper's data sets: all that are on the disk.

    Group captioning (conceptual, nico_animal, nico_vehicle), storytelling (aesop, vist, dm800k) and change captioning
    (iedit, spot_the_diff, birds_to_words, clevr_change), with the published decoding. A set that is missing is listed
    with how to get it, one that fails does not stop the others. An interrupted run is continued by the same command;
    answers made with other weights, settings or data are refused. Exit code 0: every set that is there is done; 1: one
    failed, or the run was interrupted; 2: nothing could be evaluated.

    \b
    Examples:
      lavis-sam benchmark --list --data /data
      lavis-sam benchmark --checkpoint sam.pth --data /data --out runs/sam
      lavis-sam benchmark --dataset storytelling --out runs/sam --options run.batch_size_eval=4
      lavis-sam benchmark --dataset my_set --checkpoint output/sam/tiny/mine --model tiny --out runs/mine
      torchrun --nproc_per_node=4 -m lavis_sam.cli benchmark --checkpoint sam.pth --out runs/sam
      lavis-sam table runs/sam
    """
    from lavis_sam.errors import SamConfigurationError
    from lavis_sam.plugin.benchmark import DATA_VARIABLE

    if data is not None:
        os.environ[DATA_VARIABLE] = str(data)
    if out is None and not only_list:
        raise SamConfigurationError("--out: missing; name the folder of the results, such as runs/sam.")
    with contextlib.redirect_stdout(sys.stderr):
        sets = _sets(model, base, checkpoint, precision, only or (), configs, [*(options or ()), *(words or ())])
    if only_list or out is None:
        _show_sets(sets, as_json)
        return
    code = _run(sets, out, protocol, as_json)
    if code:
        raise typer.Exit(code)


def _sets(
    source: str,
    base: Path | None,
    checkpoint: Path | None,
    precision: str | None,
    only: Sequence[str],
    configs: Path,
    options: list[str],
) -> "list[BenchmarkSet]":
    from omegaconf import OmegaConf

    from lavis_sam.plugin.benchmark import find_sets
    from lavis_sam.predictor.load_model import model_config

    config = model_config(source, base=base, checkpoint=checkpoint, precision=precision)
    section: Any = OmegaConf.to_container(config, resolve=True)
    return find_sets(only, configs=configs, options=options, model=section)


def _run(sets: "list[BenchmarkSet]", out: Path, protocol: str, as_json: bool) -> int:
    """Evaluate, write `benchmark.json`, print; return the exit code."""
    from datetime import timedelta

    from lavis_sam import distributed
    from lavis_sam.config.run_settings import RunSettings
    from lavis_sam.errors import SamDataError
    from lavis_sam.files import write_json
    from lavis_sam.plugin.benchmark import DONE, FAILED, SamEvaluator, run_sets
    from lavis_sam.signals import RunStopped, StopRequest

    present = [one for one in sets if not one.missing]
    if not present:
        listing = "\n".join(f"  {one.entry.title} is {one.how_to_get}" for one in sets)
        raise SamDataError(f"none of the chosen data sets is on the disk; --data names their folder.\n{listing}")
    launch = distributed.Launch.from_environment()
    level = logging.INFO if launch.rank == 0 else logging.WARNING
    log_to_stderr(level)
    settings = RunSettings.from_config(present[0].config.run_cfg)
    device = distributed.choose_device(settings.device, launch)
    timeout, stop = timedelta(minutes=settings.timeout_minutes), StopRequest()
    with (
        distributed.process_group(launch, device, timeout),
        distributed.locked_by_main(out, "or give another --out."),
        stop,
        contextlib.redirect_stdout(sys.stderr),
    ):
        try:
            evaluator = SamEvaluator(present, out, device=device, protocol=protocol, stop=stop)
            outcomes = run_sets(sets, evaluator)
        except RunStopped:
            logging.warning("stopped by %s; the same command continues", stop.name or "another process")
            return 1
        if launch.rank != 0:
            return 0
        report = _report(out, protocol, outcomes) | {"is_trained": evaluator.is_trained}
        if any(outcome.status == DONE for outcome in outcomes):
            write_json(out / "benchmark.json", report)
    _show_report(report, as_json)
    return 1 if any(outcome.status == FAILED for outcome in outcomes) else 0


def _report(out: Path, protocol: str, outcomes: "list[Outcome]") -> dict[str, Any]:
    from lavis_sam.plugin.benchmark import DONE
    from lavis_sam.reports.tables import averages

    return {
        "run": str(out),
        "protocol": protocol,
        "sets": [outcome.as_dict() for outcome in outcomes],
        "averages": averages(out) if any(outcome.status == DONE for outcome in outcomes) else {},
    }


def _show_sets(sets: "list[BenchmarkSet]", as_json: bool) -> None:
    from lavis_sam.files import to_json

    found = [
        {
            "dataset": one.entry.name,
            "title": one.entry.title,
            "task": one.benchmark.name,
            "missing": [str(path) for path in one.missing],
            "from": one.source.place,
            "licence": one.source.licence,
        }
        for one in sets
    ]
    if as_json:
        echo(to_json({"sets": found}))
        return
    for one in sets:
        echo(f"{one.entry.title} ({one.benchmark.name}): {one.how_to_get if one.missing else 'on the disk'}")


def _show_report(report: dict[str, Any], as_json: bool) -> None:
    from lavis_sam.cli.score_tables import print_scores
    from lavis_sam.files import to_json

    if as_json:
        echo(to_json(report))
        return
    rows = [(one["title"], one["count"], one["corpus"]) for one in report["sets"] if "corpus" in one]
    rows += [(f"average, {task}", None, mean) for task, mean in report["averages"].items()]
    print_scores(report["protocol"], rows)
    for one in report["sets"]:
        if "message" in one:
            echo(f"{one['title']} {'failed: ' if one['status'] == 'failed' else 'is '}{one['message']}")
    echo(f"Results are in {report['run']}; beside the paper's: lavis-sam table {report['run']}")
