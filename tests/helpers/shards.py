"""Small data sets in shards, and ways to harm them."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lavis_sam.datasets.multi_image import MultiImageDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.datasets.shards import open_shards, write_shards


def noise_image(path: Path, seed: int, size: tuple[int, int] = (24, 18), **options) -> None:
    """An image that no other is equal to; the format is the suffix's."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def write_images(root: Path, count: int = 10, first: int = 0) -> list[MultiImageSample]:
    """`count` samples of one to three images under `root`: ids of both types, folders, spaces, other alphabets.

    Samples of other numbers, from `first` on, have other ids and images.
    """
    samples = []
    for index in range(first, first + count):
        names = tuple(f"größe {index % 3}/bild {index}-{k}.{('png', 'JPG')[k % 2]}" for k in range(1 + index % 3))
        for k, name in enumerate(names):
            path = root / name
            noise_image(path, 100 * index + k, format="JPEG" if path.suffix == ".JPG" else "PNG")
        answer = " ".join(["Wort"] * (1 + index % 7)) + " 猫."
        samples.append(
            MultiImageSample(
                id=index if index % 2 else f"s/{index}",
                images=names,
                instruction=f"{{image#1}}Caption#1: what, {index}?",
                output=answer,
                references=(answer,) if index % 4 else (answer, 'Zweite "Antwort"'),
                source="",
            )
        )
    return samples


def contents(samples) -> list[tuple]:
    """All of a sample but where it was read from."""
    return [(s.id, s.images, s.instruction, s.output, s.references) for s in samples]


def sharded(folder: Path, count: int = 10, shard_bytes: int = 32 * 1024) -> tuple[list[MultiImageSample], Path]:
    """(samples, folder of their shards)."""
    samples = write_images(folder / "pictures", count)
    write_shards(samples, folder / "pictures", folder / "shards", shard_bytes=shard_bytes)
    return samples, folder / "shards"


def opened(path: Path, **options) -> MultiImageDataset:
    """The data set of shards, without processors."""
    return open_shards([path], **options)


def tar_of(path: Path, members: list[tuple[tarfile.TarInfo | str, bytes]], **options) -> Path:
    """A tar file of (header or name, content)."""
    with tarfile.open(path, "w", **options) as tar:
        for header, content in members:
            info = tarfile.TarInfo(header) if isinstance(header, str) else header
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def offset_of(path: Path, member: str) -> int:
    """Where the content of a member begins; its header is the 512 bytes before."""
    with tarfile.open(path) as tar:
        return tar.getmember(member).offset_data


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Change some bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def noisy(image: Image.Image) -> torch.Tensor:
    """Depends on the image and on torch's generator, as augmentations do."""
    return torch.tensor(image.resize((4, 4)).tobytes()[0] / 255) + torch.rand(3, 4, 4)


def text(value: str) -> str:
    return value.upper()


def tar_with_holes(path: Path, count: int, size: int, start: bytes = b"") -> Path:
    """A sparse tar file of `count` whole samples, each one image of `size` bytes: `start`, and a hole behind it."""
    with path.open("wb") as file:
        for number in range(count):
            record = {"id": number, "img_list": ["x.png"], "instruction": "What?", "output": "That."}
            for name, content, length in (
                (f"{number:03d}.json", json.dumps(record).encode(), None),
                (f"{number:03d}.1.png", start, size),
            ):
                info = tarfile.TarInfo(name)
                info.size = length or len(content)
                file.write(info.tobuf() + content)
                file.seek(-(-(file.tell() - len(content) + info.size) // 512) * 512)
        file.write(bytes(1024))
    return path
