"""From a folder that a user has to the data set `own` of a configuration: what `--data DIR` stands for."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lavis_sam.datasets.catalogue import BENCHMARKS, CATALOGUE, evaluation_set
from lavis_sam.datasets.folder import is_sharded
from lavis_sam.datasets.formats.reading import unified_file
from lavis_sam.datasets.formats.release import SPLITS
from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.run_layout import named_path

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


def own_names(words: Iterable[str]) -> tuple[list[str], dict[str, Path]]:
    """Tell names of known data sets, tasks and tables from data of the user's own.

    Args:
        words: Names, or [NAME=]PATH of a folder or an annotation file; a known name wins over a path.

    Returns:
        The known or unknown names, and name -> path of the user's own data.

    Raises:
        SamConfigurationError: Two of one name.
    """
    known = {name for benchmark in BENCHMARKS for name in (benchmark.name, benchmark.table, benchmark.table[0])}
    others: list[str] = []
    own: dict[str, Path] = {}
    for word in words:
        name, path = named_path(word)
        if name is None and (word in CATALOGUE or word in known or evaluation_set(word) or not path.exists()):
            others.append(word)
            continue
        name = name or _name_of(path)
        if name in own or Path(name).name != name:
            raise SamConfigurationError(
                f"--dataset {word}: its results would be called {name!r}, wanted the name of one folder, another for "
                "each data set. Give it as NAME=PATH."
            )
        own[name] = path
    return others, own


def storage_of_test(path: Path) -> Path:
    """Return the annotation file or shards of the test split of a user's own data, or of data without splits.

    Raises:
        SamDataError: There is neither.
    """
    splits = own_datasets(path, whole="test")[OWN]["build_info"]["annotations"]
    if "test" not in splits:
        raise SamDataError(f"--dataset: {path}: found the splits {', '.join(splits)}, wanted test.")
    return Path(splits["test"]["storage"])


def _name_of(path: Path) -> str:
    """Return a folder's name; of an annotation file its own, or its folder's where it is called annotations."""
    path = path.resolve()
    return path.name if path.is_dir() else path.parent.name if path.name.startswith("annotations") else path.stem


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
