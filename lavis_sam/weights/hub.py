"""Adapters from the Hugging Face hub, by the name of their repository: "user/adapter".

Only the two files of an adapter are fetched. They are a stranger's, and are read and checked as any other adapter's.
Apart from `load_model`, as nothing else here asks a network by a stranger's name.
"""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.memory import first_line
from lavis_sam.weights.adapters import CONFIG_FILE, WEIGHTS_FILE, is_adapter


def is_repository(source: str) -> bool:
    """Return whether a source may name a repository: "user/adapter", where nothing of that name is on the disk.

    Below a folder that is here, a path that leads nowhere is misspelt, and nobody else is asked about it.
    """
    user, slash, name = source.partition("/")
    if not (user and slash and name) or Path(user).exists():
        return False
    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return True


def download_adapter(repository: str) -> Path:
    """Return the folder of an adapter in the hub's local cache, fetched first if it is not there or has changed.

    Raises:
        SamConfigurationError: There is no such repository, or it cannot be fetched and is not in the cache.
        SamCheckpointError: It holds no adapter.
    """
    try:
        folder = Path(snapshot_download(repository, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE]))
    except Exception as error:  # each release of the hub's library has its own families of errors
        reason = (
            "the Hugging Face hub has no such repository, or it is private and this machine is not logged in"
            if isinstance(error, RepositoryNotFoundError)
            else "the Hugging Face hub cannot be asked for it, and it is not in the local cache "
            f"({first_line(error.__cause__ or error)})"
        )
        raise SamConfigurationError(
            f"{repository!r}: there is no such file or folder here, and {reason}. Check the spelling; without a "
            "network, copy the adapter's folder to this machine and give its path."
        ) from error
    if not is_adapter(folder):
        raise SamCheckpointError(
            f"{repository!r}: this repository of the Hugging Face hub has no {WEIGHTS_FILE}, so it is no adapter. Give "
            "one that `lavis-sam export --hub-folder` made; any other model has to be on this machine."
        )
    return folder
