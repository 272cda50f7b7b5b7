"""Data sets as webdataset tar shards: few large files in the place of many small ones.

`layout` says how a folder of shards looks; `writing` and `unpacking` lead from a folder of images to shards and
back; `archive` reads tar members that somebody else wrote, `samples` makes samples of them, `index` notes where these
are, `images` reads what they show, and `dataset` makes the data set that a run trains on. `stream` does without an
index: it reads shards from anywhere, once and forwards.
"""

from typing import TYPE_CHECKING, Any

from lavis_sam.datasets.problems import DamagedSampleError
from lavis_sam.datasets.shards.images import scan_shards
from lavis_sam.datasets.shards.index import ShardIndex, index_shards
from lavis_sam.datasets.shards.unpacking import unpack_shards
from lavis_sam.datasets.shards.writing import DEFAULT_SHARD_BYTES, write_shards

if TYPE_CHECKING:
    from lavis_sam.datasets.shards.dataset import open_shards

__all__ = [
    "DEFAULT_SHARD_BYTES",
    "DamagedSampleError",
    "ShardIndex",
    "index_shards",
    "open_shards",
    "scan_shards",
    "unpack_shards",
    "write_shards",
]


def __getattr__(name: str) -> Any:
    """Import the data set, and PyTorch with it, when it is asked for."""
    if name == "open_shards":
        from lavis_sam.datasets.shards.dataset import open_shards

        return open_shards
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
