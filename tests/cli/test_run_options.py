"""How commands take a run's configuration: the words of `--options a=1 b=2` together, as LAVIS does."""

from pathlib import Path

from helpers.command_line import TINY
from lavis_sam.cli.run_options import read_config


def test_words_behind_the_option_are_settings_too():
    config = read_config(Path(TINY), ["run.seed=7"], ["run.max_epoch=3"])
    assert (config.run_cfg.seed, config.run_cfg.max_epoch) == (7, 3)


def test_without_settings_the_file_stands():
    assert read_config(Path(TINY), None, None).run_cfg.seed == read_config(Path(TINY), [], []).run_cfg.seed
