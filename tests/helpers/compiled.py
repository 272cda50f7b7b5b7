"""What tests of `run.compile` share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def own_settings():
    """What a test compiles and sets stays with it; imported where a file's tests compile."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(), torch._functorch.config.patch():
        yield
    torch._dynamo.reset()


def step(model, batch):
    """Losses of a batch and the gradients of one backward pass."""
    model.zero_grad(set_to_none=True)
    output = model(batch)
    output["loss"].backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return output["per_sample_loss"].detach(), gradients
