"""The same samples as a folder and as shards."""

import pytest

from helpers.shards import noisy, sharded, text
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.shards import open_shards


@pytest.fixture
def pair(tmp_path):
    """The same samples as a folder and as shards."""
    samples, path = sharded(tmp_path)
    return (
        MultiImageDataset(samples, FolderImages(tmp_path / "pictures"), noisy, text_processor=text, seed=5),
        open_shards([path], noisy, text_processor=text, seed=5),
    )
