"""Sharding, in the one process of a group: what is gathered, what is given back, and what is refused."""

import pytest
import torch
import torch.distributed as dist

from helpers.command_line import TINY
from helpers.dummies import DummyModel
from helpers.models import random_batch
from helpers.sharded import model_of
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.entry import build_parser, run_program
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.fingerprint import weights_fingerprint
from lavis_sam.training.checkpoints import Progress, RunCheckpoints, RunState, load_run
from lavis_sam.training.optimisation import build_optimizer
from lavis_sam.training.sharding import (
    check_settings,
    forget_batch,
    gathered_layers,
    gathered_state,
    is_sharded,
    shard,
    whole_for_evaluation,
)
from lavis_sam.weights.checkpoints import trainable_state_dict
from lavis_sam.weights.fingerprints import fingerprint

CPU = torch.device("cpu")
SETTINGS = RunSettings.from_config({"sharding": "fsdp2", "init_lr": 0.01})


@pytest.fixture
def group():
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def sharded(name="language"):
    model = model_of(name).train()
    shard(model, CPU)
    return model


def trained(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_sharding_keeps_names_losses_gradients_and_fingerprints(group):
    plain, model = model_of("language").train(), sharded()
    batch = random_batch([2, 1])
    losses = [one(batch)["loss"] for one in (plain, model)]
    for loss in losses:
        loss.backward()
    assert torch.equal(*losses)
    assert is_sharded(model)
    assert not is_sharded(plain)
    assert trained(model).keys() == trained(plain).keys()
    for name, parameter in trained(plain).items():
        found = trained(model)[name].grad
        assert (found is None) == (parameter.grad is None), name
        if found is not None:
            torch.testing.assert_close(found.full_tensor(), parameter.grad, rtol=0, atol=0)
    assert fingerprint(model) == fingerprint(plain)
    with whole_for_evaluation(model):
        assert weights_fingerprint(model) == weights_fingerprint(plain)


def test_sharded_parameters_are_whole_in_an_evaluation_alone(group):
    plain, model, batch = model_of("language").eval(), sharded().eval(), random_batch([2, 1])
    with torch.no_grad(), whole_for_evaluation(model):
        for name, parameter in plain.named_parameters():
            assert torch.equal(dict(model.named_parameters())[name], parameter)
        assert model.generate(batch, max_length=6) == plain.generate(batch, max_length=6)
        assert not any(hasattr(parameter, "full_tensor") for parameter in model.parameters())
    assert all(hasattr(parameter, "full_tensor") for parameter in model.parameters())


def test_sharded_batch_that_is_forgotten_leaves_shares_without_gradients(group):
    model, batch = sharded(), random_batch([2, 1])
    model(batch)["loss"].backward()
    model(batch)
    assert not hasattr(model.llm_proj.weight, "full_tensor")  # whole, and waiting for a backward pass
    forget_batch(model)
    assert hasattr(model.llm_proj.weight, "full_tensor")
    assert all(parameter.grad is None for parameter in model.parameters())
    model(batch)["loss"].backward()
    assert model.llm_proj.weight.grad is not None


def test_sharded_checkpoint_is_that_of_a_plain_run_and_either_reads_it(group, tmp_path):
    model, plain, batch = sharded(), model_of("language").train(), random_batch([2, 1])
    optimizers = [build_optimizer(one, SETTINGS) for one in (model, plain)]
    for one, optimizer in zip((model, plain), optimizers, strict=True):
        one(batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    wanted = trainable_state_dict(plain)
    tensors, state = gathered_state(model, optimizers[0], keep=True)
    torch.testing.assert_close(tensors["model"], wanted, rtol=0, atol=0)
    assert {type(tensor) for tensor in tensors["pad_rows"].values()} == {torch.Tensor}
    path = RunCheckpoints(tmp_path, 1).save(
        0, model=tensors, config={}, state=RunState(Progress(step=1)), optimizer=state, scaler=None
    )
    for other in (model_of("language"), sharded()):
        again = build_optimizer(other, SETTINGS)
        assert load_run(path, other, again, None).progress.step == 1
        found = gathered_state(other, again, keep=True)
        torch.testing.assert_close(found[0]["model"], wanted, rtol=0, atol=0)
        torch.testing.assert_close(found[1]["state"], optimizers[1].state_dict()["state"], rtol=0, atol=0)
    others = gathered_state(model, optimizers[0], keep=False)  # of a process that writes nothing
    assert set(others[0]["model"].values()) == {None}


def test_sharding_gathers_blocks_of_the_vit_and_layers_of_the_language_model():
    model = model_of("language")
    assert gathered_layers(model) == [*model.visual_encoder.blocks, *model.llm_model.model.layers]


def test_sharding_refuses_another_model():
    with pytest.raises(SamConfigurationError, match=r"run.sharding: the model is a DummyModel, wanted SAM's"):
        shard(DummyModel(), CPU)


@pytest.mark.parametrize(
    ("run", "model", "message"),
    [
        ({}, {"precision": "fp16"}, "model.precision=fp16.* use bf16 or fp32"),
        ({}, {"llm_precision": "nf4"}, "model.llm_precision=nf4.* leave it empty"),
        ({}, {"device_map": "auto"}, "model.device_map"),
        ({"compile": True}, {}, "run.compile"),
        ({"feature_cache": "features"}, {}, "run.feature_cache"),
        ({"accum_grad_iters": 2}, {"objectives": {"language": 1.0, "other": 0.5}}, "model.objectives.* set that to 1"),
    ],
)
def test_sharding_refuses_what_it_does_not_go_together_with(run, model, message):
    with pytest.raises(SamConfigurationError, match=f"run.sharding=fsdp2 does not work with .*{message}"):
        check_settings(RunSettings.from_config({"sharding": "fsdp2", **run}), model)
    check_settings(RunSettings.from_config(run), model)
    check_settings(RunSettings.from_config({"sharding": "fsdp2", "evaluate": True, **run}), model)
    check_settings(SETTINGS, {"precision": "bf16", "objectives": {"language": 1.0}, "llm_precision": ""})


def test_sharding_says_all_that_is_wrong_before_data_and_weights_are_read(monkeypatch, capsys):
    monkeypatch.setattr("lavis_sam.entry.registered_class", lambda *_: pytest.fail("began to build the run"))
    options = ["run.sharding=fsdp2", "run.compile=true", "model.precision=fp16"]
    arguments = build_parser("lavis.train", "").parse_args(["--cfg-path", TINY, "--options", *options])
    assert run_program(arguments, "lavis.train") == 2
    message = capsys.readouterr().err
    assert "model.precision=fp16" in message
    assert "run.compile" in message


def test_sharding_is_null_or_fsdp2():
    with pytest.raises(SamConfigurationError, match=r"run.sharding: found 'zero', wanted one of null, fsdp2"):
        RunSettings.from_config({"sharding": "zero"})
