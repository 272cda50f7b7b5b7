"""Steps whose loss or gradient is not finite."""

import pytest
import torch

from helpers.dummies import DummyModel
from helpers.runs import events, make_runner
from lavis_sam.errors import SamDataError


def test_losses_that_are_not_finite_are_skipped_up_to_a_count(tmp_path):
    model = DummyModel()
    model.poison = "s3"
    runner = make_runner(tmp_path, model=model, max_nonfinite_steps=2)
    runner.train()
    assert runner.progress.skipped_steps == 2
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert ["s3" in event["samples"] for event in events(runner, "skipped")] == [True, True]
    with pytest.raises(SamDataError, match=r"epoch 1 step \d.*rank 0 had the samples.*max_nonfinite_steps allows 1"):
        make_runner(tmp_path / "other", model=model, max_nonfinite_steps=1).train()


def test_a_gradient_that_is_not_finite_is_met_too(tmp_path):
    class Steep(DummyModel):
        def forward(self, samples):
            output = super().forward(samples)
            return output | {"loss": torch.sqrt(output["loss"] - output["loss"].detach()) + output["loss"].detach()}

    model = Steep()
    before = model.trained.weight.detach().clone()
    with pytest.raises(SamDataError, match=r"epoch 0 step 0: found a gradient norm of (nan|inf).*rank 0"):
        make_runner(tmp_path, model=model).train()
    assert torch.equal(model.trained.weight, before)
