"""The training loop against the obvious computation; accumulation, uneven batches, guards, the metric_log."""

import json
import math

import pytest
import torch

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.plugin.schedules import LinearWarmupCosineStepLRScheduler
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.checkpoints import Progress
from lavis_sam.training.epoch_trainer import EpochTrainer
from lavis_sam.training.loaders import GlobalBatchSampler
from lavis_sam.training.metric_log import MetricLog
from lavis_sam.training.optimisation import apply_gradients, build_optimizer, build_scaler
from lavis_sam.training.training_data import build_training_data

# float32: the sum is divided once instead of per sample
TOLERANCE = 1e-6


def train(tmp_path, length=10, epochs=1, model=None, scaler=None, **run):
    tmp_path.mkdir(exist_ok=True)
    model = model or DummyModel()
    settings = RunSettings.from_config(dummy_config(tmp_path, max_epoch=epochs, **run).run_cfg)
    data = build_training_data(
        [DummyDataset(length)], batch_size=settings.batch_size_train, seed=settings.seed, rank=0, world_size=1
    )
    optimizer = build_optimizer(model, settings)
    steps = -(-len(data) // settings.accum_grad_iters)
    progress = Progress()
    trainer = EpochTrainer(
        task=MultiImageCaptioningTask(),
        model=model,
        optimizer=optimizer,
        scheduler=LinearWarmupCosineStepLRScheduler(optimizer, epochs, 0.01, settings.init_lr, steps),
        scaler=scaler,
        settings=settings,
        device=torch.device("cpu"),
        metric_log=MetricLog(tmp_path / "log.jsonl"),
        progress=progress,
    )
    stats = []
    for epoch in range(epochs):
        data.start(epoch, settings.seed)
        stats.append(trainer.run(epoch, data))
        progress.sums = {}
    return model, stats


def oracle(length=10, epochs=1, batch_size=4, init_lr=0.05, seed=42):
    """One optimizer step on the plain mean loss of each global batch."""
    model, dataset = DummyModel(), DummyDataset(length)
    optimizer = torch.optim.AdamW(
        [
            {"params": [model.trained.weight], "weight_decay": 0.05},
            {"params": [model.trained.bias], "weight_decay": 0.0},
        ]
    )
    losses = []
    sampler = GlobalBatchSampler(length, batch_size, seed=seed)
    schedule = LinearWarmupCosineStepLRScheduler(optimizer, epochs, 0.01, init_lr, len(sampler))
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for step, indices in enumerate(sampler):
            schedule.step(epoch, step)
            loss = model(dataset.collater([dataset[index] for index in indices]))["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return model, losses


def assert_same_weights(one, other, tolerance=TOLERANCE):
    for (name, first), second in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(first, second, atol=tolerance, rtol=0, msg=name)


@pytest.mark.parametrize(("batch_size", "accumulate"), [(4, 1), (2, 2), (1, 4)])
def test_accumulation_equals_one_large_batch(tmp_path, batch_size, accumulate):
    """10 samples: the last window of an epoch is smaller, and its gradient must not leak into the next epoch."""
    model, _ = train(tmp_path, epochs=3, batch_size_train=batch_size, accum_grad_iters=accumulate)
    expected, losses = oracle(epochs=3)
    assert_same_weights(model, expected)
    logged = [json.loads(line)["loss"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert logged == pytest.approx(losses, rel=1e-5)


def test_only_trainable_parameters_move(tmp_path):
    before = DummyModel()
    model, _ = train(tmp_path)
    assert torch.equal(model.frozen.weight, before.frozen.weight)
    assert not torch.equal(model.trained.weight, before.trained.weight)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_statistics_and_journal_are_plain_numbers(tmp_path):
    _, (stats,) = train(tmp_path, init_lr=2e-5)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert [line["samples"] for line in lines] == [4, 4, 2]
    assert lines[0]["lr"] == pytest.approx(2e-5)
    assert lines[0]["event"] == "train"
    assert lines[0]["seconds"] >= lines[0]["data_seconds"] >= 0
    assert lines[0]["memory"] > 50e6  # torch alone is more
    assert stats["samples"] == 10
    assert stats["steps"] == 3
    assert stats["target_tokens"] == 2 * (1 + 2 + 3 + 4 + 5) == sum(line["target_tokens"] for line in lines)
    mean = sum(line["loss"] * line["target_tokens"] for line in lines) / 30
    assert stats["loss"] == pytest.approx(mean)


def test_gradient_norm_and_clipping(tmp_path):
    free, _ = train(tmp_path / "free")
    clipped, _ = train(tmp_path / "clipped", max_grad_norm=1e-3)
    lines = [json.loads(line) for line in (tmp_path / "clipped" / "log.jsonl").read_text().splitlines()]
    assert lines[0]["grad_norm"] > 1e-3
    with pytest.raises(AssertionError):
        assert_same_weights(free, clipped)


def test_clipping_limits_the_total_norm():
    parameters = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    for parameter, gradient in zip(parameters, ([3.0, 0.0], [4.0]), strict=True):
        parameter.grad = torch.tensor(gradient)
    norm = apply_gradients(torch.optim.SGD(parameters, lr=1.0), None, factor=2.0, max_norm=1.0)
    assert norm == pytest.approx(10.0)
    assert torch.cat([p.detach() for p in parameters]).tolist() == pytest.approx([-0.6, 0.0, -0.8], abs=1e-5)


def test_a_loss_that_is_not_finite_stops_with_step_and_samples(tmp_path):
    model = DummyModel()
    model.poison = "s7"
    before = model.trained.weight.detach().clone()
    with pytest.raises(SamDataError, match=r"epoch 0 step \d.*loss of nan.*rank 0.*'s7'") as caught:
        train(tmp_path, length=10, batch_size_train=10, model=model)
    assert "init_lr" in str(caught.value)
    assert torch.equal(model.trained.weight, before)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_a_batch_that_does_not_fit_is_named(tmp_path, error):
    class Huge(DummyModel):
        def forward(self, samples):
            if "s7" in samples["sample_id"]:
                raise error
            return super().forward(samples)

    with pytest.raises(SamConfigurationError, match=r"training on the samples \[.*'s7'.*lavis-sam plan") as caught:
        train(tmp_path, batch_size_train=2, accum_grad_iters=5, model=Huge())
    assert str(caught.value).count("'s") == 2  # the batch, not all of the step


def test_a_scaler_changes_nothing_but_rounding(tmp_path):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaled, _ = train(tmp_path, epochs=2, scaler=scaler)
    plain, _ = oracle(epochs=2)
    assert_same_weights(scaled, plain)


def test_a_scaler_is_for_fp16_layers_only():
    model, cpu = DummyModel(), torch.device("cpu")
    assert build_scaler(model, cpu) is None
    model.frozen.to(torch.bfloat16)
    assert build_scaler(model, cpu) is None
    model.frozen.to(torch.float16)
    assert isinstance(build_scaler(model, cpu), torch.amp.GradScaler)


def test_the_journal_writes_whole_lines_of_strict_json(tmp_path):
    metric_log = MetricLog(tmp_path / "log.jsonl")
    metric_log.write("train", loss=math.inf, lr=2e-5)
    metric_log.write("epoch", split="train")
    first, second = ((json.loads(line)) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert (first["event"], first["loss"], first["lr"]) == ("train", None, 2e-5)
    assert second["split"] == "train"
