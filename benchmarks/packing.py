"""What `model.packing` saves: a batch whose samples share rows of the language model, and the same batch padded.

    python benchmarks/packing.py --out output/packing.json

Both sides get the same embeddings and give the same losses and gradients, which is checked before anything is measured.
Measured is step 6 of a training step, forward and backward: the layers of a frozen language model of medium size and
its head; on the packed side also planning the rows, packing and unpacking. The sides take turns in one process; ratios
are the medians of the turns' own ratios, in CPU seconds of one thread. Images to visual tokens is the same in both.

`real` is counted, not run, at Vicuna-7B's sizes: FLOPs of its layers over many batches, both sides (rows are planned
for that width), as they come and where `run.batching=bucketed` sorts samples first; which share of a whole step's FLOPs
the padded layers are (`language_share`: ViT, Q-Former, projection and head are the rest); and what remains of the ratio
over the whole step. Attention is counted in full squares, as a kernel with a mask computes it. Lengths are drawn
uniformly from the ranges of `DISTRIBUTIONS`, in tokens: assumptions, no data set's statistics.
"""

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parent))
from flops import visual_path
from generation import TOKENS_PER_IMAGE
from machine import describe_machine
from train_step import model_cfg
from visual_path import batched, seconds

from lavis_sam.datasets.buckets import bucketed_batches
from lavis_sam.files import write_json
from lavis_sam.models.language.language_model import as_language_model, build_language_model
from lavis_sam.models.language.packing import plan_rows
from lavis_sam.models.language.sequence import IGNORED, LanguageInputs, LanguageLoss, count_positions, target_loss
from lavis_sam.models.sizes import LanguageSizes
from lavis_sam.planning.forecast import counted_flops, planned_model

SIZES = {
    "tiny": LanguageSizes(width=64, layers=2, heads=2, intermediate=192, vocabulary=1501),
    "medium": LanguageSizes(width=320, layers=6, heads=5, intermediate=864, vocabulary=1501),
}
REAL = LanguageSizes()


class Ranges(NamedTuple):
    """The least and the most of a sample."""

    images: tuple[int, int]
    instruction: tuple[int, int]
    answer: tuple[int, int]


DISTRIBUTIONS = {
    "pairs, N = 2": Ranges((2, 2), (12, 40), (12, 48)),
    "stories, N = 2 to 5": Ranges((2, 5), (16, 60), (16, 96)),
    "anything, N = 1 to 10": Ranges((1, 10), (12, 60), (8, 96)),
}


class Sample(NamedTuple):
    """Images, and tokens of the texts."""

    images: int
    instruction: int
    answer: int

    @property
    def length(self) -> int:
        """Its real positions."""
        return self.images * TOKENS_PER_IMAGE + self.instruction + self.answer


def draw_batches(ranges: Ranges, batch: int, batches: int, *, bucketed: bool = False) -> list[list[Sample]]:
    """The same samples with either order."""
    draw = random.Random(0)
    samples = [Sample(*(draw.randint(*one) for one in ranges)) for _ in range(batch * batches)]
    if not bucketed:
        return [samples[start : start + batch] for start in range(0, len(samples), batch)]
    sizes = [(sample.images, sample.instruction + sample.answer) for sample in samples]
    windows = bucketed_batches(range(len(samples)), sizes, batch)
    return [[samples[index] for index in one] for window in windows for one in window]


def padded_length(samples: Sequence[Sample]) -> int:
    """Positions of a row of the padded batch: images are padded by themselves, before the texts."""
    return max(s.images for s in samples) * TOKENS_PER_IMAGE + max(s.instruction + s.answer for s in samples)


def make_inputs(samples: Sequence[Sample], width: int) -> LanguageInputs:
    """Random embeddings, laid out as `training_inputs` does."""
    images, text = max(s.images for s in samples) * TOKENS_PER_IMAGE, max(s.instruction + s.answer for s in samples)
    generator, place, column = torch.Generator().manual_seed(0), torch.arange(images), torch.arange(text)
    mask = torch.stack(
        [torch.cat((place < s.images * TOKENS_PER_IMAGE, column < s.instruction + s.answer)) for s in samples]
    ).long()
    labels = torch.full(mask.shape, IGNORED)
    for row, sample in zip(labels, samples, strict=True):
        start = images + sample.instruction
        row[start : start + sample.answer] = torch.randint(3, 1000, (sample.answer,), generator=generator)
    embeds = torch.randn(*mask.shape, width, generator=generator) * mask.unsqueeze(2)
    return LanguageInputs(embeds.requires_grad_(), mask, count_positions(mask), labels)


def step(llm_model: Any, inputs: LanguageInputs, *, packing: bool) -> LanguageLoss:
    """Forward and backward; the gradient is that of the embeddings."""
    inputs.inputs_embeds.grad = None
    result = target_loss(llm_model, inputs, packing=packing)
    result.loss.backward()
    return result


def check_agreement(llm_model: Any, inputs: LanguageInputs) -> dict[str, float]:
    """How far the sides' losses and gradients are apart, relative to the padded ones.

    Raises:
        SystemExit: Further than rounding.
    """
    losses, gradients = [], []
    for packing in (False, True):
        losses.append(step(llm_model, inputs, packing=packing).per_sample_loss.detach())
        gradients.append(inputs.inputs_embeds.grad)
    found = {
        name: float((packed - padded).norm() / padded.norm())
        for name, (padded, packed) in (("loss", losses), ("gradient", gradients))
    }
    if max(found.values()) > 1e-4:
        raise SystemExit(f"the two sides differ: {found}")
    return found


def measured(ranges: Ranges, args: argparse.Namespace) -> dict[str, Any]:
    """Times of one batch, in turns."""
    sizes = SIZES[args.sizes]
    torch.manual_seed(0)
    llm_model = build_language_model(sizes).eval().requires_grad_(False)
    (samples,) = draw_batches(ranges, args.batch, 1)
    inputs, turns = make_inputs(samples, sizes.width), {"padded": [], "packed": []}
    differences = check_agreement(llm_model, inputs)
    for _ in range(args.turns):
        for way, values in turns.items():
            values.append(seconds(lambda way=way: step(llm_model, inputs, packing=way == "packed"), "cpu"))
    ratios = [padded / packed for padded, packed in zip(turns["padded"], turns["packed"], strict=True)]
    return {
        "time_ratio": statistics.median(ratios),
        "time_ratios": ratios,
        "seconds": {way: statistics.median(values) for way, values in turns.items()},
        "positions": {way: rows * width for way, (rows, width) in shapes(samples, sizes.width).items()},
        "differences": differences,
    }


def shapes(samples: Sequence[Sample], width: int) -> dict[str, tuple[int, int]]:
    """Way -> rows, and positions of a row, that a language model of D_llm = `width` reads of a batch."""
    lengths, padded = [sample.length for sample in samples], (len(samples), padded_length(samples))
    plan = plan_rows(lengths, padded[1], width)
    if plan is None:
        return {"padded": padded, "packed": padded}
    return {"padded": padded, "packed": (len(plan), max(sum(lengths[sample] for sample in row) for row in plan))}


@cache
def real_layer() -> Any:
    """The language model with one of its layers, without storage."""
    with torch.device("meta"):
        return build_language_model(LanguageSizes(**vars(REAL) | {"layers": 1})).eval().requires_grad_(False)


@cache
def layers_flops(rows: int, width: int) -> int:
    """Of all layers, forward and backward, for rows of that many positions."""
    embeds = torch.empty(rows, width, REAL.width, device="meta", requires_grad=True)
    mask = torch.empty(rows, 1, width, width, dtype=torch.bool, device="meta")
    positions = torch.arange(width, device="meta").unsqueeze(0)
    with counted_flops() as flops:
        as_language_model(real_layer()).hidden(embeds, mask, positions).states.sum().backward()
        return REAL.layers * flops()


@cache
def head_flops() -> int:
    """Of the head for one target token, forward and backward."""
    state = torch.empty(1, REAL.width, device="meta", requires_grad=True)
    with counted_flops() as flops:
        as_language_model(real_layer()).logits(state).sum().backward()
        return flops()


@cache
def visual_flops() -> Callable[[int], int]:
    """Images of a sample -> FLOPs of its visual path, forward and backward."""
    model = planned_model(model_cfg(argparse.Namespace(sizes="real", precision="bf16", gradient_checkpointing=False)))
    size = model.visual_encoder.image_size

    @cache
    def count(images: int) -> int:
        return sum(visual_path(batched, model, torch.zeros(()).expand(1, 3, images, size, size)).values())

    return count


def counted(ranges: Ranges, args: argparse.Namespace) -> dict[str, Any]:
    """FLOPs at the real sizes, over all batches."""
    found = {}
    for order in ("shuffled", "bucketed"):
        batches = draw_batches(ranges, args.batch, args.batches, bucketed=order == "bucketed")
        layers = {"padded": 0, "packed": 0}
        for samples in batches:
            for way, shape in shapes(samples, REAL.width).items():
                layers[way] += layers_flops(*shape)
        drawn = [sample for samples in batches for sample in samples]
        rest = sum(visual_flops()(sample.images) + head_flops() * sample.answer for sample in drawn)
        found[order] = {
            "layers_flops": layers,
            "layers_flops_ratio": layers["padded"] / layers["packed"],
            "language_share": layers["padded"] / (layers["padded"] + rest),
            "step_flops_ratio": (layers["padded"] + rest) / (layers["packed"] + rest),
            "padding": 1
            - sum(sample.length for sample in drawn) / sum(len(one) * padded_length(one) for one in batches),
        }
    return found


def main() -> None:
    """Measure, count and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=SIZES, default="medium", help="of what is measured")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=64, help="how many are counted at the real sizes")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file; printed as well")
    args = parser.parse_args()
    torch.set_num_threads(1)
    machine = describe_machine()
    results = {}
    for name, ranges in DISTRIBUTIONS.items():
        results[name] = {**measured(ranges, args), "real": counted(ranges, args), "drawn_from": ranges._asdict()}
        print(f"{name}: {results[name]['time_ratio']:.2f}", file=sys.stderr, flush=True)
    report = {"settings": {k: v for k, v in vars(args).items() if k != "out"}, "machine": machine, "results": results}
    print(json.dumps(report, indent=2))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
