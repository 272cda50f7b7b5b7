"""What a plan says of a process that has a share of the model."""

import json

import pytest
from omegaconf import OmegaConf

from helpers.command_line import TINY, call
from lavis_sam.errors import SamConfigurationError
from lavis_sam.planning.forecast import Load, make_plan, planned_model
from lavis_sam.planning.sharding import shared_plan
from lavis_sam.training.sharding import gathered_layers
from lavis_sam.weights.packaged import MODEL_CONFIGS

LANGUAGE = {"trainable": "language", "guidance": {"extractor": "none"}}


def config(**changes):
    packaged = OmegaConf.load(MODEL_CONFIGS["tiny"]).model
    return OmegaConf.to_container(OmegaConf.merge(packaged, changes), resolve=True)


def test_sharding_plan_of_four_processes():
    cfg = config(**LANGUAGE)
    plain = make_plan(cfg, Load(gpus=4))
    shared = shared_plan(cfg, plain).memory
    whole = sum(plain.memory["weights"].values())
    assert sum(shared["weights"].values()) == pytest.approx(whole / 4, rel=1e-4)
    # AdamW's moments and the gradients of what is trained, 12 bytes a parameter, are shared out as well.
    assert shared["optimizer"] == 2 * shared["gradients"]
    assert shared["gradients"] == pytest.approx(plain.trainable_parameters, abs=1)
    assert shared["activations"] == plain.memory["activations"]
    parts = sum(shared["weights"].values()) + sum(shared[name] for name in ("gradients", "optimizer", "gathered"))
    assert shared["training"] == parts + shared["activations"]
    assert shared["generation"] > plain.memory["generation"]


def test_sharding_plan_counts_what_is_gathered():
    cfg = config(**LANGUAGE)
    gathered = shared_plan(cfg, make_plan(cfg, Load(gpus=2))).memory["gathered"]
    model = planned_model(cfg)
    layers = [{name: p.nbytes for name, p in layer.named_parameters()} for layer in gathered_layers(model)]
    rest = sum(p.nbytes for p in model.parameters()) - sum(sum(layer.values()) for layer in layers)
    largest = max(sum(layer.values()) for layer in layers)
    assert gathered > rest + 3 * largest
    assert gathered <= 3 * rest + 5 * largest  # no more gradients than there are parameters


def test_sharding_plan_of_one_process_is_the_plan():
    cfg = config()
    plan = make_plan(cfg, Load())
    assert shared_plan(cfg, plan) is plan


def test_sharding_in_the_command_plan():
    words = ("plan", TINY, "run.sharding=fsdp2", "--gpus", "2", "--json")
    memory, alone = (json.loads(call(*line))["memory"] for line in (words, ("plan", TINY, "--json")))
    assert sum(memory["weights"].values()) == pytest.approx(sum(alone["weights"].values()) / 2, rel=1e-4)
    assert memory["gathered"] > 0
    assert "gathered" in call(*words[:-1])
    assert "gathered" not in json.loads(call("plan", TINY, "--gpus", "2", "--json"))["memory"]
    with pytest.raises(SamConfigurationError, match="--measure runs one process"):
        call(*words, "--measure")
    with pytest.raises(SamConfigurationError, match=r"run.sharding=fsdp2 does not work with model.precision=fp16"):
        call(*words, "model.precision=fp16")
