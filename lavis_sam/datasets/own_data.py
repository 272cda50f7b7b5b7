"""From a folder that a user has to the data set `own` of a configuration: what `--data DIR` stands for."""

from pathlib import Path
from typing import Any

from lavis_sam.datasets.folder import is_sharded
from lavis_sam.datasets.formats.reading import unified_file
from lavis_sam.datasets.formats.release import SPLITS
from lavis_sam.errors import SamDataError

OWN = "own"


def own_datasets(folder: Path, *, whole: str = "train") -> dict[str, Any]:
    """Return the `datasets` section of a run on `folder`.

    Args:
        folder: Holds annotations.json (or .jsonl), or one annotations.<split>.json a split; or shards, or a folder of
            shards for each split; or is an annotation file.
        whole: The split that data without splits are.

    Raises:
        SamDataError: There is nothing of it.
    """
    splits = _shard_folders(folder, whole)
    if splits:
        section: dict[str, Any] = {"type": "shards", "data_type": "shards", "build_info": {}}
    else:
        splits = _annotation_files(folder, whole)
        images = folder if folder.is_dir() else folder.parent
        section = {"type": "default", "data_type": "images", "build_info": {"images": {"storage": str(images)}}}
    if not splits:
        raise SamDataError(
            f"--data: {folder}: found neither annotations.json (or .jsonl, or annotations.train.json) nor shards; "
            "`lavis-sam data collect` makes a data set of a folder of images."
        )
    section["build_info"]["annotations"] = {split: {"storage": str(path)} for split, path in splits.items()}
    return {OWN: section}


def _shard_folders(folder: Path, whole: str) -> dict[str, Path]:
    if folder.exists() and is_sharded(folder):
        return {whole: folder}
    return {split: path for split in SPLITS if (path := folder / split).is_dir() and is_sharded(path)}


def _annotation_files(folder: Path, whole: str) -> dict[str, Path]:
    if folder.is_file():
        return {whole: folder}
    if not folder.is_dir():
        return {}
    by_split = {split: folder / f"annotations.{split}.json" for split in SPLITS}
    found = {split: file for split, file in by_split.items() if file.is_file()}
    file = unified_file(folder)
    return found or ({whole: file} if file is not None else {})
