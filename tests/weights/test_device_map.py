"""A language model that is spread by accelerate: numbers, gradients, texts and files are those of one that is not.

There is only the CPU here. `bring_to_cpu` lets weights wait as they do beside a GPU: away from the model, and brought
back for each product.
"""

import copy
import gc
import sys
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers.models import random_batch
from lavis_sam import distributed
from lavis_sam.errors import SamConfigurationError
from lavis_sam.evaluation.fingerprint import weights_fingerprint
from lavis_sam.models.language.kv_cache import read_prompts
from lavis_sam.models.language.language_model import as_language_model
from lavis_sam.models.visual_path import VisualPath
from lavis_sam.planning.forecast import Load, _language_loss
from lavis_sam.predictor.load_model import load_model
from lavis_sam.weights import device_map as module
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import load_checked, pad_rows, trainable_state_dict
from lavis_sam.weights.device_map import automatic_map, flat_map, place_language_model, place_of
from lavis_sam.weights.fingerprints import fingerprint
from lavis_sam.weights.instructblip_export import save_instructblip
from lavis_sam.weights.packaged import MODEL_CONFIGS

TINY = OmegaConf.to_container(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, resolve=True)
BATCH = random_batch([2, 3], size=112)
CPU = torch.device("cpu")
MAPS = [
    {"": "cpu"},
    {"": "disk"},
    {"model.embed_tokens": "cpu", "model.layers": "cpu", "model.layers.1": "disk", "model.norm": "cpu", "": "disk"},
]


@pytest.fixture
def bring_to_cpu(monkeypatch):
    monkeypatch.setattr(module, "waits", lambda place, device: place in module.WAITING)


def tiny(**settings):
    torch.manual_seed(0)  # by which SAM's layers are drawn
    return build_model({**TINY, **settings})


@cache
def plain(*, checkpointing=False):
    return tiny(gradient_checkpointing=checkpointing)


def step(model, batch=BATCH):
    """The loss of a batch, and the gradients of what is trained."""
    model.train().zero_grad()
    loss = model(batch)["loss"]
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("places", "checkpointing"), [(MAPS[0], True), (MAPS[1], False), (MAPS[2], False), (MAPS[2], True)]
)
@pytest.mark.usefixtures("bring_to_cpu")
def test_weights_that_wait_change_no_number(places, checkpointing):
    wanted = plain(checkpointing=checkpointing)
    model = copy.deepcopy(wanted)
    place_language_model(model, places, CPU)
    (loss, gradients), (wanted_loss, wanted_gradients) = step(model), step(wanted)
    assert torch.equal(loss, wanted_loss)
    assert gradients.keys() == wanted_gradients.keys()
    assert all(torch.equal(gradients[name], wanted_gradients[name]) for name in gradients)
    assert any(gradient.any() for gradient in gradients.values())
    # After the backward pass, which brings them back under checkpointing, all of them wait again.
    assert all(parameter.is_meta for parameter in model.llm_model.parameters())
    texts = [one.eval().generate(BATCH, max_length=6, num_beams=2) for one in (model, wanted)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(("places", "checkpointing"), [(MAPS[0], False), (MAPS[2], True)])
@pytest.mark.usefixtures("bring_to_cpu")
def test_samples_share_rows_of_weights_that_wait(places, checkpointing):
    wanted, batch, rows = copy.deepcopy(plain(checkpointing=checkpointing)), random_batch([5, 1, 1, 2], size=112), []
    model = copy.deepcopy(wanted)
    place_language_model(model, places, CPU)
    padded = step(wanted, batch)
    for one in (model, wanted):
        one.packing = True
        one.llm_model.model.rotary_emb.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    found, packed = step(model, batch), step(wanted, batch)
    assert rows[0] < 4
    assert torch.equal(found[0], packed[0])
    assert all(torch.equal(found[1][name], packed[1][name]) for name in packed[1])
    torch.testing.assert_close(found[0], padded[0])
    gradients, others = (torch.cat([gradient.flatten() for gradient in one[1].values()]) for one in (found, padded))
    assert (gradients - others).norm() < 1e-5 * others.norm()


@pytest.mark.usefixtures("bring_to_cpu")
def test_fingerprints_checkpoints_and_exports_of_weights_that_wait(tmp_path):
    wanted = plain()
    model = copy.deepcopy(wanted)
    place_language_model(model, MAPS[2], CPU)
    assert fingerprint(model) == fingerprint(wanted)
    assert weights_fingerprint(model) == weights_fingerprint(wanted)
    rows = pad_rows(wanted)
    assert rows
    assert all(torch.equal(row, rows[name]) for name, row in pad_rows(model).items())
    state = {name: tensor + 1 for name, tensor in trainable_state_dict(wanted).items()}
    load_checked(model, state, provides=tuple(state), source="a checkpoint")
    assert all(torch.equal(tensor, state[name]) for name, tensor in trainable_state_dict(model).items())
    load_checked(model, trainable_state_dict(wanted), provides=tuple(state), source="a checkpoint")
    folders = [save_instructblip(tmp_path / name, one) for name, one in (("plain", wanted), ("spread", model))]
    for file in folders[0].glob("*.safetensors"):
        assert (folders[1] / file.name).read_bytes() == file.read_bytes()


@pytest.mark.usefixtures("bring_to_cpu")
def test_moving_a_model_leaves_its_spread_language_model_where_it_is():
    model = copy.deepcopy(plain())
    place_language_model(model, {"": "cpu"}, CPU)
    model.to("cpu", torch.float64)
    assert model.query_tokens.dtype == torch.float64
    assert all(parameter.is_meta and parameter.dtype == torch.float32 for parameter in model.llm_model.parameters())


def test_disk_folder_goes_with_the_model():
    model = copy.deepcopy(plain())
    place_language_model(model, {"model": "cpu", "lm_head": "disk"}, CPU)
    folder = model.llm_model.lm_head._hf_hook.weights_map.dataset.save_folder
    assert list(Path(folder).glob("*.dat"))
    model.llm_model.__dict__.pop("_apply")
    del model
    gc.collect()
    assert not Path(folder).exists()


@pytest.mark.parametrize("places", ["auto", {"": "cpu"}])
def test_build_model_and_predictor_take_it(places):
    model = load_model("tiny", device="cpu", settings={"device_map": places})
    assert model.llm_model.hf_device_map
    assert model.generate(BATCH, max_length=6) == load_model("tiny", device="cpu").generate(BATCH, max_length=6)


def test_tensors_of_two_gpus_never_meet(monkeypatch):
    """On tensors that only say that they are on a GPU: an operation on those of two GPUs is an error."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    model, first = tiny(), torch.device("cuda", 0)
    layers = len(model.llm_model.model.layers)
    places = {"model.embed_tokens": 0, "model.norm": 1, "lm_head": 1} | {
        f"model.layers.{number}": int(number >= layers // 2) for number in range(layers)
    }
    with FakeTensorMode(allow_non_fake_inputs=True):
        place_language_model(model, places, first)
        assert {parameter.device.index for parameter in model.llm_model.parameters()} == {0, 1}
        tokens = torch.zeros(2, 6, model.llm_model.config.hidden_size, device=first)
        mask = torch.ones(2, 6, dtype=torch.bool, device=first)
        loss = _language_loss(model, VisualPath(tokens, mask), ["a", "a"], Load(batch=2))
        assert loss.device == first
        with torch.no_grad():
            language = as_language_model(model.llm_model)
            states, branches = read_prompts(language, tokens, mask.long(), 3)
            branches.select(torch.arange(6, device=first))
            logits = language.logits(branches.read(language.embed(torch.zeros(6, dtype=torch.long))))
        assert states.device == logits.device == first
        assert {layer.keys.device.index for layer in branches._cache.layers} == {0, 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device_map": "even"}, "'even'; wanted auto, or a mapping"),
        ({"device_map": {"": 0}}, "sees 0 GPU"),
        ({"device_map": {"": "cuda:²"}}, "'cuda:²'; wanted a GPU's number, cpu or disk"),
        ({"device_map": {"": "9" * 5000}}, "wanted a GPU's number, cpu or disk"),
        ({"device_map": {"": "tpu"}}, "'tpu'; wanted a GPU's number, cpu or disk"),
        ({"device_map": {"model.layer": "cpu"}}, "names 'model.layer', which the language model has not"),
        ({"device_map": {"model": "cpu"}}, r"gives llm_model\.lm_head\.weight no place"),
        ({"device_map": "auto", "llm_precision": "nf4"}, "do not go together"),
        (
            {"device_map": {"": "disk"}, "trainable": "mmicl", "guidance": {"extractor": "none"}},
            r"which is trained \(model.trainable, model.lora\), on disk",
        ),
        ({"device_map": {"": "disk"}, "lora": {"targets": ["v_proj"]}}, "which is trained"),
    ],
)
def test_impossible_maps_are_refused_before_weights_are_read(monkeypatch, settings, message):
    monkeypatch.setattr("lavis_sam.weights.build_model._parts", partial(pytest.fail, "weights were read"))
    with pytest.raises(SamConfigurationError, match=message):
        tiny(**settings)


def test_several_processes_are_refused_before_weights_are_read(monkeypatch):
    monkeypatch.setattr("lavis_sam.weights.build_model._parts", partial(pytest.fail, "weights were read"))
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    with pytest.raises(SamConfigurationError, match=r"found 4 processes, wanted one.*without torchrun"):
        tiny(device_map="auto")


def test_accelerate_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(SamConfigurationError, match=r"needs accelerate.*lavis_sam\[device-map\]"):
        tiny(device_map="auto")


def test_automatic_map_fills_the_gpus_evenly_and_keeps_layers_whole():
    model = build_model(TINY, device="meta").llm_model
    whole = sum(parameter.nbytes for parameter in model.parameters())
    found = automatic_map(model, {0: whole, 1: whole, "cpu": whole})
    assert set(found.values()) == {0, 1}
    layers = [found[f"model.layers.{number}"] for number in range(len(model.model.layers))]
    assert layers == sorted(layers)
    half = sum(p.nbytes for name, p in model.named_parameters() if place_of(name, found) == 0)
    assert 0.3 < half / whole < 0.7


def test_automatic_map_lets_the_rest_wait_and_refuses_what_fits_nowhere():
    model = build_model(TINY, device="meta").llm_model
    whole = sum(parameter.nbytes for parameter in model.parameters())
    found = automatic_map(model, {0: int(0.6 * whole), "cpu": whole})
    held = sum(p.nbytes for name, p in model.named_parameters() if place_of(name, found) == 0)
    assert 0 < held <= 0.6 * whole
    assert "cpu" in found.values()
    with pytest.raises(SamConfigurationError, match="do not fit into what is free"):
        automatic_map(model, {0: whole // 8, "cpu": whole // 8})


@pytest.mark.parametrize(("device", "main"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1), ("cpu", None)])
def test_the_gpu_of_the_rest_of_the_model_keeps_room_for_it(monkeypatch, device, main):
    monkeypatch.setattr("accelerate.utils.get_max_memory", lambda: {0: 10**9, 1: 10**9, "cpu": 10**9})
    model = build_model(TINY, device="meta")
    own = sum(p.nbytes for name, p in model.named_parameters() if not name.startswith("llm_model."))
    found = module.memory_here(model, torch.device(device))
    wanted = {place: int(0.8 * (10**9 - own * (place == main))) for place in (0, 1)}
    assert found == {**wanted, "cpu": 10**9}


def test_flat_map_names_each_part_once():
    model = build_model(TINY, device="meta").llm_model
    found = flat_map(model, {"": "disk", "model.layers": "cpu", "model.layers.1": 0})
    assert found == {
        "model.embed_tokens": "disk",
        **{f"model.layers.{number}": "cpu" for number in (0, 2, 3)},
        "model.layers.1": 0,
        "model.norm": "disk",
        "lm_head": "disk",
    }
