"""transformers' InstructBLIP folder as the whole base: its logits, its text, and what may be wrong with it."""

import json
import pickle
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.instructblip import TOKENIZERS, folder_config, transformers_inputs, transformers_model, write_folder
from helpers.models import ANSWERS, SIZES, TEXTS, random_batch
from helpers.weights import config_for, write_release
from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.models.language.language_model import draw_pad_rows
from lavis_sam.models.language.sequence import target_loss, training_inputs
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.instructblip import InstructBlipFolder, from_transformers, to_transformers

# Two implementations of the same formulas in float32; the worst seen was 1.2e-6.
TOLERANCE = 1e-5
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(len(TEXTS), 3, SIZES.vision.image_size, SIZES.vision.image_size, generator=GENERATOR)


def build(config):
    model = build_model(config)
    return model.eval()


@pytest.fixture(scope="module")
def theirs():
    return transformers_model()


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    return write_folder(theirs, tmp_path_factory.mktemp("transformers") / "instructblip")


@pytest.fixture(scope="module")
def ours(folder):
    return build(folder_config(folder))


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of the folder to break."""
    return shutil.copytree(folder, tmp_path / "copy")


def target_logits(model):
    """Our logits at the answers' tokens, and the mask of the positions [B, T] that predict them in transformers' row.

    Both begin with the queries, then the instruction, then the answer.
    """
    visual = model.encode({"image": IMAGES}, TEXTS)
    inputs = training_inputs(
        model.llm_model,
        model.llm_tokenizer,
        visual.tokens,
        visual.token_mask,
        TEXTS,
        ANSWERS,
        max_txt_len=10_000,
        max_output_txt_len=10_000,
    )
    return target_loss(model.llm_model, inputs).logits, inputs.labels[:, 1:] != -100


def their_target_logits(theirs, model):
    logits, predicts = target_logits(model)
    batch = transformers_inputs(theirs, model, IMAGES, TEXTS, ANSWERS)
    batch["input_ids"] = torch.nn.functional.pad(batch["input_ids"], (0, 1))  # our targets end with </s>
    batch["attention_mask"] = torch.nn.functional.pad(batch["attention_mask"], (0, 1))
    with torch.no_grad():
        whole = theirs(**batch).logits
    return logits, whole[:, :-1][predicts][:, : logits.shape[1]]


@pytest.mark.parametrize(
    ("extra_rows", "std", "shards"),
    [(1, 0.3, True), (1, 0.3, False), (0, 0.3, True), (7, 0.3, True), (1, 0.05, True)],
    ids=["parts", "one-file", "without-image-token", "filled-up", "small-weights-that-show-epsilons"],
)
def test_instructblip_folder_gives_transformers_logits(tmp_path, extra_rows, std, shards):
    theirs = transformers_model(extra_rows=max(extra_rows, 1), std=std)
    write_folder(theirs, tmp_path / "folder", shards=shards)
    if extra_rows == 0:  # as first released: [PAD] is the last row, and nothing is a placeholder
        drop_rows(tmp_path / "folder", 1)
    model = build(folder_config(tmp_path / "folder"))
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    logits, wanted = their_target_logits(theirs, model)
    assert len(logits) > 20
    assert float(wanted.std()) > 0.01, "the test could not fail"
    torch.testing.assert_close(logits, wanted, atol=TOLERANCE, rtol=0)


def drop_rows(folder, count):
    """Take the last rows of embedding and head away, in the weights and in the configuration."""
    for part in folder.glob("*.safetensors"):
        tensors = load_file(part)
        names = [name for name in tensors if name.endswith(("embed_tokens.weight", "lm_head.weight"))]
        if names:
            save_file(tensors | {name: tensors[name][:-count].clone() for name in names}, part)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] -= count
    (folder / "config.json").write_text(json.dumps(config))


def test_instructblip_folder_gives_transformers_greedy_text(theirs, ours):
    unknown = list(range(len(ours.llm_tokenizer), theirs.config.text_config.vocab_size))
    texts = ours.generate(
        {"image": IMAGES, "prompt": TEXTS}, num_beams=1, repetition_penalty=1.0, max_length=25, min_length=0
    )
    for b, text in enumerate(texts):
        batch = transformers_inputs(theirs, ours, IMAGES[b : b + 1], TEXTS[b : b + 1], [""])
        ids = theirs.generate(**batch, do_sample=False, max_new_tokens=24, suppress_tokens=unknown)[0]
        # Versions of transformers differ in whether they repeat the prompt.
        prompt = batch["input_ids"].shape[1]
        new = ids[prompt:] if torch.equal(ids[:prompt], batch["input_ids"][0]) else ids
        new = new.masked_fill(new == 0, 2)
        assert text == ours.llm_tokenizer.decode(new).strip()
    assert len(set(texts)) > 1
    assert all(texts)


def test_instructblip_in_lavis_layout_gives_the_same_logits(ours, folder, tmp_path):
    model = build(config_for(ours, SIZES, write_release(tmp_path, ours)))
    for part in ("visual_encoder", "Qformer", "llm_proj"):
        for name, tensor in getattr(ours, part).state_dict().items():
            assert torch.equal(getattr(model, part).state_dict()[name], tensor), name
    # The two layouts mean different epsilons in ln_vision, so the numbers agree only where that is taken out.
    assert (model.ln_vision.eps, ours.ln_vision.eps) == (1e-5, 1e-6)
    model.ln_vision.eps = ours.ln_vision.eps
    logits, wanted = target_logits(model)[0], target_logits(ours)[0]
    # No released file of that layout holds [PAD], the last column.
    torch.testing.assert_close(logits[:, :-1], wanted[:, :-1], atol=1e-6, rtol=0)


def test_instructblip_guidance_starts_as_instructblip(ours):
    batch = random_batch([2, 3])
    plain = {"image": batch["image"][:, :, 0]}
    texts = batch["text_input"]
    guided, alone = ours.encode(batch, texts), ours.encode(plain, texts)
    # Another batch shape is summed in another order; at one shape the two are equal bit for bit.
    torch.testing.assert_close(guided.tokens[:, : SIZES.q_former.queries], alone.tokens, atol=5e-5, rtol=0)


def test_a_folder_without_pad_gets_the_row_that_every_process_draws(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "folder")
    drop_rows(tmp_path / "folder", 2)
    model = build(folder_config(tmp_path / "folder"))
    rows = draw_pad_rows(SIZES.language.width, std=model.llm_model.config.initializer_range)
    assert torch.equal(model.llm_model.get_input_embeddings().weight[-1], rows[0])
    assert torch.equal(model.llm_model.lm_head.weight[-1], rows[1])


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_the_precision_is_taken_on_the_way(folder, ours, precision, dtype):
    model = build(folder_config(folder, precision=precision))
    assert model.llm_model.lm_head.weight.dtype is dtype
    assert model.visual_encoder.blocks[0].attn.qkv.weight.dtype is dtype
    assert model.llm_proj.weight.dtype is torch.float32
    assert torch.equal(model.llm_model.lm_head.weight, ours.llm_model.lm_head.weight.to(dtype))
    assert not any(p.requires_grad for p in model.llm_model.parameters())


def test_names_go_to_transformers_and_back(ours, theirs):
    wanted = {name for name in theirs.state_dict() if not name.endswith("qkv.bias")}
    names = [name for name in ours.state_dict() if not name.startswith(("adaptive", "w_former"))]
    names = [name for name in names if not name.endswith(("q_bias", "v_bias"))]
    assert {to_transformers(name) for name in names} == wanted
    assert [from_transformers(to_transformers(name)) for name in names] == names


def test_config_may_leave_out_what_is_instructblips_own(tmp_path):
    """As in the published folder, whose vision_config says nothing and whose special ids are 0, 1 and -1."""
    text = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "vocab_size": 32064,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": -1,
        "rms_norm_eps": 1e-06,
    }
    published = {
        "model_type": "instructblip",
        "num_query_tokens": 32,
        "qformer_config": {"model_type": "instructblip_qformer", "vocab_size": 30523},
        "vision_config": {"model_type": "instructblip_vision_model"},
        "text_config": text,
    }
    (tmp_path / "config.json").write_text(json.dumps(published))
    found = InstructBlipFolder.read(tmp_path)
    found.check_sizes(type(SIZES)())
    with pytest.raises(SamCheckpointError, match=r"language\.width is 4096, the config's model\.sizes say 5120"):
        found.check_sizes(replace(type(SIZES)(), language=replace(type(SIZES)().language, width=5120)))


def change_config(**changes):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        for key, value in changes.items():
            section, _, name = key.rpartition("__")
            (config[section] if section else config)[name] = value
        (folder / "config.json").write_text(json.dumps(config))

    return change


def change_index(change):
    def apply(folder):
        path = folder / "model.safetensors.index.json"
        index = json.loads(path.read_text())
        change(index["weight_map"])
        path.write_text(json.dumps(index))

    return apply


def change_tensor(name, change):
    def apply(folder):
        for path in folder.glob("*.safetensors"):
            tensors = load_file(path)
            if name in tensors:
                changed = change(tensors.pop(name))
                tensors |= {} if changed is None else {name: changed}
                save_file(tensors, path)

    return apply


def truncate(folder):
    path = sorted(folder.glob("*.safetensors"))[2]
    path.write_bytes(path.read_bytes()[:-100])


def plant_pickle(folder):
    path = sorted(folder.glob("*.safetensors"))[2]
    path.write_bytes(pickle.dumps(print, protocol=2))


def only_pickles(folder):
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    torch.save({}, folder / "model.safetensors.bin")


PROJECTION = "language_projection.weight"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncate, "truncated"),
        (plant_pickle, "no readable checkpoint"),
        (only_pickles, "no *.safetensors"),
        (lambda f: (f / "config.json").write_text("{"), "config.json: not JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "config.json: found a list, wanted an object"),
        (
            lambda f: (f / "config.json").write_text(" " * (2 << 20)),
            "file too large: found 2097152 bytes, wanted at most 1048576",
        ),
        (change_config(model_type="blip-2"), "model_type is 'blip-2', 'instructblip' is wanted"),
        (change_config(text_config__model_type="t5"), "text_config.model_type is 't5', 'llama' is wanted"),
        (change_config(vision_config=[1]), "vision_config is [1]"),
        (change_config(vision_config__num_hidden_layers=10**9), "num_hidden_layers is 1000000000"),
        (change_config(vision_config__hidden_size="24"), "hidden_size is '24'"),
        (change_config(text_config__num_hidden_layers=2), "language.layers is 2, the config's model.sizes say 1"),
        (change_config(vision_config__layer_norm_eps="small"), "layer_norm_eps is 'small', a number from 0 to 1"),
        (change_config(vision_config__layer_norm_eps=float("nan")), "layer_norm_eps is nan, a number from 0 to 1"),
        (change_config(qformer_config__layer_norm_eps=[1]), "layer_norm_eps is [1]"),
        (change_config(lavis_sam=[1]), "lavis_sam is [1], a dictionary"),
        (change_config(text_config__initializer_range="x"), "initializer_range is 'x'"),
        (change_config(text_config__rms_norm_eps=-1), "rms_norm_eps is -1"),
        (change_config(text_config__max_position_embeddings="${oc.env:HOME}"), "max_position_embeddings is '${oc.env"),
        (change_config(text_config__num_key_value_heads="${oc.env:HOME}"), "num_key_value_heads is '${oc.env:HOME}'"),
        (change_config(text_config__head_dim=True), "head_dim is True"),
        (change_config(num_query_tokens=4), "q_former.queries is 4"),
        (change_index(lambda m: m.update({PROJECTION: "../secret.safetensors"})), "names '../secret.safetensors'"),
        (change_index(lambda m: m.update({PROJECTION: "model-00001-of-00001.safetensors"})), "No such file"),
        (change_index(lambda m: m.update({PROJECTION: min(m.values())})), "1 tensors are not where it says"),
        (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "no usable index"),
        (change_tensor(PROJECTION, lambda t: t.T.contiguous()), "llm_proj.weight is [16, 20]"),
        (change_tensor(PROJECTION, lambda t: t.to(torch.int8)), "llm_proj.weight is torch.int8"),
        (change_tensor("query_tokens", lambda t: torch.cat((t, t), 1)), "query_tokens is [1, 6, 16]"),
        (lambda f: shutil.rmtree(f / "qformer_tokenizer"), "bert-base-uncased's vocab.txt"),
        (lambda f: (f / "tokenizer.model").unlink(), "tokenizer, which the InstructBLIP folder lacks"),
        (lambda f: (f / "tokenizer.model").write_bytes(b"version https://git-lfs"), "no sentencepiece model"),
    ],
)
def test_a_damaged_or_foreign_folder_is_one_clear_error(copy, damage, words, monkeypatch, tmp_path):
    monkeypatch.setenv("LAVIS_SAM_BERT", str(tmp_path / "nowhere"))
    monkeypatch.setenv("LAVIS_SAM_VICUNA", str(tmp_path / "nowhere"))
    damage(copy)
    with pytest.raises((SamCheckpointError, SamConfigurationError)) as error:
        build(folder_config(copy))
    assert words in str(error.value)


def test_nothing_is_loaded_when_a_tensor_is_missing(copy):
    """All names and shapes are checked before the first tensor is read."""
    path = sorted(copy.glob("*.safetensors"))[-1]
    tensors = load_file(path)
    gone = next(iter(tensors))
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, path)
    change_index(lambda names: names.pop(gone))(copy)
    with pytest.raises(SamCheckpointError, match="nothing was loaded:\n  - 1 missing: "):
        build(folder_config(copy))


def test_tokenizers_may_stand_elsewhere(copy):
    shutil.rmtree(copy / "qformer_tokenizer")
    (copy / "tokenizer.model").unlink()
    model = build(folder_config(copy, bert_tokenizer=str(TOKENIZERS), llm_tokenizer=str(TOKENIZERS)))
    assert model.tokenizer("a dog").input_ids
