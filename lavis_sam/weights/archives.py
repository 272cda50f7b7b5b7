"""What a file that `torch.load` reads is checked for first: its size once unpacked, its checksums, its pickle's length.

torch looks at none of the three. It maps compressed entries as if they were numbers, never compares a checksum, and
unpacks whatever it is given.
"""

import io
import pickletools
import zipfile
from collections import Counter
from pathlib import Path

from lavis_sam.errors import SamCheckpointError

# Weights are noise: no compression makes them a tenth of their size. Fresh layers of zeros are small.
_MOST_RATIO, _FREE_BYTES = 16, 64 << 20
# The pickle only lists the tensors (0.1 MB for a language model), and each of its bytes may become an object of 64.
_MOST_PICKLE_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_LEGACY_PICKLES = 5  # magic number, version, machine, content, keys of the tensors


def check_archive(path: Path) -> bool:
    """Check the zip archive that `torch.save` writes, before torch opens it.

    Every byte is compared with its checksum, which takes 0.35 to 0.5 s for a GiB. torch can be told to write none
    (`torch.serialization.set_crc32_options`); such an archive is taken as it is.

    Returns:
        Whether its tensors can be mapped: all entries are stored as they are.

    Raises:
        SamCheckpointError: It would unpack to far more than it is, is damaged, or holds two entries of one name.
        Exception: It is no zip archive that Python can read; what is raised is `zipfile`'s choice.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _check_sizes(path, entries)
        if any(entry.CRC for entry in entries):
            for entry in entries:
                _check_content(path, archive, entry)
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)


def _check_sizes(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    size, unpacked = path.stat().st_size, sum(entry.file_size for entry in entries)
    most = _MOST_RATIO * size + _FREE_BYTES
    if unpacked > most:
        raise SamCheckpointError(
            f"{path}: would unpack from {size} to {unpacked} bytes, at most {most} are wanted: weights hardly shrink "
            "when they are compressed. Nothing was loaded. Delete the file, and fetch it from a source that you trust."
        )
    pickles = [entry.file_size for entry in entries if entry.filename.endswith(".pkl")]
    if sum(pickles) > _MOST_PICKLE_BYTES:
        raise SamCheckpointError(
            f"{path}: has {sum(pickles)} bytes that are no tensors, at most {_MOST_PICKLE_BYTES} are wanted. Nothing "
            "was loaded. Save its tensors alone in a file of their own."
        )
    names = Counter(entry.filename.lower() for entry in entries)  # as torch's reader compares them
    if doubled := next((name for name, times in names.items() if times > 1), ""):
        raise SamCheckpointError(f"{path}: holds {doubled!r} twice, so it is damaged. Fetch it again.")


def _check_content(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    try:
        with archive.open(entry) as content:
            while content.read(_CHUNK_BYTES):
                pass
    except zipfile.BadZipFile as error:
        raise SamCheckpointError(
            f"{path}: its entry {entry.filename!r} is damaged ({error}), so its numbers would be others than those "
            "that were saved. Nothing was loaded. Fetch or copy the file again, or use an earlier checkpoint."
        ) from error


def legacy_source(path: Path) -> Path | io.BytesIO:
    """Return what `torch.load` may read of a file from before torch 1.6, which is a few pickles and then the tensors.

    Returns:
        The file; its first bytes alone, in memory, if it is damaged: there a wrong length cannot ask for more.

    Raises:
        SamCheckpointError: Its pickles are longer than any checkpoint's.
    """
    with path.open("rb") as file:
        start = io.BytesIO(file.read(_MOST_PICKLE_BYTES))
    try:
        for _ in range(_LEGACY_PICKLES):
            for _operation in pickletools.genops(start):
                pass
    except Exception as error:  # which torch's own reader says better
        if path.stat().st_size > _MOST_PICKLE_BYTES:
            raise SamCheckpointError(
                f"{path}: does not begin as a checkpoint does: damaged, or more than {_MOST_PICKLE_BYTES} bytes that "
                f"are no tensors ({type(error).__name__}). Fetch it again, or save its tensors alone in another file."
            ) from error
        return io.BytesIO(start.getvalue())
    return path
