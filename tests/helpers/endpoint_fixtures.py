"""Fixtures of the tests that ask a service, which a conftest.py takes: from here, because two rooms have some."""

import numpy as np
import pytest
from PIL import Image

from helpers.endpoint_server import running
from lavis_sam.datasets.annotations import write_annotations
from lavis_sam.datasets.sample import MultiImageSample


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    """The person who runs the tests may have a key, and a proxy."""
    for name in ("OPENAI_API_KEY", "LAVIS_SAM_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service():
    """A service on the loopback device."""
    with running() as found:
        yield found


def image(seed, size=(40, 30)):
    """Noise, which no two seeds share."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def data_set(tmp_path):
    """A data set of four samples in the unified format, with one to three images each."""
    folder = tmp_path / "mine"
    folder.mkdir()
    samples = []
    for index, truth in enumerate(["a red dog runs", "two cats sleep", "the bus is late", "one big tree stands"]):
        names = [f"{index}-{i}.png" for i in range(1 + index % 3)]
        for i, name in enumerate(names):
            image(10 * index + i).save(folder / name)
        samples.append(MultiImageSample(index, tuple(names), f"Say {index}.", truth, (truth,), "here"))
    write_annotations(folder / "annotations.json", samples)
    return folder
