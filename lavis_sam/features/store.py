"""The folder of a feature cache.

DIR/cache.json              what made the features: weights, storage precision, patches and width, the transforms
DIR/part-<hex>.safetensors  `features` [n, P, D_v] (and `scales` under int8); the n keys stand in the file's header

A shard is written whole or not at all, so a killed run leaves whole shards, and the next one computes the rest. The
index is read from the headers, so it cannot disagree with them. Features are read from the memory-mapped files.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.features.precision import FEATURES, SCALES, TYPES, StorageError, decode, encode, storage_error
from lavis_sam.files import read_json, write_json, write_safetensors

MANIFEST = "cache.json"
FORMAT = 1
_SHARDS = "part-*.safetensors"
_KEYS, _SQUARED, _TOTAL, _LARGEST = "keys", "squared_error", "squared", "largest_error"
_ANOTHER = "Name another folder as run.feature_cache, or remove this one."
_SHARD_REMEDY = "Remove this file: what it held is computed again."
_MOST_MANIFEST_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class CacheIdentity:
    """What every entry of a cache has in common.

    Attributes:
        weights: Fingerprint of the vision encoder and the norm behind it; see `vision_fingerprint`.
        precision: How features are stored.
        patches: P.
        width: D_v.
        transforms: "<data set>/<train or eval>" -> what its transform does; see `transform_fingerprint`.
    """

    weights: str
    precision: str
    patches: int
    width: int
    transforms: Mapping[str, str] = field(default_factory=dict)


class FeatureStore:
    """Reads and extends the cache in a folder.

    Attributes:
        folder: The folder.
        identity: What its entries have in common.
        error: What storing cost, over all entries.
    """

    def __init__(self, folder: Path, identity: CacheIdentity) -> None:
        """Compare the folder with what is wanted, if there is a cache in it, and read its index.

        Raises:
            SamConfigurationError: It is a cache of something else; or a folder of other files.
            SamDataError: It is damaged.
        """
        self.folder, self.identity = folder, identity
        self.error = StorageError()
        self._places: dict[str, tuple[Path, int]] = {}
        self._shards: set[Path] = set()
        self._open: dict[Path, Mapping[str, torch.Tensor]] = {}
        self.refresh()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        """Return whether there is an entry."""
        return key in self._places

    def __getstate__(self) -> dict[str, Any]:
        # A worker process maps the files itself.
        return self.__dict__ | {"_open": {}}

    def refresh(self) -> None:
        """Read what was added since; see `__init__` for what is refused."""
        if not (self.folder / MANIFEST).is_file():
            if self.folder.is_dir() and any(not entry.name.startswith(".") for entry in self.folder.iterdir()):
                raise SamConfigurationError(
                    f"run.feature_cache: {self.folder} holds files and no {MANIFEST}, wanted a feature cache or a new "
                    f"folder. {_ANOTHER}"
                )
            return
        check_identity(read_identity(self.folder), self.identity, self.folder)
        for path in sorted(set(self.folder.glob(_SHARDS)) - self._shards):
            keys = self._read_header(path)
            self._places |= {key: (path, row) for row, key in enumerate(keys) if key not in self._places}
            self._shards.add(path)

    def begin(self) -> None:
        """Note in the folder what it is for; remove what a killed run left half written. One process at a time."""
        self.refresh()
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob(".*.tmp"):
            path.unlink()
        path = self.folder / MANIFEST
        known = read_identity(self.folder).transforms if path.is_file() else {}
        if not path.is_file() or not self.identity.transforms.items() <= known.items():
            transforms = {**known, **self.identity.transforms}
            write_json(path, {"format": FORMAT, **asdict(self.identity), "transforms": transforms})

    def add(self, keys: Sequence[str], features: torch.Tensor) -> None:
        """Write a shard of the features [n, P, D_v] (float32) of n keys."""
        stored = encode(features, self.identity.precision)
        error = storage_error(features, stored)
        header = {_SQUARED: error.squared, _TOTAL: error.total, _LARGEST: error.largest}
        write_safetensors(
            self.folder / f"part-{secrets.token_hex(8)}.safetensors",
            stored,
            {_KEYS: json.dumps(list(keys)), **{name: repr(value) for name, value in header.items()}},
        )

    def load(self, key: str) -> torch.Tensor:
        """Return the features of an entry [P, D_v], as `decode` gives them.

        Raises:
            SamDataError: There is none, or its file is gone.
        """
        if key not in self._places:
            raise SamDataError(f"run.feature_cache: {self.folder} has no features {key}; start the run again.")
        path, row = self._places[key]
        return decode({name: tensor[row] for name, tensor in self._tensors(path).items()})

    def _tensors(self, path: Path) -> Mapping[str, torch.Tensor]:
        if path not in self._open:
            with _opened(path) as file:
                # Views of the mapped file: what is not read costs no memory.
                self._open[path] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return self._open[path]

    def _read_header(self, path: Path) -> list[str]:
        """Return the keys of a shard.

        Raises:
            SamDataError: It was cut off, is no shard, or one of another shape.
        """
        wanted = self.identity
        with _opened(path) as file:
            about, names = file.metadata() or {}, set(file.keys())
            try:
                keys = json.loads(about[_KEYS])
                error = StorageError(*(float(about[name]) for name in (_SQUARED, _TOTAL, _LARGEST)))
            except (KeyError, ValueError, RecursionError) as problem:
                raise SamDataError(f"{path}: is no shard of a feature cache ({problem!r}). {_SHARD_REMEDY}") from None
            if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
                raise SamDataError(f"{path}: its keys are no list of texts. {_SHARD_REMEDY}")
            shapes = {name: [*file.get_slice(name).get_shape(), file.get_slice(name).get_dtype()] for name in names}
        expected = {FEATURES: [len(keys), wanted.patches, wanted.width, _NAMES[TYPES[wanted.precision]]]}
        if wanted.precision == "int8":
            expected[SCALES] = [len(keys), wanted.width, "F32"]
        if shapes != expected:
            raise SamDataError(f"{path}: holds {shapes}, wanted {expected}. {_SHARD_REMEDY}")
        self.error.add(error)
        return keys


_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int8: "I8"}


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise SamDataError(f"{path}: was cut off or is no safetensors file ({error}). {_SHARD_REMEDY}") from error


def read_identity(folder: Path) -> CacheIdentity:
    """Return what made the cache in a folder.

    Raises:
        SamDataError: Its cache.json is damaged, or of a later version.
    """
    path = folder / MANIFEST
    found = read_json(path, remedy=_ANOTHER, wanted=dict, most_bytes=_MOST_MANIFEST_BYTES)
    kinds = {"weights": str, "precision": str, "patches": int, "width": int, "transforms": dict}
    wrong = [name for name, kind in kinds.items() if type(found.get(name)) is not kind]
    if found.get("format") != FORMAT or wrong:
        what = ", ".join(f"{name} {found.get(name)!r}" for name in ("format", *wrong))
        raise SamDataError(f"{path}: found {what[:200]}, wanted a feature cache of format {FORMAT}. {_ANOTHER}")
    return CacheIdentity(**{name: found[name] for name in kinds})


def check_identity(found: CacheIdentity, wanted: CacheIdentity, folder: Path) -> None:
    """Refuse a cache of something else.

    Raises:
        SamConfigurationError: The message lists everything that differs.
    """
    problems = []
    if found.weights != wanted.weights:
        problems.append(
            f"its weights of the vision encoder are {found.weights[:12]}…, this run's {wanted.weights[:12]}…"
        )
    problems += [
        f"its {name} is {getattr(found, name)!r}, this run's {getattr(wanted, name)!r}"
        for name in ("precision", "patches", "width")
        if getattr(found, name) != getattr(wanted, name)
    ]
    problems += [
        f"its transform of {name} is {found.transforms[name]}, this run's {transform}"
        for name, transform in wanted.transforms.items()
        if found.transforms.get(name, transform) != transform
    ]
    if problems:
        raise SamConfigurationError(
            f"run.feature_cache: {folder} was made by something else: {'; '.join(problems)}. {_ANOTHER}"
        )
