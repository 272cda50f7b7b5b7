"""Reading weight files: .pth/.pt (never running what a pickle asks for) and .safetensors.

Plain torch: nothing here knows the model. `lavis_sam.weights.checkpoints` puts what was read into one.
"""

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lavis_sam.errors import SamCheckpointError
from lavis_sam.files import read_json
from lavis_sam.weights.archives import check_archive, legacy_source

# Where training programs put the weights inside their checkpoint: LAVIS, Lightning, DeepSpeed.
_WRAPPERS = ("model", "state_dict", "module")
_DATA_PARALLEL_PREFIX = "module."
_SNIFFED_BYTES = 512
_NAMES_SHOWN = 8
_MAX_CONFIG_BYTES = 1 << 20


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a checkpoint file of any kind, on the CPU.

    `{"model": …}` (LAVIS, our own), `{"state_dict": …}` and `{"module": …}` are unwrapped, and the prefix that
    `DistributedDataParallel` leaves is taken off. The tensors are memory-mapped where the format allows: the file must
    not be changed in place while they live.

    Args:
        path: A .pth or .pt file of any age, or a .safetensors file; the content counts, not the name.

    Returns:
        Parameter name -> tensor.

    Raises:
        SamCheckpointError: The file is missing, truncated, carries code instead of weights, or is no checkpoint.
    """
    return unwrap(load_file(path), path)


def unwrap(state: Any, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Take the weights out of what `load_file` read; the arguments of errors are those of `read_checkpoint`."""
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    if not isinstance(state, Mapping):
        raise SamCheckpointError(
            f"{path}: holds a {type(state).__name__}; a checkpoint is a dictionary of tensors, plain or under one of "
            f"the keys {', '.join(_WRAPPERS)}. Save `model.state_dict()`, and give that file."
        )
    strange = [str(name) for name, value in state.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if strange or not state:
        held = f"entries that are no tensors: {shorten(strange)}" if strange else "no entries"
        raise SamCheckpointError(
            f"{path}: {held}; a checkpoint is a dictionary of tensors, plain or under one of the keys "
            f"{', '.join(_WRAPPERS)}. Save `model.state_dict()`, and give that file."
        )
    if all(name.startswith(_DATA_PARALLEL_PREFIX) for name in state):
        return {name.removeprefix(_DATA_PARALLEL_PREFIX): tensor for name, tensor in state.items()}
    return dict(state)


def load_file(path: str | os.PathLike[str]) -> Any:
    """Read whatever a checkpoint file holds, on the CPU: weights, optimizer state, configuration, numbers.

    The checksums of a .pth file are compared first (see `archives`); the other formats have none.

    Args:
        path: See `read_checkpoint`.

    Returns:
        The object that was saved; a dictionary of tensors for .safetensors.

    Raises:
        SamCheckpointError: See `read_checkpoint`.
    """
    path = Path(path)
    start = read_start(path)
    try:
        is_archive = start.startswith(b"PK")  # torch >= 1.6
        if not is_archive and (start[8:9] == b"{" or path.suffix == ".safetensors"):
            from safetensors.torch import load_file as load_safetensors

            return load_safetensors(path)
        can_be_mapped = check_archive(path) if is_archive else False
        source = path if is_archive else legacy_source(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols, of files that we did not write
            return torch.load(source, map_location="cpu", weights_only=True, mmap=can_be_mapped)
    except (MemoryError, SamCheckpointError):
        raise
    except Exception as error:
        # The readers raise whatever their parser stumbled on (EOFError, KeyError, UnpicklingError, RuntimeError, …).
        raise SamCheckpointError(f"{path}: {explain_failure(error)}") from error


def read_config(path: Path, remedy: str) -> dict[str, Any]:
    """Read a configuration file in JSON that stands beside weights.

    Args:
        path: The file.
        remedy: What an error tells the user to do.

    Raises:
        SamCheckpointError: It is missing, absurdly large, damaged, or holds no dictionary.
    """
    return read_json(path, remedy=remedy, error=SamCheckpointError, wanted=dict, most_bytes=_MAX_CONFIG_BYTES)


def read_start(path: Path) -> bytes:
    """The first bytes of a file that may be a checkpoint.

    Raises:
        SamCheckpointError: The file is missing, or is plainly something else (empty, a Git LFS pointer, a web page).
    """
    try:
        with path.open("rb") as file:
            start = file.read(_SNIFFED_BYTES)
    except OSError as error:
        reason = "is a folder, a file is wanted" if path.is_dir() else (error.strerror or str(error))
        raise SamCheckpointError(f"{path}: {reason}. Give the path of a .pth, .pt or .safetensors file.") from error
    text = start.lstrip().lower()
    if not start:
        found = "the file is empty"
    elif text.startswith(b"version https://git-lfs"):
        found = "this is a Git LFS pointer, not the weights it points to (`git lfs pull` fetches them)"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml")):
        found = "this is a web page, not weights (the download was answered with an error or a log-in page)"
    else:
        return start
    raise SamCheckpointError(f"{path}: {found}. Fetch the file again.")


def explain_failure(error: Exception) -> str:
    """What a reader's exception means to a user, with the remedy."""
    message = str(error)
    if match := re.search(r"GLOBAL ([\w.]+)", message):
        return (
            f"the file asks Python to run {match[1]}, which weights never need, so nothing of it was loaded. If you "
            "trust where it comes from, save its tensors alone in a file of their own; if not, delete it."
        )
    # torch puts a page of advice, some of it dangerous, before the words that matter.
    _, _, words = message.rpartition("WeightsUnpickler error:")
    lines = words.strip().splitlines()
    first_line = lines[0] if lines else type(error).__name__
    return (
        f"this is no readable checkpoint: it is truncated, damaged or of another format ({first_line[:120]}). Compare "
        "its size with the original's and fetch it again."
    )


def shorten(names: Iterable[str]) -> str:
    """The first few of `names` in a line, and how many more there are."""
    names = list(names)
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
