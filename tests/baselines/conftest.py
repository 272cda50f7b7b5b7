"""Questions to models, local ones and a service."""

import pytest

from helpers.endpoint_fixtures import data_set, image, no_key, service
from helpers.local_models import WRITERS
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.evaluation.model import EvaluationSample


@pytest.fixture
def ask():
    """Make a question: (id, instruction, number of images)."""

    def make(name, instruction="What is it?", count=2, size=(40, 30)):
        images = tuple(f"{name}-{i}.png" for i in range(count))
        sample = MultiImageSample(name, images, instruction, "a dog", ("a dog",), "here")
        seed = sum(map(ord, str(name)))
        return EvaluationSample(sample, tuple(image(seed + i, size) for i in range(count)))

    return make


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name -> folder; each is written when it is asked for."""
    made = {}

    def folder(name):
        if name not in made:
            made[name] = WRITERS[name](tmp_path_factory.mktemp("models") / name)
        return made[name]

    return folder


__all__ = ["data_set", "no_key", "service"]
