"""How well the embedded model names what held-out images show.

    python tools/measure_tiny.py data/tiny/held_out_pairs data/tiny/groups [--base DIR] [--checkpoint RUN]

asks the model each sample's own question and prints, as JSON, the share of answers that name the shared object (its
noun; an icon's name; of a story the names of its last panel) and the share of attributes ("yellow shirt", "pine"; of a
story action and place) that they name, by data set and by kind; with the base alone beside it.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lavis_sam.predictor import SamPredictor
from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines
from lavis_sam.synthesis.quality import mentions
from lavis_sam.synthesis.records import DEFAULT_ACTION

MOST_TOKENS = 48


def wanted(sample: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What an answer has to name: objects (or names), and what is said of them (attributes, actions, places)."""
    if sample["form"] == "stories":
        shown = sample["pictures"][-1]
        views = (sample["objects"][placed["object"]]["views"][placed["view"]] for placed in shown["objects"])
        actions = [view["attributes"].get("pose", DEFAULT_ACTION) for view in views]
        return [placed["name"] for placed in shown["objects"]], [*actions, shown["background"]["place"]]
    shared = sample["objects"][int(sample["facts"].get("object", 0))]
    name = shared["label"] if sample["kind"] == "icons" else shared["noun"]
    return [name], [word for word in shared["told"] if word not in (name, shared["noun"])]


def rates(samples: Sequence[Mapping[str, Any]], answers: Sequence[str]) -> dict[str, dict[str, float]]:
    """Kind -> how many samples, and the shares of objects and attributes that the answers name; "all" for all kinds."""
    named = defaultdict(list)
    for sample, answer in zip(samples, answers, strict=True):
        objects, attributes = wanted(sample)
        right = float(all(mentions(answer, name) for name in objects))
        share = [float(mentions(answer, word)) for word in attributes]
        for kind in (sample["kind"], "all"):
            named[kind].append((right, share))
    return {
        kind: {
            "samples": len(found),
            "object": round(sum(right for right, _ in found) / len(found), 3),
            "attributes": round(sum(map(sum, shares)) / max(1, sum(map(len, shares))), 3),
        }
        for kind, found in sorted(named.items())
        for shares in [[share for _, share in found]]
    }


def ask(predictor: SamPredictor, root: Path, samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """The model's answers to the samples' own questions, greedily."""
    images = [[str(root / image["file"]) for image in sample["pictures"]] for sample in samples]
    questions = [sample["instruction"] for sample in samples]
    answers: list[str] = predictor.caption(images, questions, num_beams=1, max_length=MOST_TOKENS)
    return answers


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path, help="folders that `lavis-sam synthesize` made")
    parser.add_argument("--checkpoint", help="SAM's layers: an adapter's folder or a run's; else the embedded ones")
    parser.add_argument("--base", help="an InstructBLIP folder; else the embedded base")
    parser.add_argument("--limit", type=int, default=200, help="samples of each set")
    parser.add_argument("--show", type=int, default=0, help="answers to print of each set")
    options = parser.parse_args()
    models = {
        "base": SamPredictor.from_pretrained("tiny", base=options.base, device="cpu", settings={"finetuned": ""}),
        "sam": SamPredictor.from_pretrained("tiny", base=options.base, checkpoint=options.checkpoint, device="cpu"),
    }
    found: dict[str, Any] = {}
    for root in options.sets:
        samples = list(read_lines(root / SAMPLES))[: options.limit]
        answers = {name: ask(model, root, samples) for name, model in models.items()}
        found[root.name] = {name: rates(samples, given) for name, given in answers.items()}
        for index, sample in enumerate(samples[: options.show]):
            said = "".join(f"\n    {name}: {given[index]}" for name, given in answers.items())
            sys.stderr.write(f"{sample['id']} {sample['instruction']}\n    wanted: {sample['output']}{said}\n")
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
