"""How much the batched visual path saves: ours, the released per-image loop, and ours without guidance, side by side.

    python benchmarks/visual_path.py                                   # reduced sizes, CPU
    python benchmarks/visual_path.py --sizes real --device cuda --precision bf16

The three share one process, one model and one batch and take turns, so that what is compared differs in nothing else;
the ratios are the medians of the turns' own ratios. The loop follows the released semantics image by image (one ViT
call, one Q-Former call with both streams for each image), with today's attention kernels and without deliberate waste.
On a GPU times are wall-clock; on a CPU they are the process's own CPU seconds on one thread, which other programs of a
shared machine disturb least. Memory is what the visual path allocates at its peak beyond the parameters: PyTorch's own
count on a GPU, a count of every tensor's storage on a CPU.
"""

import argparse
import json
import platform
import statistics
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lavis_sam.files import write_json
from lavis_sam.models.guidance import Guidance
from lavis_sam.models.language.language_model import build_language_model
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import LanguageSizes, ModelSizes, QFormerSizes, VisionSizes
from lavis_sam.weights.build_model import (
    PRECISIONS,
    build_visual_modules,
    initialise_vision,
    set_vision_precision,
)
from lavis_sam.weights.packaged import PACKAGE
from lavis_sam.weights.tokenizers import load_q_former_tokenizer, load_tokenizer

PROMPT = "Sum up the common factor in these images in a single statement."
# The language model takes no part; only its width does, through llm_proj.
NO_LANGUAGE = LanguageSizes(width=4096, layers=1, heads=32, intermediate=32)
SIZES = {
    "tiny": ModelSizes(
        VisionSizes(image_size=112, width=128, depth=4, heads=4, mlp_ratio=4.0),
        QFormerSizes(width=128, layers=4, heads=4, intermediate=512, queries=8),
        replace(NO_LANGUAGE, width=192, heads=6),
    ),
    # The real Q-Former at the real number of patches; a ViT that a CPU can wait for.
    "reduced": ModelSizes(VisionSizes(width=352, depth=8, heads=4), QFormerSizes(), NO_LANGUAGE),
    "real": ModelSizes(VisionSizes(), QFormerSizes(), NO_LANGUAGE),
}
Method = Callable[[SemanticAlignment, torch.Tensor, list[str]], torch.Tensor]


def build(name: str, device: str, precision: str, **guidance: Any) -> SemanticAlignment:
    """A random model of the named sizes; one seed, so that two calls agree on every shared parameter."""
    tokenizers = PACKAGE / "assets" / "tiny" / "tokenizers"
    tokenizer = load_q_former_tokenizer(tokenizers)
    llm_tokenizer = load_tokenizer(tokenizers)
    sizes = SIZES[name]
    sizes = replace(
        sizes,
        q_former=replace(sizes.q_former, vocabulary=max(sizes.q_former.vocabulary, len(tokenizer))),
        language=replace(sizes.language, vocabulary=len(llm_tokenizer)),
    )
    torch.manual_seed(0)
    with torch.device(device):
        modules = build_visual_modules(sizes)
        initialise_vision(modules["visual_encoder"])
        llm_model = build_language_model(sizes.language)
        set_vision_precision(modules["visual_encoder"], PRECISIONS[precision])
        model = SemanticAlignment(
            **modules,
            llm_model=llm_model,
            tokenizer=tokenizer,
            llm_tokenizer=llm_tokenizer,
            guidance=Guidance(**guidance),
        )
    for parameter in (p for p in model.parameters() if p.requires_grad):
        torch.nn.init.normal_(parameter, std=0.02)
    return model


def batched(model: SemanticAlignment, images: torch.Tensor, prompts: list[str]) -> torch.Tensor:
    """Ours: [B, 3, N, H, W] -> visual tokens [B, N*Q, D_llm]."""
    return model.encode({"image": images}, prompts).tokens


def per_image_loop(model: SemanticAlignment, images: torch.Tensor, prompts: list[str]) -> torch.Tensor:
    """The released semantics, image by image: both streams through every layer for each image."""
    bert, layers = model.Qformer.bert, model.Qformer.bert.num_layers
    text = model.tokenizer(prompts, padding="longest", return_tensors="pt").to(images.device)
    features = [model.ln_vision(model.visual_encoder(images[:, :, n])) for n in range(images.shape[2])]
    scores = torch.stack([model.adaptive_adjustment.linear_a(feature) for feature in features])
    context = sum(weight * feature for weight, feature in zip(scores.softmax(dim=0), features, strict=True))
    blocks = []
    for feature in features:
        q = w = bert.embed(model.query_tokens, text.input_ids)
        for number in range(1, layers + 1):
            if number == layers:
                w = bert.run_layers(number, number, w + model.w_former.linear_h(q), None, context)
                q = bert.run_layers(number, number, q + model.w_former.linear_c(w), None, feature)
            else:
                w = bert.run_layers(number, number, w, None, context)
                q = bert.run_layers(number, number, q, None, feature)
        blocks.append(model.llm_proj(q[:, : bert.num_queries]))
    return torch.cat(blocks, dim=1)


def run(method: Method, model: SemanticAlignment, images: torch.Tensor, backward: bool) -> None:
    """One pass, with or without the backward pass."""
    prompts = [PROMPT] * len(images)
    if not backward:
        with torch.no_grad():
            method(model, images, prompts)
        return
    method(model, images, prompts).square().mean().backward()
    model.zero_grad(set_to_none=True)


def seconds(task: Callable[[], None], device: str) -> float:
    """Seconds of one turn: wall-clock on a GPU, the process's CPU seconds on a CPU."""
    if device != "cuda":
        start = time.process_time()
        task()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    task()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_megabytes(task: Callable[[], None], device: str) -> float:
    """Most memory that lives at once during one turn, beyond what lived before."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        task()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with StorageCounter() as counter:
        task()
    return counter.peak / 2**20


class StorageCounter(TorchDispatchMode):
    """Counts the bytes of all storages that operations allocate while it is on; `peak` is the most at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if not isinstance(tensor, torch.Tensor):
                continue
            storage = tensor.untyped_storage()
            if id(storage) in given or storage in self._known:
                continue  # a view, or an operation in place
            self._known.add(storage)
            self.live += storage.nbytes()
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._release, storage.nbytes())
        return output

    def _release(self, size: int) -> None:
        self.live -= size


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every number of images, forward alone and with backward."""
    guided = build(args.sizes, args.device, args.precision)
    plain = build(args.sizes, args.device, args.precision, extractor="none")
    plain.load_state_dict(guided.state_dict(), strict=False)
    check_agreement(guided, args.device)
    size, rows = guided.visual_encoder.image_size, []
    for count in args.images:
        images = torch.randn(args.batch, 3, count, size, size, device=args.device)
        for backward in (False, True):
            tasks = {
                "ours": lambda images=images, backward=backward: run(batched, guided, images, backward),
                "loop": lambda images=images, backward=backward: run(per_image_loop, guided, images, backward),
                "unguided": lambda images=images, backward=backward: run(batched, plain, images, backward),
            }
            rows.append(measure_turns(tasks, args) | {"N": count, "backward": backward})
            print(describe(rows[-1]), flush=True)
    return rows


def measure_turns(tasks: dict[str, Callable[[], None]], args: argparse.Namespace) -> dict[str, Any]:
    """Let the tasks take turns and compare them turn by turn."""
    for task in tasks.values():
        task()
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(args.turns):
        for name, task in tasks.items():
            times[name].append(seconds(task, args.device))
    memory = {name: round(peak_megabytes(task, args.device), 1) for name, task in tasks.items()}
    ratios = {
        other: sorted(theirs / ours for theirs, ours in zip(times[other], times["ours"], strict=True))
        for other in ("loop", "unguided")
    }
    return {
        "median_seconds": {name: round(statistics.median(values), 5) for name, values in times.items()},
        "peak_megabytes": memory,
        "loop_over_ours": summary(ratios["loop"]),
        "unguided_over_ours": summary(ratios["unguided"]),
        "memory_loop_over_ours": round(memory["loop"] / memory["ours"], 3),
    }


def summary(ratios: list[float]) -> dict[str, float]:
    """Median and range of the turns' ratios."""
    return {
        "median": round(statistics.median(ratios), 3),
        "min": round(ratios[0], 3),
        "max": round(ratios[-1], 3),
    }


def check_agreement(model: SemanticAlignment, device: str) -> None:
    """The two sides must compute the same thing, or their times mean nothing."""
    size = model.visual_encoder.image_size
    images = torch.randn(2, 3, 3, size, size, device=device)
    with torch.no_grad():
        ours, loop = (method(model, images, [PROMPT] * 2) for method in (batched, per_image_loop))
    difference = float((ours - loop).norm() / loop.norm())
    limit = 1e-4 if model.visual_encoder.blocks[0].attn.qkv.weight.dtype is torch.float32 else 2e-2
    if not difference < limit:
        raise SystemExit(f"the two sides differ by {difference:.2e} (limit {limit:.0e}); nothing was measured")


def describe(row: dict[str, Any]) -> str:
    """One line of the report."""
    what = "forward + backward" if row["backward"] else "forward"
    return (
        f"N = {row['N']:2d}  {what:18s}  loop / ours {row['loop_over_ours']['median']:5.2f}x"
        f"  unguided / ours {row['unguided_over_ours']['median']:4.2f}x"
        f"  memory loop / ours {row['memory_loop_over_ours']:4.2f}x"
    )


def machine(device: str) -> dict[str, Any]:
    """What the figures were made on."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", choices=SIZES, default="reduced")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--images", type=int, nargs="+", default=[2, 5, 10], help="numbers of images N")
    parser.add_argument("--batch", type=int, default=2, help="samples B")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(args)
    report = {
        "settings": {key: value for key, value in vars(args).items() if key != "out"},
        "machine": machine(args.device),
        "results": rows,
    }
    if args.out:
        write_json(args.out, report)
    else:
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
