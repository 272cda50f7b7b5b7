import pickle

import pytest
import torch

from helpers.language import released_case, released_tokenizer
from helpers.toy_llm import byte_level_tokenizer
from lavis_sam.errors import SamCheckpointError
from lavis_sam.models.language.tokenizers import FastTextTokenizer
from lavis_sam.weights.packaged import PACKAGE
from lavis_sam.weights.tokenizers import load_tokenizer

TINY = PACKAGE / "assets" / "tiny" / "tokenizers"


@pytest.fixture
def tokenizer():
    return released_tokenizer()


@pytest.fixture
def tiny():
    return load_tokenizer(TINY)


class TestLlmTokenizer:
    @pytest.mark.parity
    @pytest.mark.parametrize("name", ["A", "B"])
    def test_ids_are_the_released_ones(self, tokenizer, name):
        case = released_case(name)
        lengths = case.meta["config"]
        prompt = tokenizer(case.meta["text_input"], truncation_side="left", max_length=lengths["max_txt_len"])
        target = tokenizer(case.meta["text_output"], append_eos=True, max_length=lengths["max_output_txt_len"])
        generated = tokenizer(case.meta["text_input"], padding_side="left")
        for found, wanted in ((prompt, "llm_prompt"), (target, "llm_target"), (generated, "gen_llm_prompt")):
            assert torch.equal(found.input_ids, case.arrays[f"in.{wanted}_ids"])
            assert torch.equal(found.attention_mask, case.arrays[f"in.{wanted}_mask"])

    def test_case_b_holds_a_piece_that_sentencepiece_does_not_know(self, tokenizer):
        assert tokenizer.unk_token_id in tokenizer.encode(released_case("B").meta["text_input"][0])

    # What LlamaTokenizer of transformers 4.33.2 makes of these, set up as the released model sets it up.
    @pytest.mark.parametrize(
        ("text", "ids", "target"),
        [
            ("", [2], [2, 2]),
            ("a red car", [2, 7, 159, 146, 13, 34], [2, 7, 159, 146, 13, 34, 2]),
            ("trail  ", [2, 4, 168, 162, 165, 169, 159, 159], [2, 4, 168, 162, 165, 169, 2]),
            ("  lead", [2, 159, 159, 15, 160, 162, 171], [2, 159, 159, 15, 160, 162, 171, 2]),
            ("a\nb", [2, 7, 0, 176], [2, 7, 0, 176, 2]),
            ("a\n", [2, 7, 0], [2, 7, 2]),
            ("é ü 犬", [2, 159, 0, 159, 0, 159, 0], [2, 159, 0, 159, 0, 159, 0, 2]),
        ],
    )
    def test_odd_texts_keep_their_released_ids(self, tokenizer, text, ids, target):
        assert tokenizer.encode(text) == ids
        assert tokenizer.encode(text, append_eos=True) == target

    def test_special_tokens(self, tokenizer):
        assert (tokenizer.start_ids, tokenizer.eos_token_id, tokenizer.pad_token_id) == ((2,), 2, 196)
        assert len(tokenizer) == 197

    @pytest.mark.parametrize("text", ["one </s> two", "one [PAD] two", "<s> one"])
    def test_special_tokens_in_a_text_are_only_text(self, tiny, text):
        ids = tiny.encode(text)
        assert not {1, 2, tiny.pad_token_id} & set(ids[1:])
        assert tiny.decode(ids) == text

    def test_prompts_lose_their_beginning_and_targets_their_end(self, tiny):
        text = "the small red cube moved behind the large green ball"
        whole, target = tiny.encode(text), tiny.encode(text, append_eos=True)
        assert tiny.encode(text, max_length=5, truncation_side="left") == [2, *whole[-4:]]
        assert tiny.encode(text, append_eos=True, max_length=5) == target[:5]
        assert 2 not in tiny.encode(text, append_eos=True, max_length=5)[1:]
        assert tiny.encode(text, max_length=len(whole), truncation_side="left") == whole
        assert tiny.encode(text, max_length=1, truncation_side="left") == [2]

    def test_padding_stands_on_the_side_asked_for(self, tiny):
        rows, pad = [[2, 7, 8], [2]], tiny.pad_token_id
        left, right = tiny.pad(rows, padding_side="left"), tiny.pad(rows, padding_side="right")
        assert left.input_ids.tolist() == [[2, 7, 8], [pad, pad, 2]]
        assert left.attention_mask.tolist() == [[1, 1, 1], [0, 0, 1]]
        assert right.input_ids.tolist() == [[2, 7, 8], [2, pad, pad]]
        assert right.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]

    def test_decoding_drops_special_tokens_or_shows_them(self, tiny):
        ids = [1, *tiny.encode("a red car")[1:], 2, tiny.pad_token_id]
        assert tiny.decode(ids) == "a red car"
        assert tiny.decode(torch.tensor(ids)) == "a red car"
        assert tiny.decode(ids, skip_special_tokens=False) == "a red car</s>[PAD]"
        assert tiny.batch_decode([ids, [2]]) == ["a red car", ""]

    def test_survives_pickling(self, tiny):
        assert pickle.loads(pickle.dumps(tiny)).encode("a cat") == tiny.encode("a cat")


class TestFastTextTokenizer:
    @pytest.fixture(params=["start token", "no start token"])
    def fast(self, request):
        special = {"eos_token": "<|end|>"} | ({"bos_token": "<|start|>"} if request.param == "start token" else {})
        return FastTextTokenizer(byte_level_tokenizer(**special))

    def test_a_sequence_begins_as_the_tokenizer_itself_begins_it(self):
        with_start = byte_level_tokenizer(eos_token="<|end|>", bos_token="<|start|>")
        assert FastTextTokenizer(with_start).start_ids == (with_start.bos_token_id,)
        assert FastTextTokenizer(with_start).encode("a dog") == with_start("a dog").input_ids
        without = byte_level_tokenizer(eos_token="<|end|>")
        assert FastTextTokenizer(without).encode("a dog") == without("a dog").input_ids

    def test_what_it_lacks(self, fast):
        assert fast.pad_token_id == fast.eos_token_id
        assert not fast.adds_pad_row
        assert fast.encode(""), "a search needs a token to continue"
        with pytest.raises(SamCheckpointError, match="has no end token"):
            FastTextTokenizer(byte_level_tokenizer(pad_token="<|pad|>"))

    @pytest.mark.parametrize("text", ["a dog<|end|>", "<|start|>", "café 🙂", "two  spaces "])
    def test_special_tokens_in_a_text_are_only_text(self, fast, text):
        copy = pickle.loads(pickle.dumps(fast))
        for tokenizer in (fast, copy):
            ids = tokenizer.encode(text)[len(tokenizer.start_ids) :]
            assert tokenizer.eos_token_id not in ids
            assert tokenizer.decode(ids) == text

    def test_a_target_is_separated_by_a_blank_and_ends(self, fast):
        ids = fast.encode_target("a dog")
        assert ids[-1] == fast.eos_token_id
        assert fast.decode([*fast.encode("What?"), *ids]) == "What? a dog"
        assert fast.decode(fast.encode_target(" a dog")) == " a dog"
        assert fast.encode_target("") == [fast.eos_token_id]

    def test_prompts_lose_their_beginning_and_targets_their_end(self, fast):
        whole, start = fast.encode("the dog sleeps on the red chair"), list(fast.start_ids)
        assert fast.encode("the dog sleeps on the red chair", max_length=5, truncation_side="left") == [
            *start,
            *whole[len(start) - 5 :],
        ]
        cut = fast.encode_target("the dog sleeps on the red chair", max_length=5)
        assert len(cut) == 5 - len(start)
        assert fast.eos_token_id not in cut

    def test_special_tokens_read_as_nothing_or_as_their_names(self, fast):
        ids = [*fast.encode("a dog"), fast.eos_token_id]
        assert fast.decode(ids) == "a dog"
        assert fast.decode(ids, skip_special_tokens=False).endswith("a dog<|end|>")
