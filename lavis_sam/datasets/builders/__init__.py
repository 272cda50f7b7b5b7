"""LAVIS builders of our data sets; importing this package registers them."""

# LAVIS first: importing it registers all our rooms, which would otherwise happen half-way through one of their modules.
import lavis  # noqa: F401

from lavis_sam.datasets.builders.mmlink import MMLinkBuilder
from lavis_sam.datasets.builders.multi_image import MultiImageBuilder

__all__ = ["MMLinkBuilder", "MultiImageBuilder"]
