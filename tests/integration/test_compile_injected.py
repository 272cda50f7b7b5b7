"""`run.compile` with what is injected into layers (LoRA) and between them (VPG-C): losses and gradients stay.

Backend `aot_eager`: traced as for machine code, and run by PyTorch's own operations.
"""

import pytest
import torch

from helpers.compiled import own_settings, step  # noqa: F401 - a fixture
from helpers.models import random_batch
from helpers.sharded import model_of
from lavis_sam.models.compilation import compile_model

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("name", "injected"), [("lora", ".lora_"), ("vpg_c", "vpg_c.")])
def test_losses_and_gradients_are_those_without_compiled_layers(name, injected):
    model = model_of(name).train()  # checkpointing its gradients
    for number, parameter in enumerate(p for p in model.parameters() if p.requires_grad):
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(number))
    batches = [random_batch(counts, seed=seed) for seed, counts in enumerate([[3, 1], [1, 4, 2]])]
    names, wanted = list(model.state_dict()), [step(model, batch) for batch in batches]
    runs = []

    def backend(module, inputs):
        run = torch._dynamo.lookup_backend("aot_eager")(module, inputs)
        return lambda *given: runs.append(1) or run(*given)

    assert compile_model(model, backend=backend) == {"vision": 2, "q_former": 4, "language": 3}
    assert list(model.state_dict()) == names
    for batch, (losses, gradients) in zip(batches, wanted, strict=True):
        runs.clear()
        found = step(model, batch)
        assert len(runs) >= 2 + 4 + 3
        torch.testing.assert_close(found[0], losses, rtol=2e-5, atol=2e-6)
        assert found[1].keys() == gradients.keys()
        for key in gradients:
            torch.testing.assert_close(found[1][key], gradients[key], rtol=2e-4, atol=2e-5, msg=key)
    assert all(gradient.any() for key, gradient in found[1].items() if injected in key)
    assert any(injected in key for key in found[1])
