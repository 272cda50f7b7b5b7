"""What an answer depends on, as plain data: two evaluations of one fingerprint give the same answers."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.weights.device_map import held_parameters

# Numbers of each frozen parameter that count. All of a 7B model's would take minutes; two different trainings of a
# matrix differ nearly everywhere.
_FROZEN_NUMBERS = 64
_SHOWN = 80
# How descriptions of models call images: the word stands in the fingerprints of earlier runs, which go on.
IMAGES = "pictures"
IMAGE = "picture"


def weights_fingerprint(model: nn.Module) -> str:
    """Hash a model's parameters: of the trained ones every number, of the frozen ones evenly spaced numbers.

    Names, shapes and precisions count too. Parameters without storage (on the meta device) count by these alone.

    Returns:
        64 hexadecimal digits.
    """
    digest, released = hashlib.sha256(), getattr(model, "released", None)
    earlier = released.parameters if released else {}
    held = dict(held_parameters(model))
    own = {name: held[name] for name, _ in model.named_parameters()}
    for name in sorted({*own, *earlier}):
        digest.update(earlier[name] if name in earlier else describe_parameter(name, own[name]))
    return digest.hexdigest()


def describe_parameter(name: str, parameter: torch.Tensor) -> bytes:
    """Return what `weights_fingerprint` takes of a parameter."""
    described = f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode()
    if parameter.is_meta:
        return described
    return described + _numbers(parameter.detach(), whole=parameter.requires_grad)


def _numbers(values: torch.Tensor, *, whole: bool) -> bytes:
    values = values.reshape(-1)
    if not whole and len(values) > _FROZEN_NUMBERS:
        places = torch.linspace(0, len(values) - 1, _FROZEN_NUMBERS, dtype=torch.float64).long()
        values = values[places.to(values.device)]
    # A copy: a storage that numpy has seen cannot be let go of, as a sharded run does with what it gathered.
    return values.to(torch.float32, copy=True).cpu().numpy().tobytes()


def samples_fingerprint(samples: Sequence[MultiImageSample], root: str | None = None) -> str:
    """Return a hash of what is asked: ids, instructions, references, names and sizes of the images, in order.

    Args:
        root: The folder of the images; None, or an image that is not there, leaves the sizes out.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    sizes: dict[str, int | None] = {}
    for sample in samples:
        for name in sample.images:
            if name not in sizes:
                sizes[name] = _size(Path(root) / name) if root is not None else None
        images = [(name, sizes[name]) for name in sample.images]
        said = [str(sample.id), sample.instruction, sample.output, sample.references, images]
        digest.update(json.dumps(said).encode() + b"\n")
    return digest.hexdigest()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return where two run fingerprints differ, as "key: earlier …, now …"."""
    return [
        f"{key}: then {_shown(_at(earlier, key))}, now {_shown(_at(now, key))}"
        for key in dict.fromkeys([*_keys(earlier), *_keys(now)])
        if _at(earlier, key) != _at(now, key)
    ]


def _keys(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in node.items():
        dotted = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from _keys(value, f"{dotted}.")
        else:
            yield dotted


def _at(node: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
