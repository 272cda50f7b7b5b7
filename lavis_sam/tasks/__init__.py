"""Room 3 of the way of the data: the train step, generation, predictions. Importing this package registers the task."""

# LAVIS first: importing it registers all our rooms, which would otherwise happen half-way through one of their modules.
import lavis  # noqa: F401

from lavis_sam.tasks.multi_image_captioning import MultiImageCaptioningTask

__all__ = ["MultiImageCaptioningTask"]
