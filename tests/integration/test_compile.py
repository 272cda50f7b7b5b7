"""`run.compile` with PyTorch's compiler: values, names, gradients, and how many graphs there are.

The whole model's graphs run by PyTorch's own operations (backend `aot_eager`), forward and backward, as making machine
code of all of them takes minutes; the vision encoder's become machine code.
"""

import pytest
import torch

from helpers.compiled import own_settings, step  # noqa: F401 - a fixture
from helpers.models import random_batch, small_model
from lavis_sam.models.compilation import check_compiler, compile_model
from lavis_sam.models.language.language_model import enable_gradient_checkpointing

TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}

pytestmark = pytest.mark.integration


@pytest.fixture
def graphs():
    """A backend that notes how many operations each graph has which it is given."""
    found = []

    def backend(module, inputs):
        found.append(len(module.graph.nodes))
        return torch._dynamo.lookup_backend("aot_eager")(module, inputs)

    backend.found = found
    return backend


def check_step(model, batch, wanted):
    losses, gradients = step(model, batch)
    torch.testing.assert_close(losses, wanted[0], **TOLERANCE)
    assert gradients.keys() == wanted[1].keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[1][name], rtol=2e-4, atol=2e-5, msg=name)


def test_losses_gradients_and_names_stay_and_few_graphs_serve_all_batches(graphs):
    batches = [random_batch(counts, seed=seed) for seed, counts in enumerate([[3, 1, 2], [2, 2], [4, 1, 3, 2, 5]])]
    model = small_model(layer_l=2, layer_k=3).train()
    names, wanted = list(model.state_dict()), [step(model, batch) for batch in batches]
    assert compile_model(model, backend=graphs) == {"vision": 2, "q_former": 4, "language": 1}
    assert list(model.state_dict()) == names
    # First without gradient checkpointing, then with it: what is checkpointed does not change what is computed.
    for is_checkpointed in (False, True):
        if is_checkpointed:
            enable_gradient_checkpointing(model.llm_model)
        for batch, values in zip(batches[:2], wanted, strict=False):
            check_step(model, batch, values)
        made = len(graphs.found)
        assert made >= 3  # at least one each
        with torch.compiler.set_stance("fail_on_recompile"):
            check_step(model, batches[2], wanted[2])
        assert len(graphs.found) == made


def test_machine_code_of_the_vision_encoder_gives_its_features(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    check_compiler(torch.device("cpu"))
    model = small_model()
    images = torch.randn(6, 3, 28, 28)  # not as many as there are patches: equal sizes are one symbol
    with torch.no_grad():
        wanted = model.visual_encoder(images)
        compile_model(model)
        found = model.visual_encoder(images)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        with torch.compiler.set_stance("fail_on_recompile"):
            torch.testing.assert_close(model.visual_encoder(images[:3]), wanted[:3], rtol=1e-4, atol=1e-4)
    assert list(tmp_path.rglob("*.so"))
