"""Folders with `tokenizer.json` alone, as transformers 5 saves them: equal tokens to those of the original files."""

import json
import random
import shutil
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizerFast, LlamaTokenizerFast

from helpers.fuzzing import fuzz_settings
from helpers.instructblip import folder_config, transformers_model, write_folder
from helpers.models import ANSWERS, TEXTS
from helpers.weights import config_for, write_release
from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.build_model import build_model
from lavis_sam.weights.instructblip_export import save_instructblip
from lavis_sam.weights.packaged import TINY_TOKENIZERS
from lavis_sam.weights.saved_tokenizers import is_llama, llama_model, read_saved
from lavis_sam.weights.tokenizers import find_bert_vocabulary, load_q_former_tokenizer, load_tokenizer

JSON = "tokenizer.json"
ODD = [
    "",
    " ",
    "  two  spaces ",
    "\n\ttabs",
    "Ünï 犬 🦊 \U000e0001",
    "<s>a</s>[PAD]<unk>",
    "1234567",
    "▁a▁",
    "\x00\x7f",
    "é e\u0301",
]


def keep_json(folder):
    """What transformers 5 leaves; transformers 4 writes the original file beside it."""
    for path in folder.iterdir():
        if path.name in ("tokenizer.model", "vocab.txt"):
            path.unlink()
    assert (folder / JSON).is_file()
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """Llama's tokenizer as the installed transformers saves it."""
    folder = tmp_path_factory.mktemp("llama")
    source = tmp_path_factory.mktemp("source")
    shutil.copy(TINY_TOKENIZERS / "tokenizer.model", source)
    tokenizer = LlamaTokenizerFast.from_pretrained(source)
    tokenizer.add_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(folder)
    return keep_json(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = BertTokenizerFast(str(TINY_TOKENIZERS / "vocab.txt"), do_lower_case=True)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.save_pretrained(folder)
    return keep_json(folder)


def change(folder, out, what):
    """A copy of a saved tokenizer with its content changed."""
    saved = json.loads((folder / JSON).read_text(encoding="utf-8"))
    what(saved)
    out.mkdir(exist_ok=True)
    (out / JSON).write_text(json.dumps(saved), encoding="utf-8")
    return out


def as_older_versions_wrote(saved):
    """A normalizer in place of the pre-tokenizer, merges as texts."""
    prepend = {"type": "Prepend", "prepend": "▁"}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    saved["normalizer"] = {"type": "Sequence", "normalizers": [prepend, replace]}
    saved["pre_tokenizer"] = None
    saved["model"]["merges"] = [" ".join(pair) for pair in saved["model"]["merges"]]


def random_texts(count):
    draw = random.Random(0)
    words = " ".join([*TEXTS, *ANSWERS]).split()
    letters = string.printable + "äß犬🦊▁ "
    return [
        " ".join(draw.choices(words, k=draw.randint(1, 12))) + "".join(draw.choices(letters, k=draw.randint(0, 9)))
        for _ in range(count)
    ]


@pytest.mark.parametrize("form", ["as saved", "as older versions wrote"])
def test_a_llamas_saved_tokenizer_gives_the_tokens_of_its_sentencepiece_model(llama, tmp_path, form):
    folder = llama if form == "as saved" else change(llama, tmp_path / "old", as_older_versions_wrote)
    found, wanted = load_tokenizer(folder), load_tokenizer(TINY_TOKENIZERS)
    assert type(found) is type(wanted)
    assert (len(found), found.start_ids, found.adds_pad_row) == (len(wanted), wanted.start_ids, wanted.adds_pad_row)
    for text in [*ODD, *random_texts(400)]:
        ids = wanted.encode(text, append_eos=True)
        assert found.encode(text, append_eos=True) == ids, text
        assert found.decode(ids) == wanted.decode(ids)


@fuzz_settings(200)
@given(st.text(max_size=40))
def test_a_llamas_saved_tokenizer_gives_the_same_tokens_for_any_text(llama, text):
    tokenizers = {name: load_tokenizer(path) for name, path in (("saved", llama), ("own", TINY_TOKENIZERS))}
    assert tokenizers["saved"].encode(text) == tokenizers["own"].encode(text)


def test_the_sentencepiece_model_of_a_saved_tokenizer_is_a_file_again(llama, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(load_tokenizer(llama).serialized())
    wanted = load_tokenizer(TINY_TOKENIZERS)
    assert load_tokenizer(tmp_path).encode(TEXTS[3]) == wanted.encode(TEXTS[3])


@pytest.mark.parametrize("place", ["folder", "file"])
def test_berts_saved_tokenizer_gives_the_tokens_of_its_vocabulary(bert, place):
    source = bert if place == "folder" else bert / JSON
    found, wanted = load_q_former_tokenizer(source, vocabulary=1500), load_q_former_tokenizer(TINY_TOKENIZERS)
    assert find_bert_vocabulary(source) == bert / JSON
    assert found.get_vocab() == wanted.get_vocab()
    for text in [*ODD, *random_texts(400)]:
        assert (
            found(text, truncation=True, max_length=9).input_ids
            == wanted(text, truncation=True, max_length=9).input_ids
        )


def test_a_base_that_was_saved_again_builds_the_same_model(llama, bert, tmp_path):
    folder = write_folder(transformers_model(), tmp_path / "base")
    wanted = build_model(folder_config(folder))
    (folder / "tokenizer.model").unlink()
    shutil.copy(llama / JSON, folder)
    (folder / "qformer_tokenizer" / "vocab.txt").unlink()
    shutil.copy(bert / JSON, folder / "qformer_tokenizer")
    model = build_model(folder_config(folder))
    assert model.llm_tokenizer.encode(TEXTS[3]) == wanted.llm_tokenizer.encode(TEXTS[3])
    assert model.tokenizer(TEXTS[3]).input_ids == wanted.tokenizer(TEXTS[3]).input_ids
    save_instructblip(tmp_path / "exported", model)
    assert load_tokenizer(tmp_path / "exported").encode(TEXTS[1]) == wanted.llm_tokenizer.encode(TEXTS[1])


def test_a_vicuna_that_was_saved_again_builds_beside_the_other_files(llama, tmp_path):
    from helpers.models import SIZES, small_model

    reference = small_model()
    files = write_release(tmp_path, reference)
    (tmp_path / "vicuna" / "tokenizer.model").unlink()
    shutil.copy(llama / JSON, tmp_path / "vicuna")
    model = build_model(config_for(reference, SIZES, files))
    assert model.llm_tokenizer.encode(TEXTS[0]) == reference.llm_tokenizer.encode(TEXTS[0])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda s: s.update(model=[1]), r"holds no tokenizer \(model is \[1\]\)"),
        (lambda s: s["model"].update(vocab=[["<unk>", 0.0]]), "was not made of a sentencepiece model of Llama's kind"),
        (lambda s: s["model"].update(type="Unigram"), "was not made of a sentencepiece model"),
        (lambda s: s["model"]["vocab"].update({"new": 10**9}), "the ids of its pieces are not 0 to 1500"),
        (lambda s: s["model"]["vocab"].update({"new": "7"}), "the ids of its pieces are not 0 to 1500"),
        (lambda s: s["model"]["vocab"].update({"a\nb": 1500}), r"'a\\nb' is no piece of text"),
        (lambda s: s["model"]["vocab"].update({"\ud800": 1500}), "is no piece of text"),
        (lambda s: s["model"].update(merges=None), r"None is no pair of pieces \(merges\)"),
        (lambda s: s["model"]["merges"].append(["a"]), r"\['a'\] is no pair of pieces"),
        (lambda s: s["model"]["merges"].append([1, 2]), r"\[1, 2\] is no pair of pieces"),
    ],
)
def test_a_damaged_saved_tokenizer_of_a_llama_is_one_clear_error(llama, tmp_path, what, words):
    with pytest.raises(SamCheckpointError, match=rf"tokenizer\.json: .*{words}"):
        llama_model(change(llama, tmp_path / "damaged", what) / JSON)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda s: s["model"].update(type="BPE"), "is a 'BPE', 'WordPiece' is wanted"),
        (lambda s: s["model"].update(vocab={}), "has no vocabulary of 1 to"),
        (lambda s: s["model"]["vocab"].pop("[SEP]"), "the ids of its pieces are not 0 to 1497"),
        (lambda s: s["added_tokens"][-1].update(id=3), "DEC. has id 3, 1499 is wanted"),
    ],
)
def test_a_damaged_saved_tokenizer_of_a_bert_is_one_clear_error(bert, tmp_path, what, words):
    with pytest.raises(SamCheckpointError, match=words):
        load_q_former_tokenizer(change(bert, tmp_path / "damaged", what))


def test_other_saved_tokenizers_are_no_llamas(bert):
    assert not is_llama(read_saved(bert / JSON))
