"""`run.compile`: which layers are compiled, when they run, and what is said where that is impossible.

Nothing is compiled here: tests/integration/test_compile.py does that.
"""

import copy

import pytest
import torch

from helpers.models import random_batch, small_model
from lavis_sam.errors import SamConfigurationError
from lavis_sam.models.compilation import check_compiler, compile_model
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.vision import ReleasedVision


@pytest.fixture
def runs(monkeypatch):
    """A compiler that changes nothing and counts how often what it made runs."""
    found = []

    def compile_(function, **options):
        assert options["dynamic"] is True

        def run(*args, **kwargs):
            found.append(1)
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(torch, "compile", compile_)
    with torch._dynamo.config.patch(recompile_limit=8), torch._functorch.config.patch(donated_buffer=True):
        yield found


def test_all_layers_run_compiled_under_their_names(runs):
    model, batch = small_model(), random_batch([2, 1])
    names = list(model.state_dict())
    assert compile_model(model) == {"vision": 2, "q_former": 4, "language": 1}
    assert list(model.state_dict()) == names
    with torch.no_grad():
        model(batch)
    # Both streams go through the Q-Former.
    assert len(runs) == 2 + 2 * 4 + 1
    assert torch._functorch.config.donated_buffer is True


def test_several_objectives_keep_the_buffers_of_a_graph(runs):
    model = small_model()
    model.objectives = {"language": 1.0, "further": 1.0}
    compile_model(model)
    assert torch._functorch.config.donated_buffer is False
    assert torch._dynamo.config.recompile_limit > 8


def test_a_vision_encoder_that_was_let_go_of_has_nothing_to_compile(runs):
    model = small_model()
    model.visual_encoder = ReleasedVision(model.visual_encoder)
    assert compile_model(model)["vision"] == 0


def test_answers_are_the_same_and_are_not_compiled_token_by_token(runs):
    model, batch = small_model(), random_batch([2, 1])
    decoding = Decoding(num_beams=2, max_length=6)
    with torch.no_grad():
        visual = model.encode(batch, batch["text_input"])
        wanted = model.generate_from(visual, batch["text_input"], decoding).texts
        compile_model(model)
        assert model.generate_from(visual, batch["text_input"], decoding).texts == wanted
    assert runs == []


def test_hooks_still_see_a_layer(runs):
    model, batch, seen = small_model(), random_batch([2]), []
    compile_model(model)
    model.visual_encoder.blocks[0].register_forward_hook(lambda *args: seen.append(1))
    with torch.no_grad():
        model.encode(batch, batch["text_input"])
    assert seen == [1]
    assert len(runs) == 1 + 2 * 4  # the other block, and both streams


def test_a_copy_is_not_compiled_and_owns_its_layers(runs):
    model, batch = small_model(), random_batch([2])
    compile_model(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.query_tokens.zero_()
        other.visual_encoder.blocks[0].mlp.fc1.weight.zero_()
        found = [each.encode(batch, batch["text_input"]).tokens for each in (other, model)]
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_a_language_model_in_few_bits_is_left_alone(runs):
    model = small_model()
    packed = torch.nn.Parameter(torch.zeros(4, dtype=torch.uint8), requires_grad=False)
    model.llm_model.model.layers[0].mlp.packed = packed
    assert compile_model(model) == {"vision": 2, "q_former": 4, "language": 0}


def test_another_model_is_refused():
    with pytest.raises(SamConfigurationError, match=r"run\.compile: the model is a Linear"):
        compile_model(torch.nn.Linear(1, 1))


@pytest.mark.parametrize(("device", "variable"), [("cpu", "CXX"), ("cuda", "CC")])
def test_a_missing_compiler_is_named(device, variable, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(SamConfigurationError, match=rf"no (g\+\+|clang\+\+|gcc).*install one.*{variable}.*remove run"):
        check_compiler(torch.device(device))
    monkeypatch.setenv(variable, "/nowhere/compiler")
    with pytest.raises(SamConfigurationError, match=rf"{variable}='/nowhere/compiler', which is no program"):
        check_compiler(torch.device(device))
    (tmp_path / "compiler").write_text("#!/bin/sh\n")
    (tmp_path / "compiler").chmod(0o755)
    monkeypatch.setenv(variable, str(tmp_path / "compiler"))
    check_compiler(torch.device(device))


def test_triton_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SamConfigurationError, match="triton"):
        check_compiler(torch.device("cuda"))
