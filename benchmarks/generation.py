"""What the search costs: a prompt's keys and values once per sample, and a copy of them in a row of each beam.

    python benchmarks/generation.py                                          # two sizes, CPU
    python benchmarks/generation.py --sizes real --device cuda --precision bf16 --turns 3

The second way is the package's own for language models whose attention takes no mask per beam, and was its only one:
at every step the beams' rows are copied into their new order, and once more to add a position. Both run the same search
on the same random language model and the same ragged samples (2 to 5 images with 32 tokens each, prompts of 3 to 20
words), and must give the same texts before anything is measured. They share one process and take turns; ratios are the
medians of the turns' own ratios. Times are the process's CPU seconds on one thread, on a GPU wall-clock. Bytes of keys
and values are counted at the operations that write them; a token is one that a beam reads.

This is step 6 of an evaluation: prompt and answer through the language model. Images to visual tokens is the same in
both. A real model's bytes are those of its sizes at the positions counted here.
"""

import argparse
import json
import random
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe_machine
from visual_path import peak_megabytes, seconds

from lavis_sam.files import write_json
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.language_model import TransformersLanguageModel, build_language_model
from lavis_sam.models.released_search import Generation, generate
from lavis_sam.models.sizes import LanguageSizes
from lavis_sam.weights.build_model import PRECISIONS
from lavis_sam.weights.packaged import PACKAGE
from lavis_sam.weights.tokenizers import load_tokenizer

SIZES = {
    "tiny": LanguageSizes(width=192, layers=4, heads=6, intermediate=512),
    "medium": LanguageSizes(width=512, layers=8, heads=8, intermediate=1376),
    "real": LanguageSizes(),
}
TOKENS_PER_IMAGE, IMAGES = 32, (2, 5)
WORDS = ("sum", "up", "the", "common", "factor", "in", "these", "images", "in", "a", "single", "statement")
# Keys and values of one position at InstructBLIP-Vicuna-7B's sizes in half precision.
REAL_BYTES = 2 * SIZES["real"].layers * SIZES["real"].width * 2
aten = torch.ops.aten
Samples = tuple[torch.Tensor, torch.Tensor, list[str]]


class RowByRow(TransformersLanguageModel):
    """A row for each beam, as before prompts were shared."""

    reads_4d_masks = False


class MovedPositions(TorchDispatchMode):
    """Counts how many positions' keys or values [R, heads, positions, D_head] operations write, over all layers."""

    def __init__(self, sizes: LanguageSizes) -> None:
        super().__init__()
        self.moved = 0
        self._heads, self._width = sizes.heads, sizes.width // sizes.heads

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is aten.cat.default:
            is_move = len(args) > 1 and args[1] in (2, -2)  # rotary positions join along the last dimension
        else:
            is_move = func in (aten.index_select.default, aten.gather.default, aten.copy_.default, aten.clone.default)
        if is_move and output.ndim == 4 and (output.shape[1], output.shape[3]) == (self._heads, self._width):
            self.moved += output.shape[0] * output.shape[2]
        return output


class CountingModel(TransformersLanguageModel):
    """Counts the tokens that are read after the prompts."""

    read = 0

    def hidden(self, inputs_embeds: torch.Tensor, *given: Any, **options: Any) -> Any:
        """See `LanguageModel`."""
        if options.get("cache") is not None:
            self.read += inputs_embeds.shape[0] * inputs_embeds.shape[1]
        return super().hidden(inputs_embeds, *given, **options)


def draw_samples(args: argparse.Namespace, width: int) -> Samples:
    """Visual tokens, their mask, prompts."""
    draw, generator = random.Random(0), torch.Generator().manual_seed(0)
    images = torch.tensor([draw.randint(*IMAGES) for _ in range(args.batch)])
    mask = torch.arange(int(images.max())) < images.unsqueeze(1)
    tokens = torch.randn(args.batch, mask.shape[1] * TOKENS_PER_IMAGE, width, generator=generator)
    prompts = [" ".join(draw.choices(WORDS, k=draw.randint(3, 20))) for _ in range(args.batch)]
    mask = mask.repeat_interleave(TOKENS_PER_IMAGE, dim=1)
    return tokens.to(args.device), mask.to(args.device), prompts


def build(name: str, args: argparse.Namespace, vocabulary: int) -> Any:
    """A random model; wide enough logits, and likely enough ends, that texts differ and end at different steps."""
    torch.manual_seed(0)
    torch.set_default_dtype(PRECISIONS[args.precision])
    with torch.device(args.device):
        llm_model = build_language_model(LanguageSizes(**vars(SIZES[name]) | {"vocabulary": vocabulary}))
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        llm_model.lm_head.weight.mul_(args.spread / (0.02 * SIZES[name].width ** 0.5))
        llm_model.lm_head.weight[2].mul_(args.ending)
    return llm_model.eval().requires_grad_(False)


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One size: texts compared, positions counted, times in turns."""
    tokenizer = load_tokenizer(PACKAGE / "assets" / "tiny" / "tokenizers")
    llm_model = build(name, args, len(tokenizer))
    samples = draw_samples(args, SIZES[name].width)
    decoding = Decoding(num_beams=args.beams, max_length=args.max_length)

    def search(language: Any) -> Generation:
        return generate(language, tokenizer, *samples, decoding)

    ways = {"shared": TransformersLanguageModel(llm_model), "rows": RowByRow(llm_model)}
    found = {way: search(language).texts for way, language in ways.items()}
    if found["shared"] != found["rows"]:
        raise SystemExit(f"{name}: the two ways give different texts")
    counting = CountingModel(llm_model)
    answer = search(counting)
    lengths = (answer.sequences[:, 1:] != tokenizer.eos_token_id).sum(dim=1).tolist()
    moved = {}
    for way, language in ways.items():
        with MovedPositions(SIZES[name]) as counter:
            search(language)
        moved[way] = counter.moved / (2 * SIZES[name].layers * counting.read)
    turns: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(args.turns):
        for way, language in ways.items():
            turns[way].append(seconds(lambda language=language: search(language), args.device))
    return {
        "same_texts": True,
        "answer_lengths": {"least": min(lengths), "median": statistics.median(lengths), "most": max(lengths)},
        "tokens_read": counting.read,
        "positions_moved_per_token": moved,
        "moved_ratio": moved["rows"] / moved["shared"],
        "real_megabytes_moved_per_token": {way: count * REAL_BYTES / 2**20 for way, count in moved.items()},
        "seconds": {way: statistics.median(values) for way, values in turns.items()},
        "time_ratio": statistics.median(
            rows / shared for rows, shared in zip(turns["rows"], turns["shared"], strict=True)
        ),
        "peak_megabytes": {
            way: peak_megabytes(lambda language=language: search(language), args.device)
            for way, language in ways.items()
        },
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["tiny", "medium"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--beams", type=int, default=5)
    parser.add_argument("--max-length", type=int, default=48)
    parser.add_argument("--spread", type=float, default=2.0, help="standard deviation of the logits")
    parser.add_argument("--ending", type=float, default=3.0, help="scales the end token's logit")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file; printed as well")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    machine = describe_machine(args.device, transformers=transformers.__version__)
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    report = {"settings": settings, "machine": machine, "results": {name: measure(name, args) for name in args.sizes}}
    print(json.dumps(report, indent=2))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
