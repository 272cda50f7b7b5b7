"""How the commands that look at a run's configuration take it: as `python -m lavis.train` does."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lavis_sam.plugin.run_config import SamConfig

CfgPath = Annotated[Path, typer.Option("--cfg-path", metavar="FILE", help="YAML file of the run.")]
# `--options a=1 b=2`, as LAVIS writes it: the first word belongs to the option, the others are arguments.
Option = Annotated[
    list[str] | None,
    typer.Option("--options", metavar="KEY=VALUE", help="Settings that replace the file's, as for lavis.train."),
]
Words = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Further such settings.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Your own data in the place of the file's, as for lavis.train."),
]


def read_config(
    cfg_path: Path, options: list[str] | None, words: list[str] | None, data: Path | None = None
) -> "SamConfig":
    """The resolved and checked configuration, without a look at the files that it names."""
    from lavis_sam.plugin.run_config import SamConfig

    return SamConfig(Namespace(cfg_path=str(cfg_path), options=[*(options or ()), *(words or ())], data=data))
