"""What a feature cache saves of a training step, and what storing features in less precision does to the loss.

    python benchmarks/feature_cache.py --out output/feature_cache.json

Two models of the same weights train on the same samples, one from image files and one from the cache that it filled
before, in one process and in turns; the ratios are the medians of the turns' own ratios, in CPU seconds of one thread.
Both sides make their batches in this process, from the data set to the tensors (decoding and cropping here, reading the
mapped file there), and tokenise. Before anything is measured, their losses and gradients must be equal bit by bit.

"medium" is a model that a CPU can wait for, in which the ViT has the share of a step's FLOPs that it has at the real
sizes (`vision_share` beside `real.vision_share`, both counted). Errors of the other precisions are those of the loss,
of the visual tokens and of the gradient at random weights.
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import Compose, Normalize, RandomResizedCrop, ToTensor

sys.path.insert(0, str(Path(__file__).parent))
from machine import describe_machine
from train_step import ANSWER, PROMPT
from train_step import model_cfg as packaged_cfg
from visual_path import seconds

from lavis_sam.config.run_settings import RunSettings
from lavis_sam.datasets.images import IMAGE_MEAN, IMAGE_STD
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.features.precision import TYPES, entry_bytes
from lavis_sam.features.run_features import connect_features
from lavis_sam.files import write_json
from lavis_sam.models.semantic_alignment import SemanticAlignment
from lavis_sam.models.sizes import LanguageSizes, ModelSizes, QFormerSizes, VisionSizes
from lavis_sam.planning.feature_cache import plan_cache
from lavis_sam.planning.forecast import Load, make_plan
from lavis_sam.weights.build_model import build_model

SIZES = {
    "tiny": ModelSizes(
        VisionSizes(image_size=56, width=64, depth=2, heads=2, mlp_ratio=4.0),
        QFormerSizes(width=64, layers=4, heads=2, intermediate=128, vocabulary=1500, max_positions=128, queries=8),
        LanguageSizes(width=96, layers=2, heads=2, intermediate=192, vocabulary=1501, max_positions=512),
    ),
    "medium": ModelSizes(
        VisionSizes(image_size=224, width=352, depth=8, heads=4),
        QFormerSizes(width=192, layers=12, heads=4, intermediate=768, vocabulary=1500, max_positions=128, queries=32),
        LanguageSizes(width=640, layers=12, heads=10, intermediate=1728, vocabulary=1501, max_positions=1024),
    ),
}
PHOTOGRAPH = (640, 480)


def model_cfg(name: str) -> dict[str, Any]:
    """The `model` node of an embedded model of these sizes."""
    cfg = packaged_cfg(argparse.Namespace(sizes="tiny", precision="fp32", gradient_checkpointing=False))
    layers = SIZES[name].q_former.layers
    return cfg | {"sizes": asdict(SIZES[name]), "guidance": {**cfg["guidance"], "layer_l": layers, "layer_k": layers}}


def build(name: str) -> SemanticAlignment:
    """A random model; SAM's layers away from zero, so that every path has a gradient."""
    model = build_model(model_cfg(name))
    torch.manual_seed(0)
    for parameter in (p for p in model.parameters() if p.requires_grad):
        torch.nn.init.normal_(parameter, std=0.02)
    return model.train()


def dataset(root: Path, args: argparse.Namespace) -> MultiImageDataset:
    """Samples of photographs' size, noise that JPEG can compress, cropped at random."""
    generator, samples = np.random.default_rng(0), []
    for number in range(args.batch):
        names = tuple(f"{number}-{position}.jpg" for position in range(args.images))
        for name in names:
            coarse = generator.integers(0, 256, (15, 20, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize(PHOTOGRAPH, Image.Resampling.BICUBIC).save(root / name)
        samples.append(MultiImageSample(number, names, PROMPT, ANSWER, (ANSWER,), "benchmark"))
    size = SIZES[args.sizes].vision.image_size
    crop = RandomResizedCrop(size, scale=(0.5, 1.0))
    return MultiImageDataset(samples, FolderImages(root), Compose([crop, ToTensor(), Normalize(IMAGE_MEAN, IMAGE_STD)]))


def connect(data: MultiImageDataset, model: SemanticAlignment, cache: Path | None, precision: str = "fp32") -> None:
    """Fixed crops; and features, where there is a cache."""
    run = RunSettings(
        feature_cache=None if cache is None else str(cache), feature_cache_precision=precision, feature_crops=2
    )
    features = connect_features(run, {"benchmark": {"train": data}}, model)
    if features is not None:
        features.prepare(model, torch.device("cpu"))


def step(model: SemanticAlignment, data: MultiImageDataset) -> torch.Tensor:
    """A batch, its loss, and the gradient."""
    model.zero_grad(set_to_none=True)
    loss = model(data.collater([data[index] for index in range(len(data))]))["loss"]
    loss.backward()
    return loss.detach()


def gradient(model: SemanticAlignment) -> torch.Tensor:
    """All of it, in a row."""
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Times in turns; errors of each precision; shares."""
    (folder / "images").mkdir()
    plain, model = dataset(folder / "images", args), build(args.sizes)
    connect(plain, model, None)
    loss = step(model, plain)
    wanted = gradient(model)
    sides, errors = {"images": (model, plain)}, {}
    for precision in TYPES:
        cached, other = dataset(folder / "images", args), build(args.sizes)
        connect(cached, other, folder / precision, precision)
        found = step(other, cached)
        errors[precision] = {
            "loss": abs(float(found / loss) - 1),
            "gradient": float((gradient(other) - wanted).norm() / wanted.norm()),
        }
        if precision == "fp32":
            sides["features"] = other, cached
            if not torch.equal(found, loss) or not torch.equal(gradient(other), wanted):
                raise SystemExit(f"the two sides differ: losses {float(loss)} and {float(found)}")
    turns: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.turns):
        for name, side in sides.items():
            turns[name].append(seconds(lambda side=side: step(*side), "cpu"))
    ratios = [images / features for images, features in zip(turns["images"], turns["features"], strict=True)]
    vision = SIZES[args.sizes].vision
    patches = (vision.image_size // vision.patch_size) ** 2 + 1
    return {
        "time_ratio": statistics.median(ratios),
        "time_ratios": ratios,
        "seconds": {name: statistics.median(values) for name, values in turns.items()},
        "parameters": {name: sum(p.numel() for p in side[0].parameters()) for name, side in sides.items()},
        "vision_share": share(model_cfg(args.sizes), args.images),
        "errors": errors,
        "entry_bytes": {name: entry_bytes(patches, vision.width, name) for name in TYPES},
        "real": real(),
    }


def share(cfg: dict[str, Any], images: int) -> float:
    """The ViT's part of a step's FLOPs."""
    load = Load(images=images)
    cache = plan_cache(cfg, RunSettings(feature_cache="x"), load, None)
    return cache.saved_flops / make_plan(cfg, load).flops["step"] if cache else 0.0


def real() -> dict[str, Any]:
    """The same share at Vicuna-7B's sizes for two and five images, and what the step's FLOPs shrink by."""
    cfg = packaged_cfg(argparse.Namespace(sizes="real", precision="bf16", gradient_checkpointing=False))
    shares = {str(images): share(cfg, images) for images in (2, 5)}
    return {"vision_share": shares, "flops_ratio": {name: 1 / (1 - value) for name, value in shares.items()}}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=SIZES, default="medium")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file; printed as well")
    args = parser.parse_args()
    torch.set_num_threads(1)
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(args, Path(folder))
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    report = {"settings": settings, "machine": machine, "results": results}
    print(json.dumps(report, indent=2))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
