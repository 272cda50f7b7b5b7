"""A few images, a data set of them, random crops, and the model that a feature cache serves."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import Compose, RandomHorizontalFlip, RandomResizedCrop, Resize, ToTensor

from helpers.models import small_model
from lavis_sam.config.run_settings import RunSettings
from lavis_sam.datasets.multi_image import FolderImages, MultiImageDataset
from lavis_sam.datasets.sample import MultiImageSample
from lavis_sam.features.store import CacheIdentity, FeatureStore

SIZE = 28
PLAIN = Compose([Resize((SIZE, SIZE)), ToTensor()])
RANDOM = Compose([RandomResizedCrop(SIZE, scale=(0.3, 1.0)), RandomHorizontalFlip(), ToTensor()])
# Samples by their images; b.png is in two of them.
SAMPLES = (("a.png", "b.png"), ("b.png", "c.png", "d.png"), ("e.png",))
IDENTITY = CacheIdentity("w" * 64, "fp32", patches=5, width=4, transforms={"own/train": "t"})


def write_images(folder: Path) -> Path:
    """Five images of noise."""
    generator = np.random.default_rng(0)
    for name in sorted({name for names in SAMPLES for name in names}):
        Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    return folder


def dataset(root: Path, transform=PLAIN) -> MultiImageDataset:
    samples = [
        MultiImageSample(number, names, "what is this?", f"answer {number}", (f"answer {number}",), "here")
        for number, names in enumerate(SAMPLES)
    ]
    return MultiImageDataset(samples, FolderImages(root), transform)


def settings(**run) -> RunSettings:
    return RunSettings.from_config({"max_epoch": 1, "device": "cpu", **run})


def model(seed: int = 0):
    return small_model(seed=seed)


def store(folder: Path, **changes) -> FeatureStore:
    return FeatureStore(folder, CacheIdentity(**{**IDENTITY.__dict__, **changes}))


def features(count: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, IDENTITY.patches, IDENTITY.width, generator=torch.Generator().manual_seed(seed))
