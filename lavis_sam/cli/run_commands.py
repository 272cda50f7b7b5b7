"""`lavis-sam train` and `lavis-sam evaluate`: what `python -m lavis.train` and `python -m lavis.evaluate` do."""

from argparse import Namespace
from pathlib import Path
from typing import Annotated, Any

import typer

from lavis_sam.cli.run_options import CfgPath, ConfigAndWords, Data, Option, config_and_settings
from lavis_sam.run_layout import config_of

# What of a run's own configuration an evaluation of it does not take: it gets a folder of its own.
_OF_ITS_RUN = ("run.job_id", "run.resume", "run.resume_ckpt_path")


def train(words: ConfigAndWords = None, cfg_path: CfgPath = None, options: Option = None, data: Data = None) -> None:
    """Train the run that a configuration describes, then evaluate its test splits.

    The same as `python -m lavis.train`. A run's folder is run.output_dir/run.job_id; an interrupted run is continued
    with run.resume=auto and its job id. Exit code 0: done; 2: the command, its data or its weights cannot be used.

    \b
    Examples:
      lavis-sam train projects/sam/tiny/train.yaml
      lavis-sam train projects/sam/train.yaml --data my_data --options run.job_id=mine run.init_lr=1e-4
      torchrun --nproc_per_node=4 -m lavis_sam.cli train --cfg-path projects/sam/train.yaml
    """
    _finish(*config_and_settings(cfg_path, options, words), data, "train", {})


def evaluate(
    words: ConfigAndWords = None,
    cfg_path: CfgPath = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Trained layers: a file, a run's or an adapter's folder."),
    ] = None,
    options: Option = None,
    data: Data = None,
) -> None:
    """Answer the test splits of a configuration and score the answers.

    The same as `python -m lavis.evaluate`. CONFIG may be the folder of a run: its configuration with its checkpoint,
    evaluated into a folder of its own. Exit code 0: done; 2: the command, its data or its weights cannot be used.

    \b
    Examples:
      lavis-sam evaluate projects/sam/tiny/evaluate.yaml --checkpoint output/sam/tiny/mine
      lavis-sam evaluate output/sam/tiny/mine --data other_data
      lavis-sam evaluate --cfg-path projects/sam/eval/vist.yaml --checkpoint sam.pth --options run.batch_size_eval=4
    """
    from lavis_sam.evaluate import evaluation_settings

    config, settings = config_and_settings(cfg_path, options, words)
    forced: dict[str, Any] = {}
    if config.is_dir():
        checkpoint = checkpoint or config
        given = {setting.partition("=")[0] for setting in settings}
        forced = {key: None for key in _OF_ITS_RUN if key not in given}
    _finish(config, settings, data, "evaluate", forced | evaluation_settings(checkpoint))


def _finish(config: Path, settings: list[str], data: Path | None, command: str, forced: dict[str, Any]) -> None:
    from lavis_sam.entry import run_program

    arguments = Namespace(cfg_path=str(config_of(config)), options=settings, data=data)
    code = run_program(arguments, f"lavis-sam {command}", forced)
    if code:
        raise typer.Exit(code)
