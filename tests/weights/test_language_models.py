"""A folder of transformers becomes the frozen language model, or one clear error."""

import json
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from helpers.instructblip import transformers_model, write_folder
from helpers.models import SIZES, random_batch, small_model
from helpers.toy_llm import byte_level_tokenizer, llama3_like, qwen2_like, toy_llm
from helpers.weights import TOKENIZERS, config_for, write_release
from lavis_sam.doctor.findings import Verdict
from lavis_sam.doctor.weights import check_weights
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.weights import checkpoints
from lavis_sam.weights.adapters import save_adapter
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.checkpoints import pad_rows
from lavis_sam.weights.language_models import ARCHITECTURES, language_sizes, load_llm
from lavis_sam.weights.packaged import MODEL_CONFIGS

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


def test_a_damaged_index_of_old_files_beside_whole_safetensors_does_no_harm(folder):
    (folder / "pytorch_model.bin.index.json").write_text("{")
    assert torch.equal(load(folder).lm_head.weight[:-1], toy_llm(vocabulary=196).lm_head.weight)
    (folder / WEIGHTS).unlink()
    with pytest.raises(SamCheckpointError, match=r"pytorch_model\.bin\.index\.json: not JSON"):
        load(folder)


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
        (lambda f: (f / "config.json").write_text("{"), "config.json: not JSON"),
        (configure(model_type="opt"), "is a 'opt', one of 'llama', 'mistral', 'qwen2', 'qwen3' is wanted"),
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


FAMILIES = {"llama3": llama3_like, "qwen2": qwen2_like}


def small(kind):
    sizes = {"hidden_size": 40, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 196}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10}
    config = AutoConfig.for_model(kind, **sizes, **heads, max_position_embeddings=512, pad_token_id=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_known_architecture_computes_what_transformers_own_loading_computes(kind, tmp_path):
    small(kind).save_pretrained(tmp_path)
    wanted = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(load_llm(tmp_path, torch.float32)(ids).logits, wanted(ids).logits, atol=0, rtol=0)


@pytest.fixture(params=FAMILIES)
def family(request, tmp_path):
    """A folder with a language model of another family, and its tokenizer."""
    llm_model, tokenizer = FAMILIES[request.param]()
    llm_model.save_pretrained(tmp_path / request.param)
    tokenizer.save_pretrained(tmp_path / request.param)
    return tmp_path / request.param


def test_a_family_comes_with_its_own_sizes_and_ties(family):
    llm_model = load_llm(family, torch.float32)
    said = json.loads((family / "config.json").read_text())
    assert language_sizes(llm_model.config).kv_heads == said["num_key_value_heads"] == 2
    tied = llm_model.lm_head.weight is llm_model.model.embed_tokens.weight
    assert tied == said["tie_word_embeddings"] == ("qwen2" in family.name)


def test_the_tiny_model_takes_another_language_model(family):
    shutil.copy(TOKENIZERS / "tokenizer.model", family)  # as Llama 2's folder has both: its own start token counts
    config = OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, {"llm_model": str(family)})
    model, embedded = build_model(config), build_model(OmegaConf.load(MODEL_CONFIGS["tiny"]).model)
    assert model.llm_proj.out_features == 40
    assert torch.equal(model.query_tokens, embedded.query_tokens)
    meta = build_model(config, device="meta")
    assert {name: p.shape for name, p in meta.named_parameters()} == {n: p.shape for n, p in model.named_parameters()}
    assert pad_rows(model) == {}, "its vocabulary is as it was"


@pytest.mark.parametrize("layout", ["lavis", "transformers"])
def test_custom_takes_the_vision_side_of_instructblip_alone(family, tmp_path, layout):
    donor = small_model()
    if layout == "lavis":
        files = write_release(tmp_path, donor) | {"llm_model": str(family)}
    else:
        folder = write_folder(transformers_model(), tmp_path / "instructblip")
        files = {"pretrained": str(folder), "llm_model": str(family)}
    described = config_for(donor, SIZES, files)
    described.sizes.language = None
    config = OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["custom"]).model, described)
    one, other = build_model(config), build_model(config)
    assert not any(tensor.is_meta for tensor in (*one.parameters(), *one.buffers()))
    assert torch.equal(one.llm_proj.weight, other.llm_proj.weight), "the projection starts by base_seed"
    if layout == "lavis":
        assert torch.equal(one.query_tokens, donor.query_tokens)
    assert one(random_batch([2, 3]))["loss"].isfinite()
    adapter = save_adapter(tmp_path / "adapter", one, model_type="custom")
    config.finetuned = str(adapter)
    found = list(check_weights(config))
    assert not [finding for finding in found if finding.verdict is Verdict.FAILURE], found
    assert "7 parts compared" in found[-1].found or "6 parts compared" in found[-1].found


def test_custom_without_a_language_model_names_the_key(monkeypatch, tmp_path):
    monkeypatch.delenv("LAVIS_SAM_LLM", raising=False)
    monkeypatch.chdir(tmp_path)
    config = OmegaConf.load(MODEL_CONFIGS["custom"]).model
    with pytest.raises(SamCheckpointError, match=r"a language model, a transformers folder: not set; .*LAVIS_SAM_LLM"):
        build_model(config)
    with pytest.raises(SamConfigurationError, match=r"sizes\.language is null and model\.llm_model empty"):
        build_model(config, device="meta")


def test_a_vicuna_type_refuses_another_language_model(family, tmp_path):
    donor = small_model()
    config = config_for(donor, SIZES, write_release(tmp_path, donor) | {"llm_model": str(family)})
    shutil.copy(TOKENIZERS / "tokenizer.model", family)
    with pytest.raises((SamConfigurationError, SamCheckpointError), match=r"custom|tokenizer"):
        build_model(config)


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(family):
    other = byte_level_tokenizer(eos_token="<|e|>", pad_token="<|p|>")
    other.add_tokens([f"<{number}>" for number in range(99)])
    other.save_pretrained(family)
    config = OmegaConf.merge(OmegaConf.load(MODEL_CONFIGS["tiny"]).model, {"llm_model": str(family)})
    with pytest.raises(SamConfigurationError, match=r"tokenizer has .* they must come from the same release"):
        build_model(config)
