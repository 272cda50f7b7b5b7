"""Steps as the training loop counts them; the time of a step, given, logged or measured."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.planning.forecast import Load, planned_model
from lavis_sam.planning.run_length import check_memory, logged_step_seconds, measured_step_seconds, run_length
from lavis_sam.plugin.model import Blip2VicunaSAM
from lavis_sam.training.loaders import GlobalBatchSampler


def settings(**values):
    return RunSettings.from_config(values)


def test_run_length_of_the_papers_recipe():
    length = run_length(69000, settings(batch_size_train=5), 4, 1.5)
    assert (length.samples_per_step, length.steps_per_epoch, length.steps) == (20, 3450, 3450)
    assert length.hours == pytest.approx(1.4375)
    assert run_length(69000, settings(), 4, None).hours is None


@pytest.mark.parametrize("samples", [1, 18, 19, 41])
@pytest.mark.parametrize(("batch", "gpus", "accumulation"), [(1, 1, 1), (3, 2, 1), (2, 1, 4), (2, 3, 2)])
def test_run_length_counts_as_the_sampler_does(samples, batch, gpus, accumulation):
    run = settings(batch_size_train=batch, accum_grad_iters=accumulation, max_epoch=3)
    batches = len(GlobalBatchSampler(samples, batch, seed=0, world_size=gpus))
    windows = [range(batches)[start : start + accumulation] for start in range(0, batches, accumulation)]
    length = run_length(samples, run, gpus, None)
    assert (length.steps_per_epoch, length.steps) == (len(windows), 3 * len(windows))


@pytest.mark.parametrize(("samples", "seconds"), [(0, 1.0), (5, 0.0), (5, float("nan")), (5, float("inf"))])
def test_run_length_of_impossible_numbers(samples, seconds):
    with pytest.raises(SamConfigurationError, match="plan: "):
        run_length(samples, settings(), 1, seconds)


def test_logged_step_seconds_is_the_median_without_the_first_step(tmp_path):
    events = [
        {"event": "train", "step": step, "seconds": seconds} for step, seconds in enumerate((60.0, 2.0, 3.0, 9.0))
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in [*events, {"event": "epoch"}]))
    assert logged_step_seconds(tmp_path) == logged_step_seconds(tmp_path / "log.jsonl") == 3.0
    (tmp_path / "log.jsonl").write_text(json.dumps(events[0]) + "\n" + '{"event": "train", "seconds"')
    assert logged_step_seconds(tmp_path) == 60.0


@pytest.mark.parametrize("text", [None, "", '{"event": "train", "step": 0}\n'])
def test_logged_step_seconds_of_what_is_no_log(tmp_path, text):
    if text is not None:
        (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(SamDataError, match=r"log\.jsonl: "):
        logged_step_seconds(tmp_path)


def test_measured_step_seconds_needs_no_weights(monkeypatch):
    """The model on the meta device gets storage and runs whole steps; accumulated batches count."""
    cfg = OmegaConf.load(Blip2VicunaSAM.default_config_path("tiny")).model
    model = planned_model(OmegaConf.to_container(cfg, resolve=True))
    ticks = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    seconds = measured_step_seconds(model, Load(batch=1, images=2, accumulation=3), torch.device("cpu"))
    assert seconds == 3.0
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_check_memory_refuses_what_does_not_fit(monkeypatch):
    monkeypatch.setattr("lavis_sam.planning.run_length.free_memory", lambda: 8 * 2**30)
    check_memory(7 * 2**30, torch.device("cpu"))
    with pytest.raises(SamConfigurationError, match=r"--measure needs 18\.0 GiB on cpu, found 8\.0 GiB free"):
        check_memory(18 * 2**30, torch.device("cpu"))
