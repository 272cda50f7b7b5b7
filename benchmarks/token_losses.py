"""What the head and the loss of the target tokens need: at all positions, at the targets at once, and in blocks.

    python benchmarks/token_losses.py --out output/token_losses.json

Memory is counted, not estimated: the code runs forward and backward at Vicuna-7B's head (bf16, frozen) on tensors
without storage, and what lives at once is added up, the hidden states that the language model gives not included. "all
positions" is transformers' own way, "at once" what the package did before, "blocks" what it does. FLOPs are those of
the head, beside those of the language model's layers for the same sequence.

That the three give the same losses and gradients is a test (tests/models/language/test_token_losses.py).
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lavis_sam.files import write_json
from lavis_sam.models.language import token_losses as module
from lavis_sam.planning.forecast import LiveBytes, counted_flops

WIDTH, VOCABULARY = 4096, 32001
# Vicuna-7B's layers without the head and the embedding.
LAYER_WEIGHTS = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)


class Head:
    """The head of a language model, as `LanguageModel` has it."""

    def __init__(self) -> None:
        self.linear = nn.Linear(WIDTH, VOCABULARY, bias=False, device="meta", dtype=torch.bfloat16)
        self.linear.requires_grad_(False)

    def logits(self, states: Tensor) -> Tensor:
        """Float32."""
        return self.linear(states).float()


def all_positions(head: Head, states: Tensor, targets: int) -> Tensor:
    """Logits at prompt positions too, whose labels are ignored."""
    labels = torch.zeros(len(states), dtype=torch.long, device="meta")
    return F.cross_entropy(head.logits(states), labels, ignore_index=-100)


def at_once(head: Head, states: Tensor, targets: int) -> Tensor:
    """Logits of all targets."""
    labels = torch.zeros(targets, dtype=torch.long, device="meta")
    return F.cross_entropy(head.logits(states[-targets:]), labels, reduction="none").mean()


def in_blocks(head: Head, states: Tensor, targets: int) -> Tensor:
    """The package's way."""
    labels = torch.zeros(targets, dtype=torch.long, device="meta")
    return module.token_losses(head, states[-targets:], labels).mean()


WAYS: dict[str, Callable[[Head, Tensor, int], Tensor]] = {
    "all positions": all_positions,
    "at once": at_once,
    "blocks": in_blocks,
}


def measure(way: Callable[[Head, Tensor, int], Tensor], prompt: int, targets: int) -> tuple[int, int]:
    """The most bytes at once beyond the states, and the FLOPs of the head."""

    def states() -> Tensor:
        return torch.empty(prompt + targets, WIDTH, device="meta", dtype=torch.bfloat16, requires_grad=True)

    head, given = Head(), states()
    with LiveBytes("meta") as live:
        way(head, given, targets).backward()
    with counted_flops() as flops:
        way(head, states(), targets).backward()
        return live.peak, flops()


def rows(prompt: int, lengths: list[int]) -> list[dict[str, Any]]:
    """A row for each number of target tokens."""
    found = []
    for targets in lengths:
        bytes_, flops = {}, {}
        for name, way in WAYS.items():
            bytes_[name], flops[name] = measure(way, prompt, targets)
        layers = 4 * LAYER_WEIGHTS * (prompt + targets)  # forward, and the gradient of the inputs
        more = (flops["blocks"] - flops["at once"]) / (layers + flops["at once"])
        found.append({"target_tokens": targets, "bytes": bytes_, "head_flops": flops, "more_flops_of_a_step": more})
    return found


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", type=int, default=768, help="positions before the targets, of the whole batch")
    parser.add_argument("--targets", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--out", type=Path, help="JSON file; printed as well")
    args = parser.parse_args()
    report = {
        "settings": {"prompt": args.prompt, "block": module.BLOCK, "width": WIDTH, "vocabulary": VOCABULARY},
        "torch": torch.__version__,
        "results": rows(args.prompt, args.targets),
    }
    print(json.dumps(report, indent=2))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
