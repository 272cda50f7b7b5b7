"""`lavis-sam plot`: the curves of one or more runs."""

from pathlib import Path
from typing import Annotated

import typer

from lavis_sam.terminal import echo


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or log.jsonl files.")],
    out: Annotated[Path | None, typer.Option(help="The PNG to write; by default curves.png in the first run.")] = None,
) -> None:
    """Draw loss and learning rate of runs over their steps, to PNG; a continued run is one curve.

    \b
    Example:
      lavis-sam plot output/sam/tiny/* --out curves.png
    """
    from lavis_sam.training.curves import draw_curves

    echo(f"wrote {draw_curves(runs, out)}")
