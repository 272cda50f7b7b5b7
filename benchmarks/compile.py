"""What run.compile saves of a training step and of its visual path on this machine, and what it costs to begin.

    python benchmarks/compile.py --out output/compile.json
    python benchmarks/compile.py --sizes tiny --turns 1 --backend aot_eager   # that it runs; no machine code

Two models of the same weights, one with compiled layers, take turns in one process on the same batches; ratios are the
medians of the turns' own ratios, above 1 compiled is faster. Times are CPU seconds of this process on one thread.
Batches with three lengths of answers take turns. Before anything is measured each of them passes both models, and
losses and gradients must agree; `first_passes_seconds` is what that takes, with the C++ compiler, from an empty cache.

`shares` are counted, of a step's FLOPs, at these sizes and at Vicuna-7B's: what the visual path has of them, and all
layers that are compiled.
"""

import argparse
import copy
import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from feature_cache import SIZES, build, gradient, model_cfg
from flops import our_step
from flops import visual_path as visual_path_flops
from machine import describe_machine
from train_step import ANSWER, PROMPT
from train_step import model_cfg as packaged_cfg
from visual_path import batched

from lavis_sam.files import write_json
from lavis_sam.models.compilation import check_compiler, compile_model
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.planning.forecast import Load, planned_model

LENGTHS = 3
# Of float32: what is fused rounds in another order.
TOLERANCE = {"loss": 1e-5, "gradient": 1e-3}
Batch = dict[str, Any]


def batch_of(args: argparse.Namespace, number: int) -> Batch:
    """A batch whose answers are longer with each number."""
    size = SIZES[args.sizes].vision.image_size
    images = torch.rand(args.batch, 3, args.images, size, size, generator=torch.Generator().manual_seed(number))
    answer = " ".join([ANSWER] * (1 + number))
    return {"image": images, "text_input": [PROMPT] * args.batch, "text_output": [answer] * args.batch}


def step(model: SemanticAlignment, batch: Batch) -> torch.Tensor:
    """A batch, its loss, and the gradient."""
    model.zero_grad(set_to_none=True)
    loss = model(batch)["loss"]
    loss.backward()
    return loss.detach()


def visual_path(model: SemanticAlignment, batch: Batch) -> None:
    """The visual tokens, and their gradient."""
    model.zero_grad(set_to_none=True)
    model.encode(batch, batch["text_input"]).tokens.square().mean().backward()


def seconds(task: Callable[[], Any]) -> float:
    """CPU seconds of this process and of programs that it has waited for."""
    before = used()
    task()
    return used() - before


def used() -> float:
    """CPU seconds so far, to the microsecond."""
    parts = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in parts)


def check_equal(sides: dict[str, SemanticAlignment], batches: list[Batch]) -> dict[str, Any]:
    """Pass every batch through both; what that took and by how much they differ.

    Raises:
        SystemExit: by more than rounding.
    """
    found: dict[str, list[Any]] = {name: [] for name in sides}
    took = {
        name: seconds(lambda m=model, f=found[name]: [f.append((step(m, b), gradient(m))) for b in batches])
        for name, model in sides.items()
    }
    largest = {"loss": 0.0, "gradient": 0.0}
    for (loss, whole), (other_loss, other) in zip(*found.values(), strict=True):
        largest["loss"] = max(largest["loss"], abs(float(other_loss / loss) - 1))
        largest["gradient"] = max(largest["gradient"], float((other - whole).norm() / whole.norm()))
    if any(largest[name] > bound for name, bound in TOLERANCE.items()):
        raise SystemExit(f"the two sides differ, relative to the uncompiled one: {largest}")
    return {"first_passes_seconds": took, "largest_difference": largest}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Values first, then times in turns."""
    real = packaged_cfg(argparse.Namespace(sizes="real", precision="bf16", gradient_checkpointing=False))
    counted = {args.sizes: shares(model_cfg(args.sizes), args), "real": shares(real, args)}
    plain, batches = build(args.sizes), [batch_of(args, number) for number in range(LENGTHS)]
    compiled = copy.deepcopy(plain)
    layers = compile_model(compiled, backend=args.backend)
    sides = {"plain": plain, "compiled": compiled}
    results = {"shares": counted, "compiled_layers": layers, **check_equal(sides, batches)}
    print(json.dumps(results), file=sys.stderr)
    for task in (step, visual_path):
        for model in sides.values():
            task(model, batches[0])  # what is compiled for the visual path alone is no turn's cost
        turns: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(args.turns):
            batch = batches[turn % LENGTHS]
            for name, model in sides.items():
                turns[name].append(seconds(lambda t=task, m=model, b=batch: t(m, b)))
        ratios = [before / after for before, after in zip(turns["plain"], turns["compiled"], strict=True)]
        results[task.__name__] = {
            "time_ratio": statistics.median(ratios),
            "time_ratios": ratios,
            "seconds": {name: statistics.median(values) for name, values in turns.items()},
        }
    return results


def shares(cfg: dict[str, Any], args: argparse.Namespace) -> dict[str, float]:
    """Parts of a step's FLOPs, forward and backward."""
    model, load = planned_model(cfg), Load(batch=args.batch, images=args.images)
    size = model.visual_encoder.image_size
    images = torch.zeros(()).expand(args.batch, 3, args.images, size, size)
    whole, visual = our_step(model, load), sum(visual_path_flops(batched, model, images).values())
    for layer in (*model.visual_encoder.blocks, *model.Qformer.bert.encoder.layer, *model.llm_model.model.layers):
        layer._compiled_call_impl = without
    return {"visual_path": visual / whole, "compiled_layers": 1 - our_step(model, load) / whole}


def without(hidden: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """What a layer is called with, in the place of what it makes; of the Q-Former's last one, the queries alone."""
    *_, queries, only = (*args, 0, False) if len(args) < 5 else args
    return hidden[:, :queries] if only else hidden


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=SIZES, default="medium")
    parser.add_argument("--backend", default="inductor", help="torch.compile's")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--out", type=Path, help="JSON file; printed as well")
    args = parser.parse_args()
    torch.set_num_threads(1)
    check_compiler(torch.device("cpu"))
    machine = describe_machine()
    torch._inductor.config.compile_threads = 1  # in this process, which counts its time
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        results = measure(args)
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    report = {"settings": settings, "machine": machine, "results": results}
    print(json.dumps(report, indent=2))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
