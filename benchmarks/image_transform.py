"""What `fast: true` of the training processor saves: decoding, and the transform both ways, in one process.

    python benchmarks/image_transform.py --out output/image_transform.json

JPEGs of two sizes, made of a photograph that ships with the package. Times are medians of the process's CPU
milliseconds on one thread; Pillow's decoder is beside torchvision's `decode_jpeg`, which the package does not use
(`decoders_differ` says by how much a pixel of theirs differs at most). `levels` counts values by how many of 256 shades
the two transforms are apart.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL import __version__ as pillow_version
from torchvision import __version__ as torchvision_version
from torchvision.io import ImageReadMode, decode_jpeg

from lavis_sam.datasets.images import IMAGE_STD
from lavis_sam.datasets.multi_image import drawing_from
from lavis_sam.files import write_json
from lavis_sam.plugin.processors import SamImageTrainProcessor

PHOTOGRAPHS = Path(__file__).resolve().parents[1] / "lavis_sam" / "assets" / "photographs"
SIZES = ((640, 480), (1600, 1200))


def in_turns(tasks: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """CPU milliseconds of each, a run before not counted."""
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(turns + 1):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            if turn:
                found[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in found.items()}


def row(size: tuple[int, int], turns: int) -> dict[str, Any]:
    """One size."""
    source = Image.open(sorted(PHOTOGRAPHS.glob("*.jpg"))[0]).convert("RGB")
    file = io.BytesIO()
    ImageOps.fit(source, size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    content = file.getvalue()
    encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    image = Image.open(io.BytesIO(content)).convert("RGB")
    ways = {"default": SamImageTrainProcessor(), "fast": SamImageTrainProcessor(fast=True)}

    def transformed(name: str, seed: int) -> torch.Tensor:
        with drawing_from(seed):
            return ways[name](image)

    seeds = iter(range(10**6))
    tasks: dict[str, Callable[[], Any]] = {
        "decode_pillow": lambda: Image.open(io.BytesIO(content)).convert("RGB"),
        "decode_torchvision": lambda: decode_jpeg(encoded, mode=ImageReadMode.RGB),
        **{f"transform_{name}": lambda name=name: transformed(name, next(seeds)) for name in ways},
    }
    milliseconds = in_turns(tasks, turns)
    levels: dict[str, int] = {}
    shade = torch.tensor(IMAGE_STD)[:, None, None] * 255
    for seed in range(8):
        apart = (transformed("default", seed) - transformed("fast", seed)) * shade
        for level, count in zip(*np.unique(apart.abs().round().int().numpy(), return_counts=True), strict=True):
            levels[str(level)] = levels.get(str(level), 0) + int(count)
    both = [milliseconds[f"transform_{name}"] for name in ways]
    decode = milliseconds["decode_pillow"]
    apart_ = np.abs(np.asarray(image).astype(int) - tasks["decode_torchvision"]().permute(1, 2, 0).numpy())
    return {
        "size": size,
        "milliseconds": milliseconds,
        "transform_ratio": both[0] / both[1],
        "with_decoding_ratio": (decode + both[0]) / (decode + both[1]),
        "decoders_differ": int(apart_.max()),
        "levels": levels,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON file; printed as well")
    args = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"torch": torch.__version__, "torchvision": torchvision_version, "pillow": pillow_version}
    machine = versions | {"cpu": torch.backends.cpu.get_cpu_capability()}
    report = {
        "settings": {"turns": args.turns},
        "machine": machine,
        "results": [row(size, args.turns) for size in SIZES],
    }
    print(json.dumps(report, indent=2))
    if args.out:
        write_json(args.out, report)


if __name__ == "__main__":
    main()
