"""Weights that stay in their safetensors files until they are asked for, one tensor at a time.

A base of 30 GB is never in memory twice: shapes and kinds come from the files' headers, so that everything can be
checked before anything is read, and each tensor is let go as soon as the model has its own copy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from lavis_sam.errors import SamCheckpointError
from lavis_sam.weights.checkpoint_files import explain_failure, plain_names, read_start
from lavis_sam.weights.part_index import INDEX_FILE, OLD_INDEX_FILE, read_index

SINGLE_FILE = "model.safetensors"
OLD_SINGLE_FILE = "pytorch_model.bin"
KINDS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class TensorInFile:
    """Where a tensor, or some of its rows, can be read.

    Attributes:
        path: The safetensors file.
        name: Its name there.
        shape: The shape of what `read` gives.
        dtype: Its type.
        first_row: The first row that is wanted; the number of rows is `shape[0]`.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    first_row: int = 0

    def rows(self, first: int, count: int) -> "TensorInFile":
        """Return these rows of it alone."""
        return replace(self, shape=(count, *self.shape[1:]), first_row=self.first_row + first)

    def read(self) -> Tensor:
        """Return the tensor. It may be a view of the mapped file, which is let go together with it.

        Raises:
            SamCheckpointError: The file has changed since its header was read.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                if not self.shape:
                    return file.get_tensor(self.name)
                return file.get_slice(self.name)[self.first_row : self.first_row + self.shape[0]]
        except Exception as error:  # the reader's own kinds of error
            raise SamCheckpointError(f"{self.path}: {explain_failure(error)}") from error


class StreamedTensors(Mapping[str, Tensor]):
    """Name -> tensor, read anew from its file at every look; tensors that had to be made may stand among them."""

    def __init__(self, entries: Mapping[str, TensorInFile | Tensor]) -> None:
        self.entries = dict(entries)

    def __getitem__(self, name: str) -> Tensor:
        entry = self.entries[name]
        return entry if isinstance(entry, Tensor) else entry.read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def described(self) -> dict[str, Tensor]:
        """Return shapes and types of all tensors, as tensors on the meta device; nothing is read."""
        return {
            name: torch.empty(entry.shape, dtype=entry.dtype, device="meta") for name, entry in self.entries.items()
        }


def open_file(path: Path) -> dict[str, TensorInFile]:
    """Return what a safetensors file holds, from its header.

    Raises:
        SamCheckpointError: The file is missing, truncated or no safetensors file.
    """
    read_start(path)
    try:
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
            return {
                name: TensorInFile(path, name, tuple(part.get_shape()), KINDS[part.get_dtype()])
                for name, part in parts.items()
            }
    except KeyError as error:
        raise SamCheckpointError(
            f"{path}: holds numbers of the kind {error}, wanted one of {', '.join(KINDS)}. Give weights that are not "
            "quantised."
        ) from error
    except Exception as error:  # the reader's own kinds of error
        raise SamCheckpointError(f"{path}: {explain_failure(error)}") from error


def open_folder(folder: Path) -> dict[str, TensorInFile]:
    """Return what a transformers folder holds: `model.safetensors`, or the parts that its index lists.

    Raises:
        SamCheckpointError: There is neither, the index is damaged or names a file outside the folder, or a part is
            missing, truncated or lacks a tensor that the index promises.
    """
    index = folder / INDEX_FILE
    if not index.is_file():
        if (folder / SINGLE_FILE).is_file():
            return _in_plain_names(open_file(folder / SINGLE_FILE), folder)
        raise SamCheckpointError(
            f"{folder}: found neither {SINGLE_FILE} nor {INDEX_FILE}. Give a folder that transformers' save_pretrained "
            "wrote; pytorch_model.bin files have to be saved again as safetensors."
        )
    listed = read_index(index)
    entries: dict[str, TensorInFile] = {}
    for part in sorted(set(listed.values())):
        entries |= open_file(folder / part)
    absent = [name for name, part in listed.items() if name not in entries or entries[name].path != folder / part]
    if absent:
        raise SamCheckpointError(
            f"{index}: {len(absent)} tensors are not where it says, first {absent[0]} in {listed[absent[0]]}. The "
            "folder mixes parts of several downloads; fetch it again."
        )
    return _in_plain_names(entries, folder)


def _in_plain_names(entries: Mapping[str, TensorInFile], folder: Path) -> dict[str, TensorInFile]:
    names = plain_names(entries, str(folder))
    return {names[name]: entry for name, entry in entries.items()}


def old_parts(folder: Path) -> list[Path]:
    """List a transformers folder's files from before safetensors: `pytorch_model.bin`, or the parts of its index.

    Returns:
        The files; none when the folder is not of that kind.

    Raises:
        SamCheckpointError: The index is damaged or names a file outside the folder.
    """
    index = folder / OLD_INDEX_FILE
    if index.is_file():
        return [folder / part for part in sorted(set(read_index(index).values()))]
    return [folder / OLD_SINGLE_FILE] if (folder / OLD_SINGLE_FILE).is_file() else []
