"""Room 1 of the way of the data: pictures become tensors, texts stay as they are.

Pictures use LAVIS's own processors, which are exactly InstructBLIP's: `blip_image_eval` resizes to a square with
bicubic interpolation, without keeping the aspect, and normalises by CLIP's mean and standard deviation;
`blip2_image_train` crops (0.5-1.0 of the area) and flips at random before that. `sam_image_train` is the latter with a
switch for the flip, for data sets whose texts name left and right. Files become RGB before: see `datasets.images`.
Importing this package registers `sam_image_train` and the text processor `sam_text`.
"""

# LAVIS first: importing it registers all our rooms, which would otherwise happen half-way through one of their modules.
import lavis  # noqa: F401

from lavis_sam.processors.sam_image import SamImageTrainProcessor
from lavis_sam.processors.sam_text import SamTextProcessor

__all__ = ["SamImageTrainProcessor", "SamTextProcessor"]
