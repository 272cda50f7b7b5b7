"""A data set on the disk: shards, or a folder in the unified format, `annotations.json` and the images below it."""

import dataclasses
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lavis_sam.datasets.annotations import read_annotations, write_annotations
from lavis_sam.datasets.formats.reading import UNIFIED_FILES
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.errors import SamDataError

if TYPE_CHECKING:
    from lavis_sam.datasets.multi_image import MultiImageDataset
    from lavis_sam.datasets.stored import StoredSamples

# Images from elsewhere are put here, below the new folder.
_IMAGES = "images"


def open_folder(path: Path, *, images: Path | None = None) -> "MultiImageDataset":
    """Open a data set without processors; bad samples are dropped, and the log says how many and why.

    Args:
        path: A folder with annotations.json (or .jsonl), such a file, a folder of shards, or a tar file.
        images: The root of the image paths, if it is not the annotations' own folder.

    Raises:
        SamDataError: It is neither, or no sample of it is whole.
    """
    from lavis_sam.datasets.multi_image import MultiImageDataset

    stored = open_samples(path, images=images)
    return MultiImageDataset(stored.annotation, stored.store)


def open_samples(path: Path, *, images: Path | None = None) -> "StoredSamples":
    """Open a data set to look at it; as `open_folder`, without PyTorch."""
    from lavis_sam.datasets.stored import FolderImages, StoredSamples

    if is_sharded(path):
        from lavis_sam.datasets.annotations import accept
        from lavis_sam.datasets.shards.images import ShardImages
        from lavis_sam.datasets.shards.index import index_shards

        index = index_shards([path])
        return StoredSamples(accept(index.report, f"shards {path}", strict=False), ShardImages(index))
    root = images or (path if path.is_dir() else path.parent)
    return StoredSamples(read_annotations(annotation_file(path), root, strict=False, check="paths"), FolderImages(root))


def is_sharded(path: Path) -> bool:
    """Return whether a path is shards; a folder that has annotations as well is read by these."""
    if path.is_file() and path.suffix == ".tar":
        return True
    if not path.is_file() and any((path / name).is_file() for name in UNIFIED_FILES):
        return False
    from lavis_sam.datasets.shards.layout import MANIFEST, compressed_shards, unpacker

    if path.is_file():
        return unpacker(path.name) is not None
    return (path / MANIFEST).is_file() or any(path.glob("*.tar")) or bool(compressed_shards(path))


def annotation_file(folder: Path) -> Path:
    """Return the annotation file of a folder in the unified format; a file stands for itself.

    Raises:
        SamDataError: There is none.
    """
    if folder.is_file():
        return folder
    for name in UNIFIED_FILES:
        if (folder / name).is_file():
            return folder / name
    raise SamDataError(
        f"{folder}: found none of {', '.join(UNIFIED_FILES)}; wanted a data set in the unified format. `lavis-sam data "
        "convert` makes one from a data set's own release, `lavis-sam data collect` of folders of images."
    )


def write_folder(
    samples: Sequence[MultiImageSample], splits: Sequence[str | None], images: Path, out: Path
) -> dict[str, int]:
    """Write samples and their images as a folder in the unified format.

    A path must stay valid, and inside the folder, wherever the folder goes. So images that are not below it are put
    into `images/`: as hard links, which take no space, or as copies where the file system cannot link. (A hard link is
    the same file under a second name: who edits one edits both.)

    Args:
        samples: With image paths relative to `images`.
        splits: The split of each sample, or empty.
        images: The folder that the images are in.
        out: The folder to write to; what is there stays, files of the same name are replaced.

    Returns:
        File name -> number of samples: `annotations.json` with all, and `annotations.<split>.json` for each split
        where there are several.
    """
    splits = list(splits) or [None] * len(samples)
    out.mkdir(parents=True, exist_ok=True)
    placed = _placed(_with_unique_ids(samples, splits), images, out)
    files = {UNIFIED_FILES[0]: placed}
    named = sorted({split for split in splits if split is not None})
    if len(named) > 1:
        for split in named:
            of_split = [sample for sample, its_split in zip(placed, splits, strict=True) if its_split == split]
            files[f"annotations.{split}.json"] = of_split
    for name, part in files.items():
        write_annotations(out / name, part)
    return {name: len(part) for name, part in files.items()}


def _with_unique_ids(samples: Sequence[MultiImageSample], splits: Sequence[str | None]) -> list[MultiImageSample]:
    """Put its split in front of an id that several splits use."""
    uses = Counter(str(sample.id) for sample in samples)
    return [
        dataclasses.replace(sample, id=f"{split}/{sample.id}") if uses[str(sample.id)] > 1 and split else sample
        for sample, split in zip(samples, splits, strict=True)
    ]


def _placed(samples: Sequence[MultiImageSample], images: Path, out: Path) -> list[MultiImageSample]:
    """Return the samples with image paths relative to `out`, where the images are afterwards."""
    source, target = Path(os.path.realpath(images)), Path(os.path.realpath(out))
    named = dict.fromkeys(image for sample in samples for image in sample.images)
    if source.is_relative_to(target):
        prefix = source.relative_to(target).as_posix()
    else:
        # What stands in such a folder already, because it comes from one in this very format, needs no second one.
        prefix = "." if all(image.startswith(f"{_IMAGES}/") for image in named) else _IMAGES
        for image in named:
            _link_or_copy(Path(os.path.realpath(source / image)), target / prefix / image)
    if prefix == ".":
        return list(samples)
    return [
        dataclasses.replace(sample, images=tuple(f"{prefix}/{image}" for image in sample.images)) for sample in samples
    ]


def _link_or_copy(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
