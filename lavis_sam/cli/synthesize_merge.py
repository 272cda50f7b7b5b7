"""`lavis-sam synthesize-merge`: make one data set of the shares that several machines have made."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.cli.synthesize import choose_runner, need_packages, read_settings, show_manifest


def synthesize_merge(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out of all `synthesize --part-of I/N`.")],
    num: Annotated[int, typer.Option("--num", min=1, help="As given to every share.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="As given to every share.")] = 0,
    config: Annotated[str, typer.Option("--config", metavar="NAME|FILE", help="As given to every share.")] = "mmlink",
    kinds: Annotated[str | None, typer.Option("--kinds", help="As given to every share.")] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, help="Processes that replace near duplicates; by default one a core."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the manifest as JSON, nothing else, on stdout.")
    ] = False,
) -> None:
    """Unite the shares of `lavis-sam synthesize --part-of I/N`: the files are those of one run, byte for byte.

    DIR holds a folder for each share, part-1-of-N and so on; all have to be complete. Near duplicates between shares
    are replaced here. A merge that was interrupted continues with the same command. Exit code 0: all samples are
    there; 1: some places could not be filled; 2: a share is missing, unfinished or of another run, or the disk is full.

    \b
    Example:
      lavis-sam synthesize-merge data/mmlink --num 69000
    """
    need_packages()
    from lavis_sam.synthesis.live_progress import RunProgress
    from lavis_sam.synthesis.shares import merge_shares

    settings, runner = read_settings(config, kinds), choose_runner(workers)
    with contextlib.redirect_stdout(sys.stderr):
        manifest = merge_shares(settings, folder, num=num, seed=seed, runner=runner, progress=RunProgress(num))
    show_manifest(manifest, folder, as_json=as_json)
