"""Makes released_search.json: what the search of transformers 4.33.2 writes, called as the released code calls it.

    python tests/models/make_released_search.py

needs transformers==4.33.2 (with tokenizers==0.13.3) and sentencepiece; no other file of this project does.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import LlamaTokenizer

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from helpers.toy_llm import toy_llm, toy_visual_tokens  # noqa: E402

TARGET = Path(__file__).with_name("released_search.json")
WORDS = [
    "what",
    "do",
    "the",
    "images",
    "have",
    "in",
    "common",
    "?",
    "describe",
    "it",
    "one",
    "sentence",
    ".",
    "how",
    "many",
    "dogs",
    "cat",
    "house",
    "red",
    "car",
    "é",
]
# Of the later ones, today's search answers each differently, whatever it is told.
SEEDS = (*range(16), 42, 55, 91, 119, 189, 204, 258, 272)
DEFAULTS = {"num_beams": 5, "max_length": 256, "min_length": 1, "repetition_penalty": 1.5, "length_penalty": 1.0}


def draw_case(seed: int) -> dict[str, Any]:
    """Prompts and settings; every third case has the released defaults."""
    draw = random.Random(seed)
    prompts = [" ".join(draw.choices(WORDS, k=draw.randint(0, 9))) for _ in range(draw.randint(1, 4))]
    beams, max_length = draw.choice([1, 2, 3, 5]), draw.choice([2, 3, 12, 30, 60])
    decoding = {
        "num_beams": beams,
        "max_length": max_length,
        "min_length": draw.choice([0, 1, 2, min(6, max_length)]),
        "repetition_penalty": draw.choice([0.8, 1.0, 1.5, 2.0]),
        "length_penalty": draw.choice([-1.0, 0.0, 0.5, 1.0, 2.0]),
        "num_captions": draw.randint(1, beams),
    }
    return {
        "seed": seed,
        "spread": draw.choice([0.1, 0.2, 0.3]),
        "ending": draw.choice([1.5, 2.0, 3.0]),
        "prompts": prompts,
        "decoding": decoding if seed % 3 else DEFAULTS,
    }


def released_tokenizer() -> LlamaTokenizer:
    """The tokenizer as the released model sets it up."""
    tokenizer = LlamaTokenizer(str(TESTS / "parity" / "fixtures" / "tok" / "tokenizer.model"), truncation_side="left")
    for token, text in (("pad", "[PAD]"), ("bos", "</s>"), ("eos", "</s>"), ("unk", "</s>")):
        tokenizer.add_special_tokens({f"{token}_token": text})
    tokenizer.padding_side = "left"
    return tokenizer


def search(case: dict[str, Any], tokenizer: LlamaTokenizer) -> dict[str, Any]:
    """Generates as the released code does, and adds what came out to the case."""
    llm_model = toy_llm(case["seed"], spread=case["spread"], ending=case["ending"])
    text = tokenizer(case["prompts"], padding="longest", return_tensors="pt")
    visual_tokens = toy_visual_tokens(case["seed"], len(case["prompts"]), 6)
    settings = {name: value for name, value in case["decoding"].items() if name != "num_captions"}
    output = llm_model.generate(
        inputs_embeds=torch.cat((visual_tokens, llm_model.get_input_embeddings()(text.input_ids)), dim=1),
        attention_mask=torch.cat((torch.ones(visual_tokens.shape[:2], dtype=torch.long), text.attention_mask), dim=1),
        do_sample=False,
        num_return_sequences=case["decoding"].get("num_captions", 1),
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    sequences = output.sequences.clone()
    sequences[sequences == 0] = 2
    texts = [text.strip() for text in tokenizer.batch_decode(sequences, skip_special_tokens=True)]
    scores = output.sequences_scores.tolist() if settings["num_beams"] > 1 else None
    return {**case, "sequences": sequences.tolist(), "texts": texts, "scores": scores}


def main() -> None:
    """Writes every case."""
    if transformers.__version__ != "4.33.2":
        raise SystemExit(f"transformers is {transformers.__version__}; the released code ran on 4.33.2")
    tokenizer = released_tokenizer()
    cases = [search(draw_case(seed), tokenizer) for seed in SEEDS]
    TARGET.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
