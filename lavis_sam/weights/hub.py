"""Adapters from the Hugging Face hub, by the name of their repository: "user/adapter".

Only the two files of an adapter are fetched. They are a stranger's, and are read and checked as any other adapter's.
Apart from `load_model`, as nothing else here asks a network by a stranger's name.
"""

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from lavis_sam.errors import SamCheckpointError, SamConfigurationError
from lavis_sam.memory import first_line
from lavis_sam.weights.adapters import CONFIG_FILE, WEIGHTS_FILE, is_adapter
from lavis_sam.weights.checkpoint_files import MAX_CONFIG_BYTES

# An adapter with all of a language model of 13 billion parameters in fp32 has 52 GB.
_MOST_BYTES = {CONFIG_FILE: MAX_CONFIG_BYTES, WEIGHTS_FILE: 64 << 30}


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
        SamCheckpointError: It holds no adapter, or a file of it is too large; then nothing is fetched.
    """
    problem = _check_sizes(repository)
    try:
        # Files whose sizes cannot be asked for are taken from the cache alone.
        files = list(_MOST_BYTES)
        folder = Path(snapshot_download(repository, allow_patterns=files, local_files_only=problem is not None))
    except Exception as error:  # each release of the hub's library has its own families of errors
        reason = (
            "the Hugging Face hub has no such repository, or it is private and this machine is not logged in"
            if isinstance(problem or error, RepositoryNotFoundError)
            else "the Hugging Face hub cannot be asked for it, and it is not in the local cache "
            f"({first_line(problem or error.__cause__ or error)})"
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


def _check_sizes(repository: str) -> Exception | None:
    """Ask the hub how large an adapter's files are.

    Returns:
        Why the hub cannot be asked; None if it answered.

    Raises:
        SamCheckpointError: A file has more bytes than makes sense.
    """
    try:
        files = HfApi().model_info(repository, revision="main", files_metadata=True).siblings or ()
    except Exception as error:  # see `download_adapter`
        return error
    for file in files:
        most = _MOST_BYTES.get(file.rfilename)
        if most is not None and (file.size or 0) > most:
            raise SamCheckpointError(
                f"{repository!r}: {file.rfilename} has {file.size} bytes on the Hugging Face hub, wanted at most "
                f"{most}, so it is no adapter's; nothing was fetched. Give one that `lavis-sam export --hub-folder` "
                "made."
            )
    return None
