"""How the commands that look at a run's configuration take it: as `python -m lavis.train` does."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lavis_sam.errors import SamConfigurationError
from lavis_sam.run_layout import config_of

if TYPE_CHECKING:
    from lavis_sam.plugin.resolving import ResolvedConfig

CfgPath = Annotated[
    Path | None, typer.Option("--cfg-path", metavar="CONFIG", help="LAVIS's way to say CONFIG, the run's YAML file.")
]
# `--options a=1 b=2`, as LAVIS writes it: the first word belongs to the option, the others are arguments.
Option = Annotated[
    list[str] | None,
    typer.Option("--options", metavar="KEY=VALUE", help="Settings that replace the file's, as for lavis.train."),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace the file's, as after --options."),
]
ConfigAndWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="CONFIG [KEY=VALUE]", help="YAML file or folder of a run; further settings."),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Your own data in the place of the file's, as for lavis.train."),
]


def config_and_settings(
    cfg_path: Path | None, options: list[str] | None, words: list[str] | None
) -> tuple[Path, list[str]]:
    """Return CONFIG, as the argument or as `--cfg-path`, and the settings that replace its own.

    Raises:
        SamConfigurationError: No CONFIG.
    """
    settings, words = list(options or ()), list(words or ())
    if cfg_path is None:
        # `--options a=1 b=2 CONFIG` is understood too.
        place = next((i for i, word in enumerate(words) if "=" not in word or Path(word).exists()), None)
        if place is None:
            raise SamConfigurationError(
                "CONFIG: missing; name the YAML file of a run, such as projects/sam/train.yaml."
            )
        cfg_path = Path(words.pop(place))
    return cfg_path, [*settings, *words]


def read_config(
    cfg_path: Path | None, options: list[str] | None, words: list[str] | None, data: Path | None = None
) -> "ResolvedConfig":
    """Return the resolved and checked configuration, without a look at the files that it names."""
    from lavis_sam.plugin.resolving import ResolvedConfig

    config, settings = config_and_settings(cfg_path, options, words)
    return ResolvedConfig(Namespace(cfg_path=str(config_of(config)), options=settings, data=data))
