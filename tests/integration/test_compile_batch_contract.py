"""The batch contract under `run.compile`: every test of tests/models/test_batch_contract.py, on compiled layers.

One ViT, Q-Former and language model are compiled for all of them (backend `aot_eager`: traced as for machine code, and
run by PyTorch's own operations). What a guidance builds around them is not compiled, so each test has its own.
"""

import pytest
import torch
from models import test_batch_contract as contract

from helpers.models import random_batch, small_model
from lavis_sam.models.compilation import compile_model

pytestmark = pytest.mark.integration

globals().update({name: value for name, value in vars(contract).items() if name.startswith("test_")})


@pytest.fixture(scope="module")
def graphs():
    """A backend that keeps the graphs which it is given, each with how often it ran."""
    found = []

    def backend(module, inputs):
        run = torch._dynamo.lookup_backend("aot_eager")(module, inputs)
        place = len(found)
        found.append(0)

        def counted(*given):
            found[place] += 1
            return run(*given)

        return counted

    backend.runs = found
    return backend


@pytest.fixture(scope="module")
def compiled(graphs):
    """The model whose layers all tests share."""
    torch._dynamo.reset()
    with torch._dynamo.config.patch(), torch._functorch.config.patch():
        model = small_model()
        assert compile_model(model, backend=graphs) == {"vision": 2, "q_former": 4, "language": 1}
        yield model
    torch._dynamo.reset()


@pytest.fixture(autouse=True)
def build(compiled, monkeypatch):
    """What the contract's tests call to have a model."""

    def with_compiled_layers(**guidance):
        model = small_model(**guidance)
        for name in ("visual_encoder", "Qformer", "llm_model"):
            part, shared = getattr(model, name), getattr(compiled, name)
            assert all(torch.equal(weight, shared.state_dict()[key]) for key, weight in part.state_dict().items())
            setattr(model, name, shared)
        return model

    monkeypatch.setattr(contract, "small_model", with_compiled_layers)
    return with_compiled_layers


def test_what_the_contract_asks_runs_in_graphs(build, graphs):
    model, batch = build(context="others"), random_batch(contract.COUNTS)
    with torch.no_grad():
        model(batch)
        before = list(graphs.runs)
        model(batch)
    # Two blocks; four layers for each of two streams; one layer of the language model.
    assert sum(graphs.runs) - sum(before) == 2 + 2 * 4 + 1
    assert len(graphs.runs) == len(before)
