"""Checkpoints of every kind, damaged or with anything in them: an error of ours, or what was saved."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from helpers.fuzzing import damaged, fuzz_settings, limited_memory
from helpers.models import small_model
from lavis_sam.errors import SamError
from lavis_sam.training.checkpoints import Progress, load_run, read_run
from lavis_sam.weights.checkpoint_files import read_checkpoint
from lavis_sam.weights.checkpoints import trainable_state_dict, trained_checkpoint
from lavis_sam.weights.trained import load_trained, read_settings

MEGABYTES = 1024
SMALL = {"a.weight": torch.arange(60.0).reshape(20, 3), "b": torch.linspace(-1, 1, 40).half()}


@pytest.fixture(scope="module")
def model():
    return small_model()


def write(path, kind, state):
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "archive")
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["archive", "legacy", "safetensors"])
@fuzz_settings(100)
@given(data=st.data())
def test_damaged_files_are_an_error_or_what_was_saved(tmp_path, kind, data):
    whole = write(tmp_path / "whole", kind, SMALL)
    (tmp_path / "a.pth").write_bytes(data.draw(damaged(whole)))
    with limited_memory(MEGABYTES):
        try:
            found = read_checkpoint(tmp_path / "a.pth")
        except SamError:
            return
    if kind == "archive":  # the one that has checksums
        assert found.keys() == SMALL.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in SMALL.items())


TENSORS = st.sampled_from(
    [
        lambda: torch.ones(3),
        lambda: torch.tensor(2),
        lambda: torch.full((4,), float("nan")),
        lambda: torch.eye(2).to_sparse(),
        lambda: torch.ones(2, device="meta"),
        lambda: torch.ones(()).expand(1 << 20),
        lambda: torch.empty(0),
        lambda: torch.ones(2, dtype=torch.complex64),
    ]
).map(lambda make: make())
PLAIN = st.none() | st.booleans() | st.integers() | st.just(10**4000) | st.floats() | st.text(max_size=5)
KEYS = st.text(max_size=5) | st.integers() | st.just(("a", 1)) | st.none()
ODD = st.recursive(
    PLAIN | TENSORS | st.sampled_from(["${oc.env:HOME}", "???", "\ud800", "tiny"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, above: tuple = ()) -> list[tuple]:
    """The way to everything inside nested containers."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(*above, key) for key, _ in inside] + [way for key, one in inside for way in places(one, (*above, key))]


def whole_run(model, optimizer) -> dict[str, Any]:
    settings = {"model_type": "tiny", "guidance": {"context": "all"}, "inject": {}, "prompt": "a", "max_txt_len": 9}
    return trained_checkpoint(
        model,
        {"model": settings, "run": {}},
        optimizer=optimizer.state_dict(),
        scaler=None,
        scheduler={},
        progress=vars(Progress()).copy(),
        data=[{"position": 3}],
        random=[{"torch": torch.zeros(3, dtype=torch.uint8)}],
    )


CHANGES = st.lists(st.tuples(st.integers(0), st.sampled_from(["replace", "remove", "rename"]), ODD, KEYS), max_size=3)


def change(content, changes):
    """Replace, remove or rename some of what is in nested containers."""
    for number, what, value, name in changes:
        found = places(content)
        way = found[number % len(found)]
        holder = content
        for key in way[:-1]:
            holder = holder[key]
        if what == "replace":
            holder[way[-1]] = value
        else:
            removed = holder.pop(way[-1])
            if what == "rename" and isinstance(holder, dict):
                holder[name] = removed
    return content


def values_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@fuzz_settings(25)
@given(changes=CHANGES)
def test_checkpoints_with_anything_in_them_load_whole_or_not_at_all(tmp_path, model, changes):
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.1)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.save(change(copy.deepcopy(whole_run(model, optimizer)), changes), tmp_path / "a.pth")
    for load in (
        lambda: load_trained(model, tmp_path / "a.pth"),
        lambda: read_settings(tmp_path / "a.pth"),
        lambda: read_run(tmp_path / "a.pth"),
        lambda: load_run(tmp_path / "a.pth", model, optimizer, None),
    ):
        before = values_of(model)
        with limited_memory(MEGABYTES):
            try:
                load()
            except SamError:
                assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
            else:
                assert all(tensor.isfinite().all() for tensor in trainable_state_dict(model).values())
