"""How much faster the `sam` protocol is here than by the authors' way of calling the published libraries.

    python benchmarks/metrics.py                                  # 50,000 pairs
    python benchmarks/metrics.py --pairs 2000 --turns 1           # a quick look

Their way: `rouge` called for each sample (for ROUGE-L alone, which favours it), one pass each of pycocoevalcap's CIDEr
and BLEU; both ways normalise the texts by the same function. They share one process and one list of pairs and take
turns; the ratio is the median of the turns' ratios. Times are processor seconds: wall-clock ones mean little on a
shared machine. Before anything is reported, every score of the two ways is compared.
"""

import argparse
import json
import platform
import random
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lavis_sam.files import write_json
from lavis_sam.metrics.predictions import Prediction
from lavis_sam.metrics.protocols import METRICS, Scores, score
from lavis_sam.metrics.sam_text import normalise

# The libraries are called by the tests' oracle, which is there for the same comparison.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from helpers.scoring import score_as_sam

TOLERANCE = 1e-9
# A vocabulary whose frequencies fall as in natural text, and pairs that share about half of their words.
VOCABULARY = 8000
KEPT, CHANGED = 0.55, 0.25


def make_pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Predictions and references of 6 to 20 words with capitals, commas and full stops."""
    generator = random.Random(seed)
    words = ["".join(generator.choices("abcdefghijklmnoprstuvw", k=generator.randint(2, 9))) for _ in range(VOCABULARY)]
    weights = [1 / (rank + 3) for rank in range(VOCABULARY)]
    pairs = []
    for _ in range(count):
        reference = generator.choices(words, weights, k=generator.randint(6, 20))
        prediction = []
        for word in reference:
            chance = generator.random()
            if chance < KEPT:
                prediction.append(word)
            elif chance < KEPT + CHANGED:
                prediction.append(generator.choices(words, weights)[0])
        pairs.append((_sentence(prediction or reference[:1], generator), _sentence(reference, generator)))
    return pairs


def _sentence(words: list[str], generator: random.Random) -> str:
    text = " ".join(words)
    if len(words) > 8 and generator.random() < 0.4:
        text = text.replace(" ", ", ", 1)
    return f"{text[0].upper()}{text[1:]}."


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Let the two ways take turns."""
    pairs = make_pairs(args.pairs, args.seed)
    predictions = [Prediction(i, text, truth, (truth,)) for i, (text, truth) in enumerate(pairs)]
    ours: list[float] = []
    theirs: list[float] = []
    difference = 0.0
    for turn in range(args.turns):
        start = time.process_time()
        scores = score(predictions, "sam")
        ours.append(time.process_time() - start)
        start = time.process_time()
        expected = score_as_sam(pairs, normalise)
        theirs.append(time.process_time() - start)
        difference = max(difference, largest_difference(scores, expected))
        print(f"turn {turn + 1}: ours {ours[-1]:.2f} s, theirs {theirs[-1]:.2f} s", flush=True)
    if not difference < TOLERANCE:
        raise SystemExit(f"the two ways differ by {difference:.2e} (limit {TOLERANCE:.0e}); nothing is reported")
    ratios = sorted(slow / fast for slow, fast in zip(theirs, ours, strict=True))
    return {
        "pairs": args.pairs,
        "median_seconds": {"ours": round(statistics.median(ours), 3), "libraries": round(statistics.median(theirs), 3)},
        "libraries_over_ours": {
            "median": round(statistics.median(ratios), 2),
            "min": round(ratios[0], 2),
            "max": round(ratios[-1], 2),
        },
        "largest_difference": difference,
        "corpus": scores.corpus(),
    }


def largest_difference(scores: Scores, expected: tuple[dict[str, float], list[dict[str, float]]]) -> float:
    """Over corpus scores (x100) and all scores of samples."""
    corpus, samples = expected
    differences = [abs(scores.corpus()[name] - corpus[name]) for name in METRICS]
    differences += [
        abs(ours[name] - theirs[name])
        for ours, theirs in zip(scores.per_sample(), samples, strict=True)
        for name in METRICS
    ]
    return max(differences)


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    packages = ("numpy", "rouge", "pycocoevalcap")
    return {
        "processor": processor,
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    report = {"machine": machine(), "protocol": "sam", **measure(args)}
    if args.out:
        write_json(args.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
