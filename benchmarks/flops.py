"""What the released semantics compute more than ours at the real sizes: matrix products, counted, part by part.

    python benchmarks/flops.py                                         # Vicuna-7B's sizes; neither weights nor a GPU

Both ways run on PyTorch's meta device, where tensors have a shape and no storage, so the numbers are exact and the same
everywhere. They are no times: what is memory-bound, and how well a GPU is used by small products, is not in them.
visual_path.py and train_step.py measure times, at sizes that a CPU can wait for.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))
from train_step import model_cfg
from visual_path import PROMPT, batched, per_image_loop

from lavis_sam.files import write_json
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.planning.forecast import Load, counted_flops, planned_model, step_loss


def visual_path(method: Callable[..., torch.Tensor], model: SemanticAlignment, images: torch.Tensor) -> dict[str, int]:
    """FLOPs of the visual path's forward pass, those of the ViT among them, and of its backward pass."""
    with counted_flops() as flops:
        with torch.no_grad():
            model.visual_encoder(images[:, :, 0].to("meta"))
        vision = flops() * images.shape[2]
    with counted_flops() as flops:
        tokens = method(model, images, [PROMPT] * len(images))
        forward = flops()
        tokens.sum().backward()
        backward = flops() - forward
    model.zero_grad(set_to_none=True)
    return {"vision": vision, "after_vision": forward - vision, "backward": backward}


def released_step(model: SemanticAlignment, images: torch.Tensor, load: Load) -> int:
    """FLOPs of a training step with the released semantics: the loop, and logits at every position."""
    llm: Any = model.llm_model
    with counted_flops() as flops:
        tokens = per_image_loop(model, images, [" ".join(["a"] * (load.text_tokens - 2))] * load.batch)
        words = llm.get_input_embeddings()
        ids = torch.zeros(load.batch, load.text_tokens + load.target_tokens, dtype=torch.long, device="meta")
        embeds = torch.cat((tokens.to(words.weight), words(ids)), dim=1)
        mask = torch.ones(load.batch, 1, embeds.shape[1], embeds.shape[1], dtype=torch.bool, device="meta")
        hidden = llm.model(inputs_embeds=embeds, attention_mask=mask, use_cache=False).last_hidden_state
        logits = llm.lm_head(hidden).float().flatten(0, 1)
        F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device="meta")).backward()
        total = flops()
    model.zero_grad(set_to_none=True)
    return total


def our_step(model: SemanticAlignment, load: Load) -> int:
    """FLOPs of a training step of ours."""
    with counted_flops() as flops:
        step_loss(model, load).backward()
        total = flops()
    model.zero_grad(set_to_none=True)
    return total


def count(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for every number of images."""
    model, rows = planned_model(model_cfg(args)), []
    size = model.visual_encoder.image_size
    for number in args.images:
        load = Load(batch=args.batch, images=number)
        images = torch.zeros(()).expand(args.batch, 3, number, size, size)  # ours looks which are padding: on the CPU
        ways = {
            "ours": visual_path(batched, model, images),
            "released": visual_path(per_image_loop, model, images.to("meta")),
        }
        steps = {"ours": our_step(model, load), "released": released_step(model, images.to("meta"), load)}
        forward = {name: parts["vision"] + parts["after_vision"] for name, parts in ways.items()}
        whole = {name: forward[name] + parts["backward"] for name, parts in ways.items()}
        rows.append(
            {
                "N": number,
                "visual_path": ways,
                "vision_share_of_ours": round(ways["ours"]["vision"] / forward["ours"], 3),
                "visual_path_forward_released_over_ours": round(forward["released"] / forward["ours"], 3),
                "visual_path_with_backward_released_over_ours": round(whole["released"] / whole["ours"], 3),
                "training_step": steps,
                "training_step_released_over_ours": round(steps["released"] / steps["ours"], 3),
            }
        )
    return rows


def main() -> None:
    """Count, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=("tiny", "real"), default="real")
    parser.add_argument("--images", type=int, nargs="+", default=[2, 5, 10], help="numbers of images N")
    parser.add_argument("--batch", type=int, default=1, help="samples B")
    parser.add_argument("--out", type=Path, help="JSON file; printed as well")
    args = parser.parse_args()
    settings = {"sizes": args.sizes, "images": args.images, "batch": args.batch, "text_tokens": 32, "target_tokens": 32}
    args.precision, args.gradient_checkpointing = "bf16", False
    report = {"settings": settings, "results": count(args)}
    print(json.dumps(report, indent=2))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
