"""Every data set of the paper, read from its own release: one module a release, one function for all of them.

A module says where a release keeps its samples (`entries`); prompts, checks of texts and images, duplicate ids and
the account of what was dropped are the same for all and live in `reading`.
"""

from lavis_sam.datasets.formats.reading import read_dataset
from lavis_sam.datasets.formats.table import FORMATS, Format, format_named

__all__ = ["FORMATS", "Format", "format_named", "read_dataset"]
