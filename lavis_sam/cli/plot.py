"""`lavis-sam plot`: the curves of one or more runs."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.terminal import echo


def plot(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]RUN...", help="Folders of runs, or log.jsonl files, and their names if wanted."),
    ],
    out: Annotated[Path | None, typer.Option(help="The PNG to write; by default curves.png in the first run.")] = None,
) -> None:
    """Draw loss and learning rate of runs over their steps, to PNG; a continued run is one curve.

    \b
    Example:
      lavis-sam plot output/sam/tiny/* --out curves.png
    """
    from lavis_sam.run_layout import named_path
    from lavis_sam.training.curves import draw_curves

    named = [named_path(run) for run in runs]
    echo(f"wrote {draw_curves([path for _, path in named], out, names=[name for name, _ in named])}")
