"""Reading weight files: .pth/.pt (never running what a pickle asks for) and .safetensors.

Plain torch: nothing here knows the model. `lavis_sam.weights.checkpoints` puts what was read into one.
"""

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lavis_sam.errors import SamCheckpointError
from lavis_sam.files import read_json
from lavis_sam.weights.archives import check_archive, legacy_source
from lavis_sam.weights.part_index import is_index, read_index

# Where training programs put the weights inside their checkpoint: LAVIS, Lightning, DeepSpeed.
_WRAPPERS = ("model", "state_dict", "module")
_WANTED = (
    f"; a checkpoint is a dictionary of tensors, plain or under one of the keys {', '.join(_WRAPPERS)}. Save "
    "`model.state_dict()`, and give that file."
)
_DATA_PARALLEL_PREFIX = "module."
# The wrappers of torch.compile, FSDP and activation checkpointing stand anywhere in a name, and in no model of its own.
_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_SNIFFED_BYTES = 512
_NAMES_SHOWN, _CHARACTERS_SHOWN = 8, 200
MAX_CONFIG_BYTES = 1 << 20


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a checkpoint file of any kind, on the CPU.

    `{"model": …}` (LAVIS, our own), `{"state_dict": …}` and `{"module": …}` are unwrapped, and what
    `DistributedDataParallel`, `torch.compile` and FSDP put into names is taken out. The tensors are memory-mapped where
    the format allows: the file must not be changed in place while they live.

    Args:
        path: A .pth or .pt file of any age, or a .safetensors file; the content counts, not the name. Or the index of
            a transformers folder (`model.safetensors.index.json`), which stands for the parts that it names.

    Returns:
        Parameter name -> tensor.

    Raises:
        SamCheckpointError: The file is missing, truncated, carries code instead of weights, or is no checkpoint.
    """
    return unwrap(load_file(path), path)


def unwrap(state: Any, path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Take the weights out of what `load_file` read, as `read_checkpoint` does.

    Raises:
        SamCheckpointError: It holds no weights, or other things beside them.
    """
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
            break
    require_tensors(state, str(path))
    if not state:
        raise SamCheckpointError(f"{path}: no entries{_WANTED}")
    names = plain_names(state, str(path))
    return {names[name]: tensor for name, tensor in state.items()}


def require_tensors(state: Any, source: str) -> None:
    """Refuse what is no dictionary of named tensors that hold their numbers themselves.

    PyTorch does not copy sparse or quantised tensors and those without numbers (on the meta device) into a model, or
    only some of them.

    Args:
        state: What stands where weights are wanted.
        source: How the message calls the file, or the part of it.

    Raises:
        SamCheckpointError: It is something else.
    """
    if not isinstance(state, Mapping):
        held = f"holds a {type(state).__name__}"
    elif strange := [_name(key) for key, value in state.items() if not isinstance(key, str) or not _is_tensor(value)]:
        held = f"entries that are no tensors: {shorten(strange)}"
    elif strange := [name for name, tensor in state.items() if not _is_plain(tensor)]:
        held = f"tensors that are sparse, quantised or without numbers (device meta): {shorten(strange)}"
    else:
        return
    raise SamCheckpointError(f"{source}: {held}{_WANTED}")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_meta or tensor.is_quantized)


def _name(name: Any) -> str:
    """Return a key of a dictionary that somebody else wrote, for a message."""
    return name if isinstance(name, str) else f"a key of the type {type(name).__name__}"


def plain_names(names: Iterable[str], source: str) -> dict[str, str]:
    """Map a file's names to the parameters' own: without what compiled and distributed models put among them.

    Args:
        names: The names in the file.
        source: How the message calls the file.

    Raises:
        SamCheckpointError: Two of them are one parameter's.
    """
    plain = {name: ".".join(part for part in name.split(".") if part not in _WRAPPED) for name in names}
    while plain and all(name.startswith(_DATA_PARALLEL_PREFIX) for name in plain.values()):
        plain = {name: short.removeprefix(_DATA_PARALLEL_PREFIX) for name, short in plain.items()}
    doubled, times = Counter(plain.values()).most_common(1)[0] if plain else ("", 1)
    if times > 1:
        both = [name for name, short in plain.items() if short == doubled]
        raise SamCheckpointError(
            f"{source}: {shorten(both)} are one and the same parameter, {doubled}. Keep the one that was trained."
        )
    return plain


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
    if is_index(path):
        return _load_parts(path)
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


def _load_parts(index: Path) -> dict[str, Tensor]:
    """Return the tensors of all parts that an index names."""
    listed = read_index(index)
    state: dict[str, Tensor] = {}
    for part in sorted(set(listed.values())):
        tensors = load_file(index.parent / part)
        require_tensors(tensors, str(index.parent / part))
        state |= tensors
    if absent := [name for name in listed if name not in state]:
        raise SamCheckpointError(
            f"{index}: {len(absent)} tensors are in none of its files: {shorten(absent)}. The folder mixes parts of "
            "several downloads; fetch it again."
        )
    return state


def read_config(path: Path, remedy: str) -> dict[str, Any]:
    """Read a configuration file in JSON that stands beside weights.

    Args:
        remedy: What an error tells the user to do.

    Raises:
        SamCheckpointError: It is missing, absurdly large, damaged, or holds no dictionary.
    """
    return read_json(path, remedy=remedy, error=SamCheckpointError, wanted=dict, most_bytes=MAX_CONFIG_BYTES)


def read_start(path: Path) -> bytes:
    """Return the first bytes of a file that may be a checkpoint.

    Raises:
        SamCheckpointError: The file is missing, or is plainly something else (empty, a Git LFS pointer, a web page).
    """
    try:
        with path.open("rb") as file:
            start = file.read(_SNIFFED_BYTES)
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        is_folder = isinstance(error, IsADirectoryError)
        reason = "is a folder, a file is wanted" if is_folder else (getattr(error, "strerror", "") or str(error))
        raise SamCheckpointError(
            f"{path}: {reason}. Give the path of a .pth, .pt or .safetensors file; for trained layers, a run's or an "
            "adapter's folder is taken too."
        ) from error
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
    """Return what a reader's exception means to a user, with the remedy."""
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
    """Return the first few of `names` in a line, and how many more there are."""
    names = [name if len(name) <= _CHARACTERS_SHOWN else f"{name[:_CHARACTERS_SHOWN]}…" for name in names]
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
