"""`lavis-sam cache-features`: compute the features of a run's images, to be read by many runs."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lavis_sam.cli.run_options import CfgPath, ConfigAndWords, Data, Option, config_and_settings
from lavis_sam.run_layout import config_of

if TYPE_CHECKING:
    from lavis_sam.config.run_settings import RunSettings
    from lavis_sam.plugin.run_config import SamConfig

_Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the cache; by default run.feature_cache.")
]


def cache_features(
    words: ConfigAndWords = None,
    cfg_path: CfgPath = None,
    out: _Out = None,
    options: Option = None,
    data: Data = None,
) -> None:
    """Compute what the frozen vision encoder makes of a run's images, once for all runs that read them.

    Every image of the splits that the configuration names, in run.feature_crops crops where the transform is random;
    runs with run.feature_cache=DIR then train without the encoder. An interrupted command is continued by the same
    command. A run fills its cache itself; this command needs no language model's weights. Exit code 0: done; 2: the
    cache is one of other weights, of another transform or damaged, or there is no room for it.

    \b
    Examples:
      lavis-sam cache-features projects/sam/train.yaml --out features --options run.feature_crops=4
      lavis-sam train projects/sam/train.yaml --options run.feature_cache=features run.feature_crops=4
      lavis-sam cache-features projects/sam/train.yaml --out small --options run.feature_cache_precision=int8
      torchrun --nproc_per_node=4 -m lavis_sam.cli cache-features --cfg-path projects/sam/train.yaml --out features
    """
    from lavis_sam.entry import run_program

    config, settings = config_and_settings(cfg_path, options, words)
    forced: dict[str, Any] = {} if out is None else {"run.feature_cache": str(out)}
    arguments = Namespace(cfg_path=str(config_of(config)), options=settings, data=data)
    code = run_program(arguments, "lavis-sam cache-features", forced, _fill)
    if code:
        raise typer.Exit(code)


def _fill(config: "SamConfig", settings: "RunSettings") -> None:
    from omegaconf import OmegaConf

    from lavis_sam import distributed
    from lavis_sam.errors import SamConfigurationError
    from lavis_sam.features.run_features import connect_features
    from lavis_sam.plugin.registry import registered_class
    from lavis_sam.weights.build_model import build_encoder

    if settings.feature_cache is None:
        raise SamConfigurationError("--out: missing; name the folder of the features, or set run.feature_cache.")
    task = registered_class("task", settings.task, "run.task").setup_task(cfg=config)
    datasets = task.build_datasets(config)
    section: Any = OmegaConf.to_container(config.model_cfg, resolve=True)
    model = build_encoder(section)
    features = connect_features(settings, datasets, model)
    if features is not None:
        features.prepare(model, distributed.choose_device(settings.device))
