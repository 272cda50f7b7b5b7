"""What LAVIS 1.0.2 (2023) imports and today's environment lacks: names of transformers, and two whole packages.

Only what is missing is added, nothing that exists is changed. transformers 4.57 lacks three names in one of the places
where LAVIS looks for them, transformers 5 lacks a function and a module altogether. spacy (118 MB) and decord (none
for Arm processors) serve LAVIS models that have nothing to do with ours: where they are not installed, fakes take
their places while LAVIS is being imported.
"""

import contextlib
import importlib.util
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import torch
import transformers.modeling_utils
import transformers.pytorch_utils
import transformers.utils

_MODEL_PARALLEL_UTILS = "transformers.utils.model_parallel_utils"
_placeholders: dict[str, ModuleType] = {}


def prepare() -> None:
    """Add what is missing; called before LAVIS's own code runs."""
    pytorch_utils, modeling_utils = transformers.pytorch_utils, transformers.modeling_utils
    _add(pytorch_utils, "find_pruneable_heads_and_indices", find_pruneable_heads_and_indices)
    for name in ("apply_chunking_to_forward", "find_pruneable_heads_and_indices", "prune_linear_layer"):
        _add(modeling_utils, name, getattr(pytorch_utils, name))
    if not _exists(_MODEL_PARALLEL_UTILS):
        transformers.utils.model_parallel_utils = _place(
            _MODEL_PARALLEL_UTILS, assert_device_map=assert_device_map, get_device_map=get_device_map
        )
    if not _exists("spacy"):
        _placeholders["spacy"] = _place("spacy", load=_missing("spacy", "LAVIS's model img2prompt_vqa"))
    if not _exists("decord"):
        bridge = SimpleNamespace(set_bridge=lambda framework: None)  # LAVIS calls it at import
        reader = _missing("decord", "LAVIS's video data sets")
        _placeholders["decord"] = _place("decord", bridge=bridge, VideoReader=reader)
    # LAVIS imports timm by names that timm has moved: four warnings at every start, about code that is not the user's.
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore", FutureWarning)
        for name in ("hub", "registry", "layers", "helpers"):
            importlib.import_module(f"timm.models.{name}")


def tidy() -> None:
    """Take the fakes away again: LAVIS has its references, and nobody else shall take them for the real ones."""
    while _placeholders:
        name, module = _placeholders.popitem()
        if sys.modules.get(name) is module:
            del sys.modules[name]


def find_pruneable_heads_and_indices(
    heads: Iterable[int], n_heads: int, head_size: int, already_pruned_heads: Iterable[int]
) -> tuple[set[int], torch.Tensor]:
    """Return the columns of a projection that stay when attention heads are pruned, as transformers 4 does.

    Args:
        heads: Heads to prune, numbered as in the unpruned layer.
        n_heads: Heads that the layer has now.
        head_size: Columns of one head.
        already_pruned_heads: Heads that the layer has lost before.

    Returns:
        The heads that are still there to be pruned, and the indices of the columns to keep.
    """
    pruned = set(already_pruned_heads)
    to_prune = set(heads) - pruned
    keep = torch.ones(n_heads, head_size, dtype=torch.bool)
    for head in to_prune:
        keep[head - sum(earlier < head for earlier in pruned)] = False
    return to_prune, keep.flatten().nonzero().squeeze(1)


def get_device_map(n_layers: int, devices: Sequence[int]) -> dict[int, list[int]]:
    """Spread consecutive layers evenly, as transformers 4 does; return device -> its layers."""
    size = math.ceil(n_layers / len(devices))
    blocks = [list(range(first, min(first + size, n_layers))) for first in range(0, n_layers, size)]
    return dict(zip(devices, blocks, strict=False))


def assert_device_map(device_map: Mapping[int, Sequence[int]], num_blocks: int) -> None:
    """Check that every layer stands in the map exactly once, as transformers 4 does.

    Raises:
        ValueError: Layers are missing, doubled or do not exist.
    """
    found = sorted(block for blocks in device_map.values() for block in blocks)
    if found != list(range(num_blocks)):
        raise ValueError(f"device_map holds the blocks {found}; wanted each of 0 to {num_blocks - 1} exactly once")


def _exists(name: str) -> bool:
    return name in sys.modules or importlib.util.find_spec(name) is not None


def _add(module: ModuleType, name: str, value: Any) -> None:
    if not hasattr(module, name):
        setattr(module, name, value)


def _place(name: str, **members: Any) -> ModuleType:
    """Put a module with these members where `import` finds it."""
    module = ModuleType(name, "Put in place by lavis_sam.plugin.compatibility, for LAVIS.")
    module.__spec__ = ModuleSpec(name, None)  # without one, `importlib.util.find_spec(name)` raises
    vars(module).update(members)
    sys.modules[name] = module
    return module


def _missing(package: str, user: str) -> Callable[..., NoReturn]:
    def missing(*_: Any, **__: Any) -> NoReturn:
        raise ModuleNotFoundError(
            f"No module named {package!r}. {user} needs it, lavis_sam does not: pip install {package}", name=package
        )

    return missing
