"""LAVIS builders of our data sets; importing this package registers them."""

# LAVIS first: importing it registers all our rooms, which would otherwise happen half-way through one of their modules.
import lavis  # noqa: F401

from lavis_sam.datasets.builders.change_captioning import (
    BirdsToWordsBuilder,
    ClevrChangeBuilder,
    IEditBuilder,
    SpotTheDiffBuilder,
)
from lavis_sam.datasets.builders.group_captioning import ConceptualBuilder, NicoAnimalBuilder, NicoVehicleBuilder
from lavis_sam.datasets.builders.mmlink import MMLinkBuilder
from lavis_sam.datasets.builders.multi_image import MultiImageBuilder
from lavis_sam.datasets.builders.storytelling import AesopBuilder, DM800KBuilder, VistBuilder

__all__ = [
    "AesopBuilder",
    "BirdsToWordsBuilder",
    "ClevrChangeBuilder",
    "ConceptualBuilder",
    "DM800KBuilder",
    "IEditBuilder",
    "MMLinkBuilder",
    "MultiImageBuilder",
    "NicoAnimalBuilder",
    "NicoVehicleBuilder",
    "SpotTheDiffBuilder",
    "VistBuilder",
]
