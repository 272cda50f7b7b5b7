"""`lavis-sam synthesize` and `lavis-sam synthesize-report`: make MmLINK data, and look at what was made."""

import contextlib
import importlib.util
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.terminal import echo

if TYPE_CHECKING:
    from lavis_sam.synthesis.configuration import SynthesisSettings
    from lavis_sam.synthesis.runners import Runner
    from lavis_sam.synthesis.shares import Share


class RunnerName(StrEnum):
    """Who makes the parts."""

    LOCAL = "local"
    RAY = "ray"


PACKAGES = ("imagehash", "onnxruntime", "pycocotools")


_Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The folder to fill; new, or with --resume.")]
_Num = Annotated[int | None, typer.Option("--num", min=1, help="Samples wanted; with --dry-run 1,000 unless given.")]
_Config = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="NAME|FILE",
        help="mmlink, mmlink_paper, groups, stories, changes, captions, pretraining, unjudged, or a YAML file.",
    ),
]
_Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Processes; 0 works in this one; by default one a core.")
]
_PartOf = Annotated[
    str | None,
    typer.Option("--part-of", metavar="I/N", help="Make the I-th of N shares, for `lavis-sam synthesize-merge`."),
]
_Runner = Annotated[
    RunnerName, typer.Option("--runner", help="local: processes of this machine; ray: workers of a Ray cluster.")
]
_Address = Annotated[
    str | None, typer.Option("--address", help="ray: the cluster, auto or HOST:PORT; by default this machine alone.")
]
_Gpus = Annotated[
    float | None,
    typer.Option("--gpus-per-worker", min=0.0, help="ray: share of a GPU of each worker, such as 0.5; by default 0."),
]
_Actors = Annotated[
    str | None,
    typer.Option(
        "--actors",
        metavar="STAGE[=[COUNTx]GPUS],…",
        help="ray: stages whose models are in actors of their own, such as segment=0.25,inpaint=2x1.",
    ),
]
_CopyTo = Annotated[
    str | None,
    typer.Option("--copy-to", metavar="URL", help="Copy the finished set there, such as s3://bucket/mmlink."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print the manifest as JSON, nothing else, on stdout.")]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what is missing, how many calls and hours it takes; keep nothing.")
]


def synthesize(
    out: _Out = None,
    num: _Num = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="What the samples are depends on it alone.")] = 0,
    config: _Config = "mmlink",
    kinds: Annotated[
        str | None, typer.Option("--kinds", help=f"Some of {','.join(KINDS)}; by default those of --config.")
    ] = None,
    workers: _Workers = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in DIR.")] = False,
    part_of: _PartOf = None,
    runner_name: _Runner = RunnerName.LOCAL,
    address: _Address = None,
    gpus: _Gpus = None,
    actors: _Actors = None,
    copy_to: _CopyTo = None,
    as_json: _Json = False,
    dry_run: _DryRun = False,
) -> None:
    """Make a multi-image data set: images, questions and answers, anywhere, with no network and no GPU.

    DIR gets annotations.json (the unified format) with images/, webdataset shards/, samples.jsonl (all that is known
    of every sample), rejections.jsonl and manifest.json. A run that was interrupted continues with --resume; the
    result is the same, whatever the interruptions and the number of workers. Exit code 0: all samples are there;
    1: some places could not be filled; 2: the command or the configuration is wrong, or the disk is full.

    \b
    Examples:
      lavis-sam synthesize --out data/mmlink --num 500 --resume
      lavis-sam synthesize --out data/stories --num 200 --config stories --workers 2
      lavis-sam synthesize --out data/icons --num 50 --kinds icons,covers --seed 7
      lavis-sam synthesize --out data/mmlink --num 69000 --part-of 2/8
      lavis-sam synthesize --out /shared/mmlink --num 69000 --runner ray --address auto --gpus-per-worker 0.5
      lavis-sam synthesize --out /shared/mmlink --num 69000 --runner ray --actors segment,score,inpaint=2x1
      lavis-sam synthesize --config mmlink_paper --dry-run
    """
    need_packages()
    from lavis_sam.errors import SamConfigurationError
    from lavis_sam.files import to_json
    from lavis_sam.synthesis.live_progress import RunProgress
    from lavis_sam.synthesis.run import synthesize as run
    from lavis_sam.synthesis.shares import make_share

    settings = read_settings(config, kinds)
    if dry_run:
        return _dry_run(settings, num or 1000, as_json)
    if out is None or num is None:
        raise SamConfigurationError("synthesize: wanted --out DIR and --num N; only --dry-run does without them.")
    share = _share(part_of, copy_to)
    runner = _runner(runner_name, workers, {"--address": address, "--gpus-per-worker": gpus, "--actors": actors})
    with contextlib.redirect_stdout(sys.stderr):
        if share is None:
            manifest = run(settings, out, num=num, seed=seed, runner=runner, resume=resume, progress=RunProgress(num))
        else:
            record = make_share(settings, out, share, num=num, seed=seed, runner=runner, resume=resume, active=True)
    if share is None:
        _copy(out, copy_to)
        show_manifest(manifest, out, as_json=as_json)
    else:
        echo(to_json(record) if as_json else f"{share.folder(out)}: {record['samples']} samples, {share} is complete.")


def _share(part_of: str | None, copy_to: str | None) -> "Share | None":
    """Return what --part-of says; an address that cannot be is refused before anything is made."""
    from lavis_sam.errors import SamConfigurationError
    from lavis_sam.synthesis.remote_copy import check_address
    from lavis_sam.synthesis.shares import Share

    if copy_to is not None and part_of is not None:
        raise SamConfigurationError("--copy-to: a share is no data set; leave it out of `synthesize --part-of`.")
    if copy_to is not None:
        check_address(copy_to)
    return None if part_of is None else Share.parse(part_of, "--part-of")


def _copy(out: Path, url: str | None) -> None:
    from lavis_sam.synthesis.remote_copy import copy_dataset

    if url is not None:
        echo(f"{url}: {copy_dataset(out, url)} files copied", err=True)


def read_settings(config: str, kinds: str | None) -> "SynthesisSettings":
    """Return what --config and --kinds say."""
    from lavis_sam.synthesis.configuration import SynthesisSettings, read_config

    settings = SynthesisSettings.from_config(read_config(config), config)
    if kinds is not None:
        settings = settings.with_kinds([kind.strip() for kind in kinds.split(",") if kind.strip()])
    return settings


def choose_runner(workers: int | None) -> "Runner":
    """Return what --workers says."""
    from lavis_sam.synthesis.runners.local import LocalRunner, SerialRunner

    count = (os.cpu_count() or 1) if workers is None else workers
    return LocalRunner(count) if count else SerialRunner()


def _runner(name: RunnerName, workers: int | None, options: dict[str, Any]) -> "Runner":
    """Return what --runner and its options say."""
    given = [option for option, value in options.items() if value is not None]
    if name is RunnerName.RAY:
        from lavis_sam.synthesis.runners.cluster import RayRunner
        from lavis_sam.synthesis.runners.model_actors import read_actors

        actors = read_actors(options["--actors"]) if "--actors" in given else ()
        return RayRunner(options["--address"], workers=workers, gpus=options["--gpus-per-worker"] or 0.0, actors=actors)
    if given:
        from lavis_sam.errors import SamConfigurationError

        raise SamConfigurationError(f"{given[0]}: it is for the runner ray; add --runner ray, or leave it out.")
    return choose_runner(workers)


def show_manifest(manifest: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Print what a run has made; exit with 1 where places stayed empty."""
    from lavis_sam.files import to_json

    if as_json:
        echo(to_json(manifest))
    else:
        echo(_summary(manifest, out))
    if manifest["unfilled"]:
        raise typer.Exit(code=1)


def synthesize_report(
    folders: Annotated[
        list[str], typer.Argument(metavar="[NAME=]DIR…", help="What `lavis-sam synthesize` made; several are compared.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The page to write; by default DIR/report.html; several DIRs need it."
        ),
    ] = None,
) -> None:
    """Write an HTML page about a synthesised data set: funnel, examples, rejections by reason, scores, diversity.

    Of several data sets, such as one of the embedded backends and one of others, the page shows funnels and scores
    side by side, with the backends that made them.

    \b
    Examples:
      lavis-sam synthesize-report data/mmlink
      lavis-sam synthesize-report embedded=data/mmlink paper=data/mmlink_paper --out backends.html
    """
    need_packages()
    from lavis_sam.errors import SamConfigurationError
    from lavis_sam.run_layout import named_path

    named = [named_path(folder) for folder in folders]
    if len(named) > 1:
        from lavis_sam.synthesis.judging.side_by_side import unique_names, write_side_by_side

        if out is None:
            raise SamConfigurationError(f"--out: missing; a page about {len(named)} data sets belongs to none of them.")
        write_side_by_side(unique_names(named), out)
        return echo(f"{out}")
    from lavis_sam.synthesis.page import write_report

    path = out or named[0][1] / "report.html"
    write_report(named[0][1], path)
    echo(f"{path}")


def need_packages() -> None:
    """Say in one clear line what is missing, in the place of an import's traceback."""
    from lavis_sam.errors import SamConfigurationError

    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SamConfigurationError(
            f"synthesis needs {', '.join(missing)}, not installed here; install what is missing with "
            "`pip install 'lavis_sam[synthesis]'`."
        )


def _dry_run(settings: "SynthesisSettings", num: int, as_json: bool) -> None:
    """Print what a run would need; exit code 1 where something is missing."""
    from lavis_sam.files import to_json
    from lavis_sam.synthesis.forecast import forecast
    from lavis_sam.synthesis.measured_hours import FEW, measured_hours

    found = forecast(settings, num)
    if not as_json:
        echo(f"{num:,} samples take, if no try is refused, at most:")
        for job, (backend, count) in found.calls.items():
            echo(f"  {job:<10} {count:>9,} calls of {backend}")
        echo(f"{found.requests:,} of them are requests to a service.")
        for message in found.missing:
            echo(f"missing: {message}")
    hours = None
    if not found.missing:
        echo(f"Measuring {FEW} samples; services are not asked, and nothing is kept.", err=True)
        with contextlib.redirect_stdout(sys.stderr):
            hours = measured_hours(settings, found)
    if as_json:
        echo(to_json({**found.as_dict(), "hours": None if hours is None else hours.as_dict()}))
    else:
        for line in ["Hours: unknown while parts are missing."] if hours is None else hours.lines():
            echo(line)
    if found.missing:
        raise typer.Exit(code=1)


def _summary(manifest: dict[str, Any], out: Path) -> str:
    kinds = ", ".join(f"{kind} {counts['accepted']}" for kind, counts in manifest["kinds"].items())
    lines = [f"{manifest['accepted']} samples in {out} ({kinds}), from {manifest['tries']} tries."]
    for reason, entry in manifest["rejections"].items():
        lines.append(f"  rejected {entry['count']:>6} x {reason} ({entry['stage']})")
    if manifest["unfilled"]:
        lines.append(f"{manifest['unfilled']} places could not be filled; see {out}/rejections.jsonl.")
    return "\n".join(lines)
