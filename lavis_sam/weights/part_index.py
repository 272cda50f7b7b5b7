"""The index of a transformers folder whose weights are spread over several files: which part holds which tensor."""

from pathlib import Path

from lavis_sam.errors import SamCheckpointError
from lavis_sam.files import read_json

INDEX_FILE = "model.safetensors.index.json"
OLD_INDEX_FILE = "pytorch_model.bin.index.json"
MAX_INDEX_BYTES = 64 << 20
_ENDING = ".index.json"
_REMEDY = "Fetch the folder again."


def is_index(path: str | Path) -> bool:
    """Return whether a path names an index by how its name ends; nothing is opened."""
    return Path(path).name.endswith(_ENDING)


def read_index(index: Path) -> dict[str, str]:
    """Return the part that holds each tensor; parts are plain names, so none can lead out of the folder.

    Raises:
        SamCheckpointError: The index is missing or damaged, or names what is no weight file of its folder.
    """
    said = read_json(index, remedy=_REMEDY, error=SamCheckpointError, wanted=dict, most_bytes=MAX_INDEX_BYTES)
    listed = said.get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise SamCheckpointError(f"{index}: no usable index of weight files (weight_map is {listed!r:.200}). {_REMEDY}")
    strange = [part for part in listed.values() if not _is_file_name(part)]
    if strange:
        raise SamCheckpointError(f"{index}: it names {strange[0]!r:.200}, which is no file of this folder. {_REMEDY}")
    return dict(listed)


def _is_file_name(part: object) -> bool:
    if not isinstance(part, str) or part in ("", ".", "..") or "\0" in part or is_index(part):
        return False
    return Path(part).name == part
