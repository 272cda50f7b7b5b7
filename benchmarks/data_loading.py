"""How fast samples arrive: our map-style set and our shards against a plain DataLoader, side by side.

    python benchmarks/data_loading.py                                        # 400 pairs of 640 x 480, 0 and 2 workers
    python benchmarks/data_loading.py --samples 60 --turns 2 --out output/data_loading.json

The plain one is what the authors' evaluation does: a data set that opens each image with Pillow and converts it to
RGB, and PyTorch's default collate. All three read the same images, use LAVIS's same evaluation processor, the same
batch size and the same number of workers, and take turns; ratios are medians of the turns' own ratios. Ours check each
image's size, EXIF orientation and transparency as well, compare checksums (shards), and pad.

Samples/s are wall-clock, and other programs of a shared machine disturb them: so the processor time of the process and
its workers is given as well, and the machine's load (of the benchmark alone, it is 1 or the number of workers). Files
are in the operating system's cache: on a disk or network that answers slowly, shards gain from being few and read in
long stretches, which shows here only as the cost of opening files.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torchvision
from lavis.processors.blip_processors import BlipImageEvalProcessor
from PIL import Image, ImageOps
from PIL import __version__ as pillow_version
from torch.utils.data import DataLoader, Dataset

import lavis_sam
from lavis_sam.datasets.annotations import read_annotations, write_annotations
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards import open_shards, write_shards
from lavis_sam.files import write_json
from lavis_sam.training.training_data import build_training_data

PHOTOGRAPHS = Path(lavis_sam.__path__[0]) / "assets" / "photographs"
INSTRUCTION, ANSWER = "What do both images have in common?", "Both images show a cup of coffee on a wooden table."


class PlainDataset(Dataset[dict[str, Any]]):
    """The authors' way of reading: one open per image, and nothing else."""

    def __init__(self, root: Path, records: list[dict[str, Any]], processor: Callable[[Image.Image], torch.Tensor]):
        self.root, self.records, self.processor = root, records, processor

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.records[index]
        images = [self.processor(Image.open(self.root / name).convert("RGB")) for name in record["img_list"]]
        return {
            "image": torch.stack(images, dim=1),
            "text_input": record["instruction"],
            "text_output": record["output"],
            "sample_id": record["id"],
        }


def make_data(folder: Path, args: argparse.Namespace) -> list[MultiImageSample]:
    """Pairs of JPEGs of the wanted size, each file different, made from the photographs that ship with the package."""
    sources = [Image.open(path).convert("RGB") for path in sorted(PHOTOGRAPHS.glob("*.jpg"))]
    samples = []
    for number in range(args.samples):
        names = tuple(f"{number:05d}_{k}.jpg" for k in range(args.images))
        for k, name in enumerate(names):
            source = sources[(number * args.images + k) % len(sources)]
            image = ImageOps.fit(source, (args.width, args.height), Image.Resampling.LANCZOS)
            image.paste((number % 256, k, number // 256), (0, 0, 8, 8))
            image.save(folder / name, quality=90)
        samples.append(MultiImageSample(number, names, INSTRUCTION, ANSWER, (ANSWER,), ""))
    write_annotations(folder / "annotations.json", samples)
    return samples


def epoch_of_ours(dataset: MultiImageDataset, batch_size: int, workers: int, epoch: int) -> Iterable[dict[str, Any]]:
    """An epoch's batches as a training run gets them."""
    options = {"batch_size": batch_size, "seed": 0, "rank": 0, "world_size": 1, "num_workers": workers}
    data = build_training_data([dataset], **options)
    data.start(epoch, seed=0)
    while data.remaining:
        yield data.next_batch().samples


def timed(batches: Iterable[dict[str, Any]], samples: int) -> tuple[float, float]:
    """(samples a second, milliseconds of processor time a sample) of one epoch, workers' start and end included."""
    begun, used = time.perf_counter(), processor_seconds()
    seen = sum(len(batch["sample_id"]) for batch in batches)
    seconds, processor = time.perf_counter() - begun, processor_seconds() - used
    if seen != samples:
        raise RuntimeError(f"found {seen} samples, wanted {samples}")
    return seen / seconds, 1000 * processor / seen


def processor_seconds() -> float:
    """Of this process and of all its workers that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in usage)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every number of workers; the three take turns."""
    processor = BlipImageEvalProcessor(image_size=224)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        samples = make_data(folder, args)
        write_shards(samples, folder, Path(name) / "shards", shard_bytes=16 * 2**20)
        records = json.loads((folder / "annotations.json").read_text())
        plain = PlainDataset(folder, records, processor)
        files = MultiImageDataset(
            read_annotations(folder / "annotations.json", folder), FolderImages(folder), processor
        )
        shards = open_shards([Path(name) / "shards"], processor)
        check_agreement(plain, files, shards)

        def epoch(kind: str, workers: int, turn: int) -> Iterable[dict[str, Any]]:
            if kind == "plain":
                return DataLoader(plain, args.batch_size, shuffle=True, num_workers=workers)
            return epoch_of_ours({"files": files, "shards": shards}[kind], args.batch_size, workers, turn)

        rows = []
        for workers in args.workers:
            figures: dict[str, list[tuple[float, float]]] = {kind: [] for kind in ("plain", "files", "shards")}
            for kind in figures:
                timed(epoch(kind, workers, 0), len(samples))
            for turn in range(args.turns):
                for kind in list(figures) if turn % 2 else reversed(list(figures)):
                    figures[kind].append(timed(epoch(kind, workers, turn), len(samples)))
            rows.append({"workers": workers, "load_average": round(os.getloadavg()[0], 1)} | summary(figures))
            print(describe(rows[-1]), flush=True)
        return rows


def check_agreement(plain: PlainDataset, files: MultiImageDataset, shards: MultiImageDataset) -> None:
    """All three give the same tensors."""
    for index in (0, len(plain) - 1):
        for kind, other in {"files": files, "shards": shards}.items():
            if not torch.equal(plain[index]["image"], other[index]["image"]):
                raise RuntimeError(f"sample {index} of {kind} differs from the plain one")


def summary(figures: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """Medians, and the ratios of ours to the plain one turn by turn; above 1 is better."""
    rates = {kind: statistics.median(rate for rate, _ in turns) for kind, turns in figures.items()}
    costs = {kind: statistics.median(cost for _, cost in turns) for kind, turns in figures.items()}
    row: dict[str, Any] = {
        "samples_per_second": {kind: round(rate, 1) for kind, rate in rates.items()},
        "processor_ms_per_sample": {kind: round(cost, 3) for kind, cost in costs.items()},
    }
    for kind in ("files", "shards"):
        pairs = list(zip(figures[kind], figures["plain"], strict=True))
        row[f"{kind}_over_plain"] = spread([ours[0] / theirs[0] for ours, theirs in pairs])
        row[f"{kind}_over_plain_processor"] = spread([theirs[1] / ours[1] for ours, theirs in pairs])
    return row


def spread(ratios: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {
        "median": round(statistics.median(ratios), 3),
        "smallest": round(min(ratios), 3),
        "largest": round(max(ratios), 3),
    }


def describe(row: dict[str, Any]) -> str:
    """A line for the terminal."""
    rates = "  ".join(f"{kind} {rate:.0f}/s" for kind, rate in row["samples_per_second"].items())
    ratios = "  ".join(
        f"{kind}/plain {row[f'{kind}_over_plain']['median']:.2f} "
        f"(processor {row[f'{kind}_over_plain_processor']['median']:.2f})"
        for kind in ("files", "shards")
    )
    return f"{row['workers']} workers: {rates}  {ratios}"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    processor, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = f"{len(names)} x {names[0]}" if names else processor
    return {
        "processor": processor,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": pillow_version,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--images", type=int, default=2, help="images in a sample")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="numbers of workers to compare")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(args)
    settings = {key: value for key, value in vars(args).items() if key != "out"}
    report = {"settings": settings, "machine": machine(), "results": rows}
    if args.out:
        write_json(args.out, report)
    else:
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
