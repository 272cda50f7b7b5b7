"""Room 4 of the way of the data: loop, checkpoints, evaluation. Importing it registers runner and schedule."""

# LAVIS first: importing it registers all our rooms, which would otherwise happen half-way through one of their modules.
import lavis  # noqa: F401

from lavis_sam.runners.runner_sam import RunnerSam
from lavis_sam.runners.schedulers import LinearWarmupCosineStepLRScheduler

__all__ = ["LinearWarmupCosineStepLRScheduler", "RunnerSam"]
