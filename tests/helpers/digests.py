"""What a folder holds, to the byte: for tests that a refused command leaves it as it was."""

import hashlib
from pathlib import Path


def folder_digests(root: Path) -> dict[str, tuple]:
    """Every file and folder below `root`, with the digest of its content and when it was written."""
    return {
        path.relative_to(root).as_posix(): (
            (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) if path.is_file() else ()
        )
        for path in sorted(root.rglob("*"))
    }
