"""The `run` section: every wrong key and value in one message."""

import pytest
from omegaconf import OmegaConf

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError


def test_defaults_and_values():
    settings = RunSettings.from_config(
        OmegaConf.create({"init_lr": 1, "job_id": None, "test_splits": ["test"], "decoding": {"num_beams": 1}})
    )
    assert settings.init_lr == 1.0
    assert isinstance(settings.init_lr, float)
    assert (settings.job_id, settings.test_splits, settings.decoding) == (None, ["test"], {"num_beams": 1})
    assert (settings.train_splits, settings.weight_decay, settings.beta2) == (["train"], 0.05, 0.999)
    assert RunSettings.from_config({}) == RunSettings()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_epoch", -1, "run.max_epoch: found -1, wanted at least 0"),
        ("max_epoch", 1.5, "wanted an integer"),
        ("max_epoch", True, "found True, wanted an integer"),
        ("batch_size_train", 0, "wanted at least 1"),
        ("init_lr", "fast", "found 'fast', wanted a finite number"),
        ("init_lr", float("nan"), "wanted a finite number"),
        ("beta2", 1.5, "wanted at most 1"),
        ("evaluate", "yes", "wanted true or false"),
        ("device", "tpu", "wanted one of auto, cpu, cuda"),
        ("train_splits", "train", "wanted a list of texts"),
        ("train_splits", [1], "wanted a list of texts"),
        ("decoding", [1], "wanted a mapping"),
        ("job_id", 5, "wanted a text or null"),
        ("max_grad_norm", "x", "wanted a finite number or null"),
        ("warmup_step", 5, "run: unknown key 'warmup_step'. Did you mean 'warmup_steps'?"),
        ("amp", True, "run.amp: use `model.precision`"),
        ("world_size", 4, "the launcher"),
        ("num_beams", 4, "decoding.num_beams"),
    ],
)
def test_wrong_values_name_value_and_remedy(key, value, message):
    with pytest.raises(SamConfigurationError) as caught:
        RunSettings.from_config(OmegaConf.create({key: value}))
    assert message in str(caught.value)


def test_all_problems_come_at_once():
    with pytest.raises(SamConfigurationError) as caught:
        RunSettings.from_config({"max_epoch": -1, "ini_lr": 1, "seed": "x"})
    assert len(str(caught.value).splitlines()) == 3
