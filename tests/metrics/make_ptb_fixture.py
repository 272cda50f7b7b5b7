"""Ask pycocoevalcap's own tokenizer, which needs Java, for the tokens of many sentences.

    python tests/metrics/make_ptb_fixture.py                   # rewrites fixtures/ptb_tokens.jsonl
    python tests/metrics/make_ptb_fixture.py --check 50000     # compares fresh draws and writes nothing

The sentences are ours: those of fixtures/ptb_sentences.txt, written for a rule each, their single words, and sentences
put together from troublesome pieces by a seeded draw. Between two sentences stands a line with one small letter,
because the original looks across line ends.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pycocoevalcap

from lavis_sam.metrics.ptb import ptb_tokens

FIXTURES = Path(__file__).parent / "fixtures"
# Namespace packages have no __init__.py to ask.
JAR = Path(next(iter(pycocoevalcap.__path__))) / "tokenizer" / "stanford-corenlp-3.4.1.jar"
# As in pycocoevalcap's ptbtokenizer.py, where capital brackets meet tokens that are lower-case already.
PUNCTUATION = {
    *("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-"),
    *(".", "?", "!", ",", ":", "-", "--", "...", ";"),
}
INVISIBLE = [
    "soft\u00adhyphen \u00ad a\u00ad",
    "a\u2010b a\u2011 \u2010",
    "a\u200bb a\u00a0b 5\u00a01/2",
    "e\u0301 n\u0303o",
    "\u0085 \u0091a\u0092 \u0093a\u0094 \u0096 \u0097 \u0080 \u0092s",
    "a\x01b",
]
CAPTION = """
A a man woman dog cat The the two three people standing sitting on in with of next to red blue street table Mr. Smith
St. Paul's U.S. flag TV T-shirt teddy bear's girl's isn't don't it's 2 10 3rd 5-year-old black-and-white o'clock 10:30
state-of-the-art p.m. $5 50% "Stop" "Happy Birthday," 'hello' (left) [right] / & - -- ... , . ! ? ; :
"""
LETTERS = "abAB1 2'.,-!?:;()\"/&@#$<>_*+="


def sentences(count: int, seed: int) -> list[str]:
    """The written ones, their words, and `count` drawn ones."""
    written = (FIXTURES / "ptb_sentences.txt").read_text("utf-8").splitlines()
    pieces = sorted({word for line in written for word in line.split()})
    generator = random.Random(seed)
    drawn = [_drawn(pieces, generator) for _ in range(count)]
    return list(dict.fromkeys([*written, *INVISIBLE, *pieces, *(text for text in drawn if text)]))


def _drawn(pieces: list[str], generator: random.Random) -> str:
    kind = generator.random()
    if kind < 0.5:  # pieces of rules, often glued together
        chosen = [generator.choice(pieces) + generator.choice(["", "", " "]) for _ in range(generator.randint(1, 7))]
        return "".join(chosen).strip()
    if kind < 0.9:  # something like a caption
        words = [generator.choice(CAPTION.split()) for _ in range(generator.randint(3, 12))]
        return "".join(("" if w in ",.!?;:" and generator.random() < 0.8 else " ") + w for w in words).strip()
    return "".join(generator.choice(LETTERS) for _ in range(generator.randint(1, 9))).strip()


def ask_java(texts: list[str]) -> list[list[str]]:
    """The original's tokens, without its punctuation."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentences.txt"
        path.write_text("".join(f"{text}\nx\n" for text in texts), "utf-8")
        command = ["java", "-cp", str(JAR), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
        output = subprocess.run([*command, str(path)], stdout=subprocess.PIPE, check=True).stdout.decode("utf-8")
    lines = output.split("\n")[::2][: len(texts)]
    return [[token for token in line.rstrip().split(" ") if token and token not in PUNCTUATION] for line in lines]


def main() -> None:
    """Write the fixture, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=500, help="drawn sentences")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", type=int, metavar="COUNT", help="compare this many drawn sentences instead")
    args = parser.parse_args()
    texts = sentences(args.check or args.count, args.seed)
    tokens = ask_java(texts)
    if args.check:
        different = [(t, wanted) for t, wanted in zip(texts, tokens, strict=True) if ptb_tokens(t) != wanted]
        for text, wanted in different:
            print(f"{text!r}\n  original {wanted}\n  ours     {ptb_tokens(text)}")
        print(f"{len(different)} of {len(texts)} sentences differ")
        sys.exit(1 if different else 0)
    lines = [json.dumps([text, words], ensure_ascii=False) for text, words in zip(texts, tokens, strict=True)]
    (FIXTURES / "ptb_tokens.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
