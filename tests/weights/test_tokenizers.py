"""The tokenizers from their files."""

import shutil
import string
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import pytest
import sentencepiece
import torch

from helpers.language import FIXTURES, released_case
from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.packaged import PACKAGE
from lavis_sam.weights.tokenizers import find_bert_vocabulary, load_q_former_tokenizer, load_tokenizer

TINY = PACKAGE / "assets" / "tiny" / "tokenizers"


@pytest.fixture
def tiny():
    return load_tokenizer(TINY)


class TestLlmTokenizer:
    def test_missing_file_names_path_key_and_variable(self, tmp_path):
        with pytest.raises(SamCheckpointError) as error:
            load_tokenizer(tmp_path / "vicuna")
        for part in (str(tmp_path / "vicuna" / "tokenizer.model"), "model.llm_model", "LAVIS_SAM_VICUNA", "tiny"):
            assert part in str(error.value)

    def test_damaged_file(self, tmp_path):
        (tmp_path / "tokenizer.model").write_text("version https://git-lfs.github.com/spec/v1\n")
        with pytest.raises(SamCheckpointError, match="no sentencepiece model"):
            load_tokenizer(tmp_path)

    def test_a_model_with_pieces_that_are_no_text_is_one_clear_error(self, tmp_path):
        whole = (TINY / "tokenizer.model").read_bytes()
        at = whole.index(b"<0x00>")  # a damaged byte piece is quoted in sentencepiece's own message
        for byte in range(128, 256):
            (tmp_path / "tokenizer.model").write_bytes(whole[: at + 1] + bytes([byte]) + whole[at + 2 :])
            with pytest.raises(SamCheckpointError, match="no sentencepiece model"):
                load_tokenizer(tmp_path)

    def test_a_model_of_another_family_is_refused(self, tmp_path):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a few words", "some other words"]),
            model_prefix=str(tmp_path / "tokenizer"),
            vocab_size=30,
            hard_vocab_limit=False,
            minloglevel=2,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
        )
        with pytest.raises(SamCheckpointError, match=r"\(2, -1, 1\).*\(0, 1, 2\)"):
            load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("tokenizer.model", load_tokenizer),
        ("tokenizer.json", load_tokenizer),
        ("tokenizer.json", partial(load_tokenizer, json_first=True)),
        ("tokenizer_config.json", partial(load_tokenizer, json_first=True)),
        ("vocab.txt", load_q_former_tokenizer),
        ("tokenizer.json", load_q_former_tokenizer),
    ],
)
def test_a_file_that_is_too_large_is_not_read(tmp_path, name, load):
    (tmp_path / "tokenizer.json").write_text("{}")
    with (tmp_path / name).open("wb") as file:
        file.truncate((64 << 20) + 1)  # a hole, which takes no room
    with pytest.raises(
        SamCheckpointError, match=rf"{name}: file too large: found 67108865 bytes, wanted at most 67108864"
    ):
        load(tmp_path)


class Hub:
    """Stands in for the hub: without a network until `answer` gives a status."""

    breaks_off = False

    def __init__(self):
        self.downloads, self.headers = [], {}

    def answer(self):
        raise ConnectionError("no network")

    def head(self, url, headers, timeout):
        assert url.endswith("/vocab.txt")
        return SimpleNamespace(status_code=self.answer(), headers=self.headers)

    def download(self, *names):
        self.downloads.append(names)
        if self.breaks_off:
            raise OSError("connection lost")
        return str(TINY / "vocab.txt")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("lavis_sam.weights.tokenizers.get_session", lambda: hub)
    monkeypatch.setattr("lavis_sam.weights.tokenizers.hf_hub_download", hub.download)
    return hub


class TestQFormerTokenizer:
    @pytest.mark.parity
    @pytest.mark.parametrize("name", ["A", "B"])
    def test_ids_are_the_released_ones(self, name):
        case = released_case(name)
        tokenizer = load_q_former_tokenizer(FIXTURES / "tok", vocabulary=166)
        text = tokenizer(
            case.meta["text_input"],
            padding="longest",
            truncation=True,
            max_length=case.meta["config"]["max_txt_len"],
            return_tensors="pt",
        )
        assert torch.equal(text.input_ids, case.arrays["in.qformer_input_ids"])
        assert torch.equal(text.attention_mask, case.arrays["in.qformer_attention_mask"])

    def test_dec_is_last_and_words_are_lower_cased_and_cut_on_the_left(self):
        tokenizer = load_q_former_tokenizer(TINY)
        assert tokenizer.convert_tokens_to_ids("[DEC]") == len(tokenizer) - 1
        assert tokenizer.tokenize("The Red Car") == ["the", "red", "car"]
        cut = tokenizer("the red car", truncation=True, max_length=4).input_ids
        assert tokenizer.convert_ids_to_tokens(cut) == ["[CLS]", "red", "car", "[SEP]"]

    def test_folder_and_file_are_the_same(self):
        folder, file = load_q_former_tokenizer(TINY), load_q_former_tokenizer(TINY / "vocab.txt")
        assert folder.get_vocab() == file.get_vocab()

    def test_another_vocabulary_size_names_both_numbers(self):
        with pytest.raises(SamCheckpointError, match=r"1500 tokens.*30523 rows.*LAVIS_SAM_BERT"):
            load_q_former_tokenizer(TINY, vocabulary=30523)

    def test_a_file_that_is_no_vocabulary_is_refused(self, tmp_path):
        (tmp_path / "vocab.txt").write_text("[PAD]\nthe\n")
        with pytest.raises(SamCheckpointError, match=r"2 lines and lacks \[UNK\], \[CLS\], \[SEP\], \[MASK\]"):
            load_q_former_tokenizer(tmp_path)

    @pytest.mark.parametrize("source", ["bert-base-uncased", "some/folder", "/no/such", "./nothing", "my bert"])
    def test_offline_it_fails_at_once_and_says_what_to_do(self, source, hub):
        start = time.monotonic()
        with pytest.raises(SamCheckpointError) as error:
            load_q_former_tokenizer(source)
        assert time.monotonic() - start < 3
        for part in (source, "bert_tokenizer", "LAVIS_SAM_BERT", "model_type: tiny"):
            assert part in str(error.value)

    def test_a_hub_that_hangs_is_not_waited_for(self, hub, monkeypatch):
        monkeypatch.setattr("lavis_sam.weights.tokenizers.HUB_TIMEOUT_SECONDS", 0.2)
        hub.answer = lambda: time.sleep(3)
        start = time.monotonic()
        assert find_bert_vocabulary("bert-base-uncased") is None
        assert time.monotonic() - start < 2

    def test_a_hub_without_the_file(self, hub):
        hub.answer = lambda: 404
        with pytest.raises(SamCheckpointError, match="LAVIS_SAM_BERT"):
            load_q_former_tokenizer("bert-base-uncased")
        assert hub.downloads == []

    def test_a_hub_that_answers_is_asked_for_the_file(self, hub):
        hub.answer = lambda: 200
        assert len(load_q_former_tokenizer("bert-base-uncased")) == 1500
        assert hub.downloads == [("bert-base-uncased", "vocab.txt")]

    @pytest.mark.parametrize("header", ["X-Linked-Size", "Content-Length"])
    def test_a_file_that_is_too_large_is_not_downloaded(self, hub, header):
        hub.answer = lambda: 200
        hub.headers = {"Content-Length": "900", header: str((64 << 20) + 1)}
        with pytest.raises(SamCheckpointError, match=r"vocab.txt has 67108865 bytes, wanted at most 67108864"):
            load_q_former_tokenizer("bert-base-uncased")
        assert hub.downloads == []

    def test_a_download_that_breaks_off_is_a_missing_file(self, hub):
        hub.answer, hub.breaks_off = lambda: 200, True
        with pytest.raises(SamCheckpointError, match="LAVIS_SAM_BERT"):
            load_q_former_tokenizer("bert-base-uncased")

    @pytest.mark.parametrize("cached_as", ["bert-base-uncased", "google-bert/bert-base-uncased"])
    def test_a_hub_name_is_looked_up_in_the_local_cache_first(self, cached_as, hub, tmp_path):
        snapshot = tmp_path / f"models--{cached_as.replace('/', '--')}" / "snapshots" / "c0ffee"
        snapshot.mkdir(parents=True)
        (snapshot.parents[1] / "refs").mkdir()
        (snapshot.parents[1] / "refs" / "main").write_text(snapshot.name)
        shutil.copy(TINY / "vocab.txt", snapshot / "vocab.txt")
        assert find_bert_vocabulary("bert-base-uncased") == snapshot / "vocab.txt"
        assert hub.downloads == []


class TestEmbeddedTokenizers:
    """The files in lavis_sam/assets/tiny/tokenizers."""

    def test_sizes(self, tiny):
        assert len(tiny) == 1501
        assert len(load_q_former_tokenizer(TINY)) == 1500

    @pytest.mark.parametrize("text", [string.printable.strip(), "Ünï 犬 🦊\n", "{image#1}Caption#1:", "  two  spaces "])
    def test_the_llm_loses_no_character(self, tiny, text):
        assert tiny.unk_token_id not in tiny.encode(text)
        assert tiny.decode(tiny.encode(text)) == text

    def test_no_ascii_character_is_unknown_to_the_q_former(self):
        tokenizer = load_q_former_tokenizer(TINY)
        for text in (*string.printable, "Zyxw9vutsrqp", "Xylophone!?"):
            assert tokenizer.unk_token_id not in tokenizer(text).input_ids, text

    @pytest.mark.parametrize(
        "text",
        [
            "The person in both images is a young woman wearing a blue jumpsuit.",
            "The item in both images is a gray upholstered sectional sofa.",
            "Sum up the common factor in these five images in a single statement.",
            "A cup of coffee on a table, next to a motorcycle, a rocket and an astronaut.",
        ],
    )
    def test_the_words_of_the_data_are_single_pieces(self, tiny, text):
        words = text.replace(".", " .").replace(",", " ,").split()
        assert len(tiny.encode(text)) - 1 <= len(words) + 2
        assert len(load_q_former_tokenizer(TINY).tokenize(text)) <= len(words) + 2

    def test_the_script_makes_the_same_files_again(self, tmp_path):
        script = PACKAGE.parent / "tools" / "make_tiny_tokenizers.py"
        subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, capture_output=True)
        for name in ("tokenizer.model", "vocab.txt"):
            assert (tmp_path / name).read_bytes() == (TINY / name).read_bytes(), name
