"""One command for a machine with a GPU: what training steps and evaluation cost there, within nine minutes.

    python benchmarks/gpu.py                    # Vicuna-7B's sizes, bf16, on the first GPU
    python benchmarks/gpu.py --size tiny --device cpu --out output      # that it runs; no figure of it is a GPU's

Weights are random, so nothing is fetched: it wants Python with torch, transformers, safetensors, omegaconf and
sentencepiece, and neither LAVIS nor a network. After each measurement gpu_<card>.json and gpu_<card>.md are written
anew and whole; what the time or the memory does not allow is listed as such, and the rest is kept.

Measured, for each number of images and with and without gradient checkpointing, forward and backward of

- `ours`, and `cached`, the same with the ViT's features given, as a feature cache gives them;
- `unguided`, ours without SAM's guidance (InstructBLIP): what guidance costs is the difference;
- `released`, the released code's semantics (without checkpointing alone, which that way of calling the language model
  does not use), and `instructblip_video`, transformers' model of the same sizes; train_step.py says what each of them
  computes. The losses of `ours`, `cached` and `released` are compared first.

They share a process and take turns; ratios are the medians of the turns' own ratios. Then 5-beam evaluation, images to
text, with the prompt's keys and values kept once a sample, and with a row for each beam (generation.py). Utilisation is
the step's planned matrix products, without those that checkpointing repeats, over time and over what one large matrix
product reaches on this card. Beside each figure stands what `lavis-sam plan` says of it.
"""

import argparse
import gc
import json
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1]))  # lavis_sam need not be installed
sys.path.insert(0, str(Path(__file__).parent))
import instructblip_video
import train_step
from generation import RowByRow
from gpu_report import Report, TimeIsOverError, time_limit
from visual_path import peak_megabytes, seconds

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.memory import is_out_of_memory
from lavis_sam.models.decoding import Decoding
from lavis_sam.models.language.language_model import TransformersLanguageModel
from lavis_sam.models.released_search import generate
from lavis_sam.models.sizes import ModelSizes
from lavis_sam.planning.feature_cache import plan_cache
from lavis_sam.planning.forecast import PARTS, Load, make_plan
from lavis_sam.weights.build_model import PRECISIONS

MEGABYTE, TERA = 2**20, 1e12
# Of the matrix product that a card's peak is measured with.
PEAK_SIZE = {"real": 8192, "tiny": 512}
Step = Callable[[], Any]


def measured_peak(args: argparse.Namespace) -> float:
    """Products and sums a second of the best of ten large matrix products."""
    size = PEAK_SIZE[args.sizes]
    left, right = (torch.randn(size, size, device=args.device).to(PRECISIONS[args.precision]) for _ in range(2))
    left @ right
    times = [seconds(lambda: torch.matmul(left, right), args.device) for _ in range(10)]
    return 2 * size**3 / min(times)


def batch(args: argparse.Namespace, cfg: dict[str, Any], images: int) -> dict[str, Any]:
    """Samples with so many images each."""
    size = cfg["sizes"]["vision"]["image_size"]
    generator = torch.Generator().manual_seed(images)
    return {
        "image": torch.rand(args.batch, 3, images, size, size, generator=generator).to(args.device),
        "text_input": [train_step.PROMPT] * args.batch,
        "text_output": [train_step.ANSWER] * args.batch,
    }


def with_features(model: Any, samples: dict[str, Any]) -> dict[str, Any]:
    """The same samples with the ViT's features in the place of images."""
    with torch.no_grad():
        features = model.encode(samples, samples["text_input"]).features
    count, number = samples["image"].shape[0], samples["image"].shape[2]
    texts = {name: samples[name] for name in ("text_input", "text_output")}
    mask = torch.ones(count, number, dtype=torch.bool, device=features.device)
    return {"image_features": features.unflatten(0, (count, number)), "image_mask": mask, **texts}


def unguided(model: Any, samples: dict[str, Any]) -> torch.Tensor:
    """The loss without guidance."""
    guidance = model.guidance
    model.guidance = replace(guidance, extractor="none")
    try:
        return train_step.ours(model, samples)
    finally:
        model.guidance = guidance


def check_losses(args: argparse.Namespace, model: Any, samples: dict[str, Any], cached: dict[str, Any]) -> None:
    """Raise where ways that should compute one value do not."""
    with torch.no_grad():
        wanted = float(train_step.ours(model, samples))
        found = {"cached": train_step.ours(model, cached), "released": train_step.released(model, samples)}
    for name, loss in found.items():
        if abs(float(loss) - wanted) > train_step.LOSS_TOLERANCE[args.precision] * abs(wanted):
            raise SystemExit(f"the losses differ: ours {wanted}, {name} {float(loss)}")


def step_rows(
    args: argparse.Namespace, cfg: dict[str, Any], model: Any, other: Any, images: int, peak: float
) -> list[dict[str, Any]]:
    """Steps of every contender for one number of images, in turns."""
    samples = batch(args, cfg, images)
    cached = with_features(model, samples)
    check_losses(args, model, samples, cached)
    steps: dict[str, Step] = {
        "ours": lambda: train_step.step(train_step.ours, model, samples),
        "cached": lambda: train_step.step(train_step.ours, model, cached),
        "unguided": lambda: train_step.step(unguided, model, samples),
    }
    if not args.gradient_checkpointing:
        steps["released"] = lambda: train_step.step(train_step.released, model, samples)
    if other is not None:
        given = instructblip_video.inputs(other, model, samples)
        steps["instructblip_video"] = lambda: train_step.step(instructblip_video.loss, other, given)
    turns: dict[str, list[float]] = {name: [] for name in steps}
    for task in steps.values():
        task()  # what a first step sets up is no step's cost
    for _ in range(args.turns):
        for name, task in steps.items():
            turns[name].append(seconds(task, args.device))
    load = Load(
        batch=args.batch,
        images=images,
        text_tokens=len(model.llm_tokenizer.encode(train_step.PROMPT)),
        target_tokens=int(model(samples)["target_tokens"][0]),
    )
    plan = make_plan(cfg, load)
    flops = make_plan({**cfg, "gradient_checkpointing": False}, load).flops["step"]
    saved = plan_cache(cfg, RunSettings(feature_cache="features"), load, None)
    products = {"ours": flops, "cached": flops - (saved.saved_flops if saved else 0)}
    planned = (plan.memory["activations"] + plan.memory["gradients"]) / MEGABYTE
    rows = []
    for name, task in steps.items():
        median = statistics.median(turns[name])
        rows.append(
            {
                "images": images,
                "step": name,
                "seconds": median,
                "samples/s": args.batch / median,
                "time / ours": statistics.median(a / b for a, b in zip(turns[name], turns["ours"], strict=True)),
                "peak MB beyond weights": peak_megabytes(task, args.device),
                "planned MB": planned if name == "ours" else None,
                "planned TFLOP": products[name] / TERA if name in products else None,
                "utilisation": products[name] / median / peak if name in products else None,
            }
        )
    return rows


def evaluation_rows(args: argparse.Namespace, cfg: dict[str, Any], model: Any, images: int) -> list[dict[str, Any]]:
    """Images to text with 5 beams, both ways of keeping the prompt, in turns."""
    samples = batch(args, cfg, images)
    decoding = Decoding(num_beams=5, max_length=args.answer_tokens + 1, min_length=args.answer_tokens)
    prompts = samples["text_input"]

    def search(language: Any) -> list[str]:
        with torch.no_grad():
            visual = model.encode(samples, prompts)
            return generate(language, model.llm_tokenizer, visual.tokens, visual.token_mask, prompts, decoding).texts

    ways = {"shared": TransformersLanguageModel(model.llm_model), "a row a beam": RowByRow(model.llm_model)}
    texts = {name: search(language) for name, language in ways.items()}
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.turns):
        for name, language in ways.items():
            turns[name].append(seconds(lambda language=language: search(language), args.device))
    load = Load(images=images, eval_batch=args.batch, text_tokens=len(model.llm_tokenizer.encode(prompts[0])))
    cache = make_plan(cfg, load, {"num_beams": 5, "max_length": decoding.max_length}).memory["kv_cache"] / MEGABYTE
    return [
        {
            "images": images,
            "prompt kept": name,
            "samples/s": args.batch / statistics.median(turns[name]),
            "time / shared": statistics.median(a / b for a, b in zip(turns[name], turns["shared"], strict=True)),
            "peak MB beyond weights": peak_megabytes(lambda language=language: search(language), args.device),
            "planned MB of keys and values": cache if name == "shared" else None,
            "same texts": texts[name] == texts["shared"],  # half precision may decide close beams otherwise
        }
        for name, language in ways.items()
    ]


def weight_rows(cfg: dict[str, Any], model: Any) -> list[dict[str, Any]]:
    """The weights' bytes by part, and as planned."""
    planned = make_plan(cfg, Load()).memory["weights"]
    found = dict.fromkeys(PARTS, 0)
    for name, parameter in model.named_parameters():
        part = next(part for part, names in PARTS.items() if name.startswith(names))
        found[part] += parameter.numel() * parameter.element_size()
    return [{"part": part, "MB": found[part] / MEGABYTE, "planned MB": planned[part] / MEGABYTE} for part in PARTS]


def free(args: argparse.Namespace) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if args.device == "cuda":
        torch.cuda.empty_cache()


def fitting(report: Report, name: str, make: Callable[[], Any]) -> Any:
    """What `make` returns; None where this card's memory is too small for it, which the report then says."""
    print(f"{report.seconds():6.1f} s  {name}", flush=True)
    try:
        return make()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        report.missing[name] = "out of memory on this card"
        report.write()
    return None


def attempt(report: Report, name: str, measurement: Callable[[], list[dict[str, Any]]]) -> None:
    """Keep the rows of a section that fits into memory."""
    rows = fitting(report, name, measurement)
    if rows is not None:
        report.add(name, rows)


def measure(args: argparse.Namespace, report: Report) -> None:
    """Everything, without gradient checkpointing and with it."""
    peak = measured_peak(args)
    report.add("Matrix product", [{"size": PEAK_SIZE[args.sizes], "measured TFLOP/s": peak / TERA}])
    for checkpointing in (False, True):
        args.gradient_checkpointing = checkpointing
        measure_model(args, report, peak, "with" if checkpointing else "without")
        free(args)


def measure_model(args: argparse.Namespace, report: Report, peak: float, way: str) -> None:
    """The sections of a model."""
    cfg = train_step.model_cfg(args)
    model = fitting(report, f"The model, {way} gradient checkpointing", lambda: train_step.build(args, cfg))
    if model is None:
        return
    if way == "without":
        attempt(report, "Weights by part", lambda: weight_rows(cfg, model))
    measure_steps(args, report, cfg, model, peak, way)
    if way == "without":
        model.eval()
        for images in args.images[:2]:
            name = f"Evaluation, 5 beams, N = {images}"
            attempt(report, name, lambda images=images: evaluation_rows(args, cfg, model, images))
            free(args)


def measure_steps(
    args: argparse.Namespace, report: Report, cfg: dict[str, Any], model: Any, peak: float, way: str
) -> None:
    """The sections of a model's training steps, beside transformers' model."""
    other = fitting(report, f"InstructBlipVideo, {way} gradient checkpointing", lambda: build_other(args, cfg))
    for images in args.images:
        name = f"Training step, N = {images}, {way} gradient checkpointing"
        attempt(report, name, lambda images=images: step_rows(args, cfg, model, other, images, peak))
        free(args)


def build_other(args: argparse.Namespace, cfg: dict[str, Any]) -> Any:
    """transformers' InstructBlipVideo of the same sizes."""
    return instructblip_video.build(
        ModelSizes.from_mapping(cfg["sizes"]),
        dtype=PRECISIONS[args.precision],
        device=args.device,
        gradient_checkpointing=args.gradient_checkpointing,
    )


def read_arguments(words: list[str] | None) -> argparse.Namespace:
    """The command's options; a machine without a GPU is refused unless the tiny size is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", dest="sizes", choices=train_step.MODEL_TYPES, default="real")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--precision", choices=PRECISIONS, help="by default bf16 on a GPU, fp32 on a CPU")
    parser.add_argument("--images", type=int, nargs="+", default=[2, 5, 10], help="numbers of images of a sample")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--answer-tokens", type=int, default=32, help="of each answer in evaluation")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=520.0, help="the most that the whole command takes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder")
    args = parser.parse_args(words)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU here; `--size tiny --device cpu` shows that the command runs")
    if args.device == "cpu" and args.sizes == "real":
        parser.error("--device cpu: the real sizes want hours and 30 GB; take --size tiny")
    args.precision = args.precision or ("bf16" if args.device == "cuda" else "fp32")
    return args


def main(words: list[str] | None = None) -> None:
    """Measure until all is measured or the time is over; both files are there in any case."""
    args = read_arguments(words)
    is_gpu = args.device == "cuda"
    card = torch.cuda.get_device_name() if is_gpu else "cpu"
    machine = {
        "device": card,
        "is_gpu": is_gpu,
        "memory_gb": torch.cuda.get_device_properties(0).total_memory / 1e9 if is_gpu else None,
        "precision": args.precision,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    report = Report(args.out, card, {"settings": settings, "machine": machine})
    try:
        with time_limit(args.seconds):
            measure(args, report)
    except TimeIsOverError as error:
        report.missing["what would have followed"] = str(error)
    report.missing["torch.compile"] = "compiling every shape takes longer than this command may"
    report.write()
    print(report.table())
    print(json.dumps(report.as_dict()["cost"]))


if __name__ == "__main__":
    main()
