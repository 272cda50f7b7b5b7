"""What `python -m lavis.train` and `python -m lavis.evaluate` share: arguments, errors, putting a run together."""

import argparse
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NoReturn

import torch

from lavis_sam import distributed
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamError
from lavis_sam.features.run_features import connect_features
from lavis_sam.plugin.registry import registered_class
from lavis_sam.plugin.run_config import SamConfig
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.terminal import log_to_stderr, print_error, printable
from lavis_sam.training.sharding import check_settings as check_sharding

# The exit code of an error that the user can correct, as argparse's own.
USER_ERROR = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """See `ArgumentParser.error`; the shell may have put names of files among the arguments."""
        super().error(printable(message))


def build_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return the arguments that both programs take (LAVIS's own)."""
    parser = _Parser(prog=f"python -m {program}", description=description)
    parser.add_argument("--cfg-path", required=True, help="YAML file of the run")
    parser.add_argument(
        "--options",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        help="settings that replace the file's, as in run.init_lr=1e-4 model.model_type=tiny",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="your own data in the place of the file's: annotations.json (`lavis-sam data collect`, `data split`) or "
        "shards; it is called `own` in results and in --options",
    )
    return parser


def train_run(config: SamConfig, settings: RunSettings) -> None:
    """Build a run and do it."""
    build_runner(config, settings).train()


def run_program(
    arguments: argparse.Namespace,
    program: str,
    forced: Mapping[str, Any] | None = None,
    work: Callable[[SamConfig, RunSettings], None] = train_run,
) -> int:
    """Read the run of `arguments` and do it.

    Args:
        arguments: Of `build_parser`.
        program: The module that the user started, for messages.
        forced: {dotted key: value} that the program sets, above file and options.

    Returns:
        The exit code: 0, or 2 after an error of ours, which goes to standard error without a traceback.
    """
    try:
        launch = distributed.Launch.from_environment()
        _set_up_logging(launch)
        config = SamConfig(arguments, forced, check_files=True)
        settings = RunSettings.from_config(config.run_cfg)
        device = distributed.choose_device(settings.device, launch)
        with distributed.process_group(launch, device, timedelta(minutes=settings.timeout_minutes)):
            work(config, settings)
    except SamError as error:
        print_error(program, error)
        return USER_ERROR
    return 0


def build_runner(config: SamConfig, settings: RunSettings) -> RunnerSam:
    """Build task, data sets, model and runner, by their registered names.

    Data come before the model: a wrong annotation shows within seconds, not after the weights are loaded.
    """
    check_sharding(settings, config.model_cfg)
    runner_class = registered_class("runner", settings.runner, "run.runner")
    task = registered_class("task", settings.task, "run.task").setup_task(cfg=config)
    datasets = task.build_datasets(config)
    # One seed for all ranks: layers that start at random are the same everywhere.
    torch.manual_seed(settings.seed)
    model = task.build_model(config)
    features = connect_features(settings, datasets, model)
    runner = runner_class(cfg=config, task=task, model=model, datasets=datasets, job_id=settings.job_id)
    runner.features = features
    return runner


def _set_up_logging(launch: distributed.Launch) -> None:
    level = logging.INFO if launch.rank == 0 else logging.WARNING
    log_to_stderr(level)
    # Every request of a library's HTTP client would be a line.
    for name in ("httpx", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
