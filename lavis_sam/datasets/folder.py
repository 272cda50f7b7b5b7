"""A data set on the disk, opened for looking at it: a folder in the unified format, or shards."""

from pathlib import Path
from typing import TYPE_CHECKING

from lavis_sam.datasets.annotations import read_annotations
from lavis_sam.datasets.exchange import annotation_file
from lavis_sam.datasets.formats.reading import UNIFIED_FILES

if TYPE_CHECKING:
    from lavis_sam.datasets.multi_image import MultiImageDataset


def open_folder(path: Path, *, images: Path | None = None) -> "MultiImageDataset":
    """Open a data set without processors; bad samples are dropped, and the log says how many and why.

    Args:
        path: A folder with annotations.json (or .jsonl), such a file, a folder of shards, or a tar file.
        images: The root of the image paths, if it is not the annotations' own folder.

    Raises:
        SamDataError: It is neither, or no sample of it is whole.
    """
    from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
    from lavis_sam.datasets.shards import open_shards

    if is_sharded(path):
        return open_shards([path])
    root = images or (path if path.is_dir() else path.parent)
    samples = read_annotations(annotation_file(path), root, strict=False, check="paths")
    return MultiImageDataset(samples, FolderImages(root))


def is_sharded(path: Path) -> bool:
    """Whether a path is shards; a folder that has annotations as well is read by these."""
    if path.is_file():
        return path.suffix == ".tar"
    if any((path / name).is_file() for name in UNIFIED_FILES):
        return False
    from lavis_sam.datasets.shards.layout import MANIFEST  # and with it PyTorch, which no other folder needs

    return (path / MANIFEST).is_file() or any(path.glob("*.tar"))
