"""A second objective, with a weight and a count of its own: on one process and on two, accumulated or not."""

import json
import os
import socket
from datetime import timedelta

import pytest
import torch

from helpers.dummies import DummyDataset, DummyModel, dummy_config
from helpers.processes import clean_process
from lavis_sam import distributed
from lavis_sam.models.objectives import LossTerm, total_loss
from lavis_sam.plugin.runner import RunnerSam
from lavis_sam.plugin.task import MultiImageCaptioningTask
from lavis_sam.training.curves import read_curves

WEIGHT = 0.3
# float32: sums are divided once, in another order
TOLERANCE = 1e-6


class TwoObjectives(DummyModel):
    """The fake's loss over target tokens, and a second one over images that pulls the output to 1."""

    def forward(self, samples):
        output = super().forward(samples)
        images = samples["image_mask"].sum(dim=1)
        pixels = (samples["image"] * samples["image_mask"][:, None, :, None, None]).mean(dim=(3, 4)).sum(dim=2)
        prediction = self.trained(self.frozen(pixels / images[:, None])).squeeze(1)
        tokens = output["target_tokens"]
        losses = {
            "language": LossTerm((output["per_sample_loss"] * tokens).sum(), tokens.sum()),
            "pull": LossTerm(((prediction - 1) ** 2 * images).sum(), images.sum(), WEIGHT),
        }
        return output | {"loss": total_loss(losses.values()), "losses": losses}


def train(folder, rank, world, port, accumulate, length):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    with distributed.process_group(distributed.Launch(rank, world, rank), torch.device("cpu"), timedelta(seconds=60)):
        config = dummy_config(
            folder, max_epoch=2, batch_size_train=4 // world // accumulate, accum_grad_iters=accumulate, job_id="run"
        )
        datasets = {"s": {"train": DummyDataset(length)}}
        RunnerSam(config, MultiImageCaptioningTask(), TwoObjectives(), datasets).train()


def run(folder, world, accumulate, length):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    members = [clean_process(train, folder, rank, world, port, accumulate, length) for rank in range(world)]
    for member in members:
        member.start()
    for member in members:
        member.join(120)
        assert member.exitcode == 0
    events = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    weights = torch.load(folder / "run" / "checkpoint_1.pth", weights_only=True)["model"]
    return weights, [event for event in events if event["event"] == "train"]


def oracle(length):
    """One optimizer step on the total of each global batch of 4."""
    model, dataset = TwoObjectives(), DummyDataset(length)
    return model(dataset.collater([dataset[index] for index in range(length)]))["losses"]


@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (1, 4), (2, 1), (2, 2)])
def test_epoch_trainer_second_objective_is_the_same_on_ranks_and_accumulated(tmp_path, world, accumulate):
    # 11 samples: the last global batch has 3, so a rank or a batch of it is smaller or empty.
    wanted, steps = run(tmp_path / "one", 1, 1, 11)
    found, other_steps = run(tmp_path / "other", world, accumulate, 11)
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, atol=TOLERANCE, rtol=0)
    for step, other in zip(steps, other_steps, strict=True):
        assert other["loss"] == pytest.approx(step["loss"], rel=TOLERANCE)
        assert other["losses"] == pytest.approx(step["losses"], rel=TOLERANCE)


def test_epoch_trainer_reports_each_objective_and_their_weighted_sum(tmp_path):
    _, steps = run(tmp_path, 1, 1, 4)
    terms = oracle(4)
    assert steps[0]["losses"] == pytest.approx(
        {name: float(t.sum.detach()) / int(t.count) for name, t in terms.items()}
    )
    for step in steps:
        assert step["loss"] == pytest.approx(step["losses"]["language"] + WEIGHT * step["losses"]["pull"])
    curves = read_curves(tmp_path / "run")
    assert curves.losses["pull"] == {step["step"]: step["losses"]["pull"] for step in steps}


def test_epoch_trainer_with_one_objective_logs_no_table(tmp_path):
    config = dummy_config(tmp_path, job_id="run")
    datasets = {"s": {"train": DummyDataset(4)}}
    RunnerSam(config, MultiImageCaptioningTask(), DummyModel(), datasets).train()
    assert "losses" not in (tmp_path / "run" / "log.jsonl").read_text()
    assert read_curves(tmp_path / "run").losses == {}
