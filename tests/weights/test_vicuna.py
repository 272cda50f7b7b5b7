"""A Vicuna folder becomes the frozen language model, or one clear error."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.toy_llm import toy_llm
from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights import checkpoints
from lavis_sam.weights.vicuna import load_llm

WEIGHTS = "model.safetensors"
UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def folder(tmp_path):
    toy_llm(vocabulary=196).save_pretrained(tmp_path / "vicuna")
    return tmp_path / "vicuna"


def load(folder, dtype=torch.float32):
    return load_llm(folder, dtype, vocabulary=197)


def to_old_format(folder, parts=2):
    """The same weights as Vicuna was first given away: pickled parts and their index."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    listed = {}
    for number in range(parts):
        name = f"pytorch_model-{number + 1:05d}-of-{parts:05d}.bin"
        names = sorted(tensors)[number::parts]
        torch.save({key: tensors[key] for key in names}, folder / name)
        listed |= dict.fromkeys(names, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": listed}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_old", [False, True])
def test_a_folder_becomes_a_frozen_llm_with_the_pad_row(folder, dtype, is_old):
    if is_old:
        to_old_format(folder)
    llm_model, wanted = load(folder, dtype), toy_llm(vocabulary=196).to(dtype)
    found = llm_model.state_dict()
    for name, tensor in wanted.state_dict().items():
        assert torch.equal(found[name][: len(tensor)], tensor), name
    assert len(llm_model.lm_head.weight) == len(llm_model.get_input_embeddings().weight) == 197
    assert {parameter.dtype for parameter in llm_model.parameters()} == {dtype}
    assert not any(tensor.is_meta for tensor in (*llm_model.parameters(), *llm_model.buffers()))
    assert not any(parameter.requires_grad for parameter in llm_model.parameters())
    assert not llm_model.training


def test_it_computes_what_transformers_own_loading_computes(folder):
    ids = torch.arange(12)[None]
    wanted = type(toy_llm()).from_pretrained(folder).eval()
    with torch.no_grad():
        found = load(folder)(ids).logits[..., :-1]
        torch.testing.assert_close(found, wanted(ids).logits, atol=0, rtol=0)


def test_an_old_folder_in_one_file(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    assert torch.equal(load(folder).lm_head.weight[:-1], toy_llm(vocabulary=196).lm_head.weight)


def test_buffers_that_old_folders_carry_are_no_surprise(folder):
    change(lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(5)}))(folder)
    wanted = toy_llm(vocabulary=196).model.rotary_emb.inv_freq
    assert torch.equal(load(folder).model.rotary_emb.inv_freq, wanted)


def test_a_missing_folder_says_where_it_is_looked_for(tmp_path):
    with pytest.raises(SamCheckpointError) as error:
        load(tmp_path / "vicuna")
    for part in (str(tmp_path / "vicuna" / "config.json"), "model.llm_model", "LAVIS_SAM_VICUNA", "tiny"):
        assert part in str(error.value)


def change(what):
    """A change of the tensors in the folder."""

    def apply(folder):
        tensors = load_file(folder / WEIGHTS)
        what(tensors)
        save_file(tensors, folder / WEIGHTS)

    return apply


def configure(**changes):
    def apply(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return apply


def truncate(folder):
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def truncate_part(folder):
    to_old_format(folder)
    path = max(folder.glob("*.bin"))
    path.write_bytes(path.read_bytes()[:-100])


def lose_part(folder):
    to_old_format(folder)
    max(folder.glob("*.bin")).unlink()


def forget_part(folder):
    """One part is gone from the index too, so that nothing points to it."""
    to_old_format(folder)
    index = folder / "pytorch_model.bin.index.json"
    parts = json.loads(index.read_text())["weight_map"]
    last = max(parts.values())
    index.write_text(json.dumps({"weight_map": {name: part for name, part in parts.items() if part != last}}))


def leave_folder(folder):
    to_old_format(folder)
    index = folder / "pytorch_model.bin.index.json"
    shutil.copy(max(folder.glob("*.bin")), folder.parent / "outside.bin")
    index.write_text(json.dumps({"weight_map": {UP: "../outside.bin"}}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / WEIGHTS).unlink(), "has no weights: neither safetensors nor pytorch_model.bin"),
        (truncate, "truncated, damaged"),
        (truncate_part, "truncated, damaged"),
        (lose_part, "00002-of-00002.bin: No such file"),
        (forget_part, "parameters of the model came from none of its sources"),
        (leave_folder, "names '../outside.bin', which is no file of this folder"),
        (change(lambda tensors: tensors.pop(UP)), f"1 missing: {UP}"),
        (change(lambda tensors: tensors.update({"model.extra": torch.zeros(2)})), "1 unexpected: model.extra"),
        (change(lambda tensors: tensors.update({UP: tensors[UP].T.contiguous()})), f"{UP} is ["),
        (change(lambda tensors: tensors.update({UP: tensors[UP].to(torch.int8)})), f"{UP} is torch.int8 in the file"),
        (lambda f: (f / "config.json").write_text("{"), "config.json: no usable configuration in JSON"),
        (configure(model_type="opt"), "is a 'opt', a 'llama' is wanted"),
        (configure(num_hidden_layers=10**9), "num_hidden_layers is 1000000000"),
        (configure(num_hidden_layers=1), "unexpected: model.layers.1."),
    ],
)
def test_a_damaged_or_foreign_folder_is_one_clear_error(folder, damage, words):
    damage(folder)
    with pytest.raises(SamCheckpointError) as error:
        load(folder)
    assert words in str(error.value)


def test_a_pickle_in_it_runs_nothing(folder, capsys):
    class Payload:
        def __reduce__(self):
            return (print, ("EXECUTED",))

    (folder / WEIGHTS).unlink()
    torch.save({"model.norm.weight": Payload()}, folder / "pytorch_model.bin")
    with pytest.raises(SamCheckpointError, match="the file asks Python to run print, which weights never need"):
        load(folder)
    assert "EXECUTED" not in capsys.readouterr().out


def test_out_of_memory_is_no_fault_of_the_file(folder, monkeypatch):
    def explode(*args):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 14 GB")

    monkeypatch.setattr(checkpoints, "_fill", explode)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load(folder)


def test_a_tokenizer_of_another_model(folder):
    with pytest.raises(SamCheckpointError, match="196 rows, its tokenizer needs 32000, or 32001 with"):
        load_llm(folder, torch.float32, vocabulary=32001)
