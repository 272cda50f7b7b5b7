"""Answers on the disk, each under a hash of everything that it depends on, so that none is paid for twice.

`diskcache` (5.6.3) was measured and not taken. It writes an answer in 0.1 ms and we in 1.1 ms, where getting one takes
seconds; but a damaged SQLite file may cost all answers and not one, SQLite's locks do not hold on network folders,
folders of earlier runs would need this code all the same, and a file from outside is not safe to open: a row says
whether it is a pickle, and `JSONDisk` loads those as well (a crafted row ran its code).
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from lavis_sam.files import write_json

logger = logging.getLogger(__name__)

MAX_BYTES = 4 * 1024**2
_SHARD_LETTERS = 2


class AnswerCache:
    """A folder of answers: `<first letters>/<key>.json`, each written whole or not at all."""

    def __init__(self, folder: str | Path) -> None:
        """Keep the folder. No I/O happens here.

        Args:
            folder: Is made when the first answer comes.
        """
        self._folder = Path(folder)

    @property
    def is_empty(self) -> bool:
        """Whether there is no answer at all."""
        return not any(self._folder.glob(f"{'[0-9a-f]' * _SHARD_LETTERS}/*.json"))

    def get(self, key: str) -> str | None:
        """Return the answer of that key; None if there is none, or only a damaged one."""
        entry = self.entry(key)
        return None if entry is None else str(entry["text"])

    def entry(self, key: str) -> dict[str, Any] | None:
        """Return the answer of that key, as `text`, with what was kept about it; see `get`."""
        path = self._path(key)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES} bytes")
            entry: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if entry["key"] != key or not isinstance(entry["text"], str):
                raise ValueError("not the answer of its name")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            logger.warning("%s cannot be read (%s); the question is asked again.", path, error)
            return None
        return entry

    def put(self, key: str, text: str, facts: Mapping[str, Any]) -> None:
        """Keep an answer.

        Args:
            facts: What the service said about it, as plain data.
        """
        write_json(self._path(key), {"key": key, "text": text, **facts})

    def _path(self, key: str) -> Path:
        return self._folder / key[:_SHARD_LETTERS] / f"{key}.json"


def key_of(settings: Mapping[str, Any], instruction: str, images: tuple[Image.Image, ...]) -> str:
    """Return a hash of a question and of how it is asked; names of samples and files do not count.

    Args:
        settings: Everything else that the answer depends on, as plain data.
        images: RGB, before they are made smaller.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps([settings, instruction, len(images)], sort_keys=True).encode())
    for image in images:
        digest.update(f"{image.mode} {image.size}".encode() + image.tobytes())
    return digest.hexdigest()
