"""Images in folders, and draws from their sources."""

import numpy as np
from PIL import Image

from lavis_sam.synthesis.protocols import SampleRequest


def save(path, mode="RGB", size=(80, 100), colour=120, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


def draw(source, position=0, views=2, unlike=()):
    return source.draw(SampleRequest(np.random.default_rng(0), views, position, unlike))


RECORDS = [
    {
        "id": "chair 1",
        "images": ["a/1.png", "a/2 ü.PNG"],
        "masks": ["a/1_mask.png", None],
        "azimuths": [0, 120.5],
        "attributes": {"colour": "green"},
        "label": "green chair",
        "caption": "A green chair.",
        "licence": "CC0",
        "height": 0.8,
    },
    {"id": 7, "images": ["b/1.png", "b/2.png"]},
    {"id": "alone", "images": ["b/1.png"]},
]
