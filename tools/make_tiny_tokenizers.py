"""Makes the embedded model's tokenizers, byte for byte the same on every run.

    python tools/make_tiny_tokenizers.py [FOLDER]                                     for a random base
    python tools/make_tiny_tokenizers.py --questions data/pretraining/questions.json  for one that pretrain.yaml trains

The first writes `tokenizer.model` (Llama's kind of sentencepiece model) and `vocab.txt` (BERT's kind) to FOLDER,
lavis_sam/assets/tiny/tokenizers by default, from text that a grammar of ours generates; the second to `base` beside it,
as an InstructBLIP folder has them, from those questions, the synthesis' phrases and some of the grammar's text.
"""

import argparse
import io
import json
import random
import re
import string
import sys
from pathlib import Path

import sentencepiece
import yaml

ROOT = Path(__file__).resolve().parents[1]
GRAMMAR = Path(__file__).with_name("tiny_grammar.yaml")
TARGET = ROOT / "lavis_sam" / "assets" / "tiny" / "tokenizers"
PHRASES = ROOT / "lavis_sam" / "assets" / "phrases"
PHRASE_FILES = ("captions", "changes", "groups", "objects", "pairs", "places", "stories")
PHRASES_REPEATED = 50
SENTENCES = 40_000
LLM_PIECES = 1500
BERT_LINES = 1499  # [DEC], which loading appends, makes 1500
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def generate(grammar: dict[str, list[str]], count: int, seed: int = 0) -> list[str]:
    """Draws sentences from the grammar."""
    draw = random.Random(seed)

    def expand(symbol: str) -> str:
        return re.sub(r"<(\w+)>", lambda match: expand(match.group(1)), draw.choice(grammar[symbol]))

    return [polish(expand("text")) for _ in range(count)]


def polish(sentence: str) -> str:
    """Puts `an` before vowels and a capital at the start."""
    sentence = re.sub(r"\b([Aa]) (?=[aeioAEIO]|u(?!n?i|se))(?!one)", r"\1n ", sentence)
    return sentence[0].upper() + sentence[1:]


def train(sentences: list[str], pieces: int, **options: object) -> bytes:
    """Trains a sentencepiece BPE model."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="bpe",
        vocab_size=pieces,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def make_llm_model(sentences: list[str]) -> bytes:
    """Llama's settings: text as it is, digits one by one, bytes for what has no piece."""
    return train(
        sentences,
        LLM_PIECES,
        byte_fallback=True,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        required_chars=string.printable.strip(),
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
    )


def make_bert_vocabulary(sentences: list[str]) -> list[str]:
    """The same pieces in BERT's spelling: lower-cased words, `##` where a piece goes on inside a word."""
    alphabet = string.ascii_lowercase + string.digits
    single = [*string.punctuation, *alphabet, *(f"##{letter}" for letter in alphabet)]
    words = [" ".join(re.findall(r"[a-z]+|[0-9]+", sentence.lower())) for sentence in sentences]
    model = train(words, BERT_LINES, split_digits=True, bos_id=-1, eos_id=-1)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    learned = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    spelled = [piece.removeprefix("▁") if piece.startswith("▁") else f"##{piece}" for piece in learned[1:]]
    vocabulary = list(dict.fromkeys([*BERT_SPECIAL, *single, *filter(None, spelled)]))
    return vocabulary[:BERT_LINES]


def texts_of_synthesis(questions: Path) -> list[str]:
    """Questions and answers of a file, and what other forms of samples say, without what they say it of."""
    records = json.loads(questions.read_text(encoding="utf-8"))
    phrases = [
        re.sub(r"\$\w+", "", phrasing)
        for path in (PHRASES / f"{name}.yaml" for name in PHRASE_FILES)
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")).values()
        for phrasings in (entry.values() if isinstance(entry, dict) else [entry])
        for phrasing in phrasings
        if isinstance(phrasing, str)
    ]
    return [*(record[key] for record in records for key in ("instruction", "output")), *phrases * PHRASES_REPEATED]


def main(target: Path, questions: Path | None) -> None:
    """Writes both files."""
    grammar = yaml.safe_load(GRAMMAR.read_text(encoding="utf-8"))
    sentences = generate(grammar, SENTENCES if questions is None else SENTENCES // 4)
    folder = words_folder = target
    if questions is not None:
        sentences += texts_of_synthesis(questions)
        folder = target.with_name("base")
        words_folder = folder / "qformer_tokenizer"
    vocabulary = make_bert_vocabulary(sentences)
    words_folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(make_llm_model(sentences))
    (words_folder / "vocab.txt").write_text(
        "".join(f"{piece}\n" for piece in vocabulary), encoding="utf-8", newline="\n"
    )
    sys.stdout.write(f"{folder}: tokenizer.model with {LLM_PIECES} pieces, vocab.txt with {len(vocabulary)} lines\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=TARGET)
    parser.add_argument("--questions", type=Path)
    options = parser.parse_args()
    main(options.folder, options.questions)
