"""What a training step costs: ours, and the same model run with the released semantics, side by side.

    python benchmarks/train_step.py                                   # the tiny model, CPU
    python benchmarks/train_step.py --sizes real --device cuda --precision bf16 --batch 5 --instructblip-video

"Released" is what the authors' code does in a step: image by image through ViT and Q-Former with both streams for each
image, and logits at every position of the sequence. As there, the ViT, the Q-Former and its queries are frozen and the
images need no gradient, so autograd records nothing before the first trained layer.
(The released forward itself cannot run backward: it adds in place; this one can.) Both share one process, one model and
one batch and take turns; the ratios are the medians of the turns' own ratios. On a CPU times are the process's own CPU
seconds on one thread and memory is a count of live storages; on a GPU wall-clock and PyTorch's own count. Neither
updates a weight, and the losses of the two are compared first.

With --instructblip-video, transformers' InstructBlipVideo of the same sizes takes turns too, on the same samples: see
instructblip_video.py.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers

sys.path.insert(0, str(Path(__file__).parent))
import instructblip_video
from machine import describe_machine
from visual_path import peak_megabytes, seconds

from lavis_sam.files import write_json
from lavis_sam.models.guidance import Guidance
from lavis_sam.models.language.language_model import build_language_model, enable_gradient_checkpointing
from lavis_sam.models.language.sequence import training_inputs
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.planning.forecast import Load, make_plan
from lavis_sam.weights.build_model import (
    PRECISIONS,
    build_visual_modules,
    initialise_vision,
    set_vision_precision,
)
from lavis_sam.weights.packaged import PACKAGE
from lavis_sam.weights.tokenizers import load_q_former_tokenizer, load_tokenizer

PROMPT = "Sum up the common factor in these images in a single statement."
ANSWER = "Both images show a cat that looks at the camera, on a wooden floor in the morning light."
MODEL_TYPES = {"tiny": "tiny", "real": "vicuna7b"}
# float32 on a CPU; half precision rounds the two orders of the same sums differently.
LOSS_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 1e-2}


def model_cfg(args: argparse.Namespace) -> dict[str, Any]:
    """The packaged `model` node of the chosen sizes."""
    from omegaconf import OmegaConf

    path = PACKAGE / "configs" / "models" / f"blip2_vicuna_sam_{MODEL_TYPES[args.sizes]}.yaml"
    cfg = OmegaConf.load(path).model
    cfg.precision, cfg.gradient_checkpointing = args.precision, args.gradient_checkpointing
    cfg.pretrained = cfg.vit_checkpoint = cfg.llm_model = cfg.finetuned = ""
    return OmegaConf.to_container(cfg, resolve=True)


def build(args: argparse.Namespace, cfg: dict[str, Any]) -> SemanticAlignment:
    """A random model of the sizes; SAM's layers away from zero, so that every path has a gradient."""
    folder, sizes = PACKAGE / "assets" / "tiny" / "tokenizers", ModelSizes.from_mapping(cfg["sizes"])
    torch.manual_seed(0)
    with torch.device(args.device):
        modules = build_visual_modules(sizes, gradient_checkpointing=args.gradient_checkpointing)
        initialise_vision(modules["visual_encoder"])
        torch.set_default_dtype(PRECISIONS[args.precision])  # 7 billion float32 numbers would not fit first
        llm_model = build_language_model(sizes.language)
        torch.set_default_dtype(torch.float32)
        set_vision_precision(modules["visual_encoder"], PRECISIONS[args.precision])
        if args.gradient_checkpointing:
            enable_gradient_checkpointing(llm_model)
        model = SemanticAlignment(
            **modules,
            llm_model=llm_model,
            tokenizer=load_q_former_tokenizer(folder),
            llm_tokenizer=load_tokenizer(folder),
            guidance=Guidance.from_mapping(cfg["guidance"]).at_depth(sizes.q_former.layers),
        )
    for parameter in (p for p in model.parameters() if p.requires_grad):
        torch.nn.init.normal_(parameter, std=0.02)
    return model.train()


def ours(model: SemanticAlignment, samples: dict[str, Any]) -> torch.Tensor:
    """The loss as the package computes it."""
    return model(samples)["loss"]


def released(model: SemanticAlignment, samples: dict[str, Any]) -> torch.Tensor:
    """The loss with the released semantics."""
    images, prompts = samples["image"], samples["text_input"]
    bert, last = model.Qformer.bert, model.guidance.layer_k
    text = model.tokenizer(prompts, padding="longest", return_tensors="pt").to(images.device)
    features = [model.ln_vision(model.visual_encoder(images[:, :, n])) for n in range(images.shape[2])]
    scores = torch.stack([model.adaptive_adjustment.linear_a(feature) for feature in features])
    context = sum(weight * feature for weight, feature in zip(scores.softmax(dim=0), features, strict=True))
    blocks = []
    for feature in features:
        q = w = bert.embed(model.query_tokens, text.input_ids)
        for number in range(1, bert.num_layers + 1):
            if number == last:
                w = bert.run_layers(number, number, w + model.w_former.linear_h(q), None, context)
                q = q + model.w_former.linear_c(w)
            elif number < last:
                w = bert.run_layers(number, number, w, None, context)
            q = bert.run_layers(number, number, q, None, feature)
        blocks.append(model.llm_proj(q[:, : bert.num_queries]))
    tokens = torch.cat(blocks, dim=1)
    inputs = training_inputs(
        model.llm_model,
        model.llm_tokenizer,
        tokens,
        torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device),
        prompts,
        samples["text_output"],
        max_txt_len=model.max_txt_len,
        max_output_txt_len=model.max_output_txt_len,
    )
    logits = model.llm_model(
        inputs_embeds=inputs.inputs_embeds,
        attention_mask=inputs.attention_mask,
        position_ids=inputs.position_ids,
        use_cache=False,
    ).logits.float()
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), inputs.labels[:, 1:].flatten(), ignore_index=-100)


def step(method: Callable[..., torch.Tensor], model: torch.nn.Module, samples: dict[str, Any]) -> None:
    """Forward and backward."""
    method(model, samples).backward()
    model.zero_grad(set_to_none=True)


def contenders(
    args: argparse.Namespace, cfg: dict[str, Any], model: SemanticAlignment, samples: dict[str, Any]
) -> dict[str, Callable[[], None]]:
    """Name -> a step of it."""
    steps = {method.__name__: lambda m=method: step(m, model, samples) for method in (ours, released)}
    if args.instructblip_video:
        other = instructblip_video.build(
            ModelSizes.from_mapping(cfg["sizes"]),
            dtype=PRECISIONS[args.precision],
            device=args.device,
            gradient_checkpointing=args.gradient_checkpointing,
        )
        given = instructblip_video.inputs(other, model, samples)
        steps["instructblip_video"] = lambda: step(instructblip_video.loss, other, given)
    return steps


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Times, peaks, ratios, and what share of the planned FLOPs' time ours takes."""
    cfg = model_cfg(args)
    model = build(args, cfg)
    size = cfg["sizes"]["vision"]["image_size"]
    generator = torch.Generator().manual_seed(1)
    samples = {
        "image": torch.rand(args.batch, 3, args.images, size, size, generator=generator).to(args.device),
        "text_input": [PROMPT] * args.batch,
        "text_output": [ANSWER] * args.batch,
    }
    losses = {method.__name__: float(method(model, samples).detach()) for method in (ours, released)}
    if abs(losses["ours"] - losses["released"]) > LOSS_TOLERANCE[args.precision] * abs(losses["ours"]):
        raise SystemExit(f"the two losses differ: {losses}")
    steps = contenders(args, cfg, model, samples)
    turns: dict[str, list[float]] = {name: [] for name in steps}
    for task in steps.values():
        task()  # what a first step sets up is no step's cost
    for _ in range(args.turns):
        for name, task in steps.items():
            turns[name].append(seconds(task, args.device))
    peaks = {name: peak_megabytes(task, args.device) for name, task in steps.items()}
    ratios = {
        name: statistics.median(other / mine for mine, other in zip(turns["ours"], values, strict=True))
        for name, values in turns.items()
    }
    tokens = int(model(samples)["target_tokens"][0])
    load = Load(
        batch=args.batch,
        images=args.images,
        text_tokens=len(model.llm_tokenizer.encode(PROMPT)),
        target_tokens=tokens,
    )
    flops, median = make_plan(cfg, load).flops["step"], statistics.median(turns["ours"])
    return {
        "loss": losses,
        "seconds": {name: statistics.median(values) for name, values in turns.items()},
        "peak_megabytes": peaks,
        "time_ratio_over_ours": ratios,
        "memory_ratio_over_ours": {name: peak / peaks["ours"] for name, peak in peaks.items()},
        "samples_per_second": {name: args.batch / statistics.median(values) for name, values in turns.items()},
        "planned_flops": flops,
        "flops_per_second": flops / median,
        "flop_utilisation": flops / median / args.peak_flops if args.peak_flops else None,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=MODEL_TYPES, default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--instructblip-video", action="store_true", help="compare with transformers' model too")
    parser.add_argument(
        "--peak-flops", type=float, help="the device's FLOPs a second in this precision, for utilisation"
    )
    parser.add_argument("--out", type=Path, help="JSON file; printed as well")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    machine = describe_machine(args.device, transformers=transformers.__version__)
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    report = {"settings": settings, "machine": machine, "results": measure(args)}
    print(json.dumps(report, indent=2))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
