"""What the miniatures of releases are made of: expected samples, small images, damaged ones, JSON files."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image


@dataclass(frozen=True)
class Expected:
    """A sample that a reader must find: everything but the instruction, which must end in `context`."""

    id: str
    images: tuple[str, ...]
    references: tuple[str, ...]
    context: str = ""

    @property
    def output(self) -> str:
        return ". ".join(self.references)


@dataclass(frozen=True)
class Miniature:
    """A release on the disk.

    Attributes:
        annotations: What a user names to convert all of it.
        images: The folder of images.
        storages: Split -> what a user names to read that split.
        samples: Split -> what must be read of it, in order.
        problems: Kind -> how many, over all splits.
        repairs: Words of a repair -> how many, over all splits.
    """

    name: str
    annotations: Path
    images: Path
    storages: dict[str, Path]
    samples: dict[str, list[Expected]]
    problems: dict[str, int] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)


def write_image(path: Path, size: tuple[int, int] = (12, 10)) -> None:
    """Write a small image whose colour depends on its name; the suffix, as far as Pillow knows it, is its format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = sum(map(ord, path.name)) % 256
    formats = {".png": "PNG", ".gif": "GIF"}
    Image.new("RGB", size, (shade, 255 - shade, 90)).save(path, format=formats.get(path.suffix.lower(), "JPEG"))


def write_images(folder: Path, *names: str) -> None:
    for name in names:
        write_image(folder / name)


def cut_off(path: Path) -> None:
    """Write a JPEG that lacks its second half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((64, 64), 60).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_no_image(path: Path) -> None:
    """Write what a dead address often answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("<html><body>404 Not Found</body></html>")


def write_json(path: Path, document: object, *, bom: bool = False, crlf: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1 if crlf else None, ensure_ascii=False)
    text = text.replace("\n", "\r\n") if crlf else text
    path.write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))
    return path


def story(*captions: str) -> str:
    """The context that FORMATS names for stories, spelled out."""
    parts = [f"{{image#{k}}}Caption#{k}:{caption}" for k, caption in enumerate(captions, start=1)]
    return "".join(parts) + f"{{image#{len(captions) + 1}}}Caption#{len(captions) + 1}:"
